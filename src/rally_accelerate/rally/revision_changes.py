"""Conversion of an item's revisions to changes. No I/O.

See rally-api-notes.md#revision-texts, rally-api-notes.md#revision-examples and rally-api-notes.md#ambiguous-texts.

Revisions contain names, never ids, and single members of collections. Names of timeboxes become ids where only one
timebox matches; collections are replayed backwards from the current state of the item.
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
    Shape,
    TrackedField,
    TrackedFields,
    choice_text,
    date_text,
    flag_text,
    item_id_in,
    number_text,
)
from rally_accelerate.rally.records import (
    RECYCLED,
    FieldChange,
    FieldValue,
    HistorySource,
    ItemHistory,
    Revision,
    TimeboxValue,
    UnparsedChange,
)
from rally_accelerate.rally.revision_text import (
    TOO_LONG,
    Change,
    Cut,
    RenameTracker,
    Sentence,
    UnknownClause,
    Unparsed,
    Verb,
    is_cut,
    looks_like_clause,
    parse,
    unescape,
)

#: Maximum difference between the service's clocks (rally-api-notes.md#snapshots).
CLOCK_TOLERANCE = timedelta(seconds=5)

#: Minimum number of items to judge whether their versions and instants agree with those of their revisions.
MIN_SAMPLE = 20

#: Minimum number of items that confirm a rule per item that breaks it.
MIN_RATIO = 10


class Save(NamedTuple):
    """One revision with its position."""

    revision: Revision
    #: Milliseconds since 1970; never before those of an earlier save.
    at: int
    #: Index among the returned revisions.
    position: int
    #: Saves of one number follow each other at the same instant: one save that was written as several revisions
    #: (rally-api-notes.md#revision-texts), or several saves within a millisecond.
    group: int


class Saves(NamedTuple):
    """The saves of one item, oldest first."""

    saves: tuple[Save, ...]
    #: Positions after which revisions are missing; -1 for the beginning.
    gaps_after: frozenset[int]


def order_revisions(revisions: Sequence[Revision]) -> Saves:
    """Put revisions in order.

    Args:
        revisions: All returned revisions of one item, in any order.
    """
    ordered = sorted(set(revisions), key=lambda revision: (revision.number, revision.instant))
    if len({revision.number for revision in ordered}) < len(ordered):
        # The numbers are missing or wrong.
        ordered.sort(key=lambda revision: (revision.instant, revision.number))
    saves: list[Save] = []
    missing: set[int] = set() if ordered and ordered[0].number == 0 else {-1}
    at, group = 0, -1
    for position, (before, revision) in enumerate(zip((None, *ordered), ordered, strict=False)):
        follows = before is not None and revision.number == before.number + 1
        if before is None or before.instant != revision.instant or not follows:
            group += 1
        if before is not None and not follows:
            missing.add(position - 1)
        at = max(at, round(revision.instant.timestamp() * 1000))
        saves.append(Save(revision, at, position, group))
    return Saves(tuple(saves), frozenset(missing))


class NewestRevision(Enum):
    """Whether the newest returned revision led to the current state of an item."""

    CURRENT = auto()
    #: A later one is missing, or the item was read before the newest one was written.
    OUTDATED = auto()
    UNKNOWN = auto()


@dataclass(slots=True)
class VersionAgreement:
    """Statistics on how often revisions lead to the current state of their items, in one run."""

    items: int = 0
    outdated: int = 0
    #: How many items' versions match their newest revision, and how many indicate a later one.
    confirmed: int = 0
    behind: int = 0

    def judge(self, revisions: Sequence[Revision], *, updated_at: datetime, version: int) -> NewestRevision:
        """Decide whether the newest revision of an item led to its current state.

        Args:
            revisions: All returned revisions of the item.
            updated_at: When the item was changed last.
            version: Its version; 0 when it is not known.
        """
        if not revisions:
            return NewestRevision.UNKNOWN
        verdict = _judge_newest(revisions, updated_at, version)
        self.items += 1
        lacks = version > max(revision.number for revision in revisions) + 1
        self.confirmed += version == max(revision.number for revision in revisions) + 1
        self.behind += bool(version) and lacks
        # Of two revisions of one instant, the later one can be missing. Only the version tells, so it is believed where
        # it agrees with the revisions of nearly all items.
        if verdict is NewestRevision.CURRENT and lacks and self.confirmed >= max(MIN_SAMPLE, MIN_RATIO * self.behind):
            return NewestRevision.OUTDATED
        self.outdated += verdict is NewestRevision.OUTDATED
        # It is not documented that every change of an item's instant or version writes a revision
        # (rally-api-notes.md#item-versions).
        # Where they disagree as a rule, a difference says nothing.
        if verdict is NewestRevision.OUTDATED and self.items >= MIN_SAMPLE and self.outdated * 2 > self.items:
            return NewestRevision.UNKNOWN
        return verdict


def _judge_newest(revisions: Sequence[Revision], updated_at: datetime, version: int) -> NewestRevision:
    latest = max(revision.instant for revision in revisions)
    if latest == updated_at:
        return NewestRevision.CURRENT
    # The version rises with each change, and is 1 after the creation, which is revision 0
    # (rally-api-notes.md#item-versions).
    by_version = max(revision.number for revision in revisions) + 1 == version
    is_current = by_version if version else abs(latest - updated_at) <= CLOCK_TOLERANCE
    return NewestRevision.CURRENT if is_current else NewestRevision.OUTDATED


class ProjectAt(NamedTuple):
    """The project of an item; for the past, only its name is known."""

    name: str
    object_id: int | None = None


#: Returns the timebox with a name in a project at an instant in milliseconds, or None when several match.
TimeboxResolver = Callable[[Shape, str, ProjectAt, int], int | None]

#: Conversion of texts that are the same in both sources.
_PLAIN: Mapping[Shape, Callable[[str], str]] = {
    Shape.FLAG: flag_text,
    Shape.NUMBER: number_text,
    Shape.DATE: date_text,
    Shape.CHOICE: choice_text,
    Shape.ITEM: item_id_in,
}

_COLLECTIONS = (Shape.TAGS, Shape.MILESTONES)

#: Values of these can be any text, even one that looks like a clause.
_FREE_TEXT = frozenset({Shape.TEXT, Shape.TAGS, Shape.MILESTONES, Shape.ITEM})

#: Values of these never do. The others are names, which seldom do.
_PLAIN_VALUES = frozenset({Shape.CHOICE, Shape.FLAG, Shape.NUMBER, Shape.DATE})

#: Shapes whose values may be renamed without a save of the item.
RENAMED = (Shape.CHOICE, Shape.FLOW_STATE, Shape.PERSON)

_DROP_DOWNS = (Shape.CHOICE, Shape.FLOW_STATE)

_RECYCLED_TEXT = re.compile(r"Moved to Recycle\b")
_RESTORED_TEXT = re.compile(r"Recovered from Recycle\b")


#: An unknown project.
_UNKNOWN_PROJECT = ProjectAt("")


class _Clause(NamedTuple):
    """One clause about one field, before references and collections are resolved."""

    save: Save
    field: TrackedField
    before: str
    after: str
    #: Whether the clause follows a text of an untracked field and can be part of it.
    follows_text: bool
    #: Whether the clause ends with the old value.
    is_removal: bool


class _ParsedRevisions:
    """The parsed texts of one item's revisions, with the parts that remain unknown."""

    def __init__(self) -> None:
        #: Clauses, recycling and open fields are stored by the positions of saves.
        self.clauses: dict[int, list[_Clause]] = defaultdict(list)
        self.recycled: list[tuple[int, FieldChange]] = []
        self.unparsed: list[UnparsedChange] = []
        self.unknown: list[UnknownClause] = []
        #: Values that look like clauses, as they appear in texts.
        self.imitations: set[str] = set()
        #: Fields that can have changed in a save without a record; None stands for all.
        self.open_fields: dict[int, set[str | None]] = defaultdict(set)
        #: Positions after which saves are missing.
        self.gaps_after: frozenset[int] = frozenset()
        self.complete = True

    def fits(self, clause: _Clause, state: "_ItemState") -> bool:
        """Return whether a clause is consistent with the previous and the next save, where they are known."""
        before = self._find_previous(clause)
        single = clause.field.shape not in _COLLECTIONS
        return state.matches_next(clause) is not False and not (single and before and before.after != clause.before)

    def _find_previous(self, clause: _Clause) -> _Clause | None:
        """Return the clause about the same field before, unless the field may have changed in between."""
        name = clause.field.name
        for position in range(clause.save.position - 1, -1, -1):
            if position in self.gaps_after:
                return None
            if previous := next(
                (candidate for candidate in reversed(self.clauses.get(position, ())) if candidate.field.name == name),
                None,
            ):
                return previous
            if not self.open_fields.get(position, set()).isdisjoint({name, None}):
                return None
        return None

    def add_unparsed(self, save: Save, text: str, fields: Iterable[str | None]) -> None:
        """Record a text that was not parsed and may concern some fields."""
        revision = save.revision
        self.unparsed.append(UnparsedChange(save.at, revision.user, text, revision.user_id))
        self.open_fields[save.position].update(fields)


