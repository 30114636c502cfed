"""What is asked of an integration's next run besides bringing over what changed.

It lies in the states of the scheduled event, where Accelerate keeps it too (accelerate-api-notes.md#resync): it
outlives the process, and is fulfilled when a run that knew of it has ended well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rally_accelerate.config.about import EVENT
from rally_accelerate.model.progress import Window

#: The end of the year 9999 in epoch milliseconds: no calendar shows later ones.
LATEST = 253_402_300_799_999

#: What a plug-in writes over a date when it has done what it asked for.
NOTHING = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the next run is to do."""

    #: Send everything in this window again.
    again: Window | None = None
    #: Mark items as gone, however many they are.
    approve_removal: bool = False

    def __bool__(self) -> bool:
        return self.again is not None or self.approve_removal


def wishes_of(event_states: Mapping[str, Any]) -> Wishes:
    """The wishes that stand in an integration's event states."""
    state = event_states.get(EVENT) or {}
    since = state.get("deltaTime")
    again = None
    if isinstance(since, int | float) and 0 <= since <= LATEST:
        again = Window(datetime.fromtimestamp(since / 1000, UTC) if since else None)
    return Wishes(again=again, approve_removal=bool(state.get("approveRemoval")))


def with_resync(event_states: Mapping[str, Any], since: datetime | None) -> dict[str, Any]:
    """The event states with the wish to send again what changed since an instant; None sends everything."""
    return _changed(event_states, deltaTime=0 if since is None else max(1, round(since.timestamp() * 1000)))


def with_approval(event_states: Mapping[str, Any]) -> dict[str, Any]:
    """The event states with the wish to let go what was withheld."""
    return _changed(event_states, approveRemoval=True)


def fulfilled(event_states: Mapping[str, Any], done: Wishes) -> dict[str, Any]:
    """The event states without the wishes that a run fulfilled; one that came meanwhile stays."""
    now = wishes_of(event_states)
    changes: dict[str, Any] = {}
    if done.again is not None and now.again == done.again:
        changes["deltaTime"] = NOTHING
    if done.approve_removal:
        changes["approveRemoval"] = False
    return _changed(event_states, **changes)


def _changed(event_states: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    states = {name: dict(state) for name, state in event_states.items()}
    return {**states, EVENT: {**states.get(EVENT, {}), **changes}}
