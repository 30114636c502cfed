"""Links are read from revisions' words, or not at all."""

from datetime import UTC, datetime, timedelta

import pytest

from rally_accelerate.rally.records import Revision
from rally_accelerate.rally.revision_changes import find_links

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def saves(*texts: str) -> list[Revision]:
    return [
        Revision(history_id=1, number=number, instant=BEGIN + timedelta(hours=number), user="", description=text)
        for number, text in enumerate(texts)
    ]


def test_members_come_and_go_in_the_order_of_the_saves() -> None:
    texts = saves(
        "Original revision",
        "PREDECESSORS added [US12: The first], PREDECESSORS added [US3: Another, with commas], READY added [x]",
        "PREDECESSORS removed [US12: Renamed since], SUCCESSORS added [US7: One]",
        "DEFECT SUITES added [DS2: Suite], DUPLICATES added [DE5: Twin]",
    )
    expected = {"Predecessors": ("US3",), "Successors": ("US7",), "DefectSuites": ("DS2",), "Duplicates": ("DE5",)}
    assert find_links(texts) == expected
    assert find_links(texts[::-1]) == expected


def test_what_was_removed_and_added_again_is_there() -> None:
    assert find_links(saves("SUCCESSORS added [US7]", "SUCCESSORS removed [US7]", "SUCCESSORS added [US7: x]")) == {
        "Successors": ("US7",)
    }


@pytest.mark.parametrize(
    "text",
    [
        "PREDECESSORS added [no id at all]",
        "PREDECESSORS changed",
        "PREDECESSORS added [US1: a], NAME changed to [b :]]",
        "PREDECESSORS added [value too long to display]",
    ],
)
def test_a_collection_that_cannot_be_read_is_left_out(text: str) -> None:
    assert find_links(saves("PREDECESSORS added [US9: x], SUCCESSORS added [US2: y]", text)) == {"Successors": ("US2",)}


def test_a_name_that_speaks_of_links_links_nothing() -> None:
    assert find_links(saves("NAME changed from [SUCCESSORS added] to [PREDECESSORS added [US1]]")) == {}
