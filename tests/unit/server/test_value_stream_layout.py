"""Where dots stand, and which colour they have."""

import itertools
import math
from typing import Any

import pytest

from rally_accelerate.server.store.issue_search import IssueRow
from rally_accelerate.server.value_streams.layout import build_legend
from rally_accelerate.server.web.value_stream_map import SIZE, dot_positions


@pytest.mark.parametrize("count", [0, 1, 2, 7, 30, 120])
def test_dots_stand_inside_the_circle_and_hardly_touch(count: int) -> None:
    spots, radius = dot_positions(count)
    assert len(spots) == count
    middle = SIZE / 2
    for x, y in spots:
        assert math.hypot(x - middle, y - middle) + radius <= middle - 2
    for (x, y), (other_x, other_y) in itertools.combinations(spots, 2):
        assert math.hypot(x - other_x, y - other_y) > radius * 1.5


def row(**more: Any) -> IssueRow:
    values: dict[str, Any] = {
        "tracker_id": "t",
        "external_id": "1",
        "display_id": "US1",
        "name": "n",
        "type": "Story",
        "status": "Defined",
        "priority": None,
        "owner": None,
        "creator": None,
        "project": None,
        "sprints": (),
        "releases": (),
        "labels": (),
        "story_points": None,
        "created": 0,
        "last_update": 0,
        "status_since": 0,
        "url": "",
        "changes": 0,
    }
    return IssueRow(**{**values, **more})


def test_the_commonest_values_have_tones_of_their_own() -> None:
    legend = build_legend("sprint", [(f"Sprint {number}", 20 - number) for number in range(11)], {})
    assert [tone for _, tone, _ in legend.entries] == ["1", "2", "3", "4", "5", "6", "7", "8", "other"]
    assert legend.entries[-1] == ("3 others", "other", 12 + 11 + 10)
    # The last sprint is the present one.
    assert legend.tone(row(sprints=("Sprint 0", "Sprint 2"))) == "3"
    assert legend.tone(row(sprints=("Sprint 9",))) == "other"
    assert legend.tone(row()) == "none"


def test_priorities_that_the_file_maps_have_the_tones_of_their_ranks() -> None:
    ranks = {"resolve immediately": "Highest", "high attention": "High", "p2": "High"}
    legend = build_legend("priority", [("High Attention", 3), ("P2", 2), ("Odd", 1)], ranks)
    assert legend.entries == (("High", "high", 5), ("not mapped", "other", 1))
    assert legend.tone(row(priority="p2")) == "high"
    assert legend.tone(row(priority="Resolve Immediately")) == "highest"
    assert legend.tone(row(priority="Odd")) == "other"
    assert legend.tone(row()) == "none"
