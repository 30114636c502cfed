"""A secret is never sent to an address that somebody chose who cannot read it."""

from typing import Any

import pytest

from rally_accelerate.config.secret_recipients import find_exposed_secrets

KNOWN = {"baseUrl": "https://rally.example", "proxyServer": "http://proxy.example:80"}


def secrets(known: dict[str, Any], **changes: Any) -> set[str]:
    """What must be entered anew."""
    return {each.secret for each in find_exposed_secrets(known, {**known, **changes})}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"workspace": "other"}, set()),
        ({"baseUrl": "https://evil.example"}, {"apiKey", "password"}),
        ({"baseUrl": "https://rally.example:8443"}, {"apiKey", "password"}),
        ({"baseUrl": "http://rally.example"}, {"apiKey", "password"}),
        ({"proxyServer": "http://evil.example:80"}, {"proxyPassword"}),
        ({"proxyServer": ""}, {"proxyPassword"}),
        ({"accelerateUrl": "https://evil.example"}, {"ucvAccessKey"}),
        # A proxy that can read what goes through it is a receiver of it.
        ({"proxyServer": "http://evil.example:80", "verifyTls": "no"}, {"proxyPassword", "apiKey", "password"}),
        ({"proxyServer": "http://evil.example:80", "caBundle": "x.pem"}, {"proxyPassword", "apiKey", "password"}),
        ({"proxyServer": "http://evil.example:80", "verifyTls": "nonsense"}, {"proxyPassword", "apiKey", "password"}),
    ],
)
def test_who_receives_what(changes: dict[str, Any], expected: set[str]) -> None:
    assert secrets(KNOWN, **changes) == expected


@pytest.mark.parametrize("same", ["rally.example", "https://rally.example/", "https://rally.example/slm/webservice"])
def test_another_spelling_of_the_same_address_is_the_same_receiver(same: str) -> None:
    assert secrets(KNOWN, baseUrl=same) == set()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"proxyServer": "https://ann:other@evil.example:443"}, {"proxyServer"}),
        ({"proxyServer": "https://evil.example:443"}, set()),
        ({"verifyTls": False}, {"proxyServer"}),
        ({"caBundle": "own.pem"}, {"proxyServer"}),
        ({"noProxy": "rally.example"}, set()),
    ],
)
def test_credentials_inside_the_address_of_a_proxy_are_a_secret(changes: dict[str, Any], expected: set[str]) -> None:
    known = {"proxyServer": "https://ann:word@proxy.example:443"}
    assert secrets(known, **changes) & {"proxyServer"} == expected


def test_an_address_that_newly_has_credentials_was_entered() -> None:
    assert "proxyServer" not in secrets(KNOWN, proxyServer="http://ann:word@evil.example:80", verifyTls=False)


def test_the_default_address_is_an_address() -> None:
    assert secrets({}, baseUrl="https://rally1.rallydev.com") == set()
    assert secrets({}, baseUrl="https://evil.example") == {"apiKey", "password"}


def test_without_encryption_a_new_proxy_reads_the_token() -> None:
    assert "apiKey" in secrets({"baseUrl": "http://rally.example"}, proxyServer="evil.example:80")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"verifyTls": False}, {"apiKey", "password", "ucvAccessKey"}),
        ({"verifyAccelerateTls": False}, {"ucvAccessKey"}),
        ({"caBundle": "own.pem"}, {"apiKey", "password", "ucvAccessKey"}),
        ({"clientCertificate": "own.pem"}, {"apiKey", "password", "ucvAccessKey"}),
        ({"clientKey": "own.key"}, {"apiKey", "password", "ucvAccessKey"}),
        # Through a proxy that cannot look into it, or past one.
        ({"noProxy": "rally.example"}, set()),
        ({"verifyTls": "yes", "verifyAccelerateTls": "true"}, set()),
    ],
)
def test_weaker_verification_lets_others_read(changes: dict[str, Any], expected: set[str]) -> None:
    assert secrets({**KNOWN, "accelerateUrl": "https://accelerate.example"}, **changes) == expected


def test_verification_that_gets_stronger_needs_no_secret() -> None:
    unverified = {**KNOWN, "verifyTls": False}
    assert secrets(unverified, verifyTls=True) == set()
    # Anyone on the way could read it before: an authority lets in nobody else.
    assert secrets(unverified, verifyTls=True, caBundle="own.pem") == set()


