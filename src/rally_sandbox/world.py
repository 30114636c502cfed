"""The simulated subscription and its changes.

A world is generated quickly from a seed, whatever its size: ``Columns`` contains a few numbers per item, and an item
with its history is generated on demand. Only items that were changed later are stored in full.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from threading import RLock
from typing import Any

from rally_sandbox import edits, ground_truth, hostile_data
from rally_sandbox.activity import Worker
from rally_sandbox.clock import DAY, SECOND, Clock
from rally_sandbox.discussions import Relations
from rally_sandbox.edits import compute_field_changes
from rally_sandbox.history_generator import CreationContext, ItemGenerator, create_initial_values, generate_title
from rally_sandbox.history_shapes import DEFECT, DEFINED, STORY, TASK, create_catalog
from rally_sandbox.item_columns import (
    FIRST_NEW_ID,
    FIRST_REVISION_ID,
    KINDS,
    NO_ITEM,
    REVISION_STRIDE,
    Columns,
    fill_columns,
    parse_kind,
)
from rally_sandbox.records import Change, Entity, FieldChange, History, Item, Link, Record, RevisionRow, apply_changes
from rally_sandbox.revision_text import LABELS, ORIGINAL, format_description
from rally_sandbox.sample_company import Company, Team, create_company
from rally_sandbox.type_definitions import add_type_definitions, relabel

#: How many unchanged items are cached; each takes a few kilobytes.
ITEM_CACHE_SIZE = 6_000

MIN_ITEMS, MAX_ITEMS = 10, 1_000_000


@dataclass(slots=True)
class LookbackService:
    """State of the Lookback service, changed by tests and by ``/_sandbox/lookback``."""

    #: How far the feed lags behind, in milliseconds (15 to 60 seconds, rally-api-notes.md#lookback-availability).
    lag_ms: int = 30 * SECOND
    #: False on servers that have no Lookback (rally-api-notes.md#lookback-availability).
    available: bool = True


class World:
    """The simulated subscription. Use ``World.create``.

    All methods are thread-safe, also while a server serves the world. Arguments identify items by ObjectID, and users,
    projects and other records by ``Record``, ObjectID or name.
    """

    def __init__(
        self, *, seed: int, items: int, clock: Clock, same_workspace_names: bool, hostile_share: float = 0.0
    ) -> None:
        self.seed = seed
        #: Share of hostile texts, from 0 to 1.
        self.hostile_share = hostile_share
        self.clock = clock
        #: Locked while the world is read for a response or changed.
        self.lock = RLock()
        #: Rises with every change.
        self.version = 0
        begins = clock.milliseconds()
        self.company: Company = create_company(seed, history_end=begins, same_workspace_names=same_workspace_names)
        if hostile_share:
            hostile_data.make_company_hostile(self.company, Random(seed * 13 + 7), hostile_share)
        self.columns = Columns()
        self.generated = items
        add_type_definitions(self.company)
        self.shapes = shapes = create_catalog(seed)
        fill_columns(self.columns, seed=seed, items=items, company=self.company, catalog=shapes)
        self._generator = ItemGenerator(seed, self.company, shapes, self.columns)
        self._item_cache: OrderedDict[int, Item] = OrderedDict()
        #: See ``revision_search.build_vocabulary``; built on first use.
        self.vocabulary: str | None = None
        #: Items that were changed or created after the world was generated, by index.
        self.changed_items: dict[int, Item] = {}
        #: Revisions written after the world was generated: (ObjectID, index of the item, number), ascending.
        self.new_revisions: list[tuple[int, int, int]] = []
        self.recycle_bin = RecycleBin()
        #: Current labels of fields in revision texts.
        self.labels = LABELS
        #: Whether saves of one item can have the same time; otherwise the later one is a millisecond later.
        self.instants_repeat = False
        self.lookback = LookbackService()
        #: ObjectIDs of deleted users.
        self.deleted_user_ids: set[int] = set()
        #: Revisions of renamed records, by the record's ObjectID.
        self._record_changes: dict[int, list[Change]] = {}
        self._ownership = OwnershipIndex(self.columns)
        self._update_index = UpdateIndex(self.columns, items)
        self._next_id = FIRST_NEW_ID
        self._random = Random(seed * 31 + 5)
        self._worker = Worker(self, Random(seed * 17 + 1))
        self._team_of = {id(team.project): position for position, team in enumerate(self.company.teams)}
        if hostile_share:
            self._make_items_hostile(Random(seed * 19 + 3))
        fill_recycle_bin(self)
        self.relations: Relations = Relations(self.company)
        places = [self.company.teams[team].workspace for team in self.columns.team]
        self.relations.generate(seed, self.columns.created, places, hostile_share=hostile_share)

    @classmethod
    def create(
        cls,
        seed: int = 7,
        items: int = 500,
        *,
        clock: Clock | None = None,
        same_workspace_names: bool = False,
        hostile_share: float = 0.0,
    ) -> "World":
        """Create the world of a seed.

        Args:
            seed: The same seed and clock start create the same world.
            items: The number of work items, 10 to 1,000,000.
            clock: Its start is the end of the generated history, which covers two years. None follows real time.
            same_workspace_names: Whether two workspaces share a name.
            hostile_share: Share of hostile texts, from 0 to 1: names, descriptions, reasons, posts and their
                revisions.

        Raises:
            ValueError: The number of items is out of range.
        """
        if not MIN_ITEMS <= items <= MAX_ITEMS:
            raise ValueError(f"a world has {MIN_ITEMS:,} to {MAX_ITEMS:,} items, not {items:,}")
        return cls(
            seed=seed,
            items=items,
            clock=clock if clock is not None else Clock(),
            same_workspace_names=same_workspace_names,
            hostile_share=hostile_share,
        )

    def _make_items_hostile(self, random: Random) -> None:
        for index in range(self.generated):
            if random.random() < self.hostile_share:
                hostile_data.make_item_hostile(self.item_for_update(index), random, self.first_name)

    # What is there

    def item(self, index: int) -> Item:
        """Return the item at an index of ``columns``."""
        changed = self.changed_items.get(index)
        if changed is not None:
            return changed
        cached = self._item_cache.get(index)
        if cached is not None:
            return cached
        generated = self._generator.generate(index)
        self._item_cache[index] = generated
        if len(self._item_cache) > ITEM_CACHE_SIZE:
            self._item_cache.popitem(last=False)
        return generated

    def find(self, object_id: int) -> Item:
        """Return the item with an ObjectID, also if it is deleted.

        Raises:
            KeyError: There is no such item.
        """
        index = self.columns.find(object_id)
        if index is None:
            raise KeyError(f"no work item has the ObjectID {object_id}")
        return self.item(index)

    def find_entity(self, object_id: int) -> Entity | None:
        """Return the item, record, history or revision with an ObjectID, or None."""
        return find_entity(self, object_id)

    def text(self, change: Change) -> str:
        """Return the Description of a revision."""
        if change.text is not None:
            return change.text
        return format_description(change.field_changes, self.first_name)

    def items(self, kind: str) -> Iterator[Mapping[str, Any]]:
        """Yield the ground truth of each item of a kind with its history, deleted items included.

        Args:
            kind: ``story`` or ``HierarchicalRequirement``, ``Defect``, ``Task``, ``TestCase``, ``Feature``,
                ``Initiative``.
        """
        position = 0
        indexes = self.columns.of_kind[parse_kind(kind)]
        while position < len(indexes):
            with self.lock:
                row = ground_truth.build_row(self, self.item(indexes[position]))
            yield row
            position += 1

    def team(self, item: Item) -> Team:
        """Return the team in whose project the item is."""
        return self.team_of(item.values["Project"])

    def team_of(self, project: Record) -> Team:
        """Return the team of a project.

        Raises:
            KeyError: The project has no team.
        """
        position = self._team_of.get(id(project))
        if position is None:
            raise KeyError(f"no work is done in project {project.name!r}")
        return self.company.teams[position]

    def get_formatted_id(self, item: Item) -> str:
        """Return the prefixed number."""
        return self.columns.get_formatted_id(item.index)

    def record(self, kind: str, key: object) -> Record:
        """Return a record of a type path; of several with the same name, the first.

        Args:
            kind: The type path.
            key: The record, its ObjectID, name or user name.

        Raises:
            KeyError: There is no such record.
        """
        if isinstance(key, Record):
            return key
        for record in self.company.records_of(kind.lower()):
            if key in (record.object_id, record.name, record.values.get("UserName")):
                return record
        raise KeyError(f"no {kind} is {key!r}")

    # What happens

    def edit(self, object_id: int, fields: Mapping[str, Any], user: object = None) -> Change | None:
        """Save changed fields of one item as one revision, at the clock's now.

        Args:
            object_id: The item.
            fields: New values by attribute name; ``Tags+``, ``Tags-``, ``Milestones+`` and ``Milestones-`` add or
                remove one element. References are identified as in all methods. ``ScheduleState`` and ``FlowState``
                also change each other and the dates, ``Project`` unsets the timeboxes.
            user: The user who saves; None is the first user.

        Returns:
            The revision, or None if nothing changes.

        Raises:
            KeyError: There is no such item, attribute or reference.
        """
        with self.lock:
            item = self.item_for_update(self.find(object_id).index)
            now = self._save_time(item)
            field_changes = compute_field_changes(self, item, fields, now)
            before = item.values["Project"]
            change = self._save(item, field_changes, user, now)
            if item.values["Project"] is not before:
                self._take_tasks_along(item, user)
            return change

    def create_item(self, kind: str, project: object = None, user: object = None, **fields: object) -> Item:
        """Create an item at the clock's now, with revision 0; see ``edit`` for ``fields``.

        Args:
            kind: As for ``items``.
            project: The project; None is the first team's.
            user: The creator; None is the first user.
            **fields: The values.
        """
        with self.lock:
            number = parse_kind(kind)
            team = self.company.teams[0] if project is None else self.team_of(self.record("Project", project))
            creator = self._find_user(user)
            now = self.clock.milliseconds()
            object_id, history_id = self.new_id(), self.new_id()
            index = self.columns.append(
                number,
                self._team_of[id(team.project)],
                object_id=object_id,
                history_id=history_id,
                created=max(now, self.columns.created[-1]),
                updated=now,
            )
            values = create_initial_values(number, CreationContext(index, team, creator, now, DEFINED), self.company)
            values["Name"] = generate_title(self._random, number)
            item = Item(index, KINDS[number], object_id, history_id, now, team.workspace, values)
            apply_changes(values, compute_field_changes(self, item, fields, now))
            item.initial = dict(values)
            self.changed_items[index] = item
            self._relink(item)
            self._write(item, Change(0, self.new_id(), now, creator, (), ORIGINAL))
            return item

    def add_post(self, object_id: int, text: str, user: object = None) -> Record:
        """Add a post with rich text to an item's discussion, which also saves the item.

        See rally-api-notes.md#item-versions.
        """
        with self.lock:
            item = self.item_for_update(self.find(object_id).index)
            now, by = self._save_time(item), self._find_user(user)
            self._write(item, Change(len(item.changes), self.new_id(), now, by, (), "DISCUSSION added"))
            return self.relations.add_post(item.index, self.new_id(), text, user=by, at=now, workspace=item.workspace)

    def add_dependency(self, predecessor: int, successor: int, user: object = None) -> None:
        """Add a dependency between two stories."""
        with self.lock:
            before, after = (self.item_for_update(self.find(object_id).index) for object_id in (predecessor, successor))
            self.relations.add_dependency(before.index, after.index)
            self._record_relation(after, "PREDECESSORS", before, user)
            self._record_relation(before, "SUCCESSORS", after, user)

    def add_to_suite(self, suite: int, defect: int, user: object = None) -> None:
        """Add a defect to a defect suite."""
        with self.lock:
            suite_item, defect_item = (
                self.item_for_update(self.find(object_id).index) for object_id in (suite, defect)
            )
            self.relations.add_to_suite(suite_item.index, defect_item.index)
            self._record_relation(defect_item, "DEFECT SUITES", suite_item, user)
            self._record_relation(suite_item, "DEFECTS", defect_item, user)

    def delete(self, object_id: int, user: object = None) -> None:
        """Move an item to the recycle bin, with its tasks."""
        with self.lock:
            item = self.item_for_update(self.find(object_id).index)
            if item.deleted:
                return
            now = self._save_time(item)
            by = self._find_user(user)
            self._save(item, (("Recycled", False, True),), by, now)
            self.columns.deleted[item.index] = 1
            add_to_recycle_bin(self, item, by, now)
            if item.type != KINDS[TASK]:
                for task in self.tasks_of(item):
                    self.delete(task.object_id, user)

    def restore(self, object_id: int, user: object = None) -> None:
        """Restore an item from the recycle bin; it keeps its ObjectID.

        Raises:
            KeyError: The item is not in the bin, or was purged.
        """
        with self.lock:
            item = self.item_for_update(self.find(object_id).index)
            if not self.recycle_bin.contains(item.index, now=self.clock.milliseconds()):
                raise KeyError(f"{object_id} is not in the recycle bin")
            self.columns.deleted[item.index] = 0
            self.recycle_bin.remove(item.index)
            self._save(item, (("Recycled", True, False),), user, self._save_time(item))

    def purge(self, object_id: int) -> None:
        """Remove an item from the recycle bin permanently, as an administrator can; no revision records it."""
        with self.lock:
            self.recycle_bin.remove(self.find(object_id).index)
            self.version += 1

    def work(self, steps: int = 1) -> list[int]:
        """Let the sample company make ``steps`` changes at the clock's now; return the ObjectIDs of the items."""
        with self.lock:
            return [self._worker.step() for _ in range(steps)]

    def rename(self, kind: str, record: object, name: str) -> Record:
        """Rename a project, iteration, user, tag or other record; older texts keep the old name."""
        return self.edit_record(kind, record, Name=name)

    def edit_record(self, kind: str, record: object, **values: object) -> Record:
        """Change values of a record, for example a timebox's ``Name``, ``State`` or dates (ISO texts)."""
        with self.lock:
            target = self.record(kind, record)
            revisions = self._record_changes.setdefault(target.object_id, [])
            text, now = edits.edit_record(target, values), self.clock.milliseconds()
            revisions.append(Change(len(revisions) + 1, self.new_id(), now, self.company.users[0], (), text))
            self._touch(target)
            return target

    def relabel(self, attribute: str, label: str) -> None:
        """Change the display name of a field, or of a type by its TypePath; older texts keep the old label."""
        with self.lock:
            relabel(self.company, attribute, label)
            self.labels = {**self.labels, attribute: label.upper()}
            self.version += 1

    def delete_user(self, user: object) -> None:
        """Delete a user: lists no longer contain them, references keep a stub with the name."""
        with self.lock:
            self.deleted_user_ids.add(self.record("User", user).object_id)
            self.version += 1

    def close_project(self, project: object) -> Record:
        """Close a project: its State becomes ``Closed``, and its items are no longer returned."""
        return self._set_project_state(project, "Closed")

    def open_project(self, project: object) -> Record:
        """Reopen a closed project."""
        return self._set_project_state(project, "Open")

    # How

    def new_id(self) -> int:
        """Return a new ObjectID, above all others."""
        self._next_id += 7
        return self._next_id

    def tasks_of(self, item: Item) -> list[Item]:
        """Return the tasks of a story or defect that are not deleted."""
        return [self.item(index) for index in self.list_owned_items(item.index, TASK)]

    def list_owned_items(self, index: int, kind: int, *, parents: bool = False) -> Sequence[int]:
        """Return the ascending indexes of the items of a kind that belong to an item and are not deleted.

        Args:
            index: The owner.
            kind: A position in ``columns.KINDS``.
            parents: Whether to follow the parents of stories.
        """
        return self._ownership.find(index, kind, parents=parents)

    def count_generated_revisions(self, index: int) -> int:
        """Count the generated revisions of an item; the others are in ``new_revisions``."""
        return self.columns.revisions[index + 1] - self.columns.revisions[index]

    def find_updated_since(self, moment: int) -> list[int]:
        """Return the unsorted indexes of the items with LastUpdateDate at ``moment`` (milliseconds) or later."""
        return self._update_index.find_since(moment, self.changed_items)

    def revisions_of(self, record: Record) -> list[Change]:
        """Return the revisions of a record: its creation and its edits."""
        if not record.history_id:
            return []
        # The first revision's id follows the history's; it is unused, because ids are at least three apart.
        first = Change(0, record.history_id + 1, record.created, self.company.users[0], (), ORIGINAL)
        return [first, *self._record_changes.get(record.object_id, ())]

    def first_name(self, value: Record | Link) -> str:
        """Return the name of a record or an item in the texts of the generated history."""
        return value.first_name if isinstance(value, Record) else self._item_label(value)

    def _current_name(self, value: Record | Link) -> str:
        return value.name if isinstance(value, Record) else self._item_label(value)

    def _item_label(self, link: Link) -> str:
        return f"{self.columns.get_formatted_id(link.index)}: {self.item(link.index).name}"

    def _find_user(self, user: object) -> Record:
        return self.company.users[0] if user is None else self.record("User", user)

    def item_for_update(self, index: int) -> Item:
        """Return the item and store it in full, because it is about to change."""
        item = self.item(index)
        self._item_cache.pop(index, None)
        self.changed_items[index] = item
        return item

    def _save_time(self, item: Item) -> int:
        # Two saves of one item have the same time only if the world allows it, also with a frozen clock.
        return max(self.clock.milliseconds(), item.updated + (not self.instants_repeat))

    def _save(self, item: Item, field_changes: tuple[FieldChange, ...], user: object, at: int) -> Change | None:
        if not field_changes:
            return None
        text = format_description(field_changes, self._current_name, self.labels)
        apply_changes(item.values, field_changes)
        self._relink(item)
        change = Change(len(item.changes), self.new_id(), at, self._find_user(user), field_changes, text)
        self._write(item, change)
        return change

    def _write(self, item: Item, change: Change) -> None:
        item.changes.append(change)
        self.columns.updated[item.index] = change.at
        self.new_revisions.append((change.object_id, item.index, change.number))
        self.version += 1

    def _record_relation(self, item: Item, label: str, other: Item, user: object) -> None:
        text = f"{label} added [{self._item_label(Link(other.index))}]"
        self._write(
            item, Change(len(item.changes), self.new_id(), self._save_time(item), self._find_user(user), (), text)
        )

    def _relink(self, item: Item) -> None:
        columns = self.columns
        before = columns.link[item.index], columns.parent[item.index]
        columns.team[item.index] = self._team_of[id(item.values["Project"])]
        for name in ("PortfolioItem", "Requirement", "WorkProduct"):
            if name in item.values:
                columns.link[item.index] = _get_link_index(item.values[name])
        if "Parent" in item.values:
            (columns.parent if item.type == KINDS[STORY] else columns.link)[item.index] = _get_link_index(
                item.values["Parent"]
            )
        if before != (columns.link[item.index], columns.parent[item.index]):
            self._ownership.invalidate()

    def _take_tasks_along(self, item: Item, user: object) -> None:
        if item.type in {KINDS[STORY], KINDS[DEFECT]}:
            for task in self.tasks_of(item):
                self.edit(task.object_id, {"Project": item.values["Project"]}, user)

    def _set_project_state(self, project: object, state: str) -> Record:
        with self.lock:
            record = self.record("Project", project)
            record.values["State"] = state
            self._touch(record)
            return record

    def _touch(self, record: Record) -> None:
        record.version += 1
        stamp = "LastUpdatedDate" if record.type == "Project" else "LastUpdateDate"
        if stamp in record.values:
            record.values[stamp] = self.clock.milliseconds()
        self.version += 1


