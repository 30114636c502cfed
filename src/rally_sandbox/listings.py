"""Finding the objects that are not work items: projects, timeboxes, users and so on."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rally_sandbox.access import Login
from rally_sandbox.conditions import Asker, compiled
from rally_sandbox.items import sortable
from rally_sandbox.paging import OrderKey
from rally_sandbox.query import Query
from rally_sandbox.records import Record
from rally_sandbox.schema import Type
from rally_sandbox.scope import Scope
from rally_sandbox.views import Entity, value_of

if TYPE_CHECKING:
    from rally_sandbox.world import World


def find_records(
    world: "World",
    kind: Type,
    query: Query | None,
    *,
    order: Sequence[OrderKey],
    scope: Scope,
    login: Login,
    asker: Asker,
) -> list[Entity]:
    """The visible records of a type that a query finds, in order."""
    found: list[Entity] = [
        each for each in _all(world, kind) if _is_visible(each, scope, login) and each.object_id not in world.forgotten
    ]
    return chosen(world, found, kind, query, order=order, asker=asker)


def chosen(
    world: "World",
    entities: Iterable[Entity],
    kind: Type,
    query: Query | None,
    *,
    order: Sequence[OrderKey],
    asker: Asker,
    shuffled: bool = True,
) -> list[Entity]:
    """The entities that a query finds, in order; without an order shuffled, or as they come."""
    found = list(entities)
    if query is not None:
        keeps = compiled(query, (kind,), world, asker)
        found = [each for each in found if keeps(each)]
    if not order and shuffled:
        # As for work items: an order that nobody can rely on.
        found.sort(key=lambda entity: (entity.object_id * 2_654_435_761) & 0xFFFFFFFF)
    for key in reversed(order):
        attribute = kind.attributes[key.name]
        found.sort(key=lambda entity: sortable(value_of(world, entity, attribute)), reverse=key.descending)
    return found


def _all(world: "World", kind: Type) -> Iterable[Record]:
    if kind.path == "RecycleBinEntry":
        return world.bin.entries(now=world.clock.milliseconds())
    return world.company.of(kind.path.lower())


def _is_visible(record: Record, scope: Scope, login: Login) -> bool:  # noqa: PLR0911 - one table
    match record.type:
        case "User" | "Subscription":
            return True
        case "UserProfile":
            # Other users' profiles only for administrators (rally-api-notes.md#authentication).
            return record is login.user.values["UserProfile"]
        case "Workspace":
            return login.sees_workspace(record)
        case "Project":
            return record.workspace is scope.workspace and login.sees(record)
        case "Iteration" | "Release" | "FlowState":
            project = record.values["Project"]
            return project.object_id in scope.projects and project.values["State"] == "Open"
        case "RecycleBinEntry":
            return record.values["Project"].object_id in scope.visible
        case _:
            return record.workspace is None or record.workspace is scope.workspace
