"""The setting that an editor is shown as the cause is the one whose change lets a new party read a secret."""

from typing import Any

import pytest

from rally_accelerate.config.secret_recipients import find_exposed_secrets

KNOWN = {
    "baseUrl": "https://rally.example",
    "accelerateUrl": "https://accelerate.example",
    "proxyServer": "http://proxy.example:80",
}
RALLY = ("apiKey", "password")


def found(known: dict[str, Any], **changes: Any) -> list[tuple[str, str]]:
    """Return each secret that must be entered again, with the cause."""
    return [(each.secret, each.because) for each in find_exposed_secrets(known, {**known, **changes})]


def of(cause: str, *names: str) -> list[tuple[str, str]]:
    """Return the same cause for several secrets."""
    return [(name, cause) for name in names]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"baseUrl": "https://evil.example"}, of("baseUrl", *RALLY)),
        ({"accelerateUrl": "https://evil.example"}, of("accelerateUrl", "ucvAccessKey")),
        ({"proxyServer": "http://evil.example:80"}, of("proxyServer", "proxyPassword")),
        ({"clientCertificate": "own.pem"}, of("clientCertificate", *RALLY, "ucvAccessKey")),
        ({"clientKey": "own.key"}, of("clientKey", *RALLY, "ucvAccessKey")),
        ({"verifyTls": False}, of("verifyTls", *RALLY, "ucvAccessKey")),
        ({"verifyAccelerateTls": False}, of("verifyAccelerateTls", "ucvAccessKey")),
        ({"caBundle": "own.pem"}, of("caBundle", *RALLY, "ucvAccessKey")),
    ],
)
def test_the_changed_setting_is_the_cause(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert found(KNOWN, **changes) == expected


def test_another_bundle_of_authorities_is_another_authority() -> None:
    known = {**KNOWN, "caBundle": "old.pem"}
    assert found(known, caBundle="new.pem") == of("caBundle", *RALLY, "ucvAccessKey")
    assert found(known, caBundle=" old.pem ") == []


def test_a_login_at_a_proxy_with_tls_depends_on_verification() -> None:
    known = {**KNOWN, "proxyServer": "https://proxy.example:443"}
    assert ("proxyPassword", "verifyTls") in found(known, verifyTls=False)
    assert ("proxyPassword", "caBundle") in found(known, caBundle="own.pem")
    assert ("proxyPassword", "proxyServer") in found(known, proxyServer="http://proxy.example:443")


def test_a_client_certificate_does_not_concern_the_login_at_a_proxy() -> None:
    assert "proxyPassword" not in dict(found(KNOWN, clientCertificate="own.pem", clientKey="own.key"))


def test_an_authority_can_act_on_a_new_way_through_a_proxy() -> None:
    known = {**KNOWN, "caBundle": "own.pem"}
    assert found(known, noProxy="other.example") == of("noProxy", *RALLY)
    causes = found(known, proxyServer="http://evil.example:80")
    assert [each for each in causes if each[0] in RALLY] == of("proxyServer", *RALLY)


def test_without_encryption_the_way_through_a_proxy_counts() -> None:
    known = {**KNOWN, "baseUrl": "http://rally.example"}
    assert found(known, noProxy="other.example") == of("noProxy", *RALLY)
    causes = found(known, proxyServer="http://evil.example:80")
    assert [each for each in causes if each[0] in RALLY] == of("proxyServer", *RALLY)


def test_losing_encryption_is_caused_by_the_address() -> None:
    assert found(KNOWN, baseUrl="http://rally.example") == of("baseUrl", *RALLY)
    assert found(KNOWN, accelerateUrl="http://accelerate.example") == of("accelerateUrl", "ucvAccessKey")


def test_the_list_of_bypassed_hosts_has_no_order_and_no_case() -> None:
    known = {**KNOWN, "verifyTls": False, "noProxy": ["a.example", "B.example"]}
    for same in (["b.example", "a.example"], "B.EXAMPLE, a.example", "a.example,b.example"):
        assert found(known, noProxy=same) == []
    assert found(known, noProxy=["a.example"]) == of("noProxy", *RALLY)


def test_a_list_that_cannot_be_read_is_another_list() -> None:
    known = {**KNOWN, "verifyTls": False, "noProxy": ["a.example"]}
    assert found(known, noProxy={"a": 1}) == of("noProxy", *RALLY)
    assert found({**known, "noProxy": 5}, noProxy=6) == of("noProxy", *RALLY)
    assert found({**known, "noProxy": 5}, noProxy=5) == []


def test_verification_is_on_unless_it_is_switched_off() -> None:
    for value in (True, "yes", "true"):
        assert found(KNOWN, verifyTls=value, verifyAccelerateTls=value) == []
    for value in (False, "no", "neither"):
        assert found(KNOWN, verifyTls=value) == of("verifyTls", *RALLY, "ucvAccessKey")
        assert found(KNOWN, verifyAccelerateTls=value) == of("verifyAccelerateTls", "ucvAccessKey")


def test_verification_of_accelerate_matters_only_while_verification_is_on() -> None:
    known = {**KNOWN, "verifyTls": False}
    assert found(known, verifyAccelerateTls=False) == []
    assert found({**KNOWN, "verifyAccelerateTls": False}, verifyTls=False) == of("verifyTls", *RALLY)


def test_without_an_address_the_default_one_of_rally_is_used_and_none_of_the_others() -> None:
    assert found({}, verifyTls=False) == of("verifyTls", *RALLY)
    assert found({}, baseUrl="https://rally1.rallydev.com/") == []
    assert found({}, baseUrl="") == []
    assert found({"baseUrl": "https://rally1.rallydev.com"}, caBundle="own.pem") == of("caBundle", *RALLY)


def test_an_address_that_cannot_be_read_is_another_address() -> None:
    assert found(KNOWN, baseUrl="https://[evil") == of("baseUrl", *RALLY)
    assert found({**KNOWN, "baseUrl": "https://[evil"}, baseUrl="https://[evil") == []


def test_two_causes_of_one_secret_are_both_named_once() -> None:
    both = found(KNOWN, baseUrl="https://evil.example", verifyTls=False)
    assert [each for each in both if each[0] == "apiKey"] == [("apiKey", "baseUrl"), ("apiKey", "verifyTls")]


def test_another_client_certificate_is_another_identity() -> None:
    known = {**KNOWN, "clientCertificate": "old.pem", "clientKey": "old.key"}
    assert found(known, clientCertificate="new.pem") == of("clientCertificate", *RALLY, "ucvAccessKey")
    assert found(known, clientKey="new.key") == of("clientKey", *RALLY, "ucvAccessKey")
    assert found(known, clientKey=" old.key ") == []


def test_hosts_that_bypass_no_proxy_do_not_matter() -> None:
    assert found({"baseUrl": "http://rally.example"}, noProxy="other.example") == []


def test_a_first_address_that_is_not_verified_has_both_causes() -> None:
    new = found({}, accelerateUrl="https://accelerate.example", verifyAccelerateTls=False)
    assert [each for each in new if each[0] == "ucvAccessKey"] == [
        ("ucvAccessKey", "accelerateUrl"),
        ("ucvAccessKey", "verifyAccelerateTls"),
    ]


def test_another_spelling_of_a_switch_is_no_cause() -> None:
    new = found({"verifyAccelerateTls": False}, accelerateUrl="https://accelerate.example", verifyAccelerateTls="no")
    assert new == of("accelerateUrl", "ucvAccessKey")


def test_two_addresses_that_cannot_be_read_are_not_the_same() -> None:
    assert found({**KNOWN, "baseUrl": "https://[evil"}, baseUrl="https://[other") == of("baseUrl", *RALLY)


def test_two_lists_that_cannot_be_read_are_not_the_same() -> None:
    for one, other in (({"a": 1}, {"b": 2}), ([{"a": 1}], [{"b": 2}])):
        known = {**KNOWN, "verifyTls": False, "noProxy": one}
        assert found(known, noProxy=other) == of("noProxy", *RALLY)
        assert found(known, noProxy=one) == []
