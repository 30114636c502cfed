"""Where dots stand, which colour they have, and what a form sent."""

import itertools
import math
from typing import Any

import pytest
from starlette.requests import Request

from rally_accelerate.errors import ConfigError
from rally_accelerate.host.store.search import Row
from rally_accelerate.host.streams.colours import legend_of
from rally_accelerate.host.web.submitted import MOST_BYTES, Submitted, submitted
from rally_accelerate.host.web.sunflower import SIZE, places


@pytest.mark.parametrize("count", [0, 1, 2, 7, 30, 120])
def test_dots_stand_inside_the_circle_and_hardly_touch(count: int) -> None:
    spots, radius = places(count)
    assert len(spots) == count
    middle = SIZE / 2
    for x, y in spots:
        assert math.hypot(x - middle, y - middle) + radius <= middle - 2
    for (x, y), (other_x, other_y) in itertools.combinations(spots, 2):
        assert math.hypot(x - other_x, y - other_y) > radius * 1.5


def row(**more: Any) -> Row:
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
    return Row(**{**values, **more})


def test_the_commonest_values_have_tones_of_their_own() -> None:
    legend = legend_of("sprint", [(f"Sprint {number}", 20 - number) for number in range(11)], {})
    assert [tone for _, tone, _ in legend.entries] == ["1", "2", "3", "4", "5", "6", "7", "8", "other"]
    assert legend.entries[-1] == ("3 others", "other", 12 + 11 + 10)
    # The last sprint is the present one.
    assert legend.tone(row(sprints=("Sprint 0", "Sprint 2"))) == "3"
    assert legend.tone(row(sprints=("Sprint 9",))) == "other"
    assert legend.tone(row()) == "none"


def test_priorities_that_the_file_maps_have_the_tones_of_their_ranks() -> None:
    ranks = {"resolve immediately": "Highest", "high attention": "High", "p2": "High"}
    legend = legend_of("priority", [("High Attention", 3), ("P2", 2), ("Odd", 1)], ranks)
    assert legend.entries == (("High", "high", 5), ("not mapped", "other", 1))
    assert legend.tone(row(priority="p2")) == "high"
    assert legend.tone(row(priority="Resolve Immediately")) == "highest"
    assert legend.tone(row(priority="Odd")) == "other"
    assert legend.tone(row()) == "none"


async def sent(content: bytes, kind: str) -> Submitted:
    async def receive() -> Any:
        return {"type": "http.request", "body": content, "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode())]}
    return await submitted(Request(scope, receive))


async def test_a_form_is_read_in_both_forms() -> None:
    plain = await sent(b"a=1&b=%C3%A4+x&a=2&c=", "application/x-www-form-urlencoded")
    assert (plain.text("a"), plain.texts("a"), plain.text("b"), plain.text("c"), plain.text("d")) == (
        "2",
        ["1", "2"],
        "ä x",
        "",
        "",
    )
    body = (
        b'--x-y\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--x-y\r\ncontent-disposition: form-data; name="f"; filename="a;b.json"\r\nContent-Type: text/x\r\n\r\n'
        b"{\r\n--x-z\r\n\x00}\r\n"
        b"--x-y--\r\nafter"
    )
    parts = await sent(body, 'multipart/form-data; boundary="x-y"')
    assert parts.text("a") == "1"
    assert parts.content("f") == b"{\r\n--x-z\r\n\x00}"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"x", "multipart/form-data"),
        (b"a=1&" * 3_000, "application/x-www-form-urlencoded"),
        (b"a" * (MOST_BYTES + 1), "application/x-www-form-urlencoded"),
        (b"--b\r\n\r\n" * 3_000, "multipart/form-data; boundary=b"),
    ],
)
async def test_what_is_no_form_is_refused(content: bytes, kind: str) -> None:
    with pytest.raises(ConfigError):
        await sent(content, kind)
