"""Today's names of states and people in the past that revisions tell under the names of their day; pure.

Where every save is told, a value that differs from the one that the save before left, or from the present one, without
a save in between, can only have been renamed: nothing else changes without a save. Where a save is missing or was not
read completely, nothing is inferred. Lookback, which knows values by id, tells today's names as well.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rally_accelerate.rally.records import FieldChange


class Foreign(NamedTuple):
    """A clause of a field that is not known by its label: the label may be a former one of a tracked field."""

    position: int
    before: str
    after: str


class Renaming:
    """Goes through one item's changes from the newest to the oldest.

    Args:
        present: What fields hold now; only those fields are looked at.
        foreign: Clauses under unknown labels.
    """

    def __init__(self, present: Mapping[str, str], foreign: Sequence[Foreign]) -> None:
        #: Whether every change leads to the next one, and the newest to the present value, as far as they are known.
        self.closed = True
        self._fields = present.keys()
        #: What the next save found, by field; unknown where there is nothing.
        self._expected = dict(present)
        #: Today's names by former ones.
        self._names: dict[str, dict[str, str]] = {name: {} for name in present}
        self._foreign = foreign
        #: In which save the expected value was seen; None for the present one.
        self._seen: dict[str, int | None] = dict.fromkeys(present)

    def forget(self, field: str | None = None) -> None:
        """Infer nothing across this place, for one field or for all."""
        for name in self._fields if field is None else self._fields & {field}:
            self._expected.pop(name, None)
            self._names[name] = {}

    def of(self, change: FieldChange, position: int) -> FieldChange:
        """Return a change with today's names.

        Args:
            change: The next older one.
            position: That of its save.
        """
        name = change.field
        if name not in self._fields or not isinstance(change.before, str) or not isinstance(change.after, str):
            return change
        names, expected = self._names[name], self._expected.get(name)
        after = names.get(change.after, change.after)
        if expected and after and after != expected:
            if self._may_have_changed(name, position, change.after, expected):
                self.forget(name)
                names, after = self._names[name], change.after
            else:
                names[change.after] = after = expected
        before = names.get(change.before, change.before)
        merged = before == after and change.before != change.after
        # A current name that appears in a change from before it was given belonged to another value.
        reused = not {change.before, change.after}.isdisjoint(set(names.values()) - names.keys())
        if merged or reused:
            # Which value each name meant is not known, so that what was told since may be wrong as well.
            self.closed = False
            self.forget(name)
            before, after = change.before, change.after
        self._expected[name], self._seen[name] = before, position
        return change._replace(before=before, after=after)

    def _may_have_changed(self, field: str, position: int, left: str, found: str) -> bool:
        """Whether a clause under an unknown label leads from one value to another between two saves."""
        seen = self._seen[field]
        return any(
            (each.before == left or each.after == found)
            for each in self._foreign
            if each.position >= position and (seen is None or each.position <= seen)
        )
