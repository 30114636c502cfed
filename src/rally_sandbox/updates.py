"""Which items were changed since a moment: an index of the generated past, built when first asked for."""

from array import array
from bisect import bisect_left
from collections.abc import Collection

from rally_sandbox.columns import Columns


class Updates:
    """Finds items by LastUpdateDate.

    Args:
        columns: Of the world.
        generated: How many items of the generated past there are.
    """

    def __init__(self, columns: Columns, generated: int) -> None:
        self._columns = columns
        self._generated = generated
        self._by_update: array[int] | None = None
        self._times: array[int] = array("q")

    def since(self, moment: int, changed: Collection[int]) -> list[int]:
        """See ``World.updated_since``; what is ``changed`` has left the index."""
        updated = self._columns.updated
        if self._by_update is None:
            self._by_update = array("i", sorted(range(self._generated), key=updated.__getitem__))
            self._times = array("q", (updated[index] for index in self._by_update))
        first = bisect_left(self._times, moment)
        found = [index for index in self._by_update[first:] if index not in changed]
        found.extend(index for index in changed if updated[index] >= moment)
        return found