def collect_timebox_names(revisions: Sequence[Revision], fields: TrackedFields) -> Mapping[Shape, set[str]]:
    """Return the names of iterations and releases in revisions, by shape, whose ids must be looked up."""
    names: dict[Shape, set[str]] = {shape: set() for shape in TIMEBOXES.values()}
    by_label = {label: field for label, field in fields.by_label.items() if field.shape in TIMEBOXES.values()}
    for revision in revisions:
        # Parsing is expensive; most texts contain neither.
        if not any(f"{label} " in revision.description for label in by_label):
            continue
        clauses = parse(revision.description)
        for clause in () if isinstance(clauses, Unparsed) else clauses:
            if isinstance(clause, Change) and (field := by_label.get(clause.label)):
                names[field.shape].update(
                    unescape(value) for value in (clause.before, clause.after) if value not in (None, "")
                )
    return names


class RevisionReader:
    """Reader of items' revisions as changes.

    Args:
        fields: The tracked fields.
        resolve_timebox: Returns the timebox with a name.
    """

    def __init__(self, fields: TrackedFields, resolve_timebox: TimeboxResolver) -> None:
        self._by_label = fields.by_label
        self._short = frozenset(label for label, field in self._by_label.items() if field.shape not in _FREE_TEXT)
        self._order = {field.name: number for number, field in enumerate(fields.fields)}
        self._shapes = {field.name: field.shape for field in fields.fields}
        self._resolve_timebox = resolve_timebox

    def read(
        self,
        revisions: Sequence[Revision],
        *,
        project: ProjectAt,
        collections: Mapping[str, Sequence[str]],
        present: Mapping[str, str] | None = None,
        newest: NewestRevision = NewestRevision.CURRENT,
        texts: Iterable[str] = (),
    ) -> ItemHistory:
        """Return the history of one item.

        Args:
            revisions: All its returned revisions, in any order.
            project: Its current project.
            collections: The current members of its collections, by field; others are unknown.
            present: The current values of drop-downs, people and texts, by field, to recognize renames.
            newest: Whether the newest revision led to the current state of the item.
            texts: Current texts of the item and its references that can be mistaken for clauses.
        """
        saves, missing = order_revisions(revisions)
        reading = _ParsedRevisions()
        reading.gaps_after = missing
        reading.imitations.update(form for text in texts if looks_like_clause(text) for form in _html_forms(text))
        # The newest first: what a value was changed from is what an older text set it to.
        for save in reversed(saves):
            self._parse_save(save, reading)
        reading.complete &= bool(saves) and not missing and newest is not NewestRevision.OUTDATED
        known = newest is not NewestRevision.OUTDATED
        values = (present or {}) if newest is NewestRevision.CURRENT else {}
        renamed = {name: text for name, text in values.items() if self._shapes.get(name) in RENAMED}
        state = _ItemState(
            project if known else _UNKNOWN_PROJECT,
            {name: set(members) for name, members in collections.items()} if known else {},
            RenameTracker(renamed, reading.unknown),
            values,
        )
        changes = self._resolve_changes(saves, reading, state)
        reading.complete &= state.renaming.is_consistent
        changes.extend(reversed(reading.recycled))
        # Within one save in the order of the fields, after deletion and restoration.
        changes.sort(key=lambda entry: (entry[0], self._order.get(entry[1].field, -1)))
        first = next((save.revision for save in saves if save.revision.number == 0), None)
        return ItemHistory(
            source=HistorySource.REVISIONS,
            changes=tuple(change for _, change in changes),
            unread=tuple(sorted(dict.fromkeys(reversed(reading.unparsed)), key=lambda change: change.at)),
            creator=first.user if first is not None else "",
            creator_id=first.user_id if first is not None else None,
            whole=reading.complete,
        )

    def _parse_save(self, save: Save, reading: _ParsedRevisions) -> None:
        text = save.revision.description
        clauses = parse(text, short=self._short, known=reading.imitations)
        if isinstance(clauses, Unparsed):
            if is_cut(text):
                # The rest of the text is unknown, so every field can have changed.
                reading.complete = False
                reading.add_unparsed(save, text, [None])
            elif fields := {field.name for label, field in self._by_label.items() if label in text}:
                # Everything that cannot speak of a tracked field need not be understood.
                reading.add_unparsed(save, text, fields)
            return
        without_values: set[str] = set()
        follows_text = False
        for clause in clauses:
            match clause:
                case Cut():
                    reading.complete = False
                    # Where the text was cut between two clauses, nothing of the next one is there.
                    reading.add_unparsed(save, clause.text or text, [None])
                case Sentence():
                    reading.recycled.extend((save.position, change) for change in _parse_recycling(clause, save))
                case Change(verb=Verb.MOVED):
                    pass
                case Change(label, before, after):
                    reading.imitations.update(value for value in (before, after) if value and looks_like_clause(value))
                    field = self._by_label.get(label)
                    if field is None:
                        follows_text |= not label.endswith("DATE")
                        reading.unknown.append(
                            UnknownClause(save.position, unescape(before or ""), unescape(after or ""))
                        )
                    elif (before is None and after is None) or TOO_LONG in (before, after):
                        without_values.add(field.name)
                    else:
                        values = unescape(before or ""), unescape(after or "")
                        parsed = _Clause(save, field, *values, follows_text, clause.verb is Verb.REMOVED)
                        reading.clauses[save.position].append(parsed)
        if without_values:
            # The change is known, but not its values.
            reading.add_unparsed(save, text, without_values)

    def _resolve_changes(
        self, saves: Sequence[Save], reading: _ParsedRevisions, state: "_ItemState"
    ) -> list[tuple[int, FieldChange]]:
        """Return the changes, each with the position of its save, oldest first."""
        resolved: list[tuple[int, FieldChange]] = []
        # Backwards, save by save: what an item has now is known, what it had at first is not.
        for position in range(len(saves) - 1, -1, -1):
            if position in reading.gaps_after:
                state.forget([None])
            clauses = _select_trusted(reading.clauses.get(position, []), reading, state)
            # A save mentions each field once, so unparsed parts concern other fields.
            state.forget(reading.open_fields.get(position, ()))
            moved = next(_find_moves(clauses), None)
            # A save that moves an item removes values of the old project and adds values of the new one.
            came_from = state.project if moved is None else ProjectAt(moved.before)
            if moved is not None and state.project == _UNKNOWN_PROJECT:
                state.project = ProjectAt(moved.after)
            places_before, places_after = _find_projects(saves, position, reading, came_from, state.project)
            changes: list[tuple[Save, FieldChange]] = []
            was: FieldValue
            now: FieldValue
            for clause in reversed(clauses):
                revision, field = clause.save.revision, clause.field
                if field.shape in _COLLECTIONS:
                    values = _undo_member(clause, state.collections)
                    if values is None:
                        # The other members are unknown, so only the text is recorded.
                        reading.add_unparsed(clause.save, revision.description, ())
                        reading.complete &= field.name in state.doubted
                        state.forget([field.name])
                        continue
                    was, now = values
                    # Members that are added and removed in one save are one change of the collection.
                    same = (clause.save, field.name)
                    at = next((at for at, (save, other) in enumerate(changes) if (save, other.field) == same), None)
                    if at is not None:
                        now = changes.pop(at)[1].after
                else:
                    state.expected[field.name] = clause.before
                    was = self._to_value(field, clause.before, places_before, clause.save.at)
                    now = self._to_value(field, clause.after, places_after, clause.save.at)
                if was != now:
                    change = FieldChange(clause.save.at, revision.user, field.name, was, now, revision.user_id)
                    changes.append((clause.save, state.renaming.translate(change, position)))
            resolved.extend((position, change) for _, change in changes)
            state.project = came_from
        resolved.reverse()
        return resolved

    def _to_value(self, field: TrackedField, text: str, projects: Sequence[ProjectAt], at: int) -> FieldValue:
        plain = _PLAIN.get(field.shape)
        if plain is not None:
            return plain(text)
        if field.shape in TIMEBOXES.values():
            if not text:
                return None
            ids = {self._resolve_timebox(field.shape, text, project, at) for project in projects} - {None}
            return TimeboxValue(ids.pop() if len(ids) == 1 else None, text)
        return text