def _get_link_index(link: Link | None) -> int:
    return link.index if link is not None else NO_ITEM


#: Items deleted in this many days before the end of the generated history are in the recycle bin.
RECYCLE_BIN_DAYS = 30


class RecycleBin:
    """The entries of every workspace, by the index of the deleted item."""

    def __init__(self) -> None:
        self._entries: dict[int, Record] = {}

    def add(self, item: Item, *, object_id: int, formatted_id: str, by: Record, at: int, kind: Record) -> Record:
        """Add an item deleted at ``at`` (milliseconds); the entry's ObjectID is unrelated to the item's.

        ``kind`` is the type definition.
        """
        entry = Record(
            "RecycleBinEntry",
            object_id,
            {
                "Name": item.name,
                "ID": formatted_id,
                "ItemOID": item.object_id,
                "DeletionDate": at,
                "DeletedBy": by,
                "Project": item.values["Project"],
                "Type": kind,
            },
            at,
            item.name,
            item.workspace,
        )
        self._entries[item.index] = entry
        return entry

    def remove(self, index: int) -> None:
        """Remove the entry of an item, if it was not purged."""
        self._entries.pop(index, None)

    def contains(self, index: int, *, now: int) -> bool:
        """Return whether the item can be restored."""
        entry = self._entries.get(index)
        return entry is not None and not _is_purged(entry, now)

    def entries(self, *, now: int) -> Iterator[Record]:
        """Return the entries that were not purged by ``now`` (milliseconds)."""
        return (entry for entry in self._entries.values() if not _is_purged(entry, now))


