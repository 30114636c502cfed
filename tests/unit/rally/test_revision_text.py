"""Revision texts are read whole and in one way, or left as one unparsed change.

See rally-api-notes.md#revision-texts, rally-api-notes.md#revision-examples and rally-api-notes.md#ambiguous-texts.
"""

import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rally_accelerate.rally.revision_text import (
    TOO_LONG,
    Change,
    Cut,
    Sentence,
    Unparsed,
    Verb,
    is_cut,
    parse,
    unescape,
)


def changed(label: Any, before: Any, after: Any) -> Any:
    return Change(label, before, after)


def added(label: Any, value: Any) -> Any:
    return Change(label, None, value, Verb.ADDED)


def removed(label: Any, value: Any) -> Any:
    return Change(label, value, None, Verb.REMOVED)


UP, DOWN = (Change("RANK", None, where, Verb.MOVED) for where in ("up", "down"))

#: Texts of every shape in rally-api-notes.md#revision-examples.
EXAMPLES = {
    "Original revision": (Sentence("Original revision"),),
    "SCHEDULE STATE changed from [In-Progress] to [Accepted], FLOW STATE CHANGED DATE changed from "
    "[Tue Sep 11 15:03:13 MDT 2018] to [Tue Sep 11 15:03:16 MDT 2018], FLOW STATE changed from [In-Progress] to "
    "[Accepted], ACCEPTED DATE added [Tue Sep 11 15:03:16 MDT 2018]": (
        changed("SCHEDULE STATE", "In-Progress", "Accepted"),
        changed("FLOW STATE CHANGED DATE", "Tue Sep 11 15:03:13 MDT 2018", "Tue Sep 11 15:03:16 MDT 2018"),
        changed("FLOW STATE", "In-Progress", "Accepted"),
        added("ACCEPTED DATE", "Tue Sep 11 15:03:16 MDT 2018"),
    ),
    "SCHEDULE STATE changed from [Accepted] to [Defined], FLOW STATE CHANGED DATE changed from "
    "[Tue Sep 11 15:03:16 MDT 2018] to [Tue Sep 11 15:03:50 MDT 2018], FLOW STATE changed from [Accepted] to "
    "[Defined], ACCEPTED DATE removed [Tue Sep 11 15:03:16 MDT 2018], IN PROGRESS DATE removed "
    "[Tue Sep 11 14:58:01 MDT 2018]": (
        changed("SCHEDULE STATE", "Accepted", "Defined"),
        changed("FLOW STATE CHANGED DATE", "Tue Sep 11 15:03:16 MDT 2018", "Tue Sep 11 15:03:50 MDT 2018"),
        changed("FLOW STATE", "Accepted", "Defined"),
        removed("ACCEPTED DATE", "Tue Sep 11 15:03:16 MDT 2018"),
        removed("IN PROGRESS DATE", "Tue Sep 11 14:58:01 MDT 2018"),
    ),
    "SCHEDULE STATE changed from [Completed] to [Accepted], READY changed from [true] to [false], FLOW STATE CHANGED "
    "DATE changed from [Wed Dec 27 04:03:08 MST 2023] to [Thu Jan 04 01:29:50 MST 2024], FLOW STATE changed from "
    "[In Acceptance] to [Done], ACCEPTED DATE added [Thu Jan 04 01:29:50 MST 2024]": (
        changed("SCHEDULE STATE", "Completed", "Accepted"),
        changed("READY", "true", "false"),
        changed("FLOW STATE CHANGED DATE", "Wed Dec 27 04:03:08 MST 2023", "Thu Jan 04 01:29:50 MST 2024"),
        changed("FLOW STATE", "In Acceptance", "Done"),
        added("ACCEPTED DATE", "Thu Jan 04 01:29:50 MST 2024"),
    ),
    "BLOCKED REASON changed from [Some blocked description] to [Some another blocker description], ITERATION changed "
    "from [24Q1 Sprint 3] to [24Q1 Sprint 4]": (
        changed("BLOCKED REASON", "Some blocked description", "Some another blocker description"),
        changed("ITERATION", "24Q1 Sprint 3", "24Q1 Sprint 4"),
    ),
    "FLOW STATE CHANGED DATE changed from [Fri Aug 02 08:36:58 MDT 2019] to [Mon Aug 05 13:29:00 MDT 2019], FLOW "
    "STATE changed from [Ready For Prod] to [Deployed]": (
        changed("FLOW STATE CHANGED DATE", "Fri Aug 02 08:36:58 MDT 2019", "Mon Aug 05 13:29:00 MDT 2019"),
        changed("FLOW STATE", "Ready For Prod", "Deployed"),
    ),
    "FLOW STATE CHANGED DATE changed from [Tue Jul 02 13:51:45 MDT 2019] to [Fri Aug 09 14:31:57 MDT 2019], FLOW "
    "STATE changed from [DEPLOYED TO STAGE/PERF] to [DONE [DEPLOYED TO PROD]]": (
        changed("FLOW STATE CHANGED DATE", "Tue Jul 02 13:51:45 MDT 2019", "Fri Aug 09 14:31:57 MDT 2019"),
        changed("FLOW STATE", "DEPLOYED TO STAGE/PERF", "DONE [DEPLOYED TO PROD]"),
    ),
    "SCHEDULE STATE changed from [Ready For Prod] to [Deployed]": (
        changed("SCHEDULE STATE", "Ready For Prod", "Deployed"),
    ),
    "SCHEDULE STATE changed from [To-Do] to [In-Progress], READY changed from [true] to [false]": (
        changed("SCHEDULE STATE", "To-Do", "In-Progress"),
        changed("READY", "true", "false"),
    ),
    "SCHEDULE STATE changed from [Defined] to [In-Progress], IN PROGRESS DATE added [Mon Apr 22 23:24:22 MDT 2013]": (
        changed("SCHEDULE STATE", "Defined", "In-Progress"),
        added("IN PROGRESS DATE", "Mon Apr 22 23:24:22 MDT 2013"),
    ),
    "STATE changed from [Prep] to [Ready for Dev], STATE CHANGED DATE changed from [Thu Sep 04 10:29:58 MDT 2014] to "
    "[Tue Nov 04 17:16:21 MST 2014]": (
        changed("STATE", "Prep", "Ready for Dev"),
        changed("STATE CHANGED DATE", "Thu Sep 04 10:29:58 MDT 2014", "Tue Nov 04 17:16:21 MST 2014"),
    ),
    "RANK moved up, SCHEDULE STATE changed from [Defined] to [In-Progress]": (
        UP,
        changed("SCHEDULE STATE", "Defined", "In-Progress"),
    ),
    "RANK moved up, SCHEDULE STATE changed from [In-Progress] to [Completed]": (
        UP,
        changed("SCHEDULE STATE", "In-Progress", "Completed"),
    ),
    "RANK moved down, SCHEDULE STATE changed from [Completed] to [Accepted]": (
        DOWN,
        changed("SCHEDULE STATE", "Completed", "Accepted"),
    ),
    "KANBANSTATES added [Queued Up]": (added("KANBANSTATES", "Queued Up"),),
    "RANK moved down, KANBANSTATES changed from [Develop] to []": (DOWN, changed("KANBANSTATES", "Develop", "")),
    "KANBANSTATE changed from [Dev (Stories)] to [Release Ready]": (
        changed("KANBANSTATE", "Dev (Stories)", "Release Ready"),
    ),
    "NAME changed from [Bill] to [Bob], KANBANSTATE changed from [Dev (Stories)] to [Test (Stories)]": (
        changed("NAME", "Bill", "Bob"),
        changed("KANBANSTATE", "Dev (Stories)", "Test (Stories)"),
    ),
    "READY changed from [false] to [true]": (changed("READY", "false", "true"),),
    "READY changed from [true] to [false], NAME changed from [Import Savings Activation as XML] to [Import Savings "
    "Activation]": (
        changed("READY", "true", "false"),
        changed("NAME", "Import Savings Activation as XML", "Import Savings Activation"),
    ),
    "SCHEDULE STATE changed from [In-Progress] to [Completed], TASK REMAINING TOTAL changed from [1.0] to [0.0]": (
        changed("SCHEDULE STATE", "In-Progress", "Completed"),
        changed("TASK REMAINING TOTAL", "1.0", "0.0"),
    ),
    "ITERATION changed from [Sprint 91] to [Sprint 92]": (changed("ITERATION", "Sprint 91", "Sprint 92"),),
    "RELEASE added [2026-Q3], MILESTONES added [MI43737: (2026-09-22) IOP Salesforce]": (
        added("RELEASE", "2026-Q3"),
        added("MILESTONES", "MI43737: (2026-09-22) IOP Salesforce"),
    ),
    "MILESTONES added [MI1: Salesforce, Billing, Core]": (added("MILESTONES", "MI1: Salesforce, Billing, Core"),),
    "MILESTONES removed [MI43737: IOP Salesforce]": (removed("MILESTONES", "MI43737: IOP Salesforce"),),
    "TAGS added [[US Quality] 28/100 - KO]": (added("TAGS", "[US Quality] 28/100 - KO"),),
    "TASK STATUS changed from [NONE] to [DEFINED], TASKS added [TA1110817: [AGENTQA] Evaluation 28/100]": (
        changed("TASK STATUS", "NONE", "DEFINED"),
        added("TASKS", "TA1110817: [AGENTQA] Evaluation 28/100"),
    ),
    "BLOCKED changed from [false] to [true], BLOCKED REASON changed to [waiting], TAGS removed [urgent]": (
        changed("BLOCKED", "false", "true"),
        changed("BLOCKED REASON", None, "waiting"),
        removed("TAGS", "urgent"),
    ),
    "BLOCKED REASON changed to [waiting for API]": (changed("BLOCKED REASON", None, "waiting for API"),),
    "BLOCKED changed from [true] to [false]": (changed("BLOCKED", "true", "false"),),
    "OWNER changed from [] to [Ada Lovelace]": (changed("OWNER", "", "Ada Lovelace"),),
    "NAME changed from [A &amp; B] to [C &amp; D]": (changed("NAME", "A &amp; B", "C &amp; D"),),
    "DESCRIPTION changed from [<p>Old text.</p>] to [<p>New text:</p><ol><li>First</li><li>Second</li></ol>]": (
        changed("DESCRIPTION", "<p>Old text.</p>", "<p>New text:</p><ol><li>First</li><li>Second</li></ol>"),
    ),
    "NOTES changed from [<p>&nbsp;</p>] to [Something]": (changed("NOTES", "<p>&nbsp;</p>", "Something"),),
    "Original story creation": (Sentence("Original story creation"),),
    "SCHEDULE STATE changed from [] to [Defined]": (changed("SCHEDULE STATE", "", "Defined"),),
    "TASK ESTIMATE TOTAL changed from [118.0] to [88.0]": (changed("TASK ESTIMATE TOTAL", "118.0", "88.0"),),
    "TASK ACTUAL TOTAL changed from [48.0] to [64.0], TASK REMAINING TOTAL changed from [34.0] to [50.0]": (
        changed("TASK ACTUAL TOTAL", "48.0", "64.0"),
        changed("TASK REMAINING TOTAL", "34.0", "50.0"),
    ),
    "TASK ESTIMATE TOTAL changed from [48.0] to [64.0], TASK REMAINING TOTAL changed from [34.0] to [50.0]": (
        changed("TASK ESTIMATE TOTAL", "48.0", "64.0"),
        changed("TASK REMAINING TOTAL", "34.0", "50.0"),
    ),
    "TASK ESTIMATE TOTAL changed from [0.0] to [2.0]": (changed("TASK ESTIMATE TOTAL", "0.0", "2.0"),),
    "PROJECT changed from [Photos.com] to [Madison]": (changed("PROJECT", "Photos.com", "Madison"),),
    "PLANNED VELOCITY added [57.0 Points]": (added("PLANNED VELOCITY", "57.0 Points"),),
    "PLANNED VELOCITY changed from [77.0 Points] to [67.0 Points]": (
        changed("PLANNED VELOCITY", "77.0 Points", "67.0 Points"),
    ),
    "PLANNED VELOCITY removed [67.0 Points]": (removed("PLANNED VELOCITY", "67.0 Points"),),
    "EXPEDITE changed from [false] to [true]": (changed("EXPEDITE", "false", "true"),),
    "PLAN ESTIMATE added [3.0 Points]": (added("PLAN ESTIMATE", "3.0 Points"),),
    "PLAN ESTIMATE changed from [3.0 Points] to [5.0 Points]": (changed("PLAN ESTIMATE", "3.0 Points", "5.0 Points"),),
    "PLAN ESTIMATE removed [5.0 Points]": (removed("PLAN ESTIMATE", "5.0 Points"),),
    "DESCRIPTION changed": (changed("DESCRIPTION", None, None),),
    "DESCRIPTION changed, DISCUSSION added [first post]": (
        changed("DESCRIPTION", None, None),
        added("DISCUSSION", "first post"),
    ),
}


