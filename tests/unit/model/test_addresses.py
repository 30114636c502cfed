"""Addresses are read as people write and paste them, and what is none is refused before anything is sent."""

import pytest

from rally_accelerate.accelerate.responses import graphql_address
from rally_accelerate.config.value_parsers import as_base_url, as_proxy_server
from rally_accelerate.errors import ConfigError

PASTED = [
    "https://rally.example",
    " https://rally.example/ ",
    '"https://rally.example"',
    "<https://rally.example>",
    "“https://rally.example”",
    "https://rally.example,",
    "https://https://rally.example",
    "https:/rally.example",
    "https;//rally.example",
    "https//rally.example",
    "https: //rally.example",
    "HTTPS://rally.example",
]


@pytest.mark.parametrize("text", PASTED)
def test_pasted_addresses_are_read(text: str) -> None:
    assert as_base_url(text) == "https://rally.example"
    assert graphql_address(text) == "https://rally.example/release-events-api/graphql"


def test_the_inner_one_of_two_schemes_counts() -> None:
    assert as_base_url("https://http://127.0.0.1:80") == "http://127.0.0.1:80"


@pytest.mark.parametrize("text", ["https.rally:8080", "rally:8080", "[::1]:8080", "http-proxy.example"])
def test_hosts_that_look_like_a_scheme_are_left_alone(text: str) -> None:
    assert as_base_url(text) == f"https://{text}"


@pytest.mark.parametrize("text", ["http://a b", "https://ra(lly", "https://rally.example;x", "https://ra'lly"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"has a character|has a blank"):
        as_base_url(text)
    with pytest.raises(ConfigError):
        graphql_address(text)


@pytest.mark.parametrize(
    "text",
    ["http://proxy.example:8080/proxy.pac", "proxy.example/wpad.dat", "file:///etc/proxy.pac", "http://p/a.PAC?x"],
)
def test_a_pac_file_is_no_proxy(text: str) -> None:
    with pytest.raises(ValueError, match="PAC file"):
        as_proxy_server(text)


def test_a_socks_proxy_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"not socks5://; ask for the address of an HTTP proxy"):
        as_proxy_server("socks5://proxy.example:1080")
