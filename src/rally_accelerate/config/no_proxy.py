"""Which servers are reached without the configured proxy: ``noProxy``, with the meaning of the variable ``NO_PROXY``.

An entry is a host, a domain (with or without a leading dot or ``*.``, its subdomains included), an IP address, a
network in CIDR notation, or ``*`` for everything; a port after a colon limits it to that port. Names are not resolved:
a network matches only where the server is given by its IP address. So do curl and Go.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from rally_accelerate.config.model import Properties

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ENTRY = re.compile(
    r"\[(?P<six>[^\]]+)\](?P<mask>/\d+)?(?::(?P<port6>\d+))?|(?P<host>[^:]+)(?::(?P<port>\d+))?|(?P<bare>.+)"
)


def bypasses_proxy(address: str, entries: Iterable[str]) -> bool:
    """Return whether a server is reached without a proxy.

    Args:
        address: The server's address, for example ``https://rally1.rallydev.com``.
        entries: As in ``noProxy``; each may hold several, parted by commas or blanks.
    """
    parts = urlsplit(address)
    host = (parts.hostname or "").rstrip(".").lower()
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    hosts = (entry for text in entries for entry in re.split(r"[,\s]+", text) if entry)
    return bool(host) and any(_matches(entry.lower(), host, port) for entry in hosts)


def get_proxy_server(properties: Properties, address: str) -> str:
    """Return the configured proxy for a server; empty without a proxy, or if it is bypassed."""
    return "" if bypasses_proxy(address, properties.no_proxy) else properties.proxy_server


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    match = _ENTRY.fullmatch(entry)
    if match is None:
        return False
    entry_port = match["port6"] or match["port"]
    if entry_port and int(entry_port) != port:
        return False
    name = f"{match['six']}{match['mask'] or ''}" if match["six"] else (match["host"] or match["bare"])
    try:
        return ip_address(host) in ip_network(name, strict=False)
    except ValueError:
        # One of them is a name, or they are of two families.
        domain = name.removeprefix("*").strip(".")
        return bool(domain) and (host == domain or host.endswith(f".{domain}"))