@pytest.mark.parametrize("text", EXAMPLES, ids=range(1, len(EXAMPLES) + 1))
def test_every_public_example_is_read(text: Any) -> None:
    assert parse(text) == EXAMPLES[text]


@pytest.mark.parametrize(
    "text",
    [
        "Moved to Recycle Bin",
        "Recovered from Recycle Bin by Ada",
    ],
)
def test_known_sentences(text: Any) -> None:
    assert parse(text) == (Sentence(text),)


def test_state_is_not_found_in_longer_labels() -> None:
    clauses = parse("FLOW STATE changed from [a] to [b], SCHEDULE STATE changed from [a] to [b]")
    assert clauses == (changed("FLOW STATE", "a", "b"), changed("SCHEDULE STATE", "a", "b"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Added project Phoenix",
        "state changed from [a] to [b]",
        "SCHEDULE STATE changed from [a] to [b] and more",
        "SCHEDULE STATE changed from [a] to [b],READY changed from [a] to [b]x",
        "Hello, SCHEDULE STATE changed from [a] to [b]",
        "SCHEDULE STATE changed from [a]",
        "COLOR",
    ],
)
def test_what_is_not_consumed_whole_stays_one_unparsed_change(text: Any) -> None:
    found = parse(text)
    assert isinstance(found, Unparsed)
    assert found.text == text


