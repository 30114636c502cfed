"""Ground truth about items, with which tests compare a client's results; Rally has no such API."""

from collections.abc import Mapping
from typing import Any, Protocol

from rally_sandbox.clock import format_iso
from rally_sandbox.hostile_data import replace_unreadable
from rally_sandbox.records import COLLECTIONS, Change, Item, Link, Record
from rally_sandbox.revision_text import DATES


class World(Protocol):
    """The part of a world that the ground truth uses."""

    def item(self, index: int) -> Item:
        """Return the item at an index of ``columns``."""

    def get_formatted_id(self, item: Item) -> str:
        """Return the prefixed number."""

    def text(self, change: Change) -> str:
        """Return the text of a revision."""


def build_row(world: World, item: Item) -> Mapping[str, Any]:
    """Build the ground truth row of an item from plain text, numbers, booleans, None, lists and dicts.

    ``object_id``, ``history_id``, ``type``, ``formatted_id``, ``workspace`` (ObjectID), ``created`` and ``updated``
    (ISO text), ``version``, ``deleted``, ``visible`` (neither deleted nor in a closed project), ``values`` and
    ``initial`` (references as ``{"object_id", "name"}``, collections as lists of them), and ``changes``: ``number``,
    ``object_id``, ``at``, ``user``, ``text``, ``sets`` as ``[attribute, old, new]``; for collections a set is one
    element.
    """
    return {
        "object_id": item.object_id,
        "history_id": item.history_id,
        "type": item.type,
        "formatted_id": world.get_formatted_id(item),
        "workspace": item.workspace.object_id,
        "created": format_iso(item.created),
        "updated": format_iso(item.updated),
        "version": item.version,
        "deleted": item.deleted,
        "visible": not item.deleted and item.values["Project"].values["State"] == "Open",
        "values": {name: _to_plain(world, name, value) for name, value in item.values.items()},
        "initial": {name: _to_plain(world, name, value) for name, value in item.initial.items()},
        "changes": [
            {
                "number": change.number,
                "object_id": change.object_id,
                "at": format_iso(change.at),
                "user": _to_plain(world, "User", change.user),
                "text": replace_unreadable(world.text(change)),
                "sets": [
                    [name, _to_plain(world, name, old), _to_plain(world, name, new)]
                    for name, old, new in change.field_changes
                ],
            }
            for change in item.changes
        ],
    }


def _to_plain(world: World, name: str, value: Any) -> Any:  # noqa: PLR0911 - one table
    match value:
        case Record():
            return {"object_id": value.object_id, "name": replace_unreadable(value.name)}
        case Link():
            linked = world.item(value.index)
            return {"object_id": linked.object_id, "name": replace_unreadable(linked.name)}
        case tuple():
            return [_to_plain(world, name, element) for element in value]
        case str():
            return replace_unreadable(value)
        case bool():
            return value
        case int() if name in DATES:
            return format_iso(value)
        case _:
            return value


def replay(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Apply the changes of a ground truth row to ``initial``; return the result, which equals ``values``."""
    values = {name: list(value) if isinstance(value, list) else value for name, value in row["initial"].items()}
    for change in row["changes"]:
        for name, old, new in change["sets"]:
            if name not in COLLECTIONS:
                values[name] = new
            elif old is None:
                values[name].append(new)
            else:
                values[name].remove(old)
    return values