class _ItemState:
    """The known state of an item after a save, going backwards from now to its creation."""

    def __init__(
        self, project: ProjectAt, members: dict[str, set[str]], renaming: RenameTracker, present: Mapping[str, str]
    ) -> None:
        self.project = project
        #: Values that the next save started from, for single-valued fields, with the names of that time.
        self.expected = dict(present)
        #: Drop-downs that the item has; empty if unknown.
        self._present_fields = present.keys()
        #: Fields whose expected value is unknown; None stands for all that are not in ``expected``.
        self.lost: set[str | None] = set()
        #: Known members of collections; others are unknown.
        self.collections = members
        self.renaming = renaming
        #: Fields that were reported as incomplete.
        self.doubted: set[str] = set()

    def matches_next(self, clause: _Clause) -> bool | None:
        """Return whether a clause ends with the value that the next save starts from; None for a field not seen yet."""
        name = clause.field.name
        if name in self.expected:
            return clause.after == self.expected[name]
        if clause.field.shape in _DROP_DOWNS and self._present_fields and name not in self._present_fields:
            # Items of this type have no such field.
            return False
        return False if self.lost & {name, None} else None

    def reset(self) -> None:
        """Forget everything except the expected values, because a clause was misread."""
        chain, lost = dict(self.expected), set(self.lost)
        self.forget([None])
        self.expected, self.lost = chain, lost

    def forget(self, fields: Iterable[str | None]) -> None:
        """Forget fields that may have changed without a record; None stands for every field."""
        for name in fields:
            self.renaming.forget(name)
            self.lost.add(name)
            for field in list(self.expected) if name is None else (name,):
                self.expected.pop(field, None)
            if name in (None, "Project"):
                self.project = _UNKNOWN_PROJECT
            for collection in list(self.collections) if name is None else (name,):
                self.collections.pop(collection, None)
                self.doubted.add(collection)


