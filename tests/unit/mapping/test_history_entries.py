"""What each change becomes: its instant, name, values, type and person."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.mapping.history import FIELD_NAMES, UNPARSED_FIELD, UNPARSED_LENGTH, map_history
from rally_accelerate.mapping.item_types import get_kind
from rally_accelerate.mapping.rich_text import convert_html_to_text
from rally_accelerate.model.issue import UNKNOWN_PERSON, HistoryEntry
from rally_accelerate.rally.records import RECYCLED, FieldChange, ItemHistory, TimeboxValue, UnparsedChange

STORY = get_kind("hierarchicalrequirement", {})
#: An instant with milliseconds, in milliseconds.
AT = 1_772_323_200_250
INSTANT = datetime(2026, 3, 1, 0, 0, 0, 250_000, tzinfo=UTC)


def of(*changes: FieldChange, unread: tuple[UnparsedChange, ...] = (), status: str = "Now") -> tuple[HistoryEntry, ...]:
    return map_history(ItemHistory(changes=changes, unread=unread), STORY, status=status, removed="Gone")


def change(field: str, before: Any, after: Any, *, at: int = AT, author: str = "Sample User") -> FieldChange:
    return FieldChange(at, author, field, before, after)


def test_a_change_of_a_text() -> None:
    assert of(change("Name", "a", "b")) == (HistoryEntry(INSTANT, "name", "a", "b", "Sample User", "string"),)


def test_a_change_by_an_unknown_person() -> None:
    (entry,) = of(change("Name", "a", "b", author=""))
    assert entry.user == UNKNOWN_PERSON


@pytest.mark.parametrize(
    ("field", "expected"),
    [*((name, its) for name, its in FIELD_NAMES.items() if name != STORY.status),
     (STORY.status, "status"), ("c_Own", "Own"), ("Other", "Other")],
)  # fmt: skip
def test_the_name_of_a_field(field: str, expected: str) -> None:
    assert [entry.field for entry in of(change(field, "a", "b"))] == [expected]


def test_changes_of_different_saves_have_their_own_instants() -> None:
    entries = of(change("Name", "a", "b"), change("Owner", "c", "d"), change("Name", "b", "c", at=AT + 1000))
    assert [entry.instant.second for entry in entries] == [0, 0, 1]
    assert {entry.instant.tzinfo for entry in entries} == {UTC}


def named(name: str) -> TimeboxValue:
    """Return a reference with a name."""
    return TimeboxValue(1, name)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, "b", ("string", "", "b")),
        ("a", None, ("string", "a", "")),
        (("a",), ("a", "b"), ("stringArray", ["a"], ["a", "b"])),
        (None, ("a",), ("stringArray", [], ["a"])),
        (("a",), None, ("stringArray", ["a"], [])),
        (named("A"), named("B"), ("stringArray", ["A"], ["B"])),
        (None, named("B"), ("stringArray", [], ["B"])),
        (named("A"), None, ("stringArray", ["A"], [])),
        (named("A"), "", ("stringArray", ["A"], [])),
        (named("A"), "Beta", ("stringArray", ["A"], ["Beta"])),
        (named(""), named("B"), ("stringArray", [], ["B"])),
        (named("A"), ("B", "C"), ("stringArray", ["A"], ["B", "C"])),
    ],
)
def test_the_values_and_their_type(before: Any, after: Any, expected: tuple[Any, ...]) -> None:
    (entry,) = of(change("Release", before, after))
    assert (entry.type, entry.before, entry.after) == expected
    if not isinstance(before, str) or not isinstance(after, str):
        assert (entry.instant, entry.field, entry.user) == (INSTANT, "release", "Sample User")


def test_a_text_that_cannot_be_read_is_passed_on_with_its_person() -> None:
    unread = (UnparsedChange(AT, "Sample User", "x" * 2000), UnparsedChange(AT, "", "y"))
    assert of(unread=unread) == (
        HistoryEntry(INSTANT, UNPARSED_FIELD, "", "x" * UNPARSED_LENGTH, "Sample User"),
        HistoryEntry(INSTANT, UNPARSED_FIELD, "", "y", UNKNOWN_PERSON),
    )


def test_a_text_that_cannot_be_read_has_no_markup() -> None:
    text = 'DESCRIPTION changed from [<div>a &amp; b</div>] to [<a href="/slm/x">see</a>]'
    unread = (UnparsedChange(AT, "Sample User", text),)
    (entry,) = map_history(
        ItemHistory(unread=unread), STORY, status="Now", removed="Gone", site="https://rally.example"
    )
    assert entry.after == "DESCRIPTION changed from [\na & b\n] to [see (https://rally.example/slm/x)]"


def test_a_deletion_is_a_change_from_the_status_that_the_item_had() -> None:
    status = STORY.status
    found = of(
        change(status, "A", "B"),
        change(RECYCLED, "", "true"),
        change(RECYCLED, "true", ""),
        change(status, "B", "C"),
        change(RECYCLED, "", "true", author=""),
    )
    assert [(each.field, each.before, each.after) for each in found] == [
        ("status", "A", "B"),
        ("status", "B", "Gone"),
        ("status", "Gone", "B"),
        ("status", "B", "C"),
        ("status", "C", "Gone"),
    ]
    assert [each.user for each in found] == ["Sample User"] * 4 + [UNKNOWN_PERSON]


def test_the_status_of_a_deletion_is_empty_where_a_change_of_it_is_missing() -> None:
    status = STORY.status
    found = of(
        change(status, "A", "B"), change(RECYCLED, "", "true"), change(RECYCLED, "true", ""), change(status, "C", "D")
    )
    assert [(each.before, each.after) for each in found] == [("A", "B"), ("", "Gone"), ("Gone", ""), ("C", "D")]


def test_before_the_first_change_an_item_has_the_status_that_the_change_begins_with() -> None:
    found = of(change(RECYCLED, "", "true"), change("Name", "a", "b"), change(STORY.status, "A", "B"))
    assert (found[0].before, found[0].after) == ("A", "Gone")


def test_an_item_that_already_has_the_status_of_deleted_ones_does_not_change_it() -> None:
    assert of(change(RECYCLED, "", "true"), status="Gone") == ()


def test_changes_of_one_instant_keep_their_order_among_texts() -> None:
    found = of(change("Name", "z", "y"), change("Name", "y", "a"), unread=(UnparsedChange(AT - 1, "", "x"),))
    assert [each.after for each in found] == ["x", "y", "a"]


def test_a_change_at_the_beginning_of_time() -> None:
    (entry,) = of(change("Name", "a", "b", at=0))
    assert entry.instant == datetime(1970, 1, 1, tzinfo=UTC)


def test_rich_values_are_told_as_text_and_all_others_as_they_are() -> None:
    html, link = "<b>a</b><div>b</div>", '<a href="/x">c</a>'
    past = ItemHistory(
        changes=(change("Description", html, link), change("Name", html, "b"), change("Notes", None, html))
    )
    told = map_history(
        past, STORY, status="Now", removed="Gone", rich={"Description", "Notes"}, site="https://r.example"
    )
    assert [(each.field, each.before, each.after) for each in told] == [
        ("Description", convert_html_to_text(html), convert_html_to_text(link, site="https://r.example")),
        ("name", html, "b"),
        ("Notes", "", convert_html_to_text(html)),
    ]
    assert "https://r.example/x" in str(told[0].after)
    without_site = map_history(past, STORY, status="Now", removed="Gone", rich=("Description",))
    assert without_site[0].after == convert_html_to_text(link)
    plain = map_history(past, STORY, status="Now", removed="Gone")
    assert [each.after for each in plain] == [link, "b", html]


def test_a_deletion_among_rich_values_is_told() -> None:
    past = ItemHistory(changes=(change("Description", "<b>a</b>", ""), change(RECYCLED, "", "true")))
    told = map_history(past, STORY, status="Now", removed="Gone", rich=("Description",))
    assert [(each.field, each.before, each.after) for each in told] == [
        ("Description", "a", ""),
        ("status", "Now", "Gone"),
    ]


@pytest.mark.parametrize(
    ("field", "before", "after"), [("Name", "a", "b"), (RECYCLED, "", "true"), ("Tags", (), ("b",))]
)
def test_a_person_is_told_by_id_where_it_is_known(field: str, before: Any, after: Any) -> None:
    for its_id, told in ((77, "77"), (None, "")):
        (entry,) = of(FieldChange(AT, "Sample User", field, before, after, its_id))
        assert (entry.user, entry.user_id) == ("Sample User", told)
        (entry,) = of(unread=(UnparsedChange(AT, "Sample User", "x", its_id),))
        assert (entry.user, entry.user_id) == ("Sample User", told)


DELETED, RESTORED = change(RECYCLED, "", "true"), change(RECYCLED, "true", "")


def statuses(*changes: FieldChange, status: str = "Now") -> list[tuple[Any, Any]]:
    """Return the changes of the status, from the first to the last."""
    return [(each.before, each.after) for each in of(*changes, status=status) if each.field == "status"]


def test_the_status_of_a_deletion_is_not_known_where_a_change_of_it_is_missing() -> None:
    first, later = change(STORY.status, "A", "B"), change(STORY.status, "C", "D")
    assert statuses(first, DELETED, RESTORED, later) == [("A", "B"), ("", "Gone"), ("Gone", ""), ("C", "D")]
    assert statuses(first, DELETED, RESTORED, status="C") == [("A", "B"), ("", "Gone"), ("Gone", "")]
    fitting = change(STORY.status, "B", "D")
    assert statuses(first, DELETED, RESTORED, fitting) == [("A", "B"), ("B", "Gone"), ("Gone", "B"), ("B", "D")]
    assert statuses(first, DELETED, RESTORED, status="B") == [("A", "B"), ("B", "Gone"), ("Gone", "B")]


def test_what_a_deleted_item_had_need_not_be_its_status_now() -> None:
    first = change(STORY.status, "A", "B")
    assert statuses(first, DELETED, status="C") == [("A", "B"), ("B", "Gone")]
    # The last of several tells whether it is deleted.
    again = statuses(first, DELETED, RESTORED, DELETED, status="C")
    assert again == [("A", "B"), ("B", "Gone"), ("Gone", "B"), ("B", "Gone")]
    assert statuses(first, DELETED, RESTORED, DELETED, RESTORED, status="C")[1:] == [("", "Gone"), ("Gone", "")] * 2


def test_the_status_of_a_deletion_is_known_from_the_changes_after_it_alone() -> None:
    before, after = change(STORY.status, "X", "A"), change(STORY.status, "A", "B")
    assert statuses(before, DELETED, RESTORED, after) == [("X", "A"), ("A", "Gone"), ("Gone", "A"), ("A", "B")]
    assert statuses(before, change("Name", "a", "b"), DELETED, status="Z")[1:] == [("A", "Gone")]