def fill_recycle_bin(world: "World") -> None:
    """Add the items that were deleted recently in the generated history."""
    columns = world.columns
    for index in range(len(columns)):
        if columns.deleted[index] and columns.updated[index] > world.company.history_end - RECYCLE_BIN_DAYS * DAY:
            item = world.item(index)
            add_to_recycle_bin(world, item, item.changes[-1].user, item.updated)


def add_to_recycle_bin(world: "World", item: Item, by: Record, at: int) -> None:
    """Add an item deleted at ``at`` (milliseconds), unless items of its type cannot be restored.

    See rally-api-notes.md#removed-items.
    """
    definition = next(
        record for record in world.company.records_of("typedefinition") if record.values["TypePath"] == item.type
    )
    if definition.values["Restorable"]:
        formatted_id = world.get_formatted_id(item)
        world.recycle_bin.add(item, object_id=world.new_id(), formatted_id=formatted_id, by=by, at=at, kind=definition)


def _is_purged(entry: Record, now: int) -> bool:
    workspace = entry.workspace
    assert workspace is not None  # every deleted item lies in a workspace
    days = workspace.values["WorkspaceConfiguration"].values["PurgeRecycleBinAfterNumberOfDays"]
    return bool(entry.values["DeletionDate"] + int(days) * DAY < now)


