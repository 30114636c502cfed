"""Which items belong to an item: the reverse of the links in the arrays, sorted when first asked for."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from rally_sandbox.columns import NOTHING, Columns


class Belongings:
    """Answers from sorted arrays, eight bytes for each item that belongs to another."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._sorted: dict[tuple[int, bool], tuple[array[int], array[int], int]] = {}

    def forget(self) -> None:
        """Some link has changed."""
        self._sorted.clear()

    def of(self, index: int, kind: int, *, parents: bool) -> Sequence[int]:
        """See ``World.belonging``."""
        owners, owned = self._arrays(kind, parents=parents)
        begin, end = bisect_left(owners, index), bisect_right(owners, index)
        deleted = self._columns.deleted
        return [each for each in owned[begin:end] if not deleted[each]]

    def _arrays(self, kind: int, *, parents: bool) -> tuple["array[int]", "array[int]"]:
        candidates = self._columns.of_kind[kind]
        kept = self._sorted.get((kind, parents))
        if kept is None or kept[2] != len(candidates):
            links = self._columns.parent if parents else self._columns.link
            owned = array("i", (each for each in candidates if links[each] != NOTHING))
            # Sorting is stable, so the owned of one owner stay ascending.
            owned = array("i", sorted(owned, key=links.__getitem__))
            owners = array("i", (links[each] for each in owned))
            kept = self._sorted[kind, parents] = owners, owned, len(candidates)
        return kept[0], kept[1]