def _select_trusted(clauses: Sequence[_Clause], reading: _ParsedRevisions, state: _ItemState) -> list[_Clause]:
    """Return the clauses of some saves, without those that are more likely part of a value.

    A value that contains a complete clause is parsed as one. Such a clause is rarely consistent with the other saves,
    and can be about a field that the save also changed.
    """
    believed: list[_Clause] = []
    for save, group in groupby(clauses, key=lambda clause: clause.save):
        save_clauses = list(group)
        single = [clause.field.name for clause in save_clauses if clause.field.shape not in _COLLECTIONS]
        is_repeated = len(set(single)) < len(single)
        #: Index of the clause whose value can contain the following ones.
        begins: int | None = 0 if is_repeated else None
        for at, clause in enumerate(save_clauses):
            loose = clause.follows_text or begins is not None
            # People are renamed more often than their names are spelled out like that.
            if is_repeated or (loose and not reading.fits(clause, state) and clause.field.shape is not Shape.PERSON):
                reading.add_unparsed(save, save.revision.description, ())
                reading.complete = False
                state.reset()
                save_clauses = [] if is_repeated else save_clauses[: at if begins is None else begins]
                break
            confirmed = clause.field.shape in _PLAIN_VALUES or (not clause.is_removal and state.matches_next(clause))
            if begins is None and not confirmed:
                begins = at
        believed.extend(save_clauses)
    return believed


