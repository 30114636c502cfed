"""The status history of an item, from what Rally tells of its past.

Revisions are one source; snapshots from Lookback will be another: both end as ``HistoryEntry`` values, and nothing
behind this file knows which it was.
"""

from collections.abc import Iterable, Sequence

from rally_accelerate.model.issue import UNKNOWN_PERSON, HistoryEntry
from rally_accelerate.rally.records import Revision
from rally_accelerate.rally.revisions import Change, Unparsed, parse, unescape

#: The word that Accelerate computes stage times from (accelerate-host.md 2.3).
STATUS = "status"

#: A text that cannot be read without guessing is passed on as it is, under this name.
UNPARSED = "revision"

#: So much of an unparsed text is kept.
UNPARSED_LENGTH = 1000


def status_history(revisions: Iterable[Revision], *, label: str) -> tuple[HistoryEntry, ...]:
    """Every change of the status, oldest first; empty values are empty texts, never missing.

    Args:
        revisions: The item's revisions in any order.
        label: What the status field is called in revision texts, for example ``SCHEDULE STATE``.
    """
    entries: list[HistoryEntry] = []
    for revision in sorted(revisions, key=lambda revision: (revision.instant, revision.number)):
        entries.extend(_status_changes(revision, label))
    return tuple(entries)


def creator_in(revisions: Sequence[Revision]) -> str | None:
    """Who made the item, when its first revision is among these."""
    return next((revision.user or None for revision in revisions if revision.number == 0), None)


def _status_changes(revision: Revision, label: str) -> Iterable[HistoryEntry]:
    user = revision.user or UNKNOWN_PERSON
    match parse(revision.description):
        case Unparsed(text=text):
            if label in text:
                yield _as_it_is(revision)
        case clauses:
            for clause in clauses:
                if not isinstance(clause, Change) or clause.label != label:
                    continue
                if clause.before is None and clause.after is None:
                    # "SCHEDULE STATE changed": that it changed is told, from what to what is not.
                    yield _as_it_is(revision)
                else:
                    yield HistoryEntry(
                        instant=revision.instant,
                        field=STATUS,
                        before=unescape(clause.before or ""),
                        after=unescape(clause.after or ""),
                        user=user,
                    )


def _as_it_is(revision: Revision) -> HistoryEntry:
    return HistoryEntry(
        instant=revision.instant,
        field=UNPARSED,
        before="",
        after=unescape(revision.description)[:UNPARSED_LENGTH],
        user=revision.user or UNKNOWN_PERSON,
    )
