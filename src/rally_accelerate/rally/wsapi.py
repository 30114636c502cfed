"""What goes to Rally and how its addresses and dates are written; pure.

See rally-api-notes.md#addresses, rally-api-notes.md#scope, rally-api-notes.md#encoding and rally-api-notes.md#dates.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote, urlsplit

#: Versions 1.x are retired; v2.0 is the only one to use (rally-api-notes.md#addresses).
WSAPI = "/slm/webservice/v2.0"

#: Rally's own pages also use ``v2.x`` as an alias (rally-api-notes.md#addresses).
_REF = re.compile(
    r"^(?:.*/slm/webservice/v[0-9][0-9.x]*+)?/?(?P<type>[^0-9/][^/]*(?:/[^0-9/][^/]*)?)/(?P<id>-?[0-9]+)$"
)

#: No limit is published; addresses are kept below this many bytes (rally-api-notes.md#address-length).
LONGEST_ADDRESS = 4096


@dataclass(frozen=True, slots=True)
class Request:
    """One read: where, and with which parameters. Values are plain text; encoding happens here and only here."""

    #: Below the server's root, already encoded, for example ``/slm/webservice/v2.0/defect``.
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    #: A question too long for an address: Lookback's alone is sent so, and only reads
    #: (rally-api-notes.md#lookback-requests).
    body: bytes = b""

    @property
    def target(self) -> str:
        """The path with its parameters, as it goes over the wire.

        Each value is encoded by itself and blanks are %20: unencoded ``&``, ``%``, ``#``, ``(`` and others
        give wrong rows or a 500 page (rally-api-notes.md#encoding).
        """
        if not self.params:
            return self.path
        pairs = (f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in self.params.items())
        return f"{self.path}?{'&'.join(pairs)}"

    @property
    def asked(self) -> str:
        """What is asked for, short enough for an error's sentence and without any value."""
        return unquote(self.path)


def query_path(kind: str) -> str:
    """The path of a type's query endpoint.

    Args:
        kind: The wire name, for example ``defect`` or ``portfolioitem/feature``; levels carry names of the
            workspace's own, which need not be ASCII (rally-api-notes.md#type-names).
    """
    return f"{WSAPI}/{'/'.join(quote(part, safe='') for part in kind.split('/'))}"


@dataclass(frozen=True, slots=True)
class Ref:
    """An object's address without its host: refs are compared by path (rally-api-notes.md#references)."""

    #: Lower case, for example ``project`` or ``portfolioitem/feature``.
    type: str
    object_id: int

    def __str__(self) -> str:
        return f"/{self.type}/{self.object_id}"


def parse_ref(text: object) -> Ref | None:
    """A ref in any of its forms: absolute on whichever host, relative, or just ``/project/1``; else None."""
    if not isinstance(text, str):
        return None
    path = unquote(urlsplit(text).path).rstrip("/").removesuffix(".js")
    found = _REF.match(path)
    return Ref(found["type"].lower(), int(found["id"])) if found else None


def ref_id(value: object) -> int | None:
    """The ObjectID of a nested object or of a bare ref; None when there is none."""
    if isinstance(value, Mapping):
        own = object_id(value.get("ObjectID"))
        if own is not None:
            return own
        value = value.get("_ref")
    ref = parse_ref(value)
    return ref.object_id if ref else None


def object_id(value: object) -> int | None:
    """An ObjectID from a number or its digits; values exceed 2^31 (rally-api-notes.md#numbers)."""
    match value:
        case bool():
            return None
        case int():
            return value
        case float() if value.is_integer():
            return int(value)
        case str() if re.fullmatch(r"-?[0-9]+", value.strip(), re.ASCII):
            return int(value)
        case _:
            return None


def parse_instant(value: object) -> datetime | None:
    """A WSAPI date as aware UTC, for example ``2017-03-16T17:23:06.674Z``; None when it is none.

    See rally-api-notes.md#dates.

    A date without a zone is taken as UTC.
    """
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        # Overflow: the first or last day of the calendar in a zone of its own.
        return None


def render_instant(moment: datetime) -> str:
    """An aware instant as Rally writes them: UTC, milliseconds, ``Z``; a date alone would be taken in some zone."""
    if moment.tzinfo is None:
        raise ValueError("an instant without a zone cannot be sent")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def http_date(value: str | None) -> datetime | None:
    """An HTTP date such as that of the ``Date`` header, as aware UTC; None when it is none."""
    if not value:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
