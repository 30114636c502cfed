"""Revisions read as changes: in the order of their numbers, and nothing is made up for what is missing."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from rally_accelerate.mapping.history_check import Verdict, check_history
from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.rally.history_fields import TrackedFields
from rally_accelerate.rally.records import ItemHistory, Record, Revision, TimeboxValue, WorkItem
from rally_accelerate.rally.revision_changes import (
    NewestRevision,
    ProjectAt,
    RevisionReader,
    VersionAgreement,
    find_links,
)

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CREATED = (0, 0, "Original revision")
LONG = "DESCRIPTION changed from [" + "x" * 3974


def revision(number: int, milliseconds: int, text: str) -> Revision:
    return Revision(
        history_id=1,
        number=number,
        instant=BEGIN + timedelta(milliseconds=milliseconds),
        user="Ada",
        description=text[:4000],
        user_id=7,
    )


def state(before: str, after: str) -> str:
    return f"SCHEDULE STATE changed from [{before}] to [{after}]"


def past_of(
    *told: tuple[int, int, str],
    now: str = "Accepted",
    tags: Sequence[str] | None = (),
    newest: NewestRevision = NewestRevision.CURRENT,
    project: ProjectAt | None = None,
) -> ItemHistory:
    timeboxes = {("Sprint 1", "A"): 11, ("Sprint 1", "B"): 12}
    return RevisionReader(TrackedFields.of(), lambda _, name, place, at: timeboxes.get((name, place.name))).read(
        [revision(*each) for each in told],
        project=project or ProjectAt("A", 1),
        collections={} if tags is None else {"Tags": tags},
        present={"ScheduleState": now},
        newest=newest,
    )


def states(past: ItemHistory) -> list[tuple[int, Any, Any]]:
    begin = round(BEGIN.timestamp() * 1000)
    return [(each.at - begin, each.before, each.after) for each in past.changes if each.field == "ScheduleState"]


def verdict(past: ItemHistory, now: str = "Accepted", tags: Sequence[str] = ()) -> Verdict:
    row = {"ScheduleState": now, "Tags": {"_tagsNameArray": [{"Name": each} for each in tags]}}
    record = Record(kind="hierarchicalrequirement", object_id=1, revision=SourceRevision(BEGIN), fields=row)
    return check_history(WorkItem(record=record, past=past)).verdict


def test_numbers_order_revisions_and_instants_never_go_back() -> None:
    past = past_of(CREATED, (2, 990, state("In-Progress", "Accepted")), (1, 1000, state("Defined", "In-Progress")))
    assert states(past) == [(1000, "Defined", "In-Progress"), (1000, "In-Progress", "Accepted")]
    assert verdict(past) is Verdict.COMPLETE


def test_a_deletion_stays_between_the_changes_that_it_came_between() -> None:
    past = past_of(
        CREATED,
        (1, 1000, state("Defined", "In-Progress")),
        (2, 995, "Moved to Recycle Bin"),
        (3, 990, "Recovered from Recycle Bin"),
        (4, 985, state("In-Progress", "Accepted")),
    )
    assert [each.field for each in past.changes] == ["ScheduleState", "Recycled", "Recycled", "ScheduleState"]
    assert [each.after for each in past.changes] == ["In-Progress", "true", "false", "Accepted"]
    assert len({each.at for each in past.changes}) == 1


def test_revisions_without_numbers_are_ordered_by_instants_and_incomplete() -> None:
    past = past_of((0, 0, "Original revision"), (0, 9, state("B", "Accepted")), (0, 5, state("A", "B")))
    assert states(past) == [(5, "A", "B"), (9, "B", "Accepted")]
    assert not past.whole


def test_a_revision_that_comes_twice_counts_once() -> None:
    past = past_of(CREATED, (1, 5, state("Defined", "Accepted")), (1, 5, state("Defined", "Accepted")))
    assert states(past) == [(5, "Defined", "Accepted")]
    assert past.whole


@pytest.mark.parametrize("text", [LONG, LONG[:3000]])
def test_a_state_that_may_be_behind_a_cut_is_no_renaming(text: str) -> None:
    past = past_of(
        CREATED, (1, 5, state("Defined", "In-Progress")), (2, 10, text), (3, 15, state("Completed", "Accepted"))
    )
    assert states(past) == [(5, "Defined", "In-Progress"), (15, "Completed", "Accepted")]
    assert [each.text for each in past.unread] == [text]
    assert verdict(past) is Verdict.INCOMPLETE


def test_what_is_complete_in_front_of_a_cut_is_told_and_the_rest_is_unreadable() -> None:
    past = past_of(CREATED, (1, 5, f"{state('Defined', 'Accepted')}, {LONG}"))
    assert states(past) == [(5, "Defined", "Accepted")]
    (unread,) = past.unread
    assert unread.text.startswith("DESCRIPTION changed from [xxx")
    assert verdict(past) is Verdict.INCOMPLETE


def test_a_state_between_a_complete_text_and_a_cut_one_is_told() -> None:
    cut = f"DESCRIPTION changed from [<b>a</b> [x]] to [b], {state('Defined', 'In-Progress')}, NOTES{LONG[11:]}"
    past = past_of(CREATED, (1, 5, cut), (2, 10, state("In-Progress", "Accepted")))
    assert states(past) == [(5, "Defined", "In-Progress"), (10, "In-Progress", "Accepted")]
    assert [each.text[:5] for each in past.unread] == ["NOTES"]
    assert verdict(past) is Verdict.INCOMPLETE


def test_a_state_in_a_cut_text_that_does_not_lead_on_is_not_believed() -> None:
    cut = f"DESCRIPTION changed from [a], {state('Accepted', 'Released')}, NOTES{LONG[11:]}"
    past = past_of(CREATED, (1, 5, cut), (2, 10, state("Defined", "Accepted")))
    assert states(past) == [(10, "Defined", "Accepted")]
    assert verdict(past) is Verdict.INCOMPLETE


@pytest.mark.parametrize("hidden", [(2, 10, LONG), None], ids=["cut", "missing"])
def test_a_state_behind_a_text_is_told_although_the_one_before_it_is_hidden(
    hidden: tuple[int, int, str] | None,
) -> None:
    told = [CREATED, (1, 5, state("Defined", "In-Progress")), *([hidden] if hidden else [])]
    past = past_of(*told, (3, 15, f"DESCRIPTION changed from [a] to [b], {state('Completed', 'Accepted')}"))
    assert states(past) == [(5, "Defined", "In-Progress"), (15, "Completed", "Accepted")]
    assert verdict(past) is Verdict.INCOMPLETE


def test_a_text_that_was_cut_between_two_clauses_is_unreadable_as_a_whole() -> None:
    front = "NOTES changed from [] to []"
    text = f"{front[:-1]}{'x' * (4000 - len(front) - 2 - len(state('Defined', 'Accepted')))}], {state('Defined', 'Accepted')}"
    past = past_of(CREATED, (1, 5, text))
    assert states(past) == [(5, "Defined", "Accepted")]
    assert [each.text for each in past.unread] == [text]
    assert verdict(past) is Verdict.INCOMPLETE


def test_a_renaming_is_inferred_only_where_every_save_was_read() -> None:
    told = [(1, 5, state("Open", "Doing")), (2, 10, state("Doing", "Done")), (3, 15, state("Done", "Doing"))]
    past = past_of(CREATED, *told, now="Active")
    assert states(past) == [(5, "Open", "Active"), (10, "Active", "Done"), (15, "Done", "Active")]
    assert verdict(past, now="Active") is Verdict.COMPLETE
    without = past_of(CREATED, told[0], told[2], now="Active")
    assert states(without) == [(5, "Open", "Doing"), (15, "Done", "Active")]
    assert verdict(without, now="Active") is Verdict.INCOMPLETE


@pytest.mark.parametrize("newest", [NewestRevision.OUTDATED, NewestRevision.UNKNOWN])
def test_a_missing_newest_revision_is_no_renaming(newest: NewestRevision) -> None:
    past = past_of(CREATED, (1, 5, state("Defined", "In-Progress")), newest=newest)
    assert states(past) == [(5, "Defined", "In-Progress")]
    assert verdict(past) is Verdict.INCOMPLETE


def test_a_state_under_a_former_label_is_no_renaming() -> None:
    past = past_of(
        CREATED,
        (1, 5, state("Defined", "In-Progress")),
        (2, 10, "STAGE changed from [In-Progress] to [Completed]"),
        (3, 15, state("Completed", "Accepted")),
    )
    assert states(past) == [(5, "Defined", "In-Progress"), (15, "Completed", "Accepted")]
    assert verdict(past) is Verdict.INCOMPLETE


@pytest.mark.parametrize("hidden", [(2, 10, LONG), None], ids=["cut", "missing"])
def test_members_are_not_made_up_in_front_of_what_is_missing(hidden: tuple[int, int, str] | None) -> None:
    told = [CREATED, (1, 5, "TAGS added [a]"), *([hidden] if hidden else []), (3, 15, "TAGS added [c]")]
    past = past_of(*told, tags=["a", "b", "c"])
    assert [(each.before, each.after) for each in past.changes] == [(("a", "b"), ("a", "b", "c"))]
    assert "TAGS added [a]" in [each.text for each in past.unread]
    assert verdict(past, tags=["a", "b", "c"]) is Verdict.INCOMPLETE


@pytest.mark.parametrize("tags", [["new name"], None], ids=["renamed", "not told"])
def test_a_member_whose_name_cannot_be_resolved_is_left_in_words(tags: Sequence[str] | None) -> None:
    past = past_of(CREATED, (1, 5, "TAGS added [old name]"), tags=tags)
    assert past.changes == ()
    assert [each.text for each in past.unread] == ["TAGS added [old name]"]
    assert not past.whole


def test_sprints_keep_their_names_where_the_project_of_their_day_is_not_known() -> None:
    told = [
        CREATED,
        (1, 5, "ITERATION added [Sprint 1]"),
        (2, 10, LONG),
        (3, 15, "ITERATION changed from [Sprint 1] to [Sprint 2]"),
    ]
    past = past_of(*told)
    assert [(each.before, each.after) for each in past.changes] == [
        (None, (None, "Sprint 1")),
        ((11, "Sprint 1"), (None, "Sprint 2")),
    ]
    moved = past_of(*told[:2], (2, 10, "PROJECT changed from [B] to [A], ITERATION removed [Sprint 1]"))
    assert [each.after for each in moved.changes if each.field == "Iteration"] == [(12, "Sprint 1"), None]


@pytest.mark.parametrize(
    ("latest", "number", "version", "expected"),
    [
        (0, 3, 4, NewestRevision.CURRENT),
        # Rally may count versions otherwise.
        (0, 3, 9, NewestRevision.CURRENT),
        (-800, 3, 4, NewestRevision.CURRENT),
        (-800, 3, 5, NewestRevision.OUTDATED),
        (-800, 3, 0, NewestRevision.CURRENT),
        (-60_000, 3, 4, NewestRevision.CURRENT),
        (-60_000, 3, 5, NewestRevision.OUTDATED),
        (-60_000, 3, 0, NewestRevision.OUTDATED),
        # Written after the item was read.
        (60_000, 4, 4, NewestRevision.OUTDATED),
    ],
)
def test_the_newest_revision_is_known_by_instant_or_version(
    latest: int, number: int, version: int, expected: NewestRevision
) -> None:
    its = [revision(0, -(10**9), "Original revision"), revision(number, latest, "RANK moved up")]
    assert VersionAgreement().judge(its, updated_at=BEGIN, version=version) is expected


def test_where_versions_disagree_as_a_rule_they_say_nothing() -> None:
    agreement = VersionAgreement()
    its = [revision(0, -60_000, "Original revision")]
    found = [agreement.judge(its, updated_at=BEGIN, version=12) for _ in range(30)]
    assert set(found[:19]) == {NewestRevision.OUTDATED}
    assert set(found[20:]) == {NewestRevision.UNKNOWN}


@pytest.mark.parametrize(
    ("others", "version", "expected"),
    [
        (20, 3, NewestRevision.OUTDATED),
        (20, 2, NewestRevision.CURRENT),
        (20, 1, NewestRevision.CURRENT),
        (20, 0, NewestRevision.CURRENT),
        (19, 3, NewestRevision.CURRENT),
    ],
)
def test_the_newest_of_two_revisions_of_one_instant_is_missed_where_versions_count_revisions(
    others: int, version: int, expected: NewestRevision
) -> None:
    agreement = VersionAgreement()
    for _ in range(others):
        agreement.judge([revision(0, 0, "Original revision")], updated_at=BEGIN, version=1)
    its = [revision(0, -60_000, "Original revision"), revision(1, 0, "RANK moved up")]
    assert agreement.judge(its, updated_at=BEGIN, version=version) is expected


def test_versions_that_count_more_than_revisions_say_nothing_of_one_instant() -> None:
    agreement = VersionAgreement()
    its = [revision(0, 0, "Original revision")]
    for version in (1, 3) * 30:
        assert agreement.judge(its, updated_at=BEGIN, version=version) is NewestRevision.CURRENT


EVIL = "x], SCHEDULE STATE changed from [Defined] to [Accepted"


def named(past: ItemHistory) -> list[tuple[str, Any, Any]]:
    return [(each.field, each.before, each.after) for each in past.changes]


def test_a_known_value_that_spells_out_a_clause_is_a_value() -> None:
    its = [
        revision(*CREATED),
        revision(1, 5, f"NAME changed from [Story] to [{EVIL}], READY changed from [false] to [true]"),
    ]
    reader = RevisionReader(TrackedFields.of(), lambda *_: None)
    past = reader.read(its, project=ProjectAt("A"), collections={}, present={"ScheduleState": "Defined"}, texts=[EVIL])
    assert named(past) == [("Name", "Story", EVIL), ("Ready", "false", "true")]


def test_a_value_that_a_newer_text_tells_is_known_in_older_ones() -> None:
    evil = "x changed, FLOW STATE added [y"
    older = f"NAME changed from [Story] to [{evil}], READY changed from [false] to [true]"
    past = past_of(CREATED, (1, 5, older), (2, 10, f"NAME changed from [{evil}] to [Story]"))
    assert named(past) == [("Name", "Story", evil), ("Ready", "false", "true"), ("Name", evil, "Story")]
    assert past.whole


@pytest.mark.parametrize("now", ["Defined", "In-Progress", "Completed"])
def test_a_spelled_out_clause_that_leads_nowhere_is_not_believed(now: str) -> None:
    text = f"READY changed from [false] to [true], BLOCKED REASON removed [{EVIL}]"
    past = past_of(CREATED, (1, 5, text), now=now)
    assert named(past) == [("Ready", "false", "true")]
    assert [each.text for each in past.unread] == [text]
    assert verdict(past, now=now) is Verdict.INCOMPLETE


def test_a_spelled_out_clause_that_comes_from_nowhere_is_not_believed() -> None:
    past = past_of(CREATED, (1, 5, state("Defined", "Completed")), (2, 10, f"BLOCKED REASON removed [{EVIL}]"))
    assert states(past) == [(5, "Defined", "Completed")]
    assert not past.whole


def test_no_field_changes_twice_in_one_save() -> None:
    text = f"{state('Defined', 'In-Progress')}, FLOW STATE changed from [a] to [{EVIL}]"
    past = past_of(CREATED, (1, 5, text))
    assert past.changes == ()
    assert [each.text for each in past.unread] == [text]


def test_a_renaming_behind_a_text_that_is_known_is_a_renaming() -> None:
    its = [revision(*CREATED), revision(1, 5, f"NAME changed from [a] to [b], {state('Open', 'Doing')}")]
    past = RevisionReader(TrackedFields.of(), lambda *_: None).read(
        its, project=ProjectAt("A"), collections={}, present={"ScheduleState": "Active", "Name": "b"}
    )
    assert named(past) == [("ScheduleState", "Open", "Active"), ("Name", "a", "b")]


def test_links_follow_numbers_and_a_cut_text_tells_none() -> None:
    its = [revision(1, 1000, "PREDECESSORS added [US1: a]"), revision(2, 990, "PREDECESSORS removed [US1: a]")]
    assert find_links(its) == {"Predecessors": ()}
    assert find_links([*its, revision(3, 2000, LONG)]) == {}


def tied(*texts: str, now: str = "Accepted", tags: Sequence[str] = (), project: ProjectAt | None = None) -> ItemHistory:
    """The past of saves within one millisecond."""
    told = [(number, 1000, text) for number, text in enumerate(texts, start=1)]
    return past_of(CREATED, *told, now=now, tags=tags, project=project)


@pytest.mark.parametrize(
    "way",
    [
        ("Defined", "In-Progress", "Accepted"),
        ("Accepted", "Defined", "Accepted"),
        ("Defined", "In-Progress", "Completed", "Accepted"),
        ("Accepted", "Defined", "Accepted", "Defined", "Accepted"),
    ],
)
def test_saves_of_one_instant_follow_their_numbers(way: Sequence[str]) -> None:
    past = tied(*(state(before, after) for before, after in pairwise(way)))
    assert states(past) == [(1000, before, after) for before, after in pairwise(way)]
    assert verdict(past) is Verdict.COMPLETE


def test_a_renaming_between_saves_of_one_instant_and_now_is_inferred() -> None:
    past = tied(state("Defined", "Doing"), state("Doing", "Done"), state("Done", "Doing"), now="Active")
    assert [each[1:] for each in states(past)] == [("Defined", "Active"), ("Active", "Done"), ("Done", "Active")]


@pytest.mark.parametrize(
    ("texts", "tags", "expected"),
    [
        (("TAGS added [x]", "TAGS added [y]"), ("x", "y"), [((), ("x",)), (("x",), ("x", "y"))]),
        (("TAGS added [x]", "TAGS removed [x]"), (), [((), ("x",)), (("x",), ())]),
        (("TAGS removed [x]", "TAGS added [x]"), ("x",), [(("x",), ()), ((), ("x",))]),
    ],
)
def test_tags_of_one_instant_come_and_go_in_order(
    texts: Sequence[str], tags: Sequence[str], expected: Sequence[Any]
) -> None:
    past = tied(*texts, tags=tags)
    assert [(each.before, each.after) for each in past.changes] == expected
    assert verdict(past, tags=tags) is Verdict.COMPLETE


def test_nothing_is_inferred_across_a_cut_text_between_saves_of_one_instant() -> None:
    past = tied(state("Defined", "In-Progress"), LONG, state("Completed", "Accepted"))
    assert [each[1:] for each in states(past)] == [("Defined", "In-Progress"), ("Completed", "Accepted")]
    assert verdict(past) is Verdict.INCOMPLETE


def test_what_happens_in_one_instant_stays_in_order_across_fields() -> None:
    past = tied(
        state("Defined", "Accepted"), "Moved to Recycle Bin", "Recovered from Recycle Bin", "TAGS added [x]", tags=["x"]
    )
    assert [each.field for each in past.changes] == ["ScheduleState", "Recycled", "Recycled", "Tags"]


MOVE = "PROJECT changed from [B] to [A]"
SPRINT = "ITERATION changed from [] to [Sprint 1]"
UNPLANNED = "ITERATION changed from [Sprint 1] to []"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        # In one save it is clear which project a sprint belongs to.
        ((f"{MOVE}, {SPRINT}",), 11),
        ((f"{MOVE}, {UNPLANNED}",), 12),
        # Planned in the old project, or by the save that moved it.
        ((SPRINT, MOVE), None),
        ((MOVE, SPRINT), 11),
        # Taken out by the move, or in the new project afterwards.
        ((MOVE, UNPLANNED), None),
        ((UNPLANNED, MOVE), 12),
    ],
)
def test_a_sprint_beside_a_move_has_an_id_only_where_one_project_can_be_meant(
    texts: Sequence[str], expected: int | None
) -> None:
    (sprint,) = [each for each in tied(*texts, project=ProjectAt("A", 1)).changes if each.field == "Iteration"]
    assert (sprint.after or sprint.before) == TimeboxValue(expected, "Sprint 1")


@pytest.mark.parametrize(
    ("told", "now"),
    [
        # "Defined" became another name, and then "Accepted" became "Defined".
        ([("Defined", "Accepted"), ("Defined", "In-Progress")], "In-Progress"),
        # "Defined" became another name, and then "In-Progress" became "Defined".
        ([("Defined", "In-Progress")], "Defined"),
        # "Ready" became "In-Progress" once "Defined" had become "Ready".
        ([("Defined", "Ready"), ("Ready", "Accepted"), ("Accepted", "Defined")], "Ready"),
    ],
)
def test_a_name_that_went_from_one_state_to_another_leaves_a_past_incomplete(
    told: Sequence[tuple[str, str]], now: str
) -> None:
    past = past_of(CREATED, *((number, number, state(*each)) for number, each in enumerate(told, start=1)), now=now)
    assert not past.whole
    assert verdict(past, now=now) is Verdict.INCOMPLETE
    assert all(before != after for _, before, after in states(past))


def test_a_spelled_out_clause_of_a_field_that_the_item_does_not_have_is_not_believed() -> None:
    spelled_out = "TAGS removed [x], STATE changed from [Open] to [Fixed]"
    past = past_of(CREATED, (1, 5, state("Defined", "Accepted")), (2, 9, spelled_out))
    assert named(past) == [("ScheduleState", "Defined", "Accepted")]
    assert [each.text for each in past.unread] == [spelled_out]
    assert verdict(past) is Verdict.INCOMPLETE
