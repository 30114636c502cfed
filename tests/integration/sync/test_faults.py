"""Every fault at every kind of request ends in the same issues as a run without faults, or in the right refusal."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stamina

from rally_accelerate import errors
from rally_accelerate.config.load import validate_integration
from rally_accelerate.mapping.rules import build_rules
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.report import Outcome, SyncReport
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.dry_run import PreviewSink
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.state import MemoryState
from rally_sandbox.server import SANDBOX_API_KEY, Sandbox, serve
from rally_sandbox.world import World

#: Every kind of request that a run makes: how many of it pass before the fault, which strikes in the middle, and which
#: source of history makes it.
REQUESTS = {
    "project": (0, "auto"),
    "hierarchicalrequirement": (1, "auto"),
    "defect": (1, "auto"),
    "snapshot": (1, "lookback"),
    "iteration": (0, "lookback"),
    "revision": (1, "revisions"),
}

#: Faults that pass, with details: the run goes on as if nothing had been.
PASSING: dict[str, dict[str, Any]] = {
    "429": {"retry_after": 7},
    "maintenance-200": {},
    "truncated-json": {},
    "truncated-connection": {},
    "429 without Retry-After": {},
    "500-html": {},
    "502": {},
    "503": {},
    "524": {},
    "timeout": {},
    "drop": {},
    "set-cookie": {},
    "slow": {"seconds": 0.01},
}

#: Faults that stay, and what they are called here.
LASTING: dict[str, type[errors.RallyAccelerateError]] = {
    "html-401": errors.AccessDeniedError,
    "sso-redirect": errors.AccessDeniedError,
    "errors-200": errors.RejectedError,
    "operation-result": errors.RejectedError,
}


@pytest.fixture(scope="module")
def rally() -> Iterator[Sandbox]:
    """One simulator for all cases; its world does not change."""
    with serve(World.create(seed=11, items=80)) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def _nothing_waits(rally: Sandbox) -> Iterator[None]:
    rally.faults.clear()
    with stamina.set_testing(True, attempts=5):
        yield
    rally.faults.clear()


@pytest.fixture(scope="module")
def expected(rally: Sandbox) -> dict[str, dict[str, Issue]]:
    """What a run without faults delivers, by source of history."""
    rally.world.clock.advance(timedelta(hours=1))
    return {source: asyncio.run(run(rally, source))[1] for source in ("auto", "lookback", "revisions")}


async def run(rally: Sandbox, source: str = "auto") -> tuple[SyncReport, dict[str, Issue]]:
    """A first sync with small pages, so that every kind of request is made more than once."""
    given = {"baseUrl": rally.url, "apiKey": SANDBOX_API_KEY, "pageSize": 15, "requestTimeoutSeconds": 1}
    given["historySource"] = source
    properties = validate_integration({"name": "sample", "properties": given}).properties
    sink = PreviewSink(keep=10**6)
    async with RallyClient(properties, limiters=LimiterPool()) as client:
        report = await sync_once(client, sink, MemoryState(), build_rules(properties), lambda: datetime.now(UTC))
    return report, {issue.external_id: issue for issue in sink.issues}


@pytest.mark.parametrize("request_kind", REQUESTS)
@pytest.mark.parametrize("fault", PASSING)
async def test_a_passing_fault_changes_nothing(
    rally: Sandbox, expected: dict[str, dict[str, Issue]], fault: str, request_kind: str
) -> None:
    after, source = REQUESTS[request_kind]
    rally.faults.add(fault.split(maxsplit=1)[0], match=request_kind, after=after, **PASSING[fault])
    report, issues = await run(rally, source)
    assert rally.faults.played == 1
    assert report.failure is None
    assert report.outcome is Outcome.COMPLETE
    assert issues == expected[source]


@pytest.mark.parametrize("request_kind", [kind for kind in REQUESTS if kind != "iteration"])
@pytest.mark.parametrize("fault", LASTING)
async def test_a_lasting_fault_is_refused_with_a_hint_and_the_next_run_goes_on(
    rally: Sandbox, fault: str, request_kind: str
) -> None:
    after, source = REQUESTS[request_kind]
    rally.faults.add(fault, match=request_kind, after=after)
    report, _ = await run(rally, source)
    assert report.outcome is Outcome.FAILED
    assert isinstance(report.failure, LASTING[fault])
    assert report.failure.hint
    assert SANDBOX_API_KEY not in f"{report.failure} {report.failure.hint}"


@pytest.mark.parametrize("fault", [*LASTING, "503"])
async def test_a_lookback_that_refuses_is_told_once_and_revisions_take_its_place(
    rally: Sandbox, expected: dict[str, dict[str, Issue]], fault: str
) -> None:
    rally.faults.add(fault, match="snapshot", after=2, times=-1)
    report, issues = await run(rally, "auto")
    assert report.outcome is Outcome.COMPLETE
    assert sum("Lookback cannot be used" in notice for notice in report.notices) == 1
    assert {key: issue.status for key, issue in issues.items()} == {
        key: issue.status for key, issue in expected["auto"].items()
    }
    assert report.tally.complete == report.tally.uploaded


@pytest.mark.parametrize(("source", "rows"), [("lookback", 25), ("revisions", 10)])
async def test_pages_that_are_cut_shrink_until_they_pass(
    rally: Sandbox, expected: dict[str, dict[str, Issue]], source: str, rows: int
) -> None:
    rally.faults.add("page-limit", rows=rows, answer="truncated-json")
    report, issues = await run(rally, source)
    assert report.failure is None
    assert issues == expected[source]


async def test_a_fault_that_does_not_end_is_reported_by_its_name(rally: Sandbox) -> None:
    rally.faults.add("503", match="defect", times=-1)
    report, _ = await run(rally)
    assert isinstance(report.failure, errors.UnavailableError)


async def test_edits_between_all_pages_lose_nothing(rally: Sandbox) -> None:
    """The company works while it is read; the run that follows has everything."""
    world = World.create(seed=12, items=200)
    with serve(world) as busy:
        given = {"baseUrl": busy.url, "apiKey": SANDBOX_API_KEY, "pageSize": 20}
        properties = validate_integration({"name": "sample", "properties": given}).properties
        state, sink = MemoryState(), PreviewSink(keep=10**6)
        async with RallyClient(properties, limiters=LimiterPool()) as client:
            busy.faults.edit_between_pages = 2
            await sync_once(client, sink, state, build_rules(properties), lambda: datetime.now(UTC))
            busy.faults.edit_between_pages = None
            await sync_once(client, sink, state, build_rules(properties), lambda: datetime.now(UTC))
        held = {issue.external_id: issue for issue in sink.issues}
        default = min(row["workspace"] for row in world.items("defect"))
        for kind in ("hierarchicalrequirement", "defect"):
            for row in world.items(kind):
                if row["visible"] and row["workspace"] == default:
                    issue = held[str(row["object_id"])]
                    assert issue.status == row["values"]["ScheduleState"]
                    assert issue.revision.version == row["version"]
