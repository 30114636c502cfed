"""Every field of an issue has its own place and type in the object that is uploaded."""

from datetime import timedelta

import orjson

from rally_accelerate.accelerate.documents import UPLOAD_ISSUES
from rally_accelerate.accelerate.payload import Address, Limits, Packed, batches, body, item_in, pack
from rally_accelerate.model.issue import (
    Comment,
    HistoryEntry,
    NormalizedType,
    Project,
    Relation,
    RelationType,
    Release,
    Sprint,
)
from support.models import NOW, issue

ADDRESS = Address(source="RALLY", tracker_id="t", tenant_id="n", base_url="https://rally.example")
LATER = NOW + timedelta(days=14)
NOW_MS, LATER_MS = 1_772_323_200_000, 1_773_532_800_000

RELATION = next(iter(RelationType))
FULL = issue(
    7,
    description="Long text",
    creator="Sample Creator",
    owner="Sample Owner",
    normalized_type=NormalizedType.OTHER,
    priority="High",
    story_points=5.0,
    labels=("a", "b"),
    components=("c",),
    version_ids=("v",),
    epic="E1",
    project=Project(id="3", name="P", key="K"),
    sprints=(Sprint(id="1", name="S", start=NOW, end=LATER, description="D", url="https://s.example", active=True),),
    releases=(Release(id="2", name="R", description="E", archived=False, released=True, date=LATER),),
    comments=(Comment(id="9", user="Sample User", created=NOW, updated=LATER, text="Hello"),),
    relations=(Relation(id="8", type=RELATION),),
    raw={"x": 1},
    extras={"dueDate": LATER, "severity": "Major"},
)


def test_every_field_has_its_place() -> None:
    assert item_in(FULL) == {
        "_id": "7",
        "id": "US7",
        "name": "Story 7",
        "description": "Long text",
        "status": "Defined",
        "url": "https://rally.example",
        "creator": "Sample Creator",
        "owner": "Sample Owner",
        "created": NOW_MS,
        "lastUpdate": NOW_MS,
        "type": "Story",
        "normalizedType": NormalizedType.OTHER.value,
        "priority": "High",
        "storyPoints": 5.0,
        "labels": ["a", "b"],
        "components": ["c"],
        "versionIds": ["v"],
        "sprints": [
            {
                "id": "1",
                "name": "S",
                "description": "D",
                "startTime": NOW_MS,
                "endTime": LATER_MS,
                "url": "https://s.example",
                "active": True,
            }
        ],
        "releases": [
            {"id": "2", "name": "R", "description": "E", "archived": False, "released": True, "releaseDate": LATER_MS}
        ],
        "comments": [
            {"id": "9", "user": "Sample User", "created": NOW_MS, "updated": LATER_MS, "comment": "Hello"},
        ],
        "relations": [{"id": "8", "type": RELATION.value}],
        "history": [],
        "epic": "E1",
        "rawIssue": {"x": 1},
        "dueDate": LATER_MS,
        "severity": "Major",
        "project": {"id": "3", "key": "K", "name": "P"},
    }


def test_a_packed_issue_keeps_both_ids() -> None:
    packed = pack(FULL)
    assert (packed.external_id, packed.display_id) == ("7", "US7")
    assert orjson.loads(packed.body) == item_in(FULL)


def test_entries_of_different_instants_have_their_own_timestamps() -> None:
    entries = tuple(HistoryEntry(each, "name", "a", "b") for each in (NOW, NOW, LATER))
    written = item_in(issue(history=entries))["history"]
    assert [each["timestamp"] for each in written] == [str(NOW_MS), str(NOW_MS), str(LATER_MS)]


def test_issues_that_just_fit_go_together() -> None:
    packed = [Packed(str(number), str(number), b"{}") for number in range(2)]
    # A comma is counted for each issue, also for the last one, which has none.
    exact = len(body(packed, address=ADDRESS)) + 1
    assert [len(each) for each in batches(packed, limits=Limits(size=exact), address=ADDRESS)] == [2]
    assert [len(each) for each in batches(packed, limits=Limits(size=exact - 1), address=ADDRESS)] == [1, 1]


def test_a_body_is_the_operation_with_the_whole_address() -> None:
    assert orjson.loads(body([pack(FULL)], address=ADDRESS)) == {
        "operationName": "uploadIssueData",
        "query": UPLOAD_ISSUES,
        "variables": {
            "data": {
                "source": "RALLY",
                "trackerId": "t",
                "tenantId": "n",
                "baseUrl": "https://rally.example",
                "issues": [orjson.loads(pack(FULL).body)],
            }
        },
    }