@pytest.mark.parametrize(
    "text",
    [
        "NAME changed from [a] to [b] to [c]",
        "TAGS added [smile :]], SCHEDULE STATE changed from [a] to [b]",
        "TAGS added [[x], TAGS removed [y]]",
        # A pasted log inside a description.
        "DESCRIPTION changed from [] to [see: SCHEDULE STATE changed from [a] to [b], READY changed from [c] to [d]!]",
    ],
)
def test_more_than_one_reading_is_never_guessed(text: Any) -> None:
    found = parse(text)
    assert isinstance(found, Unparsed)
    assert found.text == text


def test_one_value_has_one_reading_whatever_its_brackets_do() -> None:
    assert parse("TAGS added [smile :]]") == (added("TAGS", "smile :]"),)
    assert parse("DESCRIPTION changed, TAGS added [a] b]") == (
        changed("DESCRIPTION", None, None),
        added("TAGS", "a] b"),
    )


def test_a_value_that_imitates_a_beginning_is_read_where_nothing_else_fits() -> None:
    assert parse("NAME changed from [a], TAGS added [] to [b]") == (changed("NAME", "a], TAGS added [", "b"),)


def test_known_labels_resolve_a_tie() -> None:
    text = "NAME changed to [a :], OK added [b]"
    assert isinstance(parse(text.replace("[b]", "[b :]]")), Unparsed)
    tie = "NAME changed to [see a], MY LOG added [b :]]"
    assert isinstance(parse(tie), Unparsed)
    assert parse(tie, labels={"NAME"}) == (changed("NAME", None, "see a], MY LOG added [b :]"),)


