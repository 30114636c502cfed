"""WSAPI requests, references and dates. No I/O.

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

#: Rally publishes no limit; addresses are limited to this many bytes (rally-api-notes.md#address-length).
MAX_ADDRESS_LENGTH = 4096


@dataclass(frozen=True, slots=True)
class Request:
    """One read request: path and parameters. Values are plain text; only this class encodes them."""

    #: Below the server's root, already encoded, for example ``/slm/webservice/v2.0/defect``.
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    #: Body of a query that is too long for an address, which only Lookback has; it only reads
    #: (rally-api-notes.md#lookback-requests).
    body: bytes = b""

    @property
    def target(self) -> str:
        """The path with its parameters, as it goes over the wire.

        Each value is encoded separately and spaces are %20: unencoded ``&``, ``%``, ``#``, ``(`` and others
        give wrong rows or a 500 page (rally-api-notes.md#encoding).
        """
        if not self.params:
            return self.path
        pairs = (f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in self.params.items())
        return f"{self.path}?{'&'.join(pairs)}"

    @property
    def resource(self) -> str:
        """The requested path for error messages, without any parameter."""
        return unquote(self.path)


def query_path(kind: str) -> str:
    """Return the path of a type's query endpoint.

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
    """Parse a ref that is absolute on any host, relative, or just ``/project/1``; return None for anything else."""
    if not isinstance(text, str):
        return None
    path = unquote(urlsplit(text).path).rstrip("/").removesuffix(".js")
    match_ = _REF.match(path)
    return Ref(match_["type"].lower(), int(match_["id"])) if match_ else None


def ref_id(value: object) -> int | None:
    """Return the ObjectID of a nested object or of a bare ref; None if it has no ID."""
    if isinstance(value, Mapping):
        own = object_id(value.get("ObjectID"))
        if own is not None:
            return own
        value = value.get("_ref")
    ref = parse_ref(value)
    return ref.object_id if ref else None


def object_id(value: object) -> int | None:
    """Convert a number or its digits to an ObjectID; values exceed 2^31 (rally-api-notes.md#numbers)."""
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
    """Parse a WSAPI date such as ``2017-03-16T17:23:06.674Z`` to aware UTC; return None if it is no date.

    See rally-api-notes.md#dates.

    A date without a zone is taken as UTC.
    """
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        # Overflow: the first or last day of the calendar in another time zone.
        return None


def render_instant(moment: datetime) -> str:
    """Format an aware instant as Rally does: UTC, milliseconds, ``Z``; Rally reads a bare date in an unknown zone."""
    if moment.tzinfo is None:
        raise ValueError("an instant without a zone cannot be sent")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_http_date(value: str | None) -> datetime | None:
    """Parse an HTTP date such as the ``Date`` header to aware UTC; return None if it is no date."""
    if not value:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
