"""An item's revisions read as changes; pure (rally-api.md 3.2 to 3.4).

Revisions tell names, never ids, and collections by single members. Names of timeboxes become ids where only one timebox
can be meant; collections are replayed backwards from what the item has now.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from rally_accelerate.rally.renaming import Foreign, Renaming
from rally_accelerate.rally.revisions import TOO_LONG, Change, Cut, Sentence, Unparsed, Verb, is_cut, parse, unescape
from rally_accelerate.rally.saves import Newest, Save, in_order


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

#: Values of these may be anything that people write, even what looks like a clause.
_IMITATING = frozenset({Shape.TEXT, Shape.TAGS, Shape.MILESTONES, Shape.ITEM})

_BINNED = re.compile(r"Moved to Recycle\b")
_RECOVERED = re.compile(r"Recovered from Recycle\b")


#: Of the project that an item was in nothing is known.
_ANYWHERE = Place("")


class _Told(NamedTuple):
    """One clause about one field, before references and collections are settled."""

    save: Save
    field: PastField
    before: str
    after: str


class _Reading:
    """What the texts of one item's revisions say, and what they leave open."""

    def __init__(self) -> None:
        self.told: dict[int, list[_Told]] = defaultdict(list)
        self.recycled: list[tuple[int, FieldChange]] = []
        self.unread: list[Unread] = []
        self.foreign: list[Foreign] = []
        #: Fields that may have been changed in a save, or behind it, without being told; None stands for all.
        self.open: dict[int, set[str | None]] = defaultdict(set)
        self.whole = True

    def leave(self, save: Save, text: str, fields: Iterable[str | None]) -> None:
        """Leave a text unread that may tell of some fields."""
        revision = save.revision
        self.unread.append(Unread(save.at, revision.user, text, revision.user_id))
        self.open[save.group].update(fields)


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
        self._short = frozenset(label for label, each in self._by_label.items() if each.shape not in _IMITATING)
        self._order = {each.name: number for number, each in enumerate(fields.fields)}
        self._which = which

    def past(
        self,
        revisions: Sequence[Revision],
        *,
        project: Place,
        collections: Mapping[str, Sequence[str]],
        present: Mapping[str, str] | None = None,
        newest: Newest = Newest.TOLD,
    ) -> Past:
        """Return the past of one item.

        Args:
            revisions: All of its revisions that came, in any order.
            project: Its project now.
            collections: The members that its collections have now, by field; of others they are not known.
            present: The text that drop-downs and people have now, by field: what was renamed since is recognised by it.
            newest: Whether the newest revision led to what the item is now.
        """
        saves, missing = in_order(revisions)
        reading = _Reading()
        for group in missing:
            reading.open[group].add(None)
        for save in saves:
            self._read(save, reading)
        reading.whole &= bool(saves) and not missing and newest is not Newest.OTHER
        found = self._settled(
            saves,
            reading,
            _Held(
                project if newest is not Newest.OTHER else _ANYWHERE,
                {name: set(its) for name, its in collections.items()} if newest is not Newest.OTHER else {},
                Renaming((present or {}) if newest is Newest.TOLD else {}, reading.foreign),
            ),
        )
        found.extend(reading.recycled)
        # Within one save in the order of the fields; deletion and restoration come before what they bring along.
        found.sort(key=lambda each: (each[0], self._order.get(each[1].field, -1)))
        first = next((save.revision for save in saves if save.revision.number == 0), None)
        return Past(
            source=PastSource.REVISIONS,
            changes=tuple(change for _, change in found),
            unread=tuple(sorted(dict.fromkeys(reading.unread), key=lambda each: each.at)),
            creator=first.user if first is not None else "",
            creator_id=first.user_id if first is not None else None,
            whole=reading.whole,
        )

    def _read(self, save: Save, reading: _Reading) -> None:
        text = save.revision.description
        clauses = parse(text, short=self._short)
        if isinstance(clauses, Unparsed):
            if is_cut(text):
                # What may have followed is not known, so that every field is open.
                reading.whole = False
                reading.leave(save, text, [None])
            elif fields := {each.name for label, each in self._by_label.items() if label in text}:
                # Everything that cannot speak of a tracked field need not be understood.
                reading.leave(save, text, fields)
            return
        silent: set[str] = set()
        for clause in clauses:
            match clause:
                case Cut():
                    reading.whole = False
                    reading.leave(save, clause.text, [None])
                case Sentence():
                    reading.recycled.extend((save.group, change) for change in _recycling(clause, save))
                case Change(verb=Verb.MOVED):
                    pass
                case Change(label, before, after):
                    field = self._by_label.get(label)
                    if field is None:
                        reading.foreign.append(Foreign(save.group, unescape(before or ""), unescape(after or "")))
                    elif (before is None and after is None) or TOO_LONG in (before, after):
                        silent.add(field.name)
                    else:
                        told = _Told(save, field, unescape(before or ""), unescape(after or ""))
                        reading.told[save.group].append(told)
        if silent:
            # That something changed is told, from what to what is not.
            reading.leave(save, text, silent)

    def _settled(self, saves: Sequence[Save], reading: _Reading, held: "_Held") -> list[tuple[int, FieldChange]]:
        """Return the changes, each with the number of its save, oldest first."""
        found: list[tuple[int, FieldChange]] = []
        # Backwards, save by save: what an item has now is known, what it had at first is not.
        for group in sorted({save.group for save in saves}, reverse=True):
            held.forget(reading.open.get(group, ()))
            clauses = reading.told.get(group, [])
            moved = next((each for each in clauses if each.field.shape is Shape.PROJECT), None)
            # A save that moves an item takes away what belonged to the old project and gives what belongs to the new.
            came_from = held.place if moved is None else Place(moved.before)
            if moved is not None and held.place == _ANYWHERE:
                held.place = Place(moved.after)
            changes: list[FieldChange] = []
            was: PastValue
            now: PastValue
            for each in reversed(clauses):
                revision, field = each.save.revision, each.field
                if field.shape in _COLLECTIONS:
                    values = _members(each, held.members)
                    if values is None:
                        # Who the other members were is not known: the text says as much as can be said.
                        reading.leave(each.save, revision.description, ())
                        reading.whole &= field.name in held.doubted
                        held.forget([field.name])
                        continue
                    was, now = values
                    # Members that come and go in one save are one change of the collection.
                    same = next((place for place, other in enumerate(changes) if other.field == field.name), None)
                    if same is not None:
                        now = changes.pop(same).after
                else:
                    was = self._value(field, each.before, came_from)
                    now = self._value(field, each.after, held.place)
                if was != now:
                    change = FieldChange(each.save.at, revision.user, field.name, was, now, revision.user_id)
                    changes.append(held.renaming.of(change, group))
            found.extend((group, change) for change in changes)
            held.place = came_from
        found.reverse()
        return found

    def _value(self, field: PastField, text: str, project: Place) -> PastValue:
        plain = _PLAIN.get(field.shape)
        if plain is not None:
            return plain(text)
        if field.shape in TIMEBOXES.values():
            return Named(self._which(field.shape, text, project), text) if text else None
        return text


