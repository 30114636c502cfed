"""Servers that are reached without a proxy are told as NO_PROXY tells them."""

import pytest

from rally_accelerate.config.no_proxy import bypasses_proxy, get_proxy_server
from rally_accelerate.config.secret_recipients import find_exposed_secrets
from support.rally_settings import properties

RALLY = "https://rally1.rallydev.com"


@pytest.mark.parametrize(
    ("address", "entry", "expected"),
    [
        (RALLY, "rally1.rallydev.com", True),
        (RALLY, "RALLY1.RallyDev.com.", True),
        (RALLY, "rallydev.com", True),
        (RALLY, ".rallydev.com", True),
        (RALLY, "*.rallydev.com", True),
        (RALLY, "*", True),
        (RALLY, "rallydev.com:443", True),
        (RALLY, "rallydev.com:8443", False),
        ("https://rally1.rallydev.com:8443", "rallydev.com:8443", True),
        ("http://rally1.rallydev.com", "rallydev.com:80", True),
        (RALLY, "dev.com", False),
        (RALLY, "other.example", False),
        (RALLY, "other.example, rallydev.com", True),
        (RALLY, "other.example rallydev.com", True),
        (RALLY, "10.0.0.0/8", False),
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://10.1.2.3", "10.1.2.3", True),
        ("https://10.1.2.3:8443", "10.1.2.3:8443", True),
        ("https://11.1.2.3", "10.0.0.0/8", False),
        ("https://[2001:db8::1]", "2001:db8::/32", True),
        ("https://[2001:db8::1]", "2001:db8::1", True),
        ("https://[2001:db8::1]:9", "[2001:db8::1]:9", True),
        ("https://[2001:db8::1]:9", "[2001:db8::1]:8", False),
        ("https://[2001:db8::1]", "10.0.0.0/8", False),
        ("http://localhost:8421", "localhost", True),
        (RALLY, "", False),
        (RALLY, ".", False),
        (RALLY, ":443", False),
    ],
)
def test_an_entry_means_what_it_means_in_no_proxy(address: str, entry: str, expected: bool) -> None:
    assert bypasses_proxy(address, [entry]) is expected
    assert bypasses_proxy(address, ["elsewhere.example", entry]) is expected


def test_the_property_is_a_list_or_a_text_with_commas() -> None:
    for given in ("a.example, rallydev.com", ["a.example", "rallydev.com"], '["a.example", "rallydev.com"]'):
        its = properties(RALLY, proxyServer="proxy.example:3128", noProxy=given)
        assert its.no_proxy == ("a.example", "rallydev.com")
        assert get_proxy_server(its, RALLY) == ""
        assert get_proxy_server(its, "https://other.example") == "http://proxy.example:3128"


def test_a_proxy_that_is_no_longer_passed_by_receives_what_goes_through_it() -> None:
    known = {"baseUrl": "http://rally.example", "proxyServer": "p.example:1", "noProxy": "rally.example"}
    assert {each.secret for each in find_exposed_secrets(known, {**known, "noProxy": ""})} == {"apiKey", "password"}
