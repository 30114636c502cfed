"""Values of attributes, for rendering and for queries.

Entities are ``Item``, ``Record``, ``RevisionRow`` and ``History``; values are plain, milliseconds for dates, entities
for references and ``Group`` for collections.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rally_sandbox.history_shapes import DEFECT, DEFECT_SUITE, FEATURE, STORY, TASK, TEST_CASE
from rally_sandbox.item_columns import KINDS
from rally_sandbox.records import Change, Entity, Group, History, Item, Link, Record, RevisionRow, make_uuid
from rally_sandbox.sample_names import SCHEDULE_STATES
from rally_sandbox.schema import Attribute

if TYPE_CHECKING:
    from rally_sandbox.world import World


_DEFAULTS: dict[str, Any] = {"BOOLEAN": False, "INTEGER": 0, "DECIMAL": 0.0, "QUANTITY": None}

#: Roll-ups and statuses that Rally returns if there is nothing to count.
_STATUSES = {"TaskStatus": "NONE", "DefectStatus": "NONE", "TestCaseStatus": "NONE"}


def get_value(world: "World", entity: Entity, attribute: Attribute) -> Any:
    """Return the value of an attribute, or its type's empty value if the sample company has none."""
    name = attribute.name
    computed = _COMPUTED.get(name)
    if computed is not None:
        computed_value = computed(world, entity)
        if computed_value is not _MISSING:
            return computed_value
    if isinstance(entity, Item | Record) and name in entity.values:
        value = entity.values[name]
        if isinstance(value, tuple):
            return Group(attribute.target, value)
        return world.item(value.index) if isinstance(value, Link) else value
    if attribute.kind == "COLLECTION":
        return Group(attribute.target)
    return _STATUSES.get(name, _DEFAULTS.get(attribute.kind))


def make_reader(world: "World", type_path: str, attribute: Attribute) -> Callable[[Any], Any]:
    """Return a fast version of ``get_value`` for one attribute of one type."""
    name = attribute.name
    if type_path not in KINDS or attribute.kind == "COLLECTION":
        return lambda entity: get_value(world, entity, attribute)
    make_quick_reader = _ITEM_READERS.get(name)
    if make_quick_reader is not None:
        return make_quick_reader(world)
    # Among work items, only tasks inherit their timeboxes; only a revision's Description is computed.
    if name in _COMPUTED and (name not in _SELDOM_COMPUTED or type_path == KINDS[TASK]):
        return lambda entity: get_value(world, entity, attribute)
    default = _STATUSES.get(name, _DEFAULTS.get(attribute.kind))
    if attribute.kind == "OBJECT":
        item_at = world.item

        def read_reference(item: Item) -> Any:
            value = item.values.get(name)
            return item_at(value.index) if isinstance(value, Link) else value

        return read_reference
    return lambda item: item.values.get(name, default)


_SELDOM_COMPUTED = frozenset({"Iteration", "Release", "Description"})


class _Missing:
    """Type of the marker for entities without a computed value."""


_MISSING = _Missing()


def _read_formatted_id(world: "World", entity: Entity) -> Any:
    return world.get_formatted_id(entity) if isinstance(entity, Item) else _MISSING


def _read_update_date(_: "World", entity: Entity) -> Any:
    return entity.updated if isinstance(entity, Item) else _MISSING


def _read_history(_: "World", entity: Entity) -> Any:
    match entity:
        case RevisionRow():
            return History(entity.owner)
        case Item() | Record() if entity.history_id:
            return History(entity)
        case _:
            return None


def _read_rank(_: "World", entity: Entity) -> Any:
    if not isinstance(entity, Item):
        return _MISSING
    return f"P!{entity.values['DragAndDropRank']:012d}"


def _revision_reader(read: Callable[["World", Change], Any]) -> Callable[["World", Entity], Any]:
    def compute(world: "World", entity: Entity) -> Any:
        return read(world, entity.change) if isinstance(entity, RevisionRow) else _MISSING

    return compute


def _child_reader(target: int, *, parents: bool = False) -> Callable[["World", Entity], Any]:
    """Read the items of a kind that belong to an item as indexes; items are generated when they are rendered."""

    def compute(world: "World", entity: Entity) -> Any:
        if not isinstance(entity, Item):
            return _MISSING
        return Group(KINDS[target], world.list_owned_items(entity.index, target, parents=parents))

    return compute


def _read_children(world: "World", entity: Entity) -> Any:
    if not isinstance(entity, Item):
        return _MISSING
    if entity.type == KINDS[STORY]:
        return Group(KINDS[STORY], world.list_owned_items(entity.index, STORY, parents=True))
    return Group(KINDS[FEATURE], world.list_owned_items(entity.index, FEATURE))


def _count_direct_children(world: "World", entity: Entity) -> Any:
    children = _read_children(world, entity)
    if not isinstance(children, Group):
        return _MISSING
    return (
        len(children.members) or len(world.list_owned_items(entity.index, STORY))
        if isinstance(entity, Item)
        else _MISSING
    )


def _relation_reader(
    kind: str, find_related: Callable[["World", int], Sequence[Any]]
) -> Callable[["World", Entity], Any]:
    def compute(world: "World", entity: Entity) -> Any:
        return Group(kind, find_related(world, entity.index)) if isinstance(entity, Item) else _MISSING

    return compute


def _read_defects(world: "World", entity: Entity) -> Any:
    if isinstance(entity, Item) and entity.type == KINDS[DEFECT_SUITE]:
        return Group(KINDS[DEFECT], world.relations.suite_defects(entity.index))
    return _child_reader(DEFECT)(world, entity)


