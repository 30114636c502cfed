"""What was odd about Rally's answers as a whole, gathered over a run and told at its end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rally_accelerate.rally.records import Record
from rally_accelerate.rally.wire import object_id, ref_id

#: So many items are named in a notice.
MOST_NAMED = 50

#: Whose text it is, where the row is not the item itself: a post's, a revision's (rally-api-notes.md#discussions,
#: rally-api-notes.md#reading-revisions).
_OWNERS = ("Artifact", "RevisionHistory")


@dataclass(slots=True, eq=False)
class Oddities:
    """Items with unreadable texts, and listings that brought less than they announced."""

    #: FormattedIDs, or other names, in the order in which they were met.
    _named: dict[str, None] = field(default_factory=dict)
    #: ObjectIDs of items, or of their revision histories, whose FormattedID is not known yet.
    _unnamed: dict[int, None] = field(default_factory=dict)
    #: By kind of row, how many were announced and did not come.
    _lacking: dict[str, int] = field(default_factory=dict)
    #: By kind of row, how many were left out of pages that had others.
    _skipped: dict[str, int] = field(default_factory=dict)

    def unreadable(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note rows in which texts had to be repaired."""
        for row in rows:
            if key := row.get("FormattedID"):
                self._named[str(key)] = None
                continue
            owner = next((found for name in _OWNERS if (found := ref_id(row.get(name))) is not None), None)
            # A snapshot bears the ObjectID of its item (rally-api-notes.md#snapshots).
            snapshot = object_id(row.get("ObjectID")) if "_ValidFrom" in row else None
            if (found := owner if owner is not None else snapshot) is not None:
                self._unnamed[found] = None
            else:
                self._named[_description(row)] = None

    def lacking(self, kind: str, count: int) -> None:
        """Note that rows were announced and did not come."""
        self._lacking[kind] = max(count, self._lacking.get(kind, 0))

    def skipped(self, kind: str, count: int) -> None:
        """Note that rows were announced and left out of a page, also when it was read again."""
        self._skipped[kind] = self._skipped.get(kind, 0) + count

    def name(self, records: Iterable[Record]) -> None:
        """Find the display ids of items that are only known by ObjectID."""
        if not self._unnamed:
            return
        for record in records:
            for each in (record.object_id, ref_id(record.fields.get("RevisionHistory"))):
                if each in self._unnamed:
                    del self._unnamed[each]
                    self._named[record.key] = None

    def take(self) -> tuple[str, ...]:
        """Return what is worth telling, once."""
        keys = [*self._named, *(f"ObjectID {each}" for each in self._unnamed)]
        sentences = [
            f"Rally announced {count:,} more rows of {kind} but returned an empty page, three times. They may be "
            "hidden from this user; if items are missing, run a full resync."
            for kind, count in self._lacking.items()
        ]
        sentences += [
            f"Rally announced {count:,} more rows of {kind} than it returned. They may be hidden from this user; if "
            "items are missing, run a full resync."
            for kind, count in self._skipped.items()
        ]
        if keys:
            items = "1 item" if len(keys) == 1 else f"{len(keys):,} items"
            more = f" and {len(keys) - MOST_NAMED:,} more" if len(keys) > MOST_NAMED else ""
            sentences.append(
                f"{items} had unreadable characters: {', '.join(keys[:MOST_NAMED])}{more}. "
                "What could not be read is shown as \ufffd; correct the texts in Rally."
            )
        self._named, self._unnamed, self._lacking, self._skipped = {}, {}, {}, {}
        return tuple(sentences)


def _description(row: Mapping[str, Any]) -> str:
    """What a row that belongs to no item is called."""
    name = str(row.get("Name") or row.get("_refObjectName") or row.get("ObjectID") or "").strip()
    return " ".join(part for part in (str(row.get("_type") or "").strip(), f'"{name}"' if name else "") if part) or "?"
