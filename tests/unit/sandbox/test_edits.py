"""What happens to a world after its beginning."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rally_sandbox.clock import Clock
from rally_sandbox.ground_truth import build_row, replay
from rally_sandbox.records import Item
from rally_sandbox.world import World

NOW = datetime(2026, 11, 2, 15, 30, tzinfo=UTC)


@pytest.fixture
def world() -> World:
    return World.create(7, 60, clock=Clock.frozen(NOW))


@pytest.fixture
def story(world: World) -> Item:
    return world.create_item("story", "Team Amber", Name="A & B")


def last_text(world: World, item: Item) -> str:
    return world.text(item.changes[-1])


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"Name": "C & D"}, "NAME changed from [A &amp; B] to [C &amp; D]"),
        ({"Owner": "user07@sandbox.example"}, "OWNER changed from [] to [Sample User 07]"),
        ({"PlanEstimate": 3}, "PLAN ESTIMATE added [3.0 Points]"),
        (
            {"Blocked": True, "BlockedReason": "waiting"},
            "BLOCKED changed from [false] to [true], BLOCKED REASON changed to [waiting]",
        ),
        ({"Tags+": "[checked]"}, "TAGS added [[checked]]"),
        ({"Milestones+": "Beta, wave 1"}, "MILESTONES added [MI1: Beta, wave 1]"),
        ({"Iteration": "Sprint 02"}, "ITERATION added [Sprint 02]"),
        ({"Project": "Team Cobalt"}, "PROJECT changed from [Team Amber] to [Team Cobalt]"),
        (
            {"ScheduleState": "In-Progress"},
            (
                "SCHEDULE STATE changed from [Defined] to [In-Progress], FLOW STATE CHANGED DATE changed from "
                "[Mon Nov 02 08:30:00 MST 2026] to [Mon Nov 02 08:30:00 MST 2026], FLOW STATE changed from [Defined] "
                "to [In-Progress], IN PROGRESS DATE added [Mon Nov 02 08:30:00 MST 2026]"
            ),
        ),
    ],
)
def test_an_edit_is_one_revision_in_rallys_words(world: World, story: Item, fields: dict[str, Any], text: str) -> None:
    world.edit(story.object_id, fields)
    assert last_text(world, story) == text


def test_an_edit_that_changes_nothing_writes_no_revision(world: World, story: Item) -> None:
    assert world.edit(story.object_id, {"Name": "A & B", "Ready": False}) is None
    assert story.version == 1


def test_the_flow_state_brings_the_schedule_state(world: World, story: Item) -> None:
    world.edit(story.object_id, {"FlowState": "In Review"})
    assert story.values["ScheduleState"] == "In-Progress"
    world.edit(story.object_id, {"FlowState": "Released"})
    assert story.values["AcceptedDate"] is not None


def test_reopening_takes_the_dates_away(world: World, story: Item) -> None:
    world.edit(story.object_id, {"ScheduleState": "Accepted"})
    world.edit(story.object_id, {"ScheduleState": "Defined"})
    assert "ACCEPTED DATE removed [" in last_text(world, story)
    assert "IN PROGRESS DATE removed [" in last_text(world, story)


def test_a_move_loses_timeboxes_and_takes_tasks_along(world: World, story: Item) -> None:
    task = world.create_item("Task", "Team Amber", WorkProduct=story.object_id)
    world.edit(story.object_id, {"Iteration": "Sprint 02"})
    world.edit(story.object_id, {"Project": "Team Birch"})
    assert story.values["Iteration"] is None
    assert story.values["FlowState"].values["Project"].name == "Team Birch"
    assert task.values["Project"].name == "Team Birch"


def test_texts_keep_the_name_that_a_thing_had(world: World, story: Item) -> None:
    world.edit(story.object_id, {"Iteration": "Sprint 02"})
    world.rename("Iteration", story.values["Iteration"], "Sprint Two")
    world.edit(story.object_id, {"Iteration": None})
    assert [world.text(change) for change in story.changes[1:]] == [
        "ITERATION added [Sprint 02]",
        "ITERATION removed [Sprint Two]",
    ]


def test_delete_and_restore_keep_the_object_id(world: World, story: Item) -> None:
    task = world.create_item("Task", "Team Amber", WorkProduct=story.object_id)
    world.delete(story.object_id, "user02@sandbox.example")
    assert story.deleted
    assert task.deleted
    entries = {entry.values["ItemOID"]: entry for entry in world.recycle_bin.entries(now=world.clock.milliseconds())}
    assert entries[story.object_id].values["DeletedBy"].name == "Sample User 02"
    assert entries[story.object_id].object_id != story.object_id
    world.restore(story.object_id)
    assert not world.find(story.object_id).deleted
    assert last_text(world, story) == "Recovered from Recycle Bin"


def test_the_bin_is_purged_after_thirty_days(world: World, story: Item) -> None:
    world.delete(story.object_id)
    world.clock.advance(timedelta(days=31))
    with pytest.raises(KeyError, match="recycle bin"):
        world.restore(story.object_id)


def test_saves_of_one_item_never_share_a_moment(world: World, story: Item) -> None:
    for number in range(5):
        world.edit(story.object_id, {"Name": f"Sample {number}"})
    moments = [change.at for change in story.changes]
    assert moments == sorted(set(moments))


def test_a_long_text_is_cut_as_rally_cuts_it(world: World, story: Item) -> None:
    world.edit(story.object_id, {"Description": "x" * 3000})
    assert last_text(world, story) == "DESCRIPTION changed from [] to [value too long to display]"
    world.edit(story.object_id, {"Description": "y" * 1900, "Notes": "z" * 1900, "Name": "w" * 256})
    world.edit(story.object_id, {"Description": "a" * 1900, "Notes": "b" * 1900})
    assert len(last_text(world, story)) == 4000


@pytest.mark.parametrize("fields", [{"NoSuchThing": 1}, {"AcceptedDate": None}, {"Owner": "nobody"}, {"Project": 12}])
def test_what_cannot_be_entered_is_refused(world: World, story: Item, fields: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        world.edit(story.object_id, fields)


def test_a_created_item_replays_too(world: World) -> None:
    defect = world.create_item("Defect", Priority="Low", Tags=["urgent", "R&D"])
    world.edit(defect.object_id, {"Tags-": "urgent", "State": "Open", "Owner": "user03@sandbox.example"})
    row: Mapping[str, Any] = build_row(world, defect)
    assert replay(row) == row["values"]
    assert [tag["name"] for tag in row["values"]["Tags"]] == ["R&D"]
