"""To whom a secret is sent; pure.

Whoever may change an address but may not read a secret must not have the secret sent to an address of their choice.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rally_accelerate.config.model import DEFAULT_BASE_URL
from rally_accelerate.config.values import as_base_url, as_boolean, as_proxy_server

#: Which secrets are sent to which address.
RECEIVERS = {
    "baseUrl": ("apiKey", "password"),
    "proxyServer": ("proxyPassword",),
    "accelerateUrl": ("ucvAccessKey",),
}

_NORMAL = {"baseUrl": as_base_url, "proxyServer": as_proxy_server}


@dataclass(frozen=True, slots=True)
class Endangered:
    """A secret that would be sent to a new receiver."""

    secret: str
    #: The setting that changes who receives it.
    because: str


def endangered(known: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[Endangered]:
    """The secrets that must be entered anew, should they be kept.

    Args:
        known: The stored properties.
        given: The properties as they would become.
    """
    for address, secrets in RECEIVERS.items():
        if _address(address, given) != _address(address, known):
            yield from (Endangered(secret, address) for secret in secrets)
    if (through := _address("proxyServer", given)) and through != _address("proxyServer", known):
        # A proxy reads what goes through it in the clear, or under a certificate that it may make itself.
        https = _address("baseUrl", given).startswith("https:")
        if not https or not _verified(given) or given.get("caBundle"):
            yield from (Endangered(secret, "proxyServer") for secret in RECEIVERS["baseUrl"])


def _address(name: str, properties: Mapping[str, Any]) -> str:
    value = properties.get(name) or (DEFAULT_BASE_URL if name == "baseUrl" else "")
    try:
        return str(_NORMAL.get(name, str)(value))
    except ValueError:
        # It is told at its field that it is no address.
        return str(value)


def _verified(properties: Mapping[str, Any]) -> bool:
    try:
        return as_boolean(properties.get("verifyTls", True)) is True
    except ValueError:
        return False
