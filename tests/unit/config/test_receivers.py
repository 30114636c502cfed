"""A secret is never sent to an address that somebody chose who cannot read it."""

from typing import Any

import pytest

from rally_accelerate.config.receivers import endangered

KNOWN = {"baseUrl": "https://rally.example", "proxyServer": "http://proxy.example:80"}


def secrets(known: dict[str, Any], **changes: Any) -> set[str]:
    """What must be entered anew."""
    return {each.secret for each in endangered(known, {**known, **changes})}


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


def test_the_default_address_is_an_address() -> None:
    assert secrets({}, baseUrl="https://rally1.rallydev.com") == set()
    assert secrets({}, baseUrl="https://evil.example") == {"apiKey", "password"}


def test_without_encryption_a_new_proxy_reads_the_token() -> None:
    assert "apiKey" in secrets({"baseUrl": "http://rally.example"}, proxyServer="evil.example:80")
