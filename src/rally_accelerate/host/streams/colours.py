"""Which colour a dot has: a tone for each of the commonest values of a field, told in a legend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rally_accelerate.host.store.search import Row
from rally_accelerate.host.streams.checks import RANKS

#: What dots can be coloured by (accelerate-api-notes.md#dots-and-alerts).
CHOICES = {"type": "Type", "priority": "Priority", "sprint": "Sprint", "release": "Release"}

#: So many values have a tone of their own.
TONES = 8

NONE, OTHER = "none", "other"


@dataclass(frozen=True, slots=True)
class Legend:
    """The tones of one field."""

    by: str
    #: Tone by value.
    tones: Mapping[str, str]
    #: Each value that is shown with its tone, and how many items have it.
    entries: tuple[tuple[str, str, int], ...]
    ranks: Mapping[str, str]

    def tone(self, row: Row) -> str:
        """The tone of a dot: ``1`` to ``8``, a rank, ``other`` or ``none``."""
        value = self._value(row)
        return self.tones.get(value, OTHER) if value else NONE

    def _value(self, row: Row) -> str:
        match self.by:
            case "priority":
                priority = row.priority or ""
                return self.ranks.get(priority.casefold(), priority) if self.ranks else priority
            case "sprint":
                # The last one is the present one.
                return row.sprints[-1] if row.sprints else ""
            case "release":
                return row.releases[-1] if row.releases else ""
            case _:
                return row.type


def legend_of(by: str, counted: Sequence[tuple[str, int]], ranks: Mapping[str, str]) -> Legend:
    """The legend of a field.

    Args:
        by: One of ``CHOICES``.
        counted: The field's values among all items, commonest first.
        ranks: What priorities are mapped to, by their lower case; may be empty.
    """
    if by == "priority" and ranks:
        return _ranked(counted, ranks)
    tones = {value: str(number) for number, (value, _) in enumerate(counted[:TONES], 1)}
    entries = [(value, tones[value], count) for value, count in counted[:TONES]]
    if rest := sum(count for _, count in counted[TONES:]):
        entries.append((f"{len(counted) - TONES} others", OTHER, rest))
    return Legend(by, tones, tuple(entries), {})


def _ranked(counted: Sequence[tuple[str, int]], ranks: Mapping[str, str]) -> Legend:
    sums: dict[str, int] = {}
    for value, count in counted:
        rank = ranks.get(value.casefold(), value)
        sums[rank] = sums.get(rank, 0) + count
    tones = {rank: rank.lower() for rank in RANKS}
    entries = [(rank, tones[rank], sums[rank]) for rank in reversed(RANKS) if rank in sums]
    if rest := sum(count for rank, count in sums.items() if rank not in tones):
        entries.append(("not mapped", OTHER, rest))
    return Legend("priority", tones, tuple(entries), ranks)
