"""Removed items in the container, against a server that returns no more than a real one.

See accelerate-api-notes.md#reading-issues-back.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from support.accelerate_stub import TENANT, TRACKER, AccelerateStub, Label, accelerate_stub
from support.container import Container, build_event_arguments
from support.processes import Finished, Simulator, start_simulator
from support.waiting import PATIENCE_SECONDS

DAY = 25 * 3600


class Platform:
    """Runs of one integration, as a server of a version starts them."""

    def __init__(self, container: Container, rally: Simulator, stub: AccelerateStub) -> None:
        self.container = container
        self.rally = rally
        self.stub = stub
        self.last_run = 0
        self.properties: dict[str, Any] = {}
        self.state: dict[str, Any] = {}

    def words(self) -> list[str]:
        """The words of a run."""
        state = {
            "lastRun": self.last_run,
            "trackerId": TRACKER,
            "tenantId": TENANT,
            "apiServerUrl": f"{self.stub.url}/release-events-api",
            **self.state,
        }
        properties = {"baseUrl": self.rally.url, "apiKey": self.rally.key, "_userAccessKey": self.stub.key}
        return build_event_arguments(
            {"state": state, "properties": {**properties, **self.properties}, "loggingLevel": "INFO"}
        )

    def run(self) -> Finished:
        """A run that has to succeed."""
        done = self.container.run(*self.words())
        assert (done.code, done.err) == (0, ""), done.out
        assert not self.stub.refused, self.stub.refused
        self.last_run = round(time.time() * 1000)
        return done

    def later(self, seconds: float = 400) -> None:
        """Let time pass in Rally."""
        self.rally.post("clock", {"advance_seconds": seconds})

    @property
    def statuses(self) -> dict[str, str]:
        """The statuses that arrived."""
        return {key: issue["status"] for key, issue in self.stub.issues_of().items()}


@contextmanager
def platform(container: Container, schema: Label = "A", items: int = 60) -> Iterator[Platform]:
    """A small company and a server of a version."""
    with start_simulator("--items", str(items)) as rally, accelerate_stub(schema) as stub:
        yield Platform(container, rally, stub)


def chosen(its: Platform, *, comments: bool) -> str:
    """An item with or without comments, and with a history."""
    return next(
        key
        for key, issue in sorted(its.stub.issues_of().items())
        if bool(issue["comments"]) is comments and len(issue["history"]) > 2
    )


def same_but_for_the_status(after: dict[str, Any], before: dict[str, Any], status: str) -> None:
    """The issue has a last status, one more entry of history, and everything else as before."""
    *history, last = after["history"]
    assert history == before["history"]
    content = last["content"]
    assert (content["field"], content["from"], content["to"]) == ("status", before["status"], status)
    assert after["status"] == status
    named = {"status", "history"}
    without = [{name: value for name, value in each.items() if name not in named} for each in (after, before)]
    assert comparable(without[0]) == comparable(without[1])


def comparable(issue: dict[str, Any]) -> dict[str, Any]:
    """An issue in which the order of relations, and what is unset, do not count."""
    relations = sorted(map(str, issue["relations"]))
    return {name: value for name, value in issue.items() if value not in (None, [], {})} | {"relations": relations}


@pytest.mark.parametrize("schema", ["A", "B"])
def test_deleted_and_moved_items_keep_everything_but_their_status(bare: Container, schema: Label) -> None:
    with platform(bare, schema) as its:
        its.properties = {"projects": ["Team Amber", "Team Birch"]}
        its.run()
        before = its.stub.issues_of()
        # Every item has a comment after this, and relations.
        its.later()
        deleted, moved = sorted(key for key, issue in before.items() if len(issue["history"]) > 2)[:2]
        for key in (deleted, moved):
            its.rally.post("post", {"objectId": int(key), "text": "<p>A comment</p>"})
            its.rally.post("edit", {"objectId": int(key), "fields": {"Ready": True}})
        its.later()
        its.run()
        before = its.stub.issues_of()
        assert before[deleted]["comments"]
        assert before[deleted]["relations"]
        its.rally.post("delete", {"objectId": int(deleted)})
        # An edit arrives in the same run in which the deletion is noticed.
        its.rally.post("edit", {"objectId": int(moved), "fields": {"Name": "Renamed"}})
        its.later()
        its.run()
        assert its.stub.issues_of()[moved]["name"] == "Renamed"
        before[moved] = its.stub.issues_of()[moved]
        its.rally.post("edit", {"objectId": int(moved), "fields": {"Project": "Team Dune"}})
        its.later()
        assert "marked as removed: 1" in its.run().out
        same_but_for_the_status(its.stub.issues_of()[deleted], before[deleted], "Deleted")
        # A move is noticed by the listing of everything, once a day, and believed in the run after it.
        its.later(DAY)
        its.run()
        its.later()
        its.run()
        after = its.stub.issues_of()[moved]
        assert after["status"] == "Moved out"
        # The move itself is a change that had not been uploaded.
        known = before[moved]["history"]
        assert after["history"][: len(known)] == known
        assert "project" in [entry["content"]["field"] for entry in after["history"][len(known) :]]
        assert after["comments"] == before[moved]["comments"]
        assert after["project"] == before[moved]["project"]
        unchanged = before.keys() - {deleted, moved}
        assert {key: its.stub.issues_of()[key] for key in unchanged} == {key: before[key] for key in unchanged}
        sent = len(its.stub.uploads)
        its.later()
        its.run()
        assert len(its.stub.uploads) == sent


def test_comments_that_cannot_be_read_any_more_leave_the_issue_as_it_is(bare: Container) -> None:
    with platform(bare) as its:
        its.run()
        text = "Could not read: Could not find type"
        its.rally.post("faults", [{"name": "errors-200", "match": "conversationpost", "times": -1, "text": text}])
        deleted = chosen(its, comments=True)
        before = its.stub.issues_of()[deleted]
        its.rally.post("delete", {"objectId": int(deleted)})
        for _ in range(4):
            its.later()
            told = its.run().out
        assert its.stub.issues_of()[deleted] == before
        assert told.count("their comments can no longer be read") == 1
        # It is not tried in every run.
        its.rally.post("stats/reset")
        its.later()
        assert "their comments can no longer be read" in its.run().out
        assert "snapshot" not in str(its.rally.fetch_stats())


def test_without_lookback_a_deleted_item_stays_as_it_is_and_one_notice_says_why(bare: Container) -> None:
    with platform(bare) as its:
        its.properties = {"historySource": "revisions"}
        its.run()
        deleted = chosen(its, comments=False)
        before = its.stub.issues_of()
        its.rally.post("delete", {"objectId": int(deleted)})
        for _ in range(3):
            its.later()
            told = its.run().out
        assert its.stub.issues_of() == before
        assert told.count(deleted) == 1
        assert "could not be marked" in told


def test_three_days_end_with_every_run_green(bare: Container) -> None:
    with platform(bare) as its:
        its.run()
        gone: list[str] = []
        for _ in range(3):
            deleted = next(
                key for key, issue in sorted(its.stub.issues_of().items()) if not issue["comments"] and key not in gone
            )
            edited = next(key for key in sorted(its.stub.issues_of(), reverse=True) if key not in gone)
            gone.append(deleted)
            its.rally.post("delete", {"objectId": int(deleted)})
            its.rally.post("edit", {"objectId": int(edited), "fields": {"Name": f"Edited {len(gone)}"}})
            its.later(DAY)
            its.run()
            assert its.stub.issues_of()[edited]["name"] == f"Edited {len(gone)}"
            its.later()
            its.run()
            assert [its.statuses[key] for key in gone] == ["Deleted"] * len(gone)


def test_a_server_that_lost_its_issues_gets_all_of_them_again(bare: Container) -> None:
    with platform(bare) as its:
        its.run()
        everything = its.stub.issues_of()
        its.later(DAY)
        its.run()
        its.stub.lose_issues()
        its.last_run = 0
        assert "Uploading everything again" in its.run().out
        assert its.stub.issues_of() == everything
        sent = len(its.stub.uploads)
        its.later()
        its.run()
        assert len(its.stub.uploads) == sent


def test_a_restart_that_fails_although_the_platform_moves_last_run_is_made_good(bare: Container) -> None:
    """Whether ``lastRun`` moves with a run that fails is not public: the restart must be known before it begins."""
    with platform(bare) as its:
        its.run()
        everything = its.stub.issues_of()
        its.later(DAY)
        its.stub.lose_issues()
        its.last_run = 0
        its.properties = {"retrySeconds": 0}
        its.rally.post("faults", [{"name": "drop", "times": -1}])
        failed = its.container.run(*its.words())
        assert failed.code == 1, failed.out
        httpx2.delete(f"{its.rally.url}/_sandbox/faults", timeout=PATIENCE_SECONDS).raise_for_status()
        its.properties = {}
        its.last_run = round(time.time() * 1000)
        its.run()
        assert its.stub.issues_of() == everything


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    "operation",
    ["integrationById", "issue", "issuesForProjectKey", "updateIntegrationState", "updateScheduledEventStates"],
)
def test_a_refused_side_job_is_a_notice(bare: Container, operation: str, status: int) -> None:
    with platform(bare) as its:
        its.run()
        deleted = chosen(its, comments=False)
        its.rally.post("delete", {"objectId": int(deleted)})
        its.stub.fail(operation, status=status, message="no such thing here")
        its.state = {"deltaTime": 0} if operation == "updateScheduledEventStates" else {}
        its.later(DAY)
        its.run()
        sent = len(its.stub.uploads)
        its.later()
        edited = next(key for key in sorted(its.stub.issues_of()) if key != deleted)
        its.rally.post("edit", {"objectId": int(edited), "fields": {"Name": "Edited"}})
        told = its.run().out
        assert "no such thing here" in told
        assert its.stub.issues_of()[edited]["name"] == "Edited"
        # Nothing else is uploaded again because of it, apart from the removal.
        assert len(its.stub.uploads) <= sent + 2
        asked = its.stub.request_counts[operation]
        # The state is where it would be remembered.
        if operation not in {"integrationById", "updateIntegrationState"}:
            its.later()
            assert "no such thing here" in its.run().out
            assert its.stub.request_counts[operation] == asked


def test_a_recycle_bin_that_may_not_be_read_is_a_notice(bare: Container) -> None:
    with platform(bare) as its:
        its.run()
        text = "Not authorized to perform action: recycle bin"
        its.rally.post("faults", [{"name": "errors-200", "match": "recyclebinentry", "times": -1, "text": text}])
        deleted = chosen(its, comments=False)
        its.rally.post("delete", {"objectId": int(deleted)})
        its.later()
        assert its.run().out.count("The recycle bin could not be read") == 1
        its.later()
        assert its.run().out.count("The recycle bin could not be read") == 1
        its.later(DAY)
        its.run()
        its.later()
        its.run()
        # Lookback tells that it was deleted.
        assert its.statuses[deleted] == "Deleted"
