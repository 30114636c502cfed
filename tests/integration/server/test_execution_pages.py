"""Runs: every one is kept for a while, found by filter and page, followed while it goes on, and its log searched."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from rally_accelerate.config.redaction import Redactor
from rally_accelerate.server import runner
from rally_accelerate.server.app import Server
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.executions import LogLine, Retention
from rally_accelerate.server.store.tables import execution_lines, executions, to_ms
from support.server_client import ServerClient, set_session_cookie
from support.waiting import until

NEVER = {"baseUrl": "http://127.0.0.1:9", "apiKey": "planted-secret-1", "retrySeconds": 3600}

SILENT = {**NEVER, "retrySeconds": 0}

REPORT = {
    "seconds": 1.0,
    "read": 10,
    "uploaded": 4,
    "unchanged": 5,
    "skipped": 1,
    "removed": 0,
    "withheld": 0,
    "histories": {"complete": 4, "incomplete": 0, "unverifiable": 0},
    "skippedItems": [{"key": "US7", "reason": "it is <odd>"}],
    "requests": {"rally": 12, "accelerate": 3},
    "retries": {"rally": 2, "accelerate": 1},
    "bytes": {"received": 2_500_000, "uploaded": 900},
    "projects": [
        {
            "id": "4711",
            "name": "Red & green",
            "read": 9,
            "uploaded": 4,
            "unchanged": 3,
            "skipped": 1,
            "removed": 7,
            "incomplete": 1,
        }
    ],
    "notices": ["A notice."],
    "error": None,
}


async def made(asked: ServerClient, its_id: str, outcome: str, *, days_ago: float = 0) -> str:
    """A run that ended some time ago; its id."""
    key = await asked.host.stores.executions.start(its_id, job_name="syncRallyDataEvent")
    await asked.host.stores.executions.finish(key, outcome=outcome, report=REPORT)
    started = to_ms(datetime.now(UTC) - timedelta(days=days_ago))
    async with asked.host.stores.database.writing() as connection:
        await connection.execute(sa.update(executions).where(executions.c.id == key).values(started=started))
    return key


async def listed(asked: ServerClient, query: str = "") -> list[str]:
    """The ids of every run of a list, page after page."""
    found: list[str] = []
    more = f"?{query}" if query else ""
    while True:
        page = (await asked.http.get(f"/executions.json{more}")).json()
        found += [each["id"] for each in page["executions"]]
        if not page["more"]:
            return found
        more = page["more"]


async def test_runs_are_filtered_and_paged_by_key(asked: ServerClient) -> None:
    assert "No runs yet" in (await asked.http.get("/executions")).text
    one = await asked.host.add_integration({"name": "one", "properties": NEVER})
    two = await asked.host.add_integration({"name": "two", "properties": NEVER})
    failed = await made(asked, one, "failed", days_ago=3)
    others = [await made(asked, two, "complete") for _ in range(120)]
    # Several began in the same millisecond.
    assert sorted(await listed(asked)) == sorted([failed, *others])
    assert await listed(asked, f"integration={one}") == [failed]
    assert await listed(asked, "outcome=failed") == [failed]
    assert await listed(asked, "outcome=running") == []
    day = f"{datetime.now(UTC) - timedelta(days=3):%Y-%m-%d}"
    assert await listed(asked, f"from={day}&to={day}") == [failed]
    assert failed not in await listed(asked, f"from={datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}")
    assert len(await listed(asked, "outcome=nonsense&from=never&after=x-")) == 121


async def test_one_run_tells_its_whole_account(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "one", "properties": NEVER})
    key = await made(asked, its_id, "partial")
    text = (await asked.http.get(f"/executions/{key}")).text
    for told in (
        "US7",
        "it is &lt;odd&gt;",
        "A notice.",
        "Red &amp; green",
        ">7<",
        "2.5 MB",
        "900 bytes",
        ">2<",
        ">1<",
        ">12<",
    ):
        assert told in text, told
    assert "<odd>" not in text
    assert "refresh" not in text


async def with_log(asked: ServerClient) -> str:
    """A run with a log."""
    its_id = await asked.host.add_integration({"name": "one", "properties": NEVER})
    key = await made(asked, its_id, "complete")
    now = datetime.now(UTC)
    words = [("INFO", "first <b>"), ("WARNING", "slow 100%"), ("ERROR", "broken"), ("INFO", "last")]
    await asked.host.stores.lines.append(key, [LogLine(now, level, text) for level, text in words], after=0)
    return key


async def texts(asked: ServerClient, address: str) -> list[str]:
    """The lines of a page."""
    return [line["text"] for line in (await asked.http.get(address)).json()["log"]]


async def test_a_log_is_searched_by_level_and_text_and_downloaded(asked: ServerClient) -> None:
    key = await with_log(asked)
    assert await texts(asked, f"/executions/{key}.json") == ["first <b>", "slow 100%", "broken", "last"]
    assert await texts(asked, f"/executions/{key}.json?level=WARNING") == ["slow 100%", "broken"]
    assert await texts(asked, f"/executions/{key}.json?text=SLOW") == ["slow 100%"]
    assert await texts(asked, f"/executions/{key}.json?text=%25") == ["slow 100%"]
    assert await texts(asked, f"/executions/{key}.json?level=ERROR&text=slow") == []
    page = (await asked.http.get(f"/executions/{key}?level=WARNING")).text
    assert 'class="error"' in page
    assert "<b>" not in page.replace("<body>", "")
    answer = await asked.http.get(f"/executions/{key}/log.txt")
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert answer.headers["content-type"].startswith("text/plain")
    assert [line.split(maxsplit=3)[3] for line in answer.text.splitlines()] == [
        "first <b>",
        "slow 100%",
        "broken",
        "last",
    ]


async def test_a_long_log_is_told_in_pages(asked: ServerClient) -> None:
    key = await with_log(asked)
    now = datetime.now(UTC)
    await asked.host.stores.lines.append(key, [LogLine(now, "INFO", f"line {n}") for n in range(2500)], after=4)
    seen: list[str] = []
    more = ""
    while True:
        page = (await asked.http.get(f"/executions/{key}.json{more}")).json()
        seen += [line["text"] for line in page["log"]]
        more = page["more"]
        if not more:
            break
    assert len(seen) == 2504
    assert seen[-1] == "line 2499"


async def test_a_run_that_goes_on_is_followed_and_stopped(asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "FLUSH_SECONDS", 0.01)
    its_id = await asked.host.add_integration({"name": "one", "properties": NEVER})
    asked.host.scheduler.start_run(its_id)
    running = await until(lambda: asked.host._runner.get_active_run(its_id))
    address = f"/executions/{running.execution_id}"

    async def account() -> dict[str, Any]:
        found: dict[str, Any] = (await asked.http.get(f"{address}.json")).json()
        return found

    # Its first words can be read while it goes on.
    async def account_with_log() -> dict[str, Any] | None:
        found = await account()
        return found if found["log"] else None

    told = await until(account_with_log)
    assert told
    assert told["execution"]["outcome"] == "running"
    assert told["execution"]["progress"]["text"] == "counting items in Rally"
    page = (await asked.http.get(address)).text
    assert 'id="live"' in page
    assert '<noscript><meta http-equiv="refresh"' in page
    assert f'action="{address}/stop"' in page
    assert await listed(asked, "outcome=running") == [running.execution_id]
    assert (await asked.http.post(f"{address}/stop")).headers["location"] == address
    assert (await account())["execution"]["outcome"] == "interrupted"
    assert 'id="live"' not in (await asked.http.get(address)).text
    # What has ended is not stopped again, nor is its successor.
    asked.host.scheduler.start_run(its_id)
    await until(lambda: asked.host.scheduler.is_running(its_id))
    await asked.http.post(f"{address}/stop")
    assert asked.host.scheduler.is_running(its_id)


async def test_graphql_tells_the_same_log(asked: ServerClient) -> None:
    key = await with_log(asked)
    data = await asked.fetch_data("query one($id: ID!) { integrationExecutionById(_id: $id) { log } }", id=key)
    assert data["integrationExecutionById"]["log"] == (await asked.http.get(f"/executions/{key}/log.txt")).text


async def test_runs_are_kept_by_count_and_by_age(tmp_path: Path) -> None:
    retention = Retention(runs=3, days=10)
    async with Server.open(tmp_path / "host.sqlite", retention=retention) as host:
        transport = httpx2.ASGITransport(app=host.build_app())
        asked = ServerClient(host, httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1"), "")
        await set_session_cookie(host, asked.http)
        one = await host.add_integration({"name": "one", "properties": NEVER})
        two = await host.add_integration({"name": "two", "properties": NEVER})
        old = await made(asked, two, "failed", days_ago=11)
        await host.stores.lines.append(old, [LogLine(datetime.now(UTC), "INFO", "x")], after=0)
        for _ in range(5):
            await made(asked, one, "complete")
        assert len(await host.stores.executions.list_latest(one, limit=10)) == 3
        assert await host.stores.executions.list_latest(two) == []
        async with host.stores.database.reading() as connection:
            count = sa.select(sa.func.count()).select_from(execution_lines)
            assert (await connection.execute(count)).scalar_one() == 0
        assert "last 3 runs" in (await asked.http.get("/executions")).text
        await asked.http.aclose()


async def test_a_run_may_not_fill_the_disk_with_its_log(asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MAX_LINES", 5)
    key = await with_log(asked)
    async with asked.host.stores.database.writing() as connection:
        await connection.execute(sa.delete(execution_lines))
    product = logging.getLogger("rally_accelerate.sample")
    async with runner.record_log(asked.host.stores.lines, key, Redactor(["planted-secret"]), level=logging.INFO):
        product.debug("not wanted")
        for number in range(20):
            product.info("line %d planted-secret", number)
        product.error("still told")
    found = [line.text for line in await asked.host.stores.lines.list_lines(key)]
    assert found == [*(f"line {number} ***" for number in range(5)), runner.LINES_DROPPED, "still told"]


async def test_logs_of_earlier_versions_become_lines(tmp_path: Path) -> None:
    from alembic import command  # noqa: PLC0415 - only this test goes back in time
    from alembic.config import Config  # noqa: PLC0415

    from rally_accelerate.server.store.database import MIGRATIONS  # noqa: PLC0415
    from rally_accelerate.server.store.executions import ExecutionLogs  # noqa: PLC0415

    path = tmp_path / "old.sqlite"
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = f"sqlite:///{path}"
    command.upgrade(config, "0004")
    old = sa.create_engine(f"sqlite:///{path}")
    with old.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO integrations (id, tenant_id, name, type, display_name, logging_level, disabled, show_hidden, "
            "properties, created) VALUES ('i', 't', 'n', 'y', 'd', 'INFO', 0, 0, '{}', 5)"
        )
        log = "2026-01-31 08:00:00,123 WARNING slow\nTraceback\n2026-01-31 08:00:01,000 INFO    done: 3 read"
        connection.exec_driver_sql(
            "INSERT INTO executions (id, integration_id, job_name, started, log) VALUES ('e', 'i', 'j', 5, ?)",
            (log,),
        )
    old.dispose()
    database = await Database.open(path)
    found = await ExecutionLogs(database).list_lines("e")
    assert [(line.level, line.text) for line in found] == [
        ("WARNING", "slow"),
        ("INFO", "Traceback"),
        ("INFO", "done: 3 read"),
    ]
    await database.close()


async def test_a_history_that_the_next_run_completes_is_told_as_such(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "sample", "properties": NEVER})
    executions = asked.host.stores.executions
    pages = []
    for histories in (REPORT["histories"], {"complete": 4, "incomplete": 3, "awaited": 2, "unverifiable": 0}):
        key = await executions.start(its_id, job_name="syncRallyDataEvent")
        await executions.finish(key, outcome="complete", report={**REPORT, "histories": histories})
        pages.append((await asked.http.get(f"/executions/{key}")).text)
    earlier, later = pages
    assert "4 complete, 0 incomplete, 0 that cannot be verified" in earlier
    assert "3 incomplete (2 pending: Rally&#39;s Lookback" in later


async def test_a_run_is_told_with_the_names_of_the_form(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "sample", "properties": SILENT})
    report = await asked.host.run_integration(its_id)
    assert report.failure is not None
    (run,) = await asked.host.stores.executions.list_latest(its_id, limit=1)
    for address in (f"/executions/{run.id}", f"/executions/{run.id}?text=port+of+URL"):
        page = (await asked.http.get(address)).text
        assert "Check host and port of URL" in page
        assert "baseUrl" not in page, address


async def test_why_a_run_is_partial_stands_beside_the_word(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "sample", "properties": SILENT})
    run_id = await asked.host.stores.executions.start(its_id, job_name="syncRallyIssuesEvent")
    await asked.host.stores.executions.finish(run_id, outcome="partial", report={"skipped": 3})
    for address in ("/settings/integrations", f"/settings/integrations/{its_id}"):
        assert "3 items were skipped" in (await asked.http.get(address)).text
