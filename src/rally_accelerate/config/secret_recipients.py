"""Analysis of who can read a secret under given settings. No I/O.

An editor may change an address but cannot read a secret. So no change of settings may let a party read a secret that
could not read it before, unless the secret is entered again. Each edit is judged by the settings that would result:
if no single edit lets a new party read a secret, no sequence of edits does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rally_accelerate.config.model import DEFAULT_BASE_URL
from rally_accelerate.config.value_parsers import as_base_url, as_boolean, as_list, as_proxy_server

_NORMAL = {"baseUrl": as_base_url, "proxyServer": as_proxy_server}
_CERTIFICATE = ("clientCertificate", "clientKey")


@dataclass(frozen=True, slots=True)
class ExposedSecret:
    """A secret that a new party could read."""

    secret: str
    #: The setting whose change lets it.
    because: str


@dataclass(frozen=True, slots=True)
class _Path:
    """The network between two hosts, or a proxy on it."""

    proxy: str = ""
    #: Which hosts the proxy is not used for, normalized: a change of it changes what passes the proxy.
    bypassed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Server:
    """The server that a secret is sent to, with the client certificate by which it may tell callers apart."""

    address: str
    certificate: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Authority:
    """The owner of a trusted certificate authority, who can pose as the server anywhere on a path."""

    bundle: str
    path: _Path


#: Each party that can read a secret, with the settings that decide about it.
_Readers = Mapping[_Path | _Server | _Authority, tuple[str, ...]]


def find_exposed_secrets(known: Mapping[str, Any], changed: Mapping[str, Any]) -> Iterator[ExposedSecret]:
    """Yield each secret that must be entered again to be used, at most once for each setting.

    ``proxyServer`` is one of the secrets while it has credentials inside.

    Args:
        known: The stored properties.
        changed: The properties as they would become.
    """
    before, after = _find_readers(known), _find_readers(changed)
    # The address of a proxy is a secret only if it had credentials inside before as well.
    for secret in (secret_name for secret_name in after if secret_name in before):
        causes = [
            _find_cause(known, changed, settings)
            for party, settings in after[secret].items()
            if party not in before[secret]
            # Who can read everything on a path gains nothing from an authority.
            and not (isinstance(party, _Authority) and party.path in before[secret])
        ]
        yield from (ExposedSecret(secret, cause) for cause in dict.fromkeys(causes))


def _find_readers(properties: Mapping[str, Any]) -> Mapping[str, _Readers]:
    """Return who can read each secret."""
    proxy, verified = _normalize_address("proxyServer", properties), _is_on("verifyTls", properties)
    network = _Path()
    paths = [network, _Path(proxy, _get_no_proxy(properties))] if proxy else [network]
    rally = _find_parties("baseUrl", properties, "verifyTls", verified=verified, paths=paths)
    accelerate = _find_parties(
        "accelerateUrl",
        properties,
        # One TLS setting covers both servers; the other one Accelerate only (rally/transport.py).
        "verifyAccelerateTls" if verified else "verifyTls",
        verified=verified and _is_on("verifyAccelerateTls", properties),
        paths=[network],
    )
    login = _find_parties("proxyServer", properties, "verifyTls", verified=verified, paths=[network])
    readers = {"apiKey": rally, "password": rally, "ucvAccessKey": accelerate, "proxyPassword": login}
    # Credentials inside the address go where the address leads.
    return {**readers, "proxyServer": login} if "@" in proxy else readers


def _find_parties(
    name: str, properties: Mapping[str, Any], switch: str, *, verified: bool, paths: list[_Path]
) -> _Readers:
    """Return who can read what is sent to an address, on paths over the network and through proxies."""
    address, bundle = _normalize_address(name, properties), str(properties.get("caBundle") or "").strip()
    # A proxy is chosen by its address alone: the client certificate is for the server behind it.
    certificate = (
        () if name == "proxyServer" else tuple(str(properties.get(setting) or "").strip() for setting in _CERTIFICATE)
    )
    parties: dict[_Path | _Server | _Authority, tuple[str, ...]] = {
        _Server(address, certificate): (name, *(_CERTIFICATE if certificate else ()))
    }
    route = ("proxyServer", "noProxy")
    if not address:
        return parties
    if not address.startswith("https:"):
        parties |= dict.fromkeys(paths, (name, *route))
    elif not verified:
        parties |= dict.fromkeys(paths, (switch, name, *route))
    elif bundle:
        parties |= {_Authority(bundle, path): ("caBundle", name, *route) for path in paths}
    return parties


def _find_cause(known: Mapping[str, Any], changed: Mapping[str, Any], settings: tuple[str, ...]) -> str:
    """Return the first of the settings that differs."""
    return next(
        (name for name in settings if _normalize_value(name, known) != _normalize_value(name, changed)), settings[0]
    )


def _normalize_value(name: str, properties: Mapping[str, Any]) -> Any:
    match name:
        case "verifyTls" | "verifyAccelerateTls":
            return _is_on(name, properties)
        case "noProxy":
            return _get_no_proxy(properties)
        case _:
            return _normalize_address(name, properties)


def _normalize_address(name: str, properties: Mapping[str, Any]) -> str:
    value = properties.get(name) or (DEFAULT_BASE_URL if name == "baseUrl" else "")
    try:
        return str(_NORMAL.get(name, str)(value)).strip()
    except ValueError:
        # The form reports at its field that it is no address.
        return str(value)


def _get_no_proxy(properties: Mapping[str, Any]) -> tuple[str, ...]:
    raw = properties.get("noProxy")
    try:
        return tuple(sorted(str(host).lower() for host in as_list(raw)))
    except (TypeError, ValueError):
        # The form reports at its field that it is no list.
        return (str(raw),)


def _is_on(name: str, properties: Mapping[str, Any]) -> bool:
    try:
        return as_boolean(properties.get(name, True)) is True
    except ValueError:
        # Not a switch: judged as the dangerous value.
        return False