def _find_projects(
    saves: Sequence[Save], position: int, reading: _ParsedRevisions, before: ProjectAt, after: ProjectAt
) -> tuple[list[ProjectAt], list[ProjectAt]]:
    """Return the projects that the old and the new values of a save can belong to.

    Revisions of one instant can be one save that moved the item, or several: then its values can be of either project.
    """
    projects = [before], [after]
    group = saves[position].group
    for other in range(position - 1, -1, -1):
        if saves[other].group != group:
            break
        projects[0].extend(ProjectAt(clause.before) for clause in _find_moves(reading.clauses.get(other, ())))
    for other in range(position + 1, len(saves)):
        if saves[other].group != group:
            break
        projects[1].extend(ProjectAt(clause.after) for clause in _find_moves(reading.clauses.get(other, ())))
    return projects


def _find_moves(clauses: Iterable[_Clause]) -> Iterator[_Clause]:
    return (clause for clause in clauses if clause.field.shape is Shape.PROJECT)


def _html_forms(text: str) -> Iterator[str]:
    """Yield a text in the forms that revisions can contain, which are HTML (rally-api-notes.md#revision-texts)."""
    yield text
    yield html.escape(text, quote=False)
    yield html.escape(text)


def _parse_recycling(sentence: Sentence, save: Save) -> Iterator[FieldChange]:
    """Yield the deletion or restoration that a sentence describes."""
    revision = save.revision
    if _RECYCLED_TEXT.match(sentence.text):
        yield FieldChange(save.at, revision.user, RECYCLED, "false", "true", revision.user_id)
    elif _RESTORED_TEXT.match(sentence.text):
        yield FieldChange(save.at, revision.user, RECYCLED, "true", "false", revision.user_id)