def _read_feature(world: "World", entity: Entity) -> Any:
    """Read the read-only mirror of PortfolioItem (rally-api-notes.md#portfolio-levels)."""
    link = entity.values.get("PortfolioItem") if isinstance(entity, Item) else None
    return world.item(link.index) if isinstance(link, Link) else None


def _read_unified_parent(world: "World", entity: Entity) -> Any:
    if not isinstance(entity, Item):
        return _MISSING
    link = entity.values.get("PortfolioItem") or entity.values.get("Parent")
    return world.item(link.index) if isinstance(link, Link) else None


def _work_product_reader(name: str) -> Callable[["World", Entity], Any]:
    """Read a timebox of a task from its work product (rally-api-notes.md#tasks)."""

    def compute(world: "World", entity: Entity) -> Any:
        if not isinstance(entity, Item) or entity.type != KINDS[TASK]:
            return _MISSING
        link = entity.values["WorkProduct"]
        return world.item(link.index).values.get(name) if link is not None else None

    return compute


def _read_level(world: "World", entity: Entity) -> Any:
    """Return the definition of a portfolio item's level."""
    if not isinstance(entity, Item) or not entity.type.startswith("PortfolioItem/"):
        return _MISSING
    types = world.company.records_of("typedefinition")
    return next((definition for definition in types if definition.values["TypePath"] == entity.type), _MISSING)


def _read_level_name(world: "World", entity: Entity) -> Any:
    level = _read_level(world, entity)
    return level if level is _MISSING else level.values["Name"]


def _read_schedule_state_prefix(_: "World", entity: Entity) -> Any:
    state = entity.values.get("ScheduleState") if isinstance(entity, Item) else None
    return state[0] if state in SCHEDULE_STATES else _MISSING


def _total_reader(name: str) -> Callable[["World", Entity], Any]:
    def compute(world: "World", entity: Entity) -> Any:
        if not isinstance(entity, Item) or entity.type not in {KINDS[STORY], KINDS[DEFECT]}:
            return _MISSING
        tasks = [world.item(index) for index in world.list_owned_items(entity.index, TASK)]
        return float(sum(task.values[name] or 0.0 for task in tasks))

    return compute


def _read_revisions(world: "World", entity: Entity) -> Any:
    return Group("Revision", list_revisions(world, entity.owner)) if isinstance(entity, History) else _MISSING


def list_revisions(world: "World", owner: Item | Record) -> Sequence[RevisionRow]:
    """Return the revisions of an item or record, newest first (rally-api-notes.md#reading-revisions)."""
    if isinstance(owner, Item):
        return [RevisionRow(owner, change) for change in reversed(owner.changes)]
    return [RevisionRow(owner, change) for change in world.revisions_of(owner)]


_COMPUTED: dict[str, Callable[["World", Entity], Any]] = {
    "ObjectID": lambda _, entity: entity.object_id,
    "ObjectUUID": lambda _, entity: make_uuid(entity.object_id),
    "CreationDate": lambda _, entity: entity.created,
    "VersionId": lambda _, entity: str(entity.version),
    "Subscription": lambda world, _: world.company.subscription,
    "Workspace": lambda _, entity: entity.workspace,
    "FormattedID": _read_formatted_id,
    "LastUpdateDate": _read_update_date,
    "RevisionHistory": _read_history,
    "DragAndDropRank": _read_rank,
    "Description": _revision_reader(lambda world, change: world.text(change)),
    "RevisionNumber": _revision_reader(lambda _, change: change.number),
    "User": _revision_reader(lambda _, change: change.user),
    "Revisions": _read_revisions,
    "Tasks": _child_reader(TASK),
    "Defects": _read_defects,
    "TestCases": _child_reader(TEST_CASE),
    "UserStories": _child_reader(STORY),
    "Discussion": _relation_reader("ConversationPost", lambda world, index: world.relations.posts(index)),
    "Predecessors": _relation_reader(KINDS[STORY], lambda world, index: world.relations.predecessors(index)),
    "Successors": _relation_reader(KINDS[STORY], lambda world, index: world.relations.successors(index)),
    "Children": _read_children,
    "DefectSuites": _relation_reader("DefectSuite", lambda world, index: world.relations.suites(index)),
    "DirectChildrenCount": _count_direct_children,
    "Feature": _read_feature,
    "UnifiedParent": _read_unified_parent,
    "HasParent": lambda _, entity: isinstance(entity, Item) and entity.values.get("Parent") is not None,
    "Iteration": _work_product_reader("Iteration"),
    "Release": _work_product_reader("Release"),
    "PortfolioItemType": _read_level,
    "PortfolioItemTypeName": _read_level_name,
    "ScheduleStatePrefix": _read_schedule_state_prefix,
    "TaskEstimateTotal": _total_reader("Estimate"),
    "TaskRemainingTotal": _total_reader("ToDo"),
    "TaskActualTotal": _total_reader("Actuals"),
}

#: Computed values of work items, without the type checks that other entities need.
_ITEM_READERS: dict[str, Callable[["World"], Callable[[Item], Any]]] = {
    "ObjectID": lambda _: lambda item: item.object_id,
    "CreationDate": lambda _: lambda item: item.created,
    "LastUpdateDate": lambda _: lambda item: item.changes[-1].at,
    "VersionId": lambda _: lambda item: str(len(item.changes)),
    "FormattedID": lambda world: world.get_formatted_id,
    "RevisionHistory": lambda _: History,
}