def test_labels_do_not_disturb_what_is_clear() -> None:
    text = "C FIELD changed from [a] to [b], READY changed from [c] to [d]"
    assert parse(text, labels={"READY"}) == parse(text)


@pytest.mark.parametrize("label", ["ÄNDERUNG", "状態", "C_FIELD 2", "P&L", "100% DONE"])
def test_labels_of_any_script(label: Any) -> None:
    assert parse(f"{label} changed from [a] to [b]") == (changed(label, "a", "b"),)


def test_a_text_that_may_be_cut_is_not_read() -> None:
    whole = f"NAME changed to [{'x' * (3999 - len('NAME changed to []'))}]"
    assert len(whole) == 3999
    assert not isinstance(parse(whole), Unparsed)
    longer = whole.replace("[x", "[xx")
    assert len(longer) == 4000
    assert parse(longer) == Unparsed(longer, "the text may have been cut")


STATE = "SCHEDULE STATE changed from [Defined] to [In-Progress]"


def cut(text: str) -> str:
    """Cut a text as Rally does."""
    return text[:4000]


@pytest.mark.parametrize(
    "value",
    ["x" * 4000, "<p>a [b] c</p> " * 400, "x" * 4000 + "] to [" + "y" * 10, "first] to [second" + "z" * 4000],
    ids=["plain", "brackets", "old value", "new value"],
)
def test_the_clauses_in_front_of_the_cut_are_read(value: str) -> None:
    text = cut(f"{STATE}, READY changed from [false] to [true], DESCRIPTION changed from [{value}] to [z]")
    assert is_cut(text)
    found = parse(text)
    assert isinstance(found, tuple)
    *read, rest = found
    assert read == [changed("SCHEDULE STATE", "Defined", "In-Progress"), changed("READY", "false", "true")]
    assert isinstance(rest, Cut)
    assert text.endswith(f", {rest.text}")
    assert rest.text.startswith("DESCRIPTION changed from [")