def test_the_cause_is_the_setting_that_changes() -> None:
    unverified = {**KNOWN, "verifyTls": False}

    def causes(known: dict[str, Any], **changes: Any) -> set[str]:
        return {each.because for each in find_exposed_secrets(known, {**known, **changes}) if each.secret == "apiKey"}

    assert causes(KNOWN, verifyTls=False) == {"verifyTls"}
    assert causes(unverified, proxyServer="http://evil.example:80") == {"proxyServer"}
    assert causes(unverified, noProxy="other.example") == {"noProxy"}
    assert causes(KNOWN, clientKey="x.key") == {"clientKey"}
    assert causes(KNOWN, baseUrl="https://evil.example") == {"baseUrl"}


#: One edit of an editor who cannot read secrets; the certificate authority's key and the evil hosts are the editor's.
EDITS: list[dict[str, Any]] = [
    {"baseUrl": "https://rally.example"},
    {"baseUrl": "http://rally.example"},
    {"baseUrl": "https://evil.example"},
    {"proxyServer": ""},
    {"proxyServer": "http://proxy.example:80"},
    {"proxyServer": "http://evil.example:80"},
    {"verifyTls": True},
    {"verifyTls": False},
    {"verifyAccelerateTls": True},
    {"verifyAccelerateTls": False},
    {"caBundle": ""},
    {"caBundle": "evil.pem"},
    {"clientCertificate": "evil.pem"},
    {"noProxy": ""},
    {"noProxy": "rally.example"},
    {"accelerateUrl": "https://accelerate.example"},
    {"accelerateUrl": "https://evil.example"},
]


def attackers(state: dict[str, Any], secret: str) -> set[str]:
    """Return who reads a secret, from how TLS and proxies work: the reference for the enumeration."""
    url = state.get("accelerateUrl" if secret == "ucvAccessKey" else "baseUrl", "")
    if secret == "proxyPassword":
        # A login at a proxy of the scheme http is sent in the clear.
        return {state["proxyServer"], "a listener"} if state.get("proxyServer") else set()
    if not url:
        return set()
    found = {url.split("//")[1], f"the server as seen with certificate {state.get('clientCertificate')}"}
    proxied = state.get("proxyServer") and secret != "ucvAccessKey" and url.split("//")[1] != state.get("noProxy")
    verified = state.get("verifyTls", True) and (secret != "ucvAccessKey" or state.get("verifyAccelerateTls", True))
    on_the_way = {"a listener", *([state["proxyServer"]] if proxied else [])}
    if url.startswith("http:") or not verified:
        found |= on_the_way
    elif state.get("caBundle"):
        # The authority's owner must be on the way as well.
        found |= {f"{each} with a key of {state['caBundle']}" for each in on_the_way}
    return found


def covered(attacker: str, before: set[str]) -> bool:
    """Tell whether an attacker could read it before, with or without an authority's key."""
    return attacker in before or attacker.split(" with a key of ", maxsplit=1)[0] in before


@pytest.mark.parametrize("secret", ["apiKey", "password", "ucvAccessKey", "proxyPassword"])
@pytest.mark.parametrize(
    "start",
    [
        {"baseUrl": "https://rally.example", "accelerateUrl": "https://accelerate.example"},
        {"baseUrl": "https://rally.example", "proxyServer": "http://proxy.example:80"},
        {"baseUrl": "https://rally.example", "proxyServer": "http://evil.example:80", "verifyTls": False,
         "noProxy": "rally.example", "accelerateUrl": "https://accelerate.example"},
        {"baseUrl": "http://rally.example", "proxyServer": "http://proxy.example:80", "caBundle": "evil.pem"},
    ],
    ids=["plain", "proxy", "unverified past a proxy", "unencrypted"],
)  # fmt: skip
def test_no_three_edits_give_a_secret_to_another_party(start: dict[str, Any], secret: str) -> None:
    reached = {tuple(sorted(start.items()))}
    for _ in range(3):
        for state in list(map(dict, reached)):
            for edit in EDITS:
                if secret not in secrets(state, **edit):
                    reached.add(tuple(sorted({**state, **edit}.items())))
    before = attackers(start, secret)
    for state in map(dict, reached):
        new = {each for each in attackers(state, secret) if not covered(each, before)}
        # Leaving the client certificate as it is, or out, is no other identity.
        assert not {each for each in new if each != "the server as seen with certificate None"}, state
    assert len(reached) > 20
