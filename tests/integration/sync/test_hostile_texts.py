"""Texts that break every rule, and pages that lack rows, stop nothing: all items arrive and the odd ones are named."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import stamina
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rally_accelerate.accelerate import payload
from rally_accelerate.config.load import validate_integration
from rally_accelerate.mapping.rules import build_rules
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.report import Outcome, SyncReport
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.dry_run import PreviewSink
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.state import MemoryState
from rally_sandbox import faults
from rally_sandbox.server import SANDBOX_API_KEY, Sandbox, serve
from rally_sandbox.world import World

#: Kinds of requests, a text in their rows, and the source of history that makes them.
TEXTS = {
    "hierarchicalrequirement": ("Name", "none"),
    "defect": ("Description", "none"),
    "conversationpost": ("Text", "none"),
    "project": ("Name", "none"),
    "iteration": ("Name", "lookback"),
    "snapshot": ("ScheduleState", "lookback"),
    "revision": ("Description", "revisions"),
}


@pytest.fixture(scope="module")
def rally() -> Iterator[Sandbox]:
    """One simulator for all cases; its world does not change."""
    with serve(World.create(seed=11, items=80)) as sandbox:
        sandbox.world.clock.advance(timedelta(hours=1))
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
    return {source: asyncio.run(run(rally, source))[1] for source in ("none", "lookback", "revisions")}


async def run(rally: Sandbox, source: str = "none") -> tuple[SyncReport, dict[str, Issue]]:
    """A first sync with small pages."""
    given = {"baseUrl": rally.url, "apiKey": SANDBOX_API_KEY, "pageSize": 15, "historySource": source}
    properties = validate_integration({"name": "sample", "properties": given}).properties
    sink = PreviewSink(keep=10**6)
    async with RallyClient(properties, limiters=LimiterPool()) as client:
        report = await sync_once(client, sink, MemoryState(), build_rules(properties), lambda: datetime.now(UTC))
    issues = {issue.external_id: issue for issue in sink.issues}
    for issue in issues.values():
        # What is uploaded is valid UTF-8.
        orjson.loads(payload.pack(issue).body)
    return report, issues


def unreadable(report: SyncReport) -> list[str]:
    """The items that the report names."""
    found = [notice for notice in report.notices if "unreadable characters" in notice]
    assert len(found) <= 1
    return re.findall(r"(?:US|DE)\d+", found[0]) if found else []


@pytest.mark.parametrize("request_kind", TEXTS)
@pytest.mark.parametrize("fault", faults.ENDING_BYTES)
async def test_every_item_arrives_whatever_the_texts_hold(
    rally: Sandbox, expected: dict[str, dict[str, Issue]], fault: str, request_kind: str
) -> None:
    text, source = TEXTS[request_kind]
    rally.faults.add(fault, match=request_kind, field=text, times=-1)
    report, issues = await run(rally, source)
    assert rally.faults.played
    assert report.failure is None
    assert issues.keys() == expected[source].keys()
    assert report.rally.retries == 0
    assert any("unreadable characters" in notice for notice in report.notices)


@pytest.mark.parametrize("fault", faults.ENDING_BYTES)
async def test_the_one_item_is_named_and_all_others_are_untouched(
    rally: Sandbox, expected: dict[str, dict[str, Issue]], fault: str
) -> None:
    rally.faults.add(fault, match="defect", field="Name", rows=1)
    report, issues = await run(rally)
    (named,) = unreadable(report)
    different = {issue.display_id for key, issue in issues.items() if issue != expected["none"][key]}
    assert different <= {named}
    assert named in {issue.display_id for issue in issues.values()}


async def test_a_snapshot_and_a_revision_name_the_item_that_they_belong_to(rally: Sandbox) -> None:
    for kind, (text, source) in {kind: TEXTS[kind] for kind in ("snapshot", "revision", "conversationpost")}.items():
        rally.faults.clear()
        rally.faults.add("lone-surrogate", match=kind, field=text, rows=1)
        report, issues = await run(rally, source)
        assert set(unreadable(report)) <= {issue.display_id for issue in issues.values()}
        assert len(unreadable(report)) == 1, kind


async def test_a_byte_order_mark_is_ignored_in_every_answer(
    rally: Sandbox, expected: dict[str, dict[str, Issue]]
) -> None:
    for source, issues in expected.items():
        rally.faults.clear()
        rally.faults.add("byte-order-mark", times=-1)
        report, found = await run(rally, source)
        assert (report.outcome, found) == (Outcome.COMPLETE, issues)
        assert unreadable(report) == []


@pytest.mark.parametrize("request_kind", ["project", "hierarchicalrequirement", "defect", "revision", "snapshot"])
async def test_an_empty_page_that_announces_rows_is_asked_for_again(
    rally: Sandbox, expected: dict[str, dict[str, Issue]], request_kind: str
) -> None:
    source = {"revision": "revisions", "snapshot": "lookback"}.get(request_kind, "none")
    rally.faults.add("empty-page", match=request_kind, times=2)
    report, issues = await run(rally, source)
    assert (report.outcome, issues) == (Outcome.COMPLETE, expected[source])
    assert report.rally.retries == 2
    assert not any("announced" in notice for notice in report.notices)


async def test_rows_that_never_come_are_told(rally: Sandbox, expected: dict[str, dict[str, Issue]]) -> None:
    rally.faults.add("empty-page", match="defect", times=-1)
    report, issues = await run(rally)
    assert report.failure is None
    assert 0 < len(issues) < len(expected["none"])
    (notice,) = [each for each in report.notices if "announced" in each]
    defects = len(expected["none"]) - len(issues)
    assert f"{defects} more rows of defect" in notice


async def test_rows_that_vanish_between_pages_are_no_alarm(rally: Sandbox) -> None:
    with serve(World.create(seed=11, items=100)) as sandbox:
        items = iter([row["object_id"] for row in sandbox.world.items("story") if not row["deleted"]][::-1])
        sandbox.faults.edit_between_pages = lambda world: world.delete(next(items))
        report, _ = await run(sandbox)
    assert report.failure is None
    assert not any("announced" in notice for notice in report.notices)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raw=st.binary(min_size=1, max_size=30),
    text=st.sampled_from(["Name", "Description", "FormattedID", "_refObjectName"]),
)
def test_any_bytes_in_any_text(rally: Sandbox, expected: dict[str, dict[str, Issue]], raw: bytes, text: str) -> None:
    ending = raw.replace(b'"', b"'").replace(b"\\", b"/")
    rally.faults.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "ENDING_BYTES", {**faults.ENDING_BYTES, "invalid-utf-8": ending})
        rally.faults.add("invalid-utf-8", match="hierarchicalrequirement", field=text, rows=1)
        report, issues = asyncio.run(run(rally))
    assert report.failure is None
    assert issues.keys() == expected["none"].keys()
    assert sum(issue != expected["none"][key] for key, issue in issues.items()) <= 1


def test_the_faults_are_those_of_the_simulator() -> None:
    body: Any = orjson.loads(faults.append_to_texts(b'[{"Name":"a"},{"Name":"b"}]', member="Name", ending=b"!", most=1))
    assert body == [{"Name": "a!"}, {"Name": "b"}]
