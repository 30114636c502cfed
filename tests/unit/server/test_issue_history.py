"""What an issue was at an instant: the present undone, and what the history does not tell is said to be untold."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.server.issue_history import Certainty, FieldState, compute_state_at, list_former_sprints, to_texts

CREATED = 1_000


def entry(at: int, field: str, before: Any, after: Any) -> dict[str, Any]:
    return {"timestamp": at, "content": {"field": field, "from": before, "to": after}}


def issue(*history: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "_id": "1",
        "id": "US1",
        "name": "n",
        "status": "D",
        "type": "Story",
        "created": CREATED,
        **more,
        "history": list(history),
    }


def field(found: dict[str, Any], instant: int, name: str) -> FieldState:
    (one,) = [each for each in compute_state_at(found, instant).fields if each.field == name]
    return one


STATUS = (entry(2_000, "status", "A", "B"), entry(3_000, "status", "B", "C"), entry(4_000, "status", "C", "D"))


@pytest.mark.parametrize(
    ("instant", "value"),
    [(1_000, "A"), (1_999, "A"), (2_000, "B"), (2_999, "B"), (3_000, "C"), (4_000, "D"), (9_000, "D")],
)
def test_a_change_holds_from_its_instant_on(instant: int, value: str) -> None:
    was = field(issue(*STATUS), instant, "status")
    assert (was.value, was.sure) == ((value,), Certainty.RECORDED)
    assert was.differs is (value != "D")


def test_before_its_creation_there_is_nothing() -> None:
    assert compute_state_at(issue(*STATUS), CREATED - 1).existed is False


def test_what_no_change_is_known_of_is_said_to_be_as_today() -> None:
    was = field(issue(owner="O"), CREATED, "owner")
    assert (was.value, was.sure, was.differs) == (("O",), Certainty.UNRECORDED, False)


def test_a_gap_in_a_history_is_told_on_both_of_its_sides() -> None:
    broken = issue(STATUS[0], STATUS[2])
    assert field(broken, 2_500, "status") == FieldState("status", ("C",), ("D",), Certainty.GAP)
    assert field(broken, 1_500, "status").sure is Certainty.RECORDED
    behind = issue(STATUS[0], status="Z")
    assert field(behind, 5_000, "status") == FieldState("status", ("Z",), ("Z",), Certainty.GAP)


def test_a_change_that_does_not_tell_what_it_changed() -> None:
    half = {"timestamp": 3_000, "content": {"field": "status", "to": "D"}}
    assert field(issue(half), 2_000, "status").sure is Certainty.LOST
    # The change before it knows.
    assert field(issue(STATUS[0], half), 2_500, "status") == FieldState("status", ("B",), ("D",), Certainty.RECORDED)
    assert field(issue(STATUS[0], half), 1_500, "status").value == ("A",)


def test_sprints_are_those_of_the_time_and_former_ones_are_not_the_present() -> None:
    sprints = [{"id": "1", "name": "S1", "previous": True}, {"id": "2", "name": "S2"}]
    moved = entry(2_000, "sprint", [{"id": "1", "name": "S1"}], [{"id": "2", "name": "S2"}])
    found = issue(moved, sprints=sprints)
    assert field(found, 1_500, "sprint") == FieldState("sprint", ("S1",), ("S2",), Certainty.RECORDED)
    assert field(found, 2_000, "sprint") == FieldState("sprint", ("S2",), ("S2",), Certainty.RECORDED)


SPRINTS = [{"id": "1", "name": "S1"}, {"id": "2", "name": "S2"}, {"id": "3", "name": "S2"}]


@pytest.mark.parametrize(
    ("history", "former"),
    [
        ((), []),
        ((entry(2_000, "sprint", ["S1"], ["S2"]),), ["1"]),
        ((entry(2_000, "sprint", "S2", "S1"),), ["2", "3"]),
        ((entry(2_000, "sprints", ["S2"], []),), ["1", "2", "3"]),
        ((entry(3_000, "sprint", [], ["S1"]), entry(2_000, "sprint", ["S1"], [])), ["2", "3"]),
        # As earlier versions sent it.
        ((entry(2_000, "sprint", [{"id": "1", "name": "S1"}], [{"id": "3", "name": "S2"}]),), ["1", "2"]),
        # Renamed since: the present one is the last.
        ((entry(2_000, "sprint", ["S1"], ["Former name"]),), ["1", "2"]),
        # Broken entries of other plug-ins.
        ((entry(2_000, "sprint", ["S1"], ["S2"]), {"timestamp": 3_000, "content": {"field": "sprint"}}), ["1"]),
    ],
)
def test_the_last_change_tells_former_sprints_from_the_present_one(history: Any, former: list[str]) -> None:
    found = issue(*history, sprints=SPRINTS)
    assert [each["id"] for each in list_former_sprints(found)] == former


def test_numbers_lists_and_the_tools_own_fields() -> None:
    found = issue(
        entry(2_000, "storyPoints", "3.0", "5"),
        entry(2_000, "labels", ["a"], ["b", "a"]),
        entry(2_000, "flowState", "x", "y"),
        entry(2_000, "severity", "", "Minor"),
        entry(2_000, "c_team", "old", "new"),
        storyPoints=5.0,
        labels=["a", "b"],
        rawIssue={"FlowState": "y", "Severity": "Minor"},
    )
    assert field(found, 1_500, "storyPoints") == FieldState("storyPoints", ("3",), ("5",), Certainty.RECORDED)
    assert field(found, 2_000, "labels") == FieldState("labels", ("a", "b"), ("a", "b"), Certainty.RECORDED)
    assert field(found, 1_500, "flowState") == FieldState("flowState", ("x",), ("y",), Certainty.RECORDED)
    assert field(found, 1_500, "severity") == FieldState("severity", (), ("Minor",), Certainty.RECORDED)
    assert field(found, 1_500, "c_team") == FieldState("c_team", ("old",), ("new",), Certainty.RECORDED)


def test_values_that_are_written_differently_are_the_same() -> None:
    assert to_texts(True) == to_texts("true")
    assert to_texts(3) == to_texts(3.0) == to_texts("3") == to_texts("3.00")
    assert to_texts({"id": "1", "name": "S"}) == to_texts("S") == to_texts([{"name": "S"}])
    assert to_texts(None) == to_texts("") == to_texts([]) == ()


VALUES = st.sampled_from(["", "a", "b", "c"])
FIELDS = st.sampled_from(["status", "owner", "labels", "custom"])


@given(st.lists(st.tuples(st.integers(CREATED, CREATED + 20), FIELDS, VALUES), max_size=25), st.data())
def test_undoing_a_true_history_gives_what_was(moves: list[tuple[int, str, str]], data: st.DataObject) -> None:
    """Live through random changes, write them down, and ask for any instant: what was is what is told."""
    first = {name: data.draw(VALUES) for name in ("status", "owner", "labels", "custom")}
    lived = [(CREATED, dict(first))]
    history, state = [], dict(first)
    for at, name, value in sorted(moves, key=lambda move: move[0]):
        history.append(entry(at, name, state[name], value))
        state = {**state, name: value}
        lived.append((at, state))
    found = issue(
        *history,
        status=state["status"],
        owner=state["owner"],
        labels=[state["labels"]],
        rawIssue={"custom": state["custom"]},
    )
    changed = {name for _, name, _ in moves}
    for instant in {CREATED, CREATED + 100, data.draw(st.integers(CREATED, CREATED + 30))}:
        was = [then for at, then in lived if at <= instant][-1]
        told = {each.field: each for each in compute_state_at(found, instant).fields}
        for name in changed:
            assert told[name].value == to_texts(was[name])
            assert told[name].sure is Certainty.RECORDED
        for name in {"status", "owner", "labels"} - changed:
            assert name not in told or told[name].sure is Certainty.UNRECORDED


TEXTS = st.text(max_size=4)
ANY = st.one_of(st.none(), st.integers(), TEXTS, st.lists(TEXTS, max_size=2), st.dictionaries(TEXTS, TEXTS, max_size=2))
CONTENTS = st.none() | st.dictionaries(st.sampled_from(["field", "from", "to"]), ANY)
ENTRIES = st.fixed_dictionaries({"timestamp": st.none() | st.integers(0, 10**15), "content": CONTENTS})


@given(st.lists(ENTRIES, max_size=5), st.integers(0, 10**15))
def test_any_history_gives_an_answer_and_now_is_always_the_present(history: list[dict[str, Any]], instant: int) -> None:
    found = issue(*history, labels=["x"], storyPoints=2.5)
    compute_state_at(found, instant)
    for each in compute_state_at(found, 10**16).fields:
        assert each.value == each.now