def find_entity(world: "World", object_id: int) -> Entity | None:
    """Return the entity with an ObjectID, deleted items included, or None."""
    columns = world.columns
    for index, is_item in ((columns.find(object_id), True), (columns.find_history(object_id), False)):
        if index is not None:
            item = world.item(index)
            return item if is_item else History(item)
    record = world.company.by_id.get(object_id)
    if record is not None:
        return record
    for entry in world.recycle_bin.entries(now=world.clock.milliseconds()):
        if entry.object_id == object_id:
            return entry
    return _find_revision(world, object_id) or _find_record_history(world, object_id)


def _find_revision(world: "World", object_id: int) -> RevisionRow | None:
    revisions = world.columns.revisions
    position, rest = divmod(object_id - FIRST_REVISION_ID, REVISION_STRIDE)
    if not rest and 0 <= position < revisions[-1]:
        index = bisect_right(revisions, position) - 1
        item = world.item(index)
        return RevisionRow(item, item.changes[position - revisions[index]])
    place = bisect_left(world.new_revisions, (object_id,))
    if place < len(world.new_revisions) and world.new_revisions[place][0] == object_id:
        item = world.item(world.new_revisions[place][1])
        return RevisionRow(item, item.changes[world.new_revisions[place][2]])
    return None


def _find_record_history(world: "World", object_id: int) -> Entity | None:
    for record in world.company.by_id.values():
        if record.history_id and record.history_id == object_id:
            return History(record)
        for change in world.revisions_of(record):
            if change.object_id == object_id:
                return RevisionRow(record, change)
    return None


