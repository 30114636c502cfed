"""An item's revisions read as changes; pure (rally-api.md 3.2 to 3.4).

Revisions tell names, never ids, and collections by single members. Names of timeboxes become ids where only one timebox
can be meant; collections are replayed backwards from what the item has now.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from rally_accelerate.rally.pastfields import (
    TIMEBOXES,
    PastField,
    PastFields,
    Shape,
    choice_text,
    date_text,
    flag_text,
    item_id_in,
    number_text,
)
from rally_accelerate.rally.records import (
    RECYCLED,
    FieldChange,
    Named,
    Past,
    PastSource,
    PastValue,
    Revision,
    Unread,
)
from rally_accelerate.rally.revisions import TOO_LONG, Change, Sentence, Unparsed, Verb, parse, unescape


class Place(NamedTuple):
    """The project that an item was in; of the past only the name is told."""

    name: str
    object_id: int | None = None


#: Which timebox a name means in a place, or None when several could be meant.
WhichTimebox = Callable[[Shape, str, Place], int | None]

#: How texts of a shape are read that mean the same whoever tells them.
_PLAIN: Mapping[Shape, Callable[[str], str]] = {
    Shape.FLAG: flag_text,
    Shape.NUMBER: number_text,
    Shape.DATE: date_text,
    Shape.CHOICE: choice_text,
    Shape.ITEM: item_id_in,
}

_COLLECTIONS = (Shape.TAGS, Shape.MILESTONES)

_BINNED = re.compile(r"Moved to Recycle\b")
_RECOVERED = re.compile(r"Recovered from Recycle\b")


class _Told(NamedTuple):
    """One clause about one field, before references and collections are settled."""

    at: int
    user: str
    field: PastField
    before: str
    after: str
    user_id: int | None


def timebox_names(revisions: Sequence[Revision], fields: PastFields) -> Mapping[Shape, set[str]]:
    """Names of iterations and releases that revisions tell of, by shape: their ids are to be found out."""
    found: dict[Shape, set[str]] = {shape: set() for shape in TIMEBOXES.values()}
    by_label = {label: each for label, each in fields.by_label.items() if each.shape in TIMEBOXES.values()}
    for revision in revisions:
        # Parsing is dear; most texts tell of neither.
        if not any(f"{label} " in revision.description for label in by_label):
            continue
        clauses = parse(revision.description)
        for clause in () if isinstance(clauses, Unparsed) else clauses:
            if isinstance(clause, Change) and (field := by_label.get(clause.label)):
                found[field.shape].update(
                    unescape(value) for value in (clause.before, clause.after) if value not in (None, "")
                )
    return found


class Reader:
    """Reads items' revisions as changes.

    Args:
        fields: What is tracked.
        which: Which timebox a name means.
    """

    def __init__(self, fields: PastFields, which: WhichTimebox) -> None:
        self._by_label = fields.by_label
        self._order = {each.name: number for number, each in enumerate(fields.fields)}
        self._which = which

    def past(
        self,
        revisions: Sequence[Revision],
        *,
        project: Place,
        collections: Mapping[str, Sequence[str]],
        present: Mapping[str, str] | None = None,
    ) -> Past:
        """The past of one item.

        Args:
            revisions: All of its revisions, in any order.
            project: Its project now.
            collections: The members that its collections have now, by field.
            present: The text that drop-downs and people have now, by field: what was renamed since is recognised by it.
        """
        ordered = sorted(revisions, key=lambda revision: (revision.instant, revision.number))
        told: list[_Told] = []
        unread: list[Unread] = []
        recycled: list[FieldChange] = []
        for revision in ordered:
            self._read(revision, told, unread, recycled)
        numbers = [revision.number for revision in ordered]
        first = next((revision for revision in ordered if revision.number == 0), None)
        whole = bool(numbers) and sorted(set(numbers)) == list(range(len(set(numbers))))
        changes = self._settled(told, project=project, collections=collections)
        if whole and not unread:
            changes = renamed(changes, present or {})
        changes.extend(recycled)
        # Within one save in the order of the fields; deletion and restoration stand before what they bring along.
        changes.sort(key=lambda change: (change.at, self._order.get(change.field, -1)))
        return Past(
            source=PastSource.REVISIONS,
            changes=tuple(changes),
            unread=tuple(unread),
            creator=first.user if first is not None else "",
            creator_id=first.user_id if first is not None else None,
            whole=whole,
        )

    def _read(self, revision: Revision, told: list[_Told], unread: list[Unread], recycled: list[FieldChange]) -> None:
        at, user, user_id = round(revision.instant.timestamp() * 1000), revision.user, revision.user_id
        # What could speak of a tracked field; everything else need not be understood.
        clauses = parse(revision.description)
        if isinstance(clauses, Unparsed):
            if any(label in revision.description for label in self._by_label):
                unread.append(Unread(at, user, revision.description, user_id))
            return
        silent: list[str] = []
        for clause in clauses:
            if isinstance(clause, Sentence):
                if _BINNED.match(clause.text):
                    recycled.append(FieldChange(at, user, RECYCLED, "false", "true", user_id))
                elif _RECOVERED.match(clause.text):
                    recycled.append(FieldChange(at, user, RECYCLED, "true", "false", user_id))
            elif (field := self._by_label.get(clause.label)) and clause.verb is not Verb.MOVED:
                if (clause.before is None and clause.after is None) or TOO_LONG in (clause.before, clause.after):
                    silent.append(clause.label)
                else:
                    before, after = unescape(clause.before or ""), unescape(clause.after or "")
                    told.append(_Told(at, user, field, before, after, user_id))
        if silent:
            # That something changed is told, from what to what is not.
            unread.append(Unread(at, user, revision.description, user_id))

    def _settled(
        self, told: Sequence[_Told], *, project: Place, collections: Mapping[str, Sequence[str]]
    ) -> list[FieldChange]:
        changes: list[FieldChange] = []
        members = {name: set(found) for name, found in collections.items()}
        place = project
        # Backwards, save by save: what an item has now is known, what it had at first is not.
        for _, save in groupby(reversed(told), key=lambda each: each.at):
            clauses = list(save)
            # A save that moves an item takes away what belonged to the old project and gives what belongs to the new.
            came_from = next((Place(each.before) for each in clauses if each.field.shape is Shape.PROJECT), place)
            for each in clauses:
                if each.field.shape in _COLLECTIONS:
                    change = _member_change(each, members.setdefault(each.field.name, set()))
                    # Members that come and go in one save are one change of the collection.
                    if changes and (changes[-1].at, changes[-1].field) == (each.at, each.field.name):
                        change = changes.pop()._replace(before=change.before)
                    changes.append(change)
                    continue
                was, now = self._value(each.field, each.before, came_from), self._value(each.field, each.after, place)
                if was != now:
                    changes.append(FieldChange(each.at, each.user, each.field.name, was, now, each.user_id))
            place = came_from
        changes.reverse()
        return changes

    def _value(self, field: PastField, text: str, project: Place) -> PastValue:
        plain = _PLAIN.get(field.shape)
        if plain is not None:
            return plain(text)
        if field.shape in TIMEBOXES.values():
            return Named(self._which(field.shape, text, project), text) if text else None
        return text


def renamed(changes: Sequence[FieldChange], present: Mapping[str, str]) -> list[FieldChange]:
    """The changes with today's names of states and people.

    Revisions keep the name of their day. Where every save is told, a value that differs from the one that the save
    before left, or from the present one, without a save in between, can only have been renamed: nothing else changes
    without a save. Lookback, which knows values by id, tells today's names as well.

    Args:
        changes: Oldest first.
        present: What fields hold now; others are left as they are.
    """
    names: dict[str, dict[str, str]] = {name: {} for name in present}
    expected = dict(present)
    found: list[FieldChange] = []
    for change in reversed(changes):
        alias = names.get(change.field)
        if alias is None or not isinstance(change.before, str) or not isinstance(change.after, str):
            found.append(change)
            continue
        after = alias.get(change.after, change.after)
        wanted = expected[change.field]
        if after != wanted and after and wanted:
            alias[change.after] = after = wanted
        before = alias.get(change.before, change.before)
        expected[change.field] = before
        found.append(change._replace(before=before, after=after))
    found.reverse()
    return found


def _member_change(told: _Told, members: set[str]) -> FieldChange:
    """A collection's change, seen backwards; ``members`` become those before it."""
    after = tuple(sorted(members))
    if told.after:
        members.discard(_member(told.field, told.after))
    if told.before:
        members.add(_member(told.field, told.before))
    return FieldChange(told.at, told.user, told.field.name, tuple(sorted(members)), after, told.user_id)


def _member(field: PastField, text: str) -> str:
    # A milestone is shown with its id in front (rally-api.md 3.3, row 24).
    if field.shape is Shape.MILESTONES and (found := re.match(r"[^\s:]*\d+: ", text)):
        return text[found.end() :]
    return text
