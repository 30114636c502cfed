"""An item's revisions read as changes; pure.

See rally-api-notes.md#revision-texts, rally-api-notes.md#revision-examples and rally-api-notes.md#ambiguous-texts.

Revisions tell names, never ids, and collections by single members. Names of timeboxes become ids where only one timebox
can be meant; collections are replayed backwards from what the item has now.
"""

import html
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from itertools import groupby
from typing import NamedTuple

from rally_accelerate.rally.history_fields import (
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
from rally_accelerate.rally.revision_text import (
    TOO_LONG,
    Change,
    Cut,
    Foreign,
    Renaming,
    Sentence,
    Unparsed,
    Verb,
    imitates,
    is_cut,
    parse,
    unescape,
)

#: The service's clocks may differ by so much (rally-api-notes.md#snapshots).
CLOCKS = timedelta(seconds=5)

#: From so many items on it shows whether versions and instants of items agree with those of their revisions.
ENOUGH = 20

#: So many items have to confirm a rule for each that breaks it.
NEARLY_ALL = 10


class Save(NamedTuple):
    """One revision in its place."""

    revision: Revision
    #: Milliseconds since 1970; never before those of an earlier save.
    at: int
    #: Which one it is of those that came, from 0 on.
    position: int
    #: Saves of one number follow each other at the same instant: one save that was written as several revisions
    #: (rally-api-notes.md#revision-texts), or several saves within a millisecond.
    group: int


class Saves(NamedTuple):
    """The saves of one item, oldest first."""

    saves: tuple[Save, ...]
    #: Positions behind which revisions are missing; -1 for the beginning.
    missing_behind: frozenset[int]


def in_order(revisions: Sequence[Revision]) -> Saves:
    """Put revisions in order.

    Args:
        revisions: All of one item that came, in any order.
    """
    its = sorted(set(revisions), key=lambda each: (each.number, each.instant))
    if len({each.number for each in its}) < len(its):
        # Rally does not tell the numbers, or tells them wrongly.
        its.sort(key=lambda each: (each.instant, each.number))
    saves: list[Save] = []
    missing: set[int] = set() if its and its[0].number == 0 else {-1}
    at, group = 0, -1
    for position, (before, each) in enumerate(zip((None, *its), its, strict=False)):
        follows = before is not None and each.number == before.number + 1
        if before is None or before.instant != each.instant or not follows:
            group += 1
        if before is not None and not follows:
            missing.add(position - 1)
        at = max(at, round(each.instant.timestamp() * 1000))
        saves.append(Save(each, at, position, group))
    return Saves(tuple(saves), frozenset(missing))


class Newest(Enum):
    """Whether the newest revision that came is the one that made an item what it is now."""

    TOLD = auto()
    #: A later one is missing, or the item was read before the newest one was written.
    OTHER = auto()
    UNSURE = auto()


@dataclass(slots=True)
class Agreement:
    """How often the revisions of one run's items end where the items are."""

    items: int = 0
    others: int = 0
    #: How many items' versions say that their newest revision came, and how many that a later one did not.
    whole: int = 0
    behind: int = 0

    def newest(self, revisions: Sequence[Revision], *, updated_at: datetime, version: int) -> Newest:
        """Judge the newest revision of one item.

        Args:
            revisions: All of the item that came.
            updated_at: When the item was changed last.
            version: Its version; 0 when it is not known.
        """
        if not revisions:
            return Newest.UNSURE
        found = _newest(revisions, updated_at, version)
        self.items += 1
        lacks = version > max(each.number for each in revisions) + 1
        self.whole += version == max(each.number for each in revisions) + 1
        self.behind += bool(version) and lacks
        # Of two revisions of one instant, the later one can be missing. Only the version tells, so it is believed where
        # it agrees with the revisions of nearly all items.
        if found is Newest.TOLD and lacks and self.whole >= max(ENOUGH, NEARLY_ALL * self.behind):
            return Newest.OTHER
        self.others += found is Newest.OTHER
        # It is not documented that every change of an item's instant or version writes a revision
        # (rally-api-notes.md#item-versions).
        # Where they disagree as a rule, a difference says nothing.
        if found is Newest.OTHER and self.items >= ENOUGH and self.others * 2 > self.items:
            return Newest.UNSURE
        return found


def _newest(revisions: Sequence[Revision], updated_at: datetime, version: int) -> Newest:
    latest = max(each.instant for each in revisions)
    if latest == updated_at:
        return Newest.TOLD
    # The version rises with each change, and is 1 after the creation, which is revision 0
    # (rally-api-notes.md#item-versions).
    by_version = max(each.number for each in revisions) + 1 == version
    told = by_version if version else abs(latest - updated_at) <= CLOCKS
    return Newest.TOLD if told else Newest.OTHER


class Place(NamedTuple):
    """The project that an item was in; of the past only the name is told."""

    name: str
    object_id: int | None = None


#: Which timebox a name means in a place at an instant in milliseconds, or None when several could be meant.
WhichTimebox = Callable[[Shape, str, Place, int], int | None]

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

#: Values of these never do. The others are names, which seldom do.
_PLAIN_VALUES = frozenset({Shape.CHOICE, Shape.FLAG, Shape.NUMBER, Shape.DATE})

#: Shapes whose values may be renamed without a save of the item.
RENAMED = (Shape.CHOICE, Shape.FLOW_STATE, Shape.PERSON)

_DROP_DOWNS = (Shape.CHOICE, Shape.FLOW_STATE)

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
    #: Whether the clause stands behind a text of an untracked field, of which it may be a part.
    behind_text: bool
    #: Whether the clause ends with the old value.
    removed: bool


class _Reading:
    """What the texts of one item's revisions say, and what they leave open."""

    def __init__(self) -> None:
        #: Clauses, recycling and open fields are kept by the positions of saves.
        self.told: dict[int, list[_Told]] = defaultdict(list)
        self.recycled: list[tuple[int, FieldChange]] = []
        self.unread: list[Unread] = []
        self.foreign: list[Foreign] = []
        #: Values that look like clauses, as they stand in texts.
        self.imitations: set[str] = set()
        #: Fields that may have been changed in a save without being told; None stands for all.
        self.open: dict[int, set[str | None]] = defaultdict(set)
        #: Positions behind which saves are missing.
        self.missing_behind: frozenset[int] = frozenset()
        self.whole = True

    def fits(self, told: _Told, held: "_Held") -> bool:
        """Whether a clause leads from the save before to the next one, as far as they are known."""
        before = self._before(told)
        single = told.field.shape not in _COLLECTIONS
        return held.leads_on(told) is not False and not (single and before and before.after != told.before)

    def _before(self, told: _Told) -> _Told | None:
        """Return the clause about the same field before, unless the field may have changed in between."""
        name = told.field.name
        for position in range(told.save.position - 1, -1, -1):
            if position in self.missing_behind:
                return None
            if found := next((each for each in reversed(self.told.get(position, ())) if each.field.name == name), None):
                return found
            if not self.open.get(position, set()).isdisjoint({name, None}):
                return None
        return None

    def leave(self, save: Save, text: str, fields: Iterable[str | None]) -> None:
        """Leave a text unread that may tell of some fields."""
        revision = save.revision
        self.unread.append(Unread(save.at, revision.user, text, revision.user_id))
        self.open[save.position].update(fields)


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
        self._shapes = {each.name: each.shape for each in fields.fields}
        self._which = which

    def past(
        self,
        revisions: Sequence[Revision],
        *,
        project: Place,
        collections: Mapping[str, Sequence[str]],
        present: Mapping[str, str] | None = None,
        newest: Newest = Newest.TOLD,
        texts: Iterable[str] = (),
    ) -> Past:
        """Return the past of one item.

        Args:
            revisions: All of its revisions that came, in any order.
            project: Its project now.
            collections: The members that its collections have now, by field; of others they are not known.
            present: What drop-downs, people and texts are now, by field: what was renamed since is recognised by it.
            newest: Whether the newest revision led to what the item is now.
            texts: Texts that the item and what it refers to have now, to tell them apart from clauses they look like.
        """
        saves, missing = in_order(revisions)
        reading = _Reading()
        reading.missing_behind = missing
        reading.imitations.update(form for text in texts if imitates(text) for form in _forms(text))
        # The newest first: what a value was changed from is what an older text set it to.
        for save in reversed(saves):
            self._read(save, reading)
        reading.whole &= bool(saves) and not missing and newest is not Newest.OTHER
        known = newest is not Newest.OTHER
        values = (present or {}) if newest is Newest.TOLD else {}
        renamed = {name: text for name, text in values.items() if self._shapes.get(name) in RENAMED}
        held = _Held(
            project if known else _ANYWHERE,
            {name: set(its) for name, its in collections.items()} if known else {},
            Renaming(renamed, reading.foreign),
            values,
        )
        found = self._settled(saves, reading, held)
        reading.whole &= held.renaming.closed
        found.extend(reversed(reading.recycled))
        # Within one save in the order of the fields; deletion and restoration come before what they bring along.
        found.sort(key=lambda each: (each[0], self._order.get(each[1].field, -1)))
        first = next((save.revision for save in saves if save.revision.number == 0), None)
        return Past(
            source=PastSource.REVISIONS,
            changes=tuple(change for _, change in found),
            unread=tuple(sorted(dict.fromkeys(reversed(reading.unread)), key=lambda each: each.at)),
            creator=first.user if first is not None else "",
            creator_id=first.user_id if first is not None else None,
            whole=reading.whole,
        )

    def _read(self, save: Save, reading: _Reading) -> None:
        text = save.revision.description
        clauses = parse(text, short=self._short, known=reading.imitations)
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
        behind_text = False
        for clause in clauses:
            match clause:
                case Cut():
                    reading.whole = False
                    # Where the text was cut between two clauses, nothing of the next one is there.
                    reading.leave(save, clause.text or text, [None])
                case Sentence():
                    reading.recycled.extend((save.position, change) for change in _recycling(clause, save))
                case Change(verb=Verb.MOVED):
                    pass
                case Change(label, before, after):
                    reading.imitations.update(value for value in (before, after) if value and imitates(value))
                    field = self._by_label.get(label)
                    if field is None:
                        behind_text |= not label.endswith("DATE")
                        reading.foreign.append(Foreign(save.position, unescape(before or ""), unescape(after or "")))
                    elif (before is None and after is None) or TOO_LONG in (before, after):
                        silent.add(field.name)
                    else:
                        values = unescape(before or ""), unescape(after or "")
                        told = _Told(save, field, *values, behind_text, clause.verb is Verb.REMOVED)
                        reading.told[save.position].append(told)
        if silent:
            # That something changed is told, from what to what is not.
            reading.leave(save, text, silent)

    def _settled(self, saves: Sequence[Save], reading: _Reading, held: "_Held") -> list[tuple[int, FieldChange]]:
        """Return the changes, each with the position of its save, oldest first."""
        found: list[tuple[int, FieldChange]] = []
        # Backwards, save by save: what an item has now is known, what it had at first is not.
        for position in range(len(saves) - 1, -1, -1):
            if position in reading.missing_behind:
                held.forget([None])
            clauses = _believed(reading.told.get(position, []), reading, held)
            # A save tells each field once: what of it was not read is about other fields than those that were.
            held.forget(reading.open.get(position, ()))
            moved = next(_moves(clauses), None)
            # A save that moves an item takes away what belonged to the old project and gives what belongs to the new.
            came_from = held.place if moved is None else Place(moved.before)
            if moved is not None and held.place == _ANYWHERE:
                held.place = Place(moved.after)
            places_before, places_after = _places(saves, position, reading, came_from, held.place)
            changes: list[tuple[Save, FieldChange]] = []
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
                    same = (each.save, field.name)
                    at = next((at for at, (save, other) in enumerate(changes) if (save, other.field) == same), None)
                    if at is not None:
                        now = changes.pop(at)[1].after
                else:
                    held.chain[field.name] = each.before
                    was = self._value(field, each.before, places_before, each.save.at)
                    now = self._value(field, each.after, places_after, each.save.at)
                if was != now:
                    change = FieldChange(each.save.at, revision.user, field.name, was, now, revision.user_id)
                    changes.append((each.save, held.renaming.of(change, position)))
            found.extend((position, change) for _, change in changes)
            held.place = came_from
        found.reverse()
        return found

    def _value(self, field: PastField, text: str, projects: Sequence[Place], at: int) -> PastValue:
        plain = _PLAIN.get(field.shape)
        if plain is not None:
            return plain(text)
        if field.shape in TIMEBOXES.values():
            if not text:
                return None
            ids = {self._which(field.shape, text, each, at) for each in projects} - {None}
            return Named(ids.pop() if len(ids) == 1 else None, text)
        return text


class _Held:
    """What is known of an item behind the save that is looked at, on the way from now to its creation."""

    def __init__(
        self, place: Place, members: dict[str, set[str]], renaming: Renaming, present: Mapping[str, str]
    ) -> None:
        self.place = place
        #: What the next save found in single-valued fields, in the words of its day.
        self.chain = dict(present)
        #: Drop-downs that the item has; empty where that is not known.
        self._carried = present.keys()
        #: Fields that the chain has lost; None stands for all that are not in it.
        self.lost: set[str | None] = set()
        #: Of collections that are not here, the members are not known.
        self.members = members
        self.renaming = renaming
        #: Fields of which it was told that something about them is not known.
        self.doubted: set[str] = set()

    def leads_on(self, told: _Told) -> bool | None:
        """Whether a clause leaves its field as the next save found it; None for a field that was not seen yet."""
        name = told.field.name
        if name in self.chain:
            return told.after == self.chain[name]
        if told.field.shape in _DROP_DOWNS and self._carried and name not in self._carried:
            # Items of this type have no such field.
            return False
        return False if self.lost & {name, None} else None

    def doubt(self) -> None:
        """Let go of everything but the chain: what was read there is no change, or another one."""
        chain, lost = dict(self.chain), set(self.lost)
        self.forget([None])
        self.chain, self.lost = chain, lost

    def forget(self, fields: Iterable[str | None]) -> None:
        """Let go of what may have been changed without being told; None stands for every field."""
        for name in fields:
            self.renaming.forget(name)
            self.lost.add(name)
            for field in list(self.chain) if name is None else (name,):
                self.chain.pop(field, None)
            if name in (None, "Project"):
                self.place = _ANYWHERE
            for collection in list(self.members) if name is None else (name,):
                self.members.pop(collection, None)
                self.doubted.add(collection)


def _believed(told: Sequence[_Told], reading: _Reading, held: _Held) -> list[_Told]:
    """Return the clauses of some saves without those that are rather a part of a value.

    A value that spells out a whole clause reads as one. What it spells out seldom leads from one save to the next, and
    it may be about a field that the save changed already.
    """
    believed: list[_Told] = []
    for save, group in groupby(told, key=lambda each: each.save):
        its = list(group)
        single = [each.field.name for each in its if each.field.shape not in _COLLECTIONS]
        twice = len(set(single)) < len(single)
        #: Where a value begins of which the rest may be a part.
        begins: int | None = 0 if twice else None
        for at, each in enumerate(its):
            loose = each.behind_text or begins is not None
            # People are renamed more often than their names are spelled out like that.
            if twice or (loose and not reading.fits(each, held) and each.field.shape is not Shape.PERSON):
                reading.leave(save, save.revision.description, ())
                reading.whole = False
                held.doubt()
                its = [] if twice else its[: at if begins is None else begins]
                break
            confirmed = each.field.shape in _PLAIN_VALUES or (not each.removed and held.leads_on(each))
            if begins is None and not confirmed:
                begins = at
        believed.extend(its)
    return believed


def _places(
    saves: Sequence[Save], position: int, reading: _Reading, before: Place, after: Place
) -> tuple[list[Place], list[Place]]:
    """Return the projects that the old and the new values of a save may belong to.

    Revisions of one instant may be one save that moved the item, or several: then its values may be of either project.
    """
    places = [before], [after]
    group = saves[position].group
    for other in range(position - 1, -1, -1):
        if saves[other].group != group:
            break
        places[0].extend(Place(each.before) for each in _moves(reading.told.get(other, ())))
    for other in range(position + 1, len(saves)):
        if saves[other].group != group:
            break
        places[1].extend(Place(each.after) for each in _moves(reading.told.get(other, ())))
    return places


def _moves(told: Iterable[_Told]) -> Iterator[_Told]:
    return (each for each in told if each.field.shape is Shape.PROJECT)


def _forms(text: str) -> Iterator[str]:
    """Return a text in the forms in which revisions may show it: they are HTML (rally-api-notes.md#revision-texts)."""
    yield text
    yield html.escape(text, quote=False)
    yield html.escape(text)


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
    # A milestone is shown with its id in front (rally-api-notes.md#revision-examples).
    if field.shape is Shape.MILESTONES and (found := re.match(r"[^\s:]*\d+: ", text)):
        return text[found.end() :]
    return text


#: Collections of other items, with the labels of their clauses.
LINKED = {
    "Predecessors": "PREDECESSORS",
    "Successors": "SUCCESSORS",
    "Duplicates": "DUPLICATES",
    "DefectSuites": "DEFECT SUITES",
}

_KEY = re.compile(r"([^\s:]*\d+)(?:: |$)")

#: FormattedIDs by collection, in order.
Keys = Mapping[str, tuple[str, ...]]


def linked(revisions: Sequence[Revision], labels: Mapping[str, str] = LINKED) -> Keys:
    """The items that the revisions leave an item linked to; a collection that cannot be read is left out.

    Args:
        revisions: All revisions of one item, in any order.
        labels: What the clauses of each collection begin with.
    """
    found: dict[str, set[str]] = {}
    unclear: set[str] = set()
    by_label = {label: name for name, label in labels.items()}
    for revision in (save.revision for save in in_order(revisions).saves):
        if is_cut(revision.description):
            # It may have spoken of any of them behind the cut.
            return {}
        spoken_of = [name for name, label in labels.items() if f"{label} " in revision.description]
        if not spoken_of:
            continue
        clauses = parse(revision.description)
        if isinstance(clauses, Unparsed):
            unclear.update(spoken_of)
            continue
        for clause in clauses:
            name = by_label.get(clause.label) if isinstance(clause, Change) else None
            if name is not None and isinstance(clause, Change) and not _follow(clause, found.setdefault(name, set())):
                unclear.add(name)
    return {name: tuple(sorted(keys)) for name, keys in found.items() if name not in unclear}


def _follow(clause: Change, keys: set[str]) -> bool:
    """Let members come and go; whether the clause tells which."""
    gone, come = _key(clause.before), _key(clause.after)
    if gone is None or come is None or not (gone or come):
        return False
    keys.discard(gone)
    keys.update({come} - {""})
    return True


def _key(text: str | None) -> str | None:
    """The FormattedID in a value; an empty text for no value, None where there is no id in it."""
    if not text:
        return ""
    told = _KEY.match(text)
    return told[1] if told else None
