"""The way of an item through the stages, in cases that were worked out by hand."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.server.value_streams.stage_history import find_visits, latest_first
from support.value_streams import board, layout_from_document, stage, stream

DAY = 86_400_000
START = 1_700_000_000_000
NOW = datetime.fromtimestamp((START + 20 * DAY) / 1000, UTC)


def change(day: float, field: str, before: Any, after: Any, who: str = "Ann") -> dict[str, Any]:
    content = {"field": field, "type": "string", "from": before, "to": after, "user": who}
    return {"timestamp": str(int(START + day * DAY)), "content": content}


def issue(status: str, *history: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "US1", "created": START, "creator": "Cora", "status": status, "history": list(history), **more}


def way(document: dict[str, Any], item: dict[str, Any]) -> list[tuple[str, float, float | None, list[str]]]:
    """Stage, day of entry, day of leaving, fields of the events."""

    def day(moment: datetime) -> float:
        return (moment.timestamp() * 1000 - START) / DAY

    return [
        (
            visit.stage.name if visit.stage else "",
            day(visit.entered),
            None if visit.ended is None else day(visit.ended),
            [event.field or "created" for event in visit.events],
        )
        for visit in find_visits(layout_from_document(document), item, now=NOW)
    ]


def test_an_event_belongs_to_the_stage_that_it_led_to() -> None:
    item = issue(
        "Accepted",
        change(2, "status", "Defined", "In-Progress"),
        change(3, "owner", "", "Bob"),
        change(5, "status", "In-Progress", "Completed"),
        change(6, "status", "Completed", "Accepted"),
    )
    assert way(board(), item) == [
        ("To Do", 0, 2, ["created"]),
        ("Doing", 2, 5, ["status", "owner"]),
        # From Completed to Accepted it stays in the stage.
        ("Done", 5, None, ["status", "status"]),
    ]


def test_going_back_is_another_visit_and_other_statuses_are_outside() -> None:
    item = issue(
        "In-Progress",
        change(1, "status", "Idea", "In-Progress"),
        change(2, "status", "In-Progress", "Defined"),
        change(4, "status", "Defined", "In-Progress"),
    )
    assert way(board(), item) == [
        ("", 0, 1, ["created"]),
        ("Doing", 1, 2, ["status"]),
        ("To Do", 2, 4, ["status"]),
        ("Doing", 4, None, ["status"]),
    ]


def test_changes_of_one_instant_are_one_change() -> None:
    document = stream(
        ("A", [stage("Mine", "issue.status = Defined and issue.owner = Bob"), stage("Doing", "issue.status = Doing")])
    )
    item = issue(
        "Doing",
        change(1, "owner", "Bob", "Ann"),
        change(1, "status", "Defined", "Doing"),
        change(1, "lastUpdate", "1", "2"),
        owner="Ann",
    )
    # Between the two changes it was in no stage, but for no time; the vendor's companion entry is no event.
    assert way(document, item) == [("Mine", 0, 1, ["created"]), ("Doing", 1, None, ["owner", "status"])]


def test_queries_on_other_fields_are_held_against_their_past() -> None:
    document = stream(
        (
            "A",
            [
                stage("Sprint 1", "issue.sprints.name = 'Sprint 1'"),
                stage("Late", "issue.labels contains late"),
                stage("Big", "issue.storyPoints > 5"),
                stage("Blocked", "issue.rawIssue.Blocked = true"),
                stage("Team B", "issue.project.name = 'Team B'"),
            ],
        )
    )
    item = issue(
        "x",
        change(1, "sprint", [{"id": "1", "name": "Sprint 1"}], []),
        change(2, "labels", ["late"], []),
        change(3, "storyPoints", "8", "1"),
        change(4, "blocked", "true", "false"),
        change(5, "project", "Team B", "Team A"),
        sprints=[],
        labels=[],
        storyPoints=1,
        rawIssue={"Blocked": "false"},
        project={"name": "Team A"},
    )
    assert [name for name, *_ in way(document, item)] == ["Team B", ""]
    document["phases"][0]["stages"].reverse()
    assert [name for name, *_ in way(document, item)] == ["Sprint 1", "Late", "Big", "Blocked", "Team B", ""]


@pytest.mark.parametrize("sprint", [["Sprint 1"], "Sprint 1", [{"id": "1", "name": "Sprint 1"}]])
@pytest.mark.parametrize(
    "query", ["issue.sprints.name = 'Sprint 1'", "issue.sprints = 'Sprint 1'", "issue.sprints.id = 1"]
)
def test_a_sprint_of_the_past_is_found_by_name_and_id(sprint: Any, query: str) -> None:
    document = stream(("A", [stage("Planned", query)]))
    item = issue(
        "x",
        change(1, "sprint", [], sprint),
        change(2, "sprint", sprint, ["Sprint 2"]),
        change(3, "sprint", ["Sprint 2"], []),
        sprints=[{"id": "1", "name": "Sprint 1"}, {"id": "2", "name": "Sprint 2"}],
    )
    assert [(name, entered) for name, entered, *_ in way(document, item)][1:3] == [("Planned", 1), ("", 2)]


def test_ages_count_from_the_instant_of_the_change() -> None:
    document = stream(
        ("A", [stage("Fresh", "issue.created < 3d"), stage("Doing", "issue.status = Doing and issue.created < 3d")])
    )
    item = issue("Doing", change(1, "status", "Defined", "Doing"), change(9, "name", "a", "b"))
    assert [(name, entered) for name, entered, *_ in way(document, item)] == [("Fresh", 0), ("Doing", 1), ("", 9)]


def test_a_value_stream_s_own_query_holds_for_all_stages() -> None:
    document = board() | {"query": "issue.owner = Ann"}
    item = issue("Defined", change(2, "owner", "", "Ann"), owner="Ann")
    assert way(document, item) == [("", 0, 2, ["created"]), ("To Do", 2, None, ["owner"])]


def test_broken_entries_of_other_plug_ins_are_passed_over() -> None:
    item = issue(
        "In-Progress",
        {"timestamp": None, "content": {"field": "status"}},
        {"timestamp": "soon", "content": {"field": "status", "from": "a", "to": "b"}},
        {"timestamp": "1700000000000"},
        {"timestamp": str(START + DAY), "content": {"field": None}},
        change(3, "status", None, "In-Progress"),
    )
    assert way(board(), item) == [("", 0, 3, ["created"]), ("Doing", 3, None, ["status"])]


def test_an_item_without_a_history_was_always_where_it_is() -> None:
    (only,) = find_visits(layout_from_document(board()), issue("Defined"), now=NOW)
    assert only.stage is not None
    assert (only.stage.name, only.ended, [event.who for event in only.events]) == ("To Do", None, ["Cora"])


def test_a_change_before_the_creation_moves_the_beginning() -> None:
    item = issue("In-Progress", change(-1, "status", "Defined", "In-Progress"))
    assert [(name, entered) for name, entered, *_ in way(board(), item)] == [("Doing", -1)]


def test_the_newest_stands_first_on_the_card() -> None:
    item = issue("In-Progress", change(1, "status", "Defined", "In-Progress"), change(2, "owner", "", "Bob"))
    found = latest_first(find_visits(layout_from_document(board()), item, now=NOW))
    assert [visit.stage.name for visit in found if visit.stage] == ["Doing", "To Do"]
    assert [event.field for event in found[0].events] == ["owner", "status"]


def test_fields_are_known_by_every_word_that_histories_have_for_them() -> None:
    document = stream(
        (
            "A",
            [
                stage("Team B", "issue.rawIssue.c_Team = B"),
                stage("Plain", "issue.components = ui"),
                stage("Worth", "issue.businessValue > 5"),
            ],
        )
    )
    item = issue(
        "x",
        change(1, "Team", "B", "A"),
        change(2, "components", "ui", "api"),
        change(3, "businessValue", "8", "1"),
        change(3, "revision", "1", "2"),
        rawIssue={"c_Team": "A"},
        components=["api"],
        businessValue=1,
    )
    assert way(document, item) == [
        ("Worth", 0, 3, ["created", "Team", "components"]),
        ("", 3, None, ["businessValue"]),
    ]
    document["phases"][0]["stages"].reverse()
    assert [name for name, *_ in way(document, item)] == ["Team B", "Plain", "Worth", ""]


def test_a_status_that_the_history_does_not_tell_yet_begins_with_the_last_update() -> None:
    item = issue("Completed", change(2, "status", "Defined", "In-Progress"), lastUpdate=START + 7 * DAY)
    assert way(board(), item) == [
        ("To Do", 0, 2, ["created"]),
        # Not a visit of Done that begins with a change to In-Progress.
        ("Doing", 2, 7, ["status"]),
        ("Done", 7, None, ["status"]),
    ]
    (untold,) = find_visits(layout_from_document(board()), item, now=NOW)[-1].events
    assert (untold.who, untold.before, untold.after, untold.is_recorded) == ("", "In-Progress", "Completed", False)
    (told,) = find_visits(layout_from_document(board()), item, now=NOW)[-2].events
    assert told.is_recorded
