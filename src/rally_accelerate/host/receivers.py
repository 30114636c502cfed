"""Which secret is sent where: a secret that nobody can read must not follow an address that somebody else chose."""

from collections.abc import Iterator, Mapping
from typing import Any

from rally_accelerate.host.store.vault import MASK

#: Which secrets are sent to which address.
RECEIVERS = {
    "baseUrl": ("apiKey", "password"),
    "proxyServer": ("proxyPassword",),
    "accelerateUrl": ("ucvAccessKey",),
}


def asked_anew(known: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Each address that changes while its secrets stay masked, and these secrets.

    Args:
        known: The properties as they are stored, in clear.
        given: The new ones; a secret that is to be kept is masked.
    """
    for address, secrets in RECEIVERS.items():
        # A masked address is the stored one.
        if str(given.get(address) or "") in {str(known.get(address) or ""), MASK}:
            continue
        if masked_ones := [name for name in secrets if given.get(name) == MASK and known.get(name)]:
            yield address, masked_ones