class OwnershipIndex:
    """Index of items by owner: sorted arrays with eight bytes per item that belongs to another."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._sorted: dict[tuple[int, bool], tuple[array[int], array[int], int]] = {}

    def invalidate(self) -> None:
        """Discard the arrays after a link has changed."""
        self._sorted.clear()

    def find(self, index: int, kind: int, *, parents: bool) -> Sequence[int]:
        """Find the owned items; see ``World.list_owned_items``."""
        owners, owned = self._arrays(kind, parents=parents)
        begin, end = bisect_left(owners, index), bisect_right(owners, index)
        deleted = self._columns.deleted
        return [item_index for item_index in owned[begin:end] if not deleted[item_index]]

    def _arrays(self, kind: int, *, parents: bool) -> tuple["array[int]", "array[int]"]:
        candidates = self._columns.of_kind[kind]
        cached = self._sorted.get((kind, parents))
        if cached is None or cached[2] != len(candidates):
            links = self._columns.parent if parents else self._columns.link
            owned = array("i", (item_index for item_index in candidates if links[item_index] != NO_ITEM))
            # Sorting is stable, so the owned of one owner stay ascending.
            owned = array("i", sorted(owned, key=links.__getitem__))
            owners = array("i", (links[item_index] for item_index in owned))
            cached = self._sorted[kind, parents] = owners, owned, len(candidates)
        return cached[0], cached[1]


class UpdateIndex:
    """Index of items by LastUpdateDate.

    Args:
        columns: The world's arrays.
        generated: The number of generated items.
    """

    def __init__(self, columns: Columns, generated: int) -> None:
        self._columns = columns
        self._generated = generated
        self._by_update: array[int] | None = None
        self._times: array[int] = array("q")

    def find_since(self, moment: int, changed: Collection[int]) -> list[int]:
        """Find items; see ``World.find_updated_since``. ``changed`` items are not in the sorted array."""
        updated = self._columns.updated
        if self._by_update is None:
            self._by_update = array("i", sorted(range(self._generated), key=updated.__getitem__))
            self._times = array("q", (updated[index] for index in self._by_update))
        first = bisect_left(self._times, moment)
        indexes = [index for index in self._by_update[first:] if index not in changed]
        indexes.extend(index for index in changed if updated[index] >= moment)
        return indexes
