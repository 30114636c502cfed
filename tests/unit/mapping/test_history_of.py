"""The entries of a history: their order, and what a deletion and a restoration become."""

from rally_accelerate.mapping.history import UNPARSED_FIELD, map_history
from rally_accelerate.mapping.item_types import get_kind
from rally_accelerate.rally.records import RECYCLED, FieldChange, ItemHistory, UnparsedChange

STORY = get_kind("hierarchicalrequirement", {})


def entries(
    *changes: FieldChange, unread: tuple[UnparsedChange, ...] = (), status: str = "Defined"
) -> list[tuple[str, ...]]:
    past = ItemHistory(changes=changes, unread=unread)
    found = map_history(past, STORY, status=status, removed="Deleted")
    return [
        (str(entry.instant.microsecond // 1000), entry.field, str(entry.before), str(entry.after)) for entry in found
    ]


def deleted(at: int) -> FieldChange:
    return FieldChange(at, "A", RECYCLED, "", "true")


def restored(at: int) -> FieldChange:
    return FieldChange(at, "A", RECYCLED, "true", "")


def test_texts_that_cannot_be_read_are_among_the_changes_by_time() -> None:
    changes = [FieldChange(at, "A", "ScheduleState", str(at - 1), str(at)) for at in (2, 5, 9)]
    unread = tuple(UnparsedChange(at, "A", f"text {at}") for at in (7, 1))
    found = entries(*changes, unread=unread)
    assert [entry[0] for entry in found] == ["1", "2", "5", "7", "9"]
    assert [entry[1] for entry in found] == [UNPARSED_FIELD, "status", "status", UNPARSED_FIELD, "status"]


def test_a_second_deletion_or_restoration_in_a_row_is_no_change() -> None:
    assert entries(deleted(1), deleted(2), restored(3), restored(4), deleted(5)) == [
        ("1", "status", "Defined", "Deleted"),
        ("3", "status", "Deleted", "Defined"),
        ("5", "status", "Defined", "Deleted"),
    ]


def test_a_restoration_without_a_deletion_is_no_change() -> None:
    assert entries(restored(1)) == []
