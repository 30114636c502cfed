"""Parcels are bounded by count and by bytes, lose nothing, and are what the wire expects."""

from datetime import timedelta

import orjson
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.accelerate.payload import Address, Limits, Packed, batches, body, item_in, pack
from rally_accelerate.model.issue import HistoryEntry, Project, Release, Sprint
from support.models import NOW, issue

ADDRESS = Address(source="RALLY", tracker_id="t", tenant_id="n", base_url="https://rally.example")


@given(
    st.lists(st.integers(min_value=1, max_value=400), max_size=40),
    st.integers(min_value=1, max_value=7),
    st.integers(min_value=300, max_value=1500),
)
def test_batches_keep_order_and_limits_and_lose_nothing(sizes: list[int], items: int, size: int) -> None:
    packed = [Packed(str(number), str(number), b"x" * length) for number, length in enumerate(sizes)]
    limits = Limits(items=items, size=size)
    made = list(batches(packed, limits=limits, address=ADDRESS))
    assert [one for batch in made for one in batch] == packed
    for batch in made:
        assert 1 <= len(batch) <= items
        assert len(batch) == 1 or len(body(batch, address=ADDRESS)) <= size


def test_the_limit_counts_every_byte_of_the_body() -> None:
    """Commas between issues included: around each exact size of a body no batch is larger than the limit."""
    packed = [Packed(str(number), str(number), b"{" + b"x" * 20 + b"}") for number in range(12)]
    for count in range(2, 13):
        exact = len(body(packed[:count], address=ADDRESS))
        for size in range(exact - count, exact + 2):
            made = list(batches(packed, limits=Limits(items=100, size=size), address=ADDRESS))
            assert [one for batch in made for one in batch] == packed
            assert max(len(body(batch, address=ADDRESS)) for batch in made) <= size
            # Nor is a batch cut off where one more issue, with its comma, would fit.
            assert len(made[0]) >= min(count - 1, 12)


def test_a_body_is_one_graphql_request() -> None:
    request = orjson.loads(body([pack(issue(1)), pack(issue(2))], address=ADDRESS))
    assert request["operationName"] == "uploadIssueData"
    data = request["variables"]["data"]
    assert (data["source"], data["trackerId"], data["tenantId"]) == ("RALLY", "t", "n")
    assert [item["id"] for item in data["issues"]] == ["US1", "US2"]


def test_history_is_sent_as_vendor_plugins_send_it() -> None:
    entry = HistoryEntry(instant=NOW, field="status", before="", after="Defined", user="Sample User")
    (sent,) = item_in(issue(history=(entry,)))["history"]
    assert sent == {
        "timestamp": str(int(NOW.timestamp() * 1000)),
        "content": {
            "field": "status",
            "type": "string",
            "from": "",
            "to": "Defined",
            "user": "Sample User",
            "userDisplayName": "Sample User",
        },
    }


def test_what_was_taken_off_is_told() -> None:
    item = item_in(issue())
    assert item["owner"] is None
    assert item["labels"] == item["sprints"] == item["releases"] == []


def test_sprints_and_releases_leave_out_what_is_not_known() -> None:
    sprint = Sprint(id="1", name="S", start=NOW, end=NOW + timedelta(days=14))
    item = item_in(issue(sprints=(sprint,), releases=(Release(id="2", name="R"),), project=Project(id="3", name="P")))
    assert set(item["sprints"][0]) == {"id", "name", "startTime", "endTime"}
    assert item["releases"] == [{"id": "2", "name": "R"}]
    assert item["project"] == {"id": "3", "key": "", "name": "P"}


def test_the_same_issue_is_the_same_bytes() -> None:
    assert pack(issue(labels=("b", "a"))).body == pack(issue(labels=("b", "a"))).body


def test_people_are_told_apart_by_their_ids_and_named_for_people() -> None:
    by = [HistoryEntry(NOW, "status", "a", "b", "Sample User", user_id=its_id) for its_id in ("77", "")]
    found = [each["content"] for each in item_in(issue(history=tuple(by)))["history"]]
    assert [(each["user"], each["userDisplayName"]) for each in found] == [
        ("77", "Sample User"),
        ("Sample User", "Sample User"),
    ]
