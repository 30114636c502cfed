"""The sample company's own fields, defect suites and the emptied bin: one story in every answer."""

from datetime import UTC, datetime, timedelta

import pytest

from rally_sandbox import lookback
from rally_sandbox.clock import Clock
from rally_sandbox.discussions import FIRST_POST_ID
from rally_sandbox.ground_truth import replay
from rally_sandbox.lookback import Projection, make_choice_id
from rally_sandbox.world import World

NOW = datetime(2026, 11, 2, 15, 30, tzinfo=UTC)


@pytest.fixture
def world() -> World:
    return World.create(7, 60, clock=Clock.frozen(NOW))


def texts(world: World, item: int) -> list[str]:
    return [world.text(change) for change in world.find(item).changes]


def test_own_fields_are_told_by_revisions_snapshots_and_truth_alike(world: World) -> None:
    story = world.create_item("story", c_RiskLevel="Medium").object_id
    reviewer = world.company.users[3]
    needed = "2026-12-24T07:00:00.000Z"
    world.clock.advance(timedelta(hours=1))
    world.edit(story, {"c_RiskLevel": "Low [1]", "c_NeededBy": needed, "c_Reviewer": reviewer, "c_Regulatory": True})
    world.clock.advance(timedelta(hours=1))
    world.edit(story, {"c_NeededBy": None, "c_Score": 3})
    assert texts(world, story)[1:] == [
        (
            "RISK LEVEL changed from [Medium] to [Low [1]], NEEDED BY added [Thu Dec 24 00:00:00 MST 2026], "
            f"REVIEWER added [{reviewer.name}], REGULATORY added [true]"
        ),
        "NEEDED BY removed [Thu Dec 24 00:00:00 MST 2026], SCORE added [3.0]",
    ]
    row = next(each for each in world.items("story") if each["object_id"] == story)
    assert replay(row) == row["values"]
    wish = Projection(frozenset({"c_RiskLevel", "c_NeededBy", "c_Reviewer"}), frozenset())
    told = list(lookback.iter_snapshots(world, world.find(story), wish, until=world.clock.milliseconds()))
    assert [each.get("c_RiskLevel") for each in told] == [
        make_choice_id("c_RiskLevel", each) for each in ("Medium", "Low [1]", "Low [1]")
    ]
    assert [each.get("c_NeededBy") for each in told] == [None, needed, None]
    assert told[-1]["c_Reviewer"] == reviewer.object_id


def test_a_type_without_the_field_does_not_take_it(world: World) -> None:
    task = next(world.items("task"))["object_id"]
    with pytest.raises(KeyError, match="c_RiskLevel"):
        world.edit(task, {"c_RiskLevel": "Medium"})


def test_a_new_label_stands_in_later_texts_and_in_every_definition(world: World) -> None:
    story = world.create_item("story").object_id
    world.edit(story, {"Ready": True})
    world.relabel("Ready", "Good to go")
    world.edit(story, {"Ready": False})
    assert texts(world, story)[1:] == [
        "READY changed from [false] to [true]",
        "GOOD TO GO changed from [true] to [false]",
    ]
    names = {
        each.values["Name"]
        for each in world.company.records_of("attributedefinition")
        if each.values["ElementName"] == "Ready"
    }
    assert names == {"Good to go"}


def test_a_suite_holds_defects_and_vanishes_without_a_trace(world: World) -> None:
    suite = world.create_item("defectsuite", Name="The suite").object_id
    defect = world.create_item("defect", Name="The defect").object_id
    world.add_to_suite(suite, defect)
    assert texts(world, defect)[-1] == "DEFECT SUITES added [DS1: The suite]"
    assert world.relations.suite_defects(world.find(suite).index) == [world.find(defect).index]
    before = len(list(world.recycle_bin.entries(now=world.clock.milliseconds())))
    world.delete(suite)
    assert len(list(world.recycle_bin.entries(now=world.clock.milliseconds()))) == before


def test_what_was_purged_on_request_cannot_be_restored(world: World) -> None:
    story = world.create_item("story").object_id
    world.delete(story)
    world.purge(story)
    assert story not in {each.values["ItemOID"] for each in world.recycle_bin.entries(now=world.clock.milliseconds())}
    with pytest.raises(KeyError, match="not in the recycle bin"):
        world.restore(story)


def test_discussions_of_the_generated_past_are_spread_over_a_large_world() -> None:
    world = World.create(7, 9_000, clock=Clock.frozen(NOW))
    indexes = [
        post.values["Artifact"].index
        for post in world.company.records_of("conversationpost")
        if post.object_id >= FIRST_POST_ID
    ]
    assert min(indexes) < 1_000
    assert max(indexes) > 8_000