@pytest.mark.parametrize("left", range(3920, 3999))
def test_wherever_the_cut_is_nothing_behind_it_is_made_up(left: int) -> None:
    front = f"NOTES changed from [] to [{'x' * (left - len('NOTES changed from [] to [], '))}], "
    text = cut(f"{front}{STATE}, READY changed from [false] to [true], TAGS added [a]")
    assert len(text) == 4000
    found = parse(text)
    clauses = () if isinstance(found, Unparsed) else found
    written = (parse(front[:-2]), parse(STATE), parse("READY changed from [false] to [true]"))
    every = [clause for each in written if isinstance(each, tuple) for clause in each]
    assert [clause for clause in clauses if not isinstance(clause, Cut)] == every[: len(clauses) - 1 if clauses else 0]


@pytest.mark.parametrize("rest", ["", ",", ", ", ", NOT", ", NOTES chan"])
def test_a_complete_state_in_front_of_the_cut_is_read(rest: str) -> None:
    front = "NOTES changed from [] to []"
    front = f"{front[:-1]}{'x' * (4000 - len(f'{front}, {STATE}{rest}'))}], "
    text = f"{front}{STATE}{rest}"
    assert len(text) == 4000
    found = parse(text, short={"SCHEDULE STATE"})
    assert isinstance(found, tuple)
    assert [each.label for each in found if isinstance(each, Change)] == ["NOTES", "SCHEDULE STATE"]
    assert found[-1] == Cut(rest.removeprefix(",").strip())


@pytest.mark.parametrize(
    "rest", ["DESCRIPTION changed from [xxx", "DESCRIP", "DESCRIPTION changed from [a] to [b", "READY chan", ""]
)
def test_the_clauses_in_front_of_a_cut_at_any_length_are_read(rest: str) -> None:
    found = parse(f"{STATE}, {rest}", short={"SCHEDULE STATE"})
    assert found == (changed("SCHEDULE STATE", "Defined", "In-Progress"), Cut(rest))


def test_a_cut_value_that_imitates_clauses_is_not_believed() -> None:
    log = "DESCRIPTION changed from [] to [see [x], SCHEDULE STATE changed from [a] to [b], READY added [c] and so on "
    assert isinstance(parse(cut(log + "x" * 4000)), Unparsed)
    # What comes before the free text cannot be part of it.
    text = cut(f"{STATE}, {log}{'x' * 4000}")
    assert isinstance(parse(text), Unparsed)
    assert parse(text, short={"SCHEDULE STATE"}) == (
        changed("SCHEDULE STATE", "Defined", "In-Progress"),
        Cut(text[len(STATE) + 2 :]),
    )