class _Held:
    """What is known of an item behind the save that is looked at, on the way from now to its creation."""

    def __init__(self, place: Place, members: dict[str, set[str]], renaming: Renaming) -> None:
        self.place = place
        #: Of collections that are not here, the members are not known.
        self.members = members
        self.renaming = renaming
        #: Fields of which it was told that something about them is not known.
        self.doubted: set[str] = set()

    def forget(self, fields: Iterable[str | None]) -> None:
        """Let go of what may have been changed without being told; None stands for every field."""
        for name in fields:
            self.renaming.forget(name)
            if name in (None, "Project"):
                self.place = _ANYWHERE
            for collection in list(self.members) if name is None else (name,):
                self.members.pop(collection, None)
                self.doubted.add(collection)


def _recycling(sentence: Sentence, save: Save) -> Iterator[FieldChange]:
    """Return what a sentence tells of deletion or restoration."""
    revision = save.revision
    if _BINNED.match(sentence.text):
        yield FieldChange(save.at, revision.user, RECYCLED, "false", "true", revision.user_id)
    elif _RECOVERED.match(sentence.text):
        yield FieldChange(save.at, revision.user, RECYCLED, "true", "false", revision.user_id)


def _members(told: _Told, known: Mapping[str, set[str]]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return a collection's members before and after a clause, seen backwards; None where they are not known.

    A member that came and is not there can only have been renamed, and nothing tells by what name it is there.
    """
    members = known.get(told.field.name)
    came, gone = (_member(told.field, text) if text else "" for text in (told.after, told.before))
    if members is None or (came and came not in members) or (gone and gone in members):
        return None
    after = tuple(sorted(members))
    members.difference_update({came} - {""})
    members.update({gone} - {""})
    return tuple(sorted(members)), after


def _member(field: PastField, text: str) -> str:
    # A milestone is shown with its id in front (rally-api.md 3.3, row 24).
    if field.shape is Shape.MILESTONES and (found := re.match(r"[^\s:]*\d+: ", text)):
        return text[found.end() :]
    return text