def _undo_member(clause: _Clause, known: Mapping[str, set[str]]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return a collection's members before and after a clause, going backwards; None if unknown.

    An added member that is missing now can only have been renamed, and its new name is unknown.
    """
    members = known.get(clause.field.name)
    added, removed = (_member_name(clause.field, text) if text else "" for text in (clause.after, clause.before))
    if members is None or (added and added not in members) or (removed and removed in members):
        return None
    after = tuple(sorted(members))
    members.difference_update({added} - {""})
    members.update({removed} - {""})
    return tuple(sorted(members)), after


def _member_name(field: TrackedField, text: str) -> str:
    # A milestone is shown with its id in front (rally-api-notes.md#revision-examples).
    if field.shape is Shape.MILESTONES and (match_ := re.match(r"[^\s:]*\d+: ", text)):
        return text[match_.end() :]
    return text


#: Collections of other items, with the labels of their clauses.
LINK_LABELS = {
    "Predecessors": "PREDECESSORS",
    "Successors": "SUCCESSORS",
    "Duplicates": "DUPLICATES",
    "DefectSuites": "DEFECT SUITES",
}

_KEY = re.compile(r"([^\s:]*\d+)(?:: |$)")

#: FormattedIDs by collection, in order.
Keys = Mapping[str, tuple[str, ...]]


def find_links(revisions: Sequence[Revision], labels: Mapping[str, str] = LINK_LABELS) -> Keys:
    """Return the current links of an item according to its revisions, without collections that cannot be read.

    Args:
        revisions: All revisions of one item, in any order.
        labels: What the clauses of each collection begin with.
    """
    links: dict[str, set[str]] = {}
    unclear: set[str] = set()
    by_label = {label: name for name, label in labels.items()}
    for revision in (save.revision for save in order_revisions(revisions).saves):
        if is_cut(revision.description):
            # The missing part can concern any of them.
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
            if (
                name is not None
                and isinstance(clause, Change)
                and not _apply_clause(clause, links.setdefault(name, set()))
            ):
                unclear.add(name)
    return {name: tuple(sorted(keys)) for name, keys in links.items() if name not in unclear}


def _apply_clause(clause: Change, keys: set[str]) -> bool:
    """Add and remove linked items; return whether the clause names them."""
    removed, added = _parse_key(clause.before), _parse_key(clause.after)
    if removed is None or added is None or not (removed or added):
        return False
    keys.discard(removed)
    keys.update({added} - {""})
    return True


def _parse_key(text: str | None) -> str | None:
    """Return the FormattedID in a value; an empty text for no value, None for a value without an ID."""
    if not text:
        return ""
    match_ = _KEY.match(text)
    return match_[1] if match_ else None