def test_length_is_counted_as_rally_counts_it() -> None:
    text = f"NAME changed to [{'😀' * 1991}]"
    assert len(text) < 2100
    assert is_cut(text)
    assert not is_cut(text.replace("😀", "x"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DESCRIPTION changed from [<p>long", True),
        ("DESCRIPTION changed from [a] to [b], NOTES chan", True),
        ("DESCRIPTION changed", False),
        ("RANK moved up", False),
        (STATE, False),
        ("Added project Phoenix", False),
    ],
)
def test_a_text_that_ends_inside_a_clause_was_cut(text: str, expected: bool) -> None:
    assert is_cut(text) is expected


def test_a_value_too_long_to_display_is_a_value() -> None:
    text = f"DESCRIPTION changed from [{TOO_LONG}] to [short], NAME changed from [a] to [b]"
    assert parse(text) == (changed("DESCRIPTION", TOO_LONG, "short"), changed("NAME", "a", "b"))


def test_entities_stay_until_asked_for() -> None:
    assert parse("NAME changed from [A &amp; B] to [x]") == (changed("NAME", "A &amp; B", "x"),)
    assert unescape("A &amp; B") == "A & B"


def test_newlines_in_values() -> None:
    assert parse("NOTES changed from [a\nb] to [c\n\nd], READY added [x]") == (
        changed("NOTES", "a\nb", "c\n\nd"),
        added("READY", "x"),
    )


def render(clause: Any) -> Any:
    match clause:
        case Change(label, None, after, Verb.ADDED):
            return f"{label} added [{after}]"
        case Change(label, before, None, Verb.REMOVED):
            return f"{label} removed [{before}]"
        case Change(label, None, after, Verb.MOVED):
            return f"{label} moved {after}"
        case Change(label, None, None):
            return f"{label} changed"
        case Change(label, None, after):
            return f"{label} changed to [{after}]"
        case Change(label, before, after):
            return f"{label} changed from [{before}] to [{after}]"


def pairs_up(value: Any) -> Any:
    depth = 0
    for char in value:
        depth += {"[": 1, "]": -1}.get(char, 0)
        if depth < 0:
            return False
    return depth == 0


# Values made of everything that the grammar is made of, so that imitations come up often.
pieces = st.sampled_from(
    [
        "[",
        "]",
        ", ",
        " to ",
        "] to [",
        "], ",
        "a",
        "B",
        " ",
        "STATE",
        " changed from [",
        " changed",
        " added [",
        "\n",
        "&amp;",
        "up, ",
    ]
)
values = st.lists(pieces, max_size=6).map("".join)
labels = st.sampled_from(["STATE", "SCHEDULE STATE", "FLOW STATE CHANGED DATE", "TAGS", "C FIELD 2"])
clauses = st.one_of(
    st.builds(changed, labels, values, values),
    st.builds(lambda label, value: changed(label, None, value), labels, values),
    st.builds(lambda label: changed(label, None, None), labels),
    st.builds(added, labels, values),
    st.builds(removed, labels, values),
    st.sampled_from([UP, DOWN]),
)


@given(st.lists(clauses, min_size=1, max_size=4))
def test_what_is_read_is_what_was_written_or_nothing_is_read(written: Any) -> None:
    """Values whose brackets pair up are never misread, whatever they imitate."""
    assume(all(pairs_up(value) for clause in written for value in (clause.before, clause.after) if value is not None))
    text = ", ".join(map(render, written))
    found = parse(text)
    assert isinstance(found, Unparsed) or found == tuple(written)


@given(st.lists(clauses, min_size=1, max_size=4))
def test_ordinary_values_are_always_read(written: Any) -> None:
    plain = all(
        not re.search(r"[\[\]]|, | changed", value)
        for clause in written
        for value in (clause.before, clause.after)
        if value is not None
    )
    assume(plain)
    assert parse(", ".join(map(render, written))) == tuple(written)


@given(st.text(alphabet="AB []to,changedfromupwn", max_size=60))
def test_any_text_is_read_or_left_whole(text: Any) -> None:
    found = parse(text)
    if isinstance(found, Unparsed):
        assert found.text == text
    else:
        assert ", ".join(render(clause) for clause in found) == text
