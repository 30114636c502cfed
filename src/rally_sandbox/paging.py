"""``start``, ``pagesize`` and ``order`` (rally-api-notes.md#paging)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rally_sandbox.errors import QueryRefused
from rally_sandbox.schema import Type

DEFAULT_SIZE = 20
LARGEST_SIZE = 2000


@dataclass(frozen=True, slots=True)
class Paging:
    """The rows wanted."""

    #: 1-based.
    start: int = 1
    size: int = DEFAULT_SIZE

    @property
    def window(self) -> slice:
        """Of a list of all rows; empty beyond its end, never back at its beginning."""
        return slice(self.start - 1, self.start - 1 + self.size)


def paging(parameters: Mapping[str, str]) -> Paging:
    """Read ``start`` and ``pagesize``; an oversized page is clamped, and the answer tells so.

    Raises:
        QueryRefused: One of them is no positive number.
    """
    return Paging(
        start=_positive(parameters, "start", 1), size=min(_positive(parameters, "pagesize", DEFAULT_SIZE), LARGEST_SIZE)
    )


def _positive(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise QueryRefused(f'Could not parse: {name} must be a positive number but was "{text}"')
    return int(text)


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One attribute to order by."""

    name: str
    descending: bool


def order_of(text: str | None, types: Sequence[Type]) -> tuple[OrderKey, ...]:
    """Read ``order``: a comma list of attributes, each with ``asc`` or ``desc`` or nothing.

    Raises:
        QueryRefused: An attribute is unknown or not sortable.
    """
    return tuple(_key(part, types) for part in (text or "").split(",") if part.strip())


def _key(text: str, types: Sequence[Type]) -> OrderKey:
    name, _, direction = text.strip().partition(" ")
    # "Rank" is accepted for DragAndDropRank.
    name = "DragAndDropRank" if name == "Rank" else name
    if direction.strip().lower() not in {"", "asc", "desc"}:
        raise QueryRefused(f'Could not parse: Unknown sort direction "{direction.strip()}"')
    if not any(name in each.attributes and each.attributes[name].sortable for each in types):
        raise QueryRefused(f"Could not parse: Could not find attribute '{name}' to order by on type {types[0].path}")
    return OrderKey(name, direction.strip().lower() == "desc")
