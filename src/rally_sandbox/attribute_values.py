"""What an attribute of an object is worth, for rendering and for queries alike.

Entities are ``Item``, ``Record``, ``RevisionRow`` and ``History``; values are plain, milliseconds for dates, entities
for references and ``Group`` for collections.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rally_sandbox.history_shapes import DEFECT, DEFECT_SUITE, FEATURE, STORY, TASK, TEST_CASE
from rally_sandbox.item_columns import KINDS
from rally_sandbox.records import Change, Entity, Group, History, Item, Link, Record, RevisionRow, uuid_of
from rally_sandbox.sample_names import SCHEDULE_STATES
from rally_sandbox.schema import Attribute

if TYPE_CHECKING:
    from rally_sandbox.world import World


_DEFAULTS: dict[str, Any] = {"BOOLEAN": False, "INTEGER": 0, "DECIMAL": 0.0, "QUANTITY": None}

#: Roll-ups and statuses as Rally shows them where nothing is counted.
_STATUSES = {"TaskStatus": "NONE", "DefectStatus": "NONE", "TestCaseStatus": "NONE"}


def value_of(world: "World", entity: Entity, attribute: Attribute) -> Any:
    """The value of an attribute; the unset value of its type where the sample company has nothing to say."""
    name = attribute.name
    computed = _COMPUTED.get(name)
    if computed is not None:
        found = computed(world, entity)
        if found is not _MISSING:
            return found
    if isinstance(entity, Item | Record) and name in entity.values:
        value = entity.values[name]
        if isinstance(value, tuple):
            return Group(attribute.target, value)
        return world.item(value.index) if isinstance(value, Link) else value
    if attribute.kind == "COLLECTION":
        return Group(attribute.target)
    return _STATUSES.get(name, _DEFAULTS.get(attribute.kind))


def reader(world: "World", type_path: str, attribute: Attribute) -> Callable[[Any], Any]:
    """``value_of`` prepared for one attribute of one type: what a page of rows asks a thousand times."""
    name = attribute.name
    if type_path not in KINDS or attribute.kind == "COLLECTION":
        return lambda entity: value_of(world, entity, attribute)
    quick = _QUICK.get(name)
    if quick is not None:
        return quick(world)
    # Of all work items only a task's timeboxes are another's; only a revision's Description is computed.
    if name in _COMPUTED and (name not in _SELDOM_COMPUTED or type_path == KINDS[TASK]):
        return lambda entity: value_of(world, entity, attribute)
    default = _STATUSES.get(name, _DEFAULTS.get(attribute.kind))
    if attribute.kind == "OBJECT":
        item_at = world.item

        def referred(item: Item) -> Any:
            value = item.values.get(name)
            return item_at(value.index) if isinstance(value, Link) else value

        return referred
    return lambda item: item.values.get(name, default)


_SELDOM_COMPUTED = frozenset({"Iteration", "Release", "Description"})


class _Missing:
    """No computed value for this entity."""


_MISSING = _Missing()


def _formatted_id(world: "World", entity: Entity) -> Any:
    return world.formatted_id(entity) if isinstance(entity, Item) else _MISSING


def _updated(_: "World", entity: Entity) -> Any:
    return entity.updated if isinstance(entity, Item) else _MISSING


def _history(_: "World", entity: Entity) -> Any:
    match entity:
        case RevisionRow():
            return History(entity.owner)
        case Item() | Record() if entity.history_id:
            return History(entity)
        case _:
            return None


def _rank(_: "World", entity: Entity) -> Any:
    if not isinstance(entity, Item):
        return _MISSING
    return f"P!{entity.values['DragAndDropRank']:012d}"


def _change(read: Callable[["World", Change], Any]) -> Callable[["World", Entity], Any]:
    def computed(world: "World", entity: Entity) -> Any:
        return read(world, entity.change) if isinstance(entity, RevisionRow) else _MISSING

    return computed


def _belonging(target: int, *, parents: bool = False) -> Callable[["World", Entity], Any]:
    """The items of a kind that belong to this one, through the arrays; items are made only when shown."""

    def computed(world: "World", entity: Entity) -> Any:
        if not isinstance(entity, Item):
            return _MISSING
        return Group(KINDS[target], world.belonging(entity.index, target, parents=parents))

    return computed


def _children(world: "World", entity: Entity) -> Any:
    if not isinstance(entity, Item):
        return _MISSING
    if entity.type == KINDS[STORY]:
        return Group(KINDS[STORY], world.belonging(entity.index, STORY, parents=True))
    return Group(KINDS[FEATURE], world.belonging(entity.index, FEATURE))


def _direct_children(world: "World", entity: Entity) -> Any:
    children = _children(world, entity)
    if not isinstance(children, Group):
        return _MISSING
    return len(children.members) or len(world.belonging(entity.index, STORY)) if isinstance(entity, Item) else _MISSING


def _tied(kind: str, tied: Callable[["World", int], Sequence[Any]]) -> Callable[["World", Entity], Any]:
    def computed(world: "World", entity: Entity) -> Any:
        return Group(kind, tied(world, entity.index)) if isinstance(entity, Item) else _MISSING

    return computed


def _defects(world: "World", entity: Entity) -> Any:
    if isinstance(entity, Item) and entity.type == KINDS[DEFECT_SUITE]:
        return Group(KINDS[DEFECT], world.ties.gathered(entity.index))
    return _belonging(DEFECT)(world, entity)


def _feature(world: "World", entity: Entity) -> Any:
    """The read-only mirror of PortfolioItem (rally-api-notes.md#portfolio-levels)."""
    link = entity.values.get("PortfolioItem") if isinstance(entity, Item) else None
    return world.item(link.index) if isinstance(link, Link) else None


def _unified_parent(world: "World", entity: Entity) -> Any:
    if not isinstance(entity, Item):
        return _MISSING
    link = entity.values.get("PortfolioItem") or entity.values.get("Parent")
    return world.item(link.index) if isinstance(link, Link) else None


def _of_work_product(name: str) -> Callable[["World", Entity], Any]:
    """Tasks follow the timeboxes of their work product (rally-api-notes.md#tasks)."""

    def computed(world: "World", entity: Entity) -> Any:
        if not isinstance(entity, Item) or entity.type != KINDS[TASK]:
            return _MISSING
        link = entity.values["WorkProduct"]
        return world.item(link.index).values.get(name) if link is not None else None

    return computed


def _level(world: "World", entity: Entity) -> Any:
    """Return the definition of a portfolio item's level."""
    if not isinstance(entity, Item) or not entity.type.startswith("PortfolioItem/"):
        return _MISSING
    types = world.company.of("typedefinition")
    return next((each for each in types if each.values["TypePath"] == entity.type), _MISSING)


def _level_name(world: "World", entity: Entity) -> Any:
    level = _level(world, entity)
    return level if level is _MISSING else level.values["Name"]


def _schedule_prefix(_: "World", entity: Entity) -> Any:
    state = entity.values.get("ScheduleState") if isinstance(entity, Item) else None
    return state[0] if state in SCHEDULE_STATES else _MISSING


def _total(name: str) -> Callable[["World", Entity], Any]:
    def computed(world: "World", entity: Entity) -> Any:
        if not isinstance(entity, Item) or entity.type not in {KINDS[STORY], KINDS[DEFECT]}:
            return _MISSING
        tasks = [world.item(index) for index in world.belonging(entity.index, TASK)]
        return float(sum(task.values[name] or 0.0 for task in tasks))

    return computed


def _revisions(world: "World", entity: Entity) -> Any:
    return Group("Revision", revisions_of(world, entity.owner)) if isinstance(entity, History) else _MISSING


def revisions_of(world: "World", owner: Item | Record) -> Sequence[RevisionRow]:
    """The revisions of an item or record, newest first (rally-api-notes.md#reading-revisions)."""
    if isinstance(owner, Item):
        return [RevisionRow(owner, change) for change in reversed(owner.changes)]
    return [RevisionRow(owner, change) for change in world.revisions_of(owner)]


_COMPUTED: dict[str, Callable[["World", Entity], Any]] = {
    "ObjectID": lambda _, entity: entity.object_id,
    "ObjectUUID": lambda _, entity: uuid_of(entity.object_id),
    "CreationDate": lambda _, entity: entity.created,
    "VersionId": lambda _, entity: str(entity.version),
    "Subscription": lambda world, _: world.company.subscription,
    "Workspace": lambda _, entity: entity.workspace,
    "FormattedID": _formatted_id,
    "LastUpdateDate": _updated,
    "RevisionHistory": _history,
    "DragAndDropRank": _rank,
    "Description": _change(lambda world, change: world.text(change)),
    "RevisionNumber": _change(lambda _, change: change.number),
    "User": _change(lambda _, change: change.user),
    "Revisions": _revisions,
    "Tasks": _belonging(TASK),
    "Defects": _defects,
    "TestCases": _belonging(TEST_CASE),
    "UserStories": _belonging(STORY),
    "Discussion": _tied("ConversationPost", lambda world, index: world.ties.posts(index)),
    "Predecessors": _tied(KINDS[STORY], lambda world, index: world.ties.predecessors(index)),
    "Successors": _tied(KINDS[STORY], lambda world, index: world.ties.successors(index)),
    "Children": _children,
    "DefectSuites": _tied("DefectSuite", lambda world, index: world.ties.suites(index)),
    "DirectChildrenCount": _direct_children,
    "Feature": _feature,
    "UnifiedParent": _unified_parent,
    "HasParent": lambda _, entity: isinstance(entity, Item) and entity.values.get("Parent") is not None,
    "Iteration": _of_work_product("Iteration"),
    "Release": _of_work_product("Release"),
    "PortfolioItemType": _level,
    "PortfolioItemTypeName": _level_name,
    "ScheduleStatePrefix": _schedule_prefix,
    "TaskEstimateTotal": _total("Estimate"),
    "TaskRemainingTotal": _total("ToDo"),
    "TaskActualTotal": _total("Actuals"),
}

#: Computed values of work items without the questions that other entities need.
_QUICK: dict[str, Callable[["World"], Callable[[Item], Any]]] = {
    "ObjectID": lambda _: lambda item: item.object_id,
    "CreationDate": lambda _: lambda item: item.created,
    "LastUpdateDate": lambda _: lambda item: item.changes[-1].at,
    "VersionId": lambda _: lambda item: str(len(item.changes)),
    "FormattedID": lambda world: world.formatted_id,
    "RevisionHistory": lambda _: History,
}
