"""``start``, ``pagesize`` and ``order`` (rally-api-notes.md#paging)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rally_sandbox.errors import QueryError
from rally_sandbox.schema import Attribute, Type

DEFAULT_SIZE = 20
MAX_SIZE = 2000


@dataclass(frozen=True, slots=True)
class Paging:
    """The requested rows."""

    #: 1-based.
    start: int = 1
    size: int = DEFAULT_SIZE

    @property
    def window(self) -> slice:
        """The page's slice of a list of all rows; empty beyond the end."""
        return slice(self.start - 1, self.start - 1 + self.size)


def parse_paging(parameters: Mapping[str, str]) -> Paging:
    """Parse ``start`` and ``pagesize``; an oversized page is clamped, as the response's PageSize shows.

    Raises:
        QueryError: One of them is not a positive number.
    """
    return Paging(
        start=_parse_positive(parameters, "start", 1),
        size=min(_parse_positive(parameters, "pagesize", DEFAULT_SIZE), MAX_SIZE),
    )


def _parse_positive(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise QueryError(f'Could not parse: {name} must be a positive number but was "{text}"')
    return int(text)


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One attribute to order by."""

    name: str
    descending: bool


def parse_order(text: str | None, types: Sequence[Type]) -> tuple[OrderKey, ...]:
    """Parse ``order``: comma-separated attributes, each optionally with ``asc`` or ``desc``.

    Raises:
        QueryError: An attribute is unknown or not sortable.
    """
    return tuple(_parse_order_key(part, types) for part in (text or "").split(",") if part.strip())


def _parse_order_key(text: str, types: Sequence[Type]) -> OrderKey:
    name, _, direction = text.strip().partition(" ")
    # "Rank" is accepted for DragAndDropRank.
    name = "DragAndDropRank" if name == "Rank" else name
    if direction.strip().lower() not in {"", "asc", "desc"}:
        raise QueryError(f'Could not parse: Unknown sort direction "{direction.strip()}"')
    if not any(name in kind.attributes and kind.attributes[name].sortable for kind in types):
        raise QueryError(f"Could not parse: Could not find attribute '{name}' to order by on type {types[0].path}")
    return OrderKey(name, direction.strip().lower() == "desc")


@dataclass(frozen=True, slots=True)
class Fetch:
    """The requested attributes of rows and nested objects."""

    #: Attributes at any depth.
    names: frozenset[str] = frozenset()
    #: ``fetch=true``: every attribute of the row, but of no nested object.
    everything: bool = False

    def list_row_attributes(self, kind: Type) -> list[Attribute]:
        """List the attributes in a row of a type; unknown names are silently ignored."""
        if self.everything:
            return list(kind.attributes.values())
        return self.list_nested_attributes(kind)

    def list_nested_attributes(self, kind: Type) -> list[Attribute]:
        """List the attributes of a nested object; without any, the object is a stub."""
        if not self.names:
            return []
        return [attribute for name, attribute in kind.attributes.items() if name in self.names]


STUB = Fetch()
EVERYTHING = Fetch(everything=True)


def parse_fetch(text: str | None, *, default: Fetch = STUB) -> Fetch:
    """Parse ``fetch``: absent, ``true``, ``false`` or comma-separated names.

    A ``:summary`` or ``[...]`` after a name is ignored; summaries (rally-api-notes.md#fetch) are not simulated.
    """
    # A toolkit puts the whole list into quotes.
    value = (text or "").strip().strip('"')
    match value.lower():
        case "":
            return default
        case "true":
            return EVERYTHING
        case "false":
            return STUB
        case _:
            return Fetch(frozenset(_strip_suffix(name) for name in value.split(",")))


def _strip_suffix(name: str) -> str:
    return name.partition(":")[0].partition("[")[0].strip()


Json = dict[str, Any]

VERSION: Mapping[str, str] = {"_rallyAPIMajor": "2", "_rallyAPIMinor": "0"}
JS_WARNING = 'It is no longer necessary to append ".js" to WSAPI resources.'


def create_query_result(
    rows: Sequence[Json], total: int, paging: Paging, *, warnings: Sequence[str] = (), errors: Sequence[str] = ()
) -> Json:
    """Create the result of a query or a collection; with errors, it has no rows, and the HTTP status is 200."""
    return {
        "QueryResult": {
            **VERSION,
            "Errors": list(errors),
            "Warnings": list(warnings),
            "TotalResultCount": total,
            "StartIndex": paging.start,
            "PageSize": paging.size,
            "Results": list(rows),
        }
    }


def create_object_result(element_name: str, row: Json, *, warnings: Sequence[str] = ()) -> Json:
    """Create the result for one object under its ElementName, for portfolio items the level."""
    return {element_name: {**row, "Errors": [], "Warnings": list(warnings)}}


def create_operation_result(*, errors: Sequence[str] = (), warnings: Sequence[str] = (), **more: Any) -> Json:
    """Create the result of a failed read or of an operation."""
    return {"OperationResult": {**VERSION, "Errors": list(errors), "Warnings": list(warnings), **more}}


def render_html_error(status: int, path: str, reason: str) -> bytes:
    """Render an error page like the servlet container's (rally-api-notes.md#login-failures)."""
    return (
        '<html>\n<head>\n<meta http-equiv="Content-Type" content="text/html;charset=ISO-8859-1"/>\n'
        f"<title>Error {status} {reason}</title>\n</head>\n<body>\n<h2>HTTP ERROR {status}</h2>\n"
        f"<p>Problem accessing {path}. Reason:\n<pre>    {reason}</pre></p>\n</body>\n</html>\n"
    ).encode()
