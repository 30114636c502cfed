"""Measure the embedded host with 200,000 issues: every page through the application itself, and uploads."""

import argparse
import asyncio
import math
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import orjson

from issuemaker import LABELS, PEOPLE, PROJECTS, STATUSES, TENANT, TRACKERS, TYPES, WORDS, items
from rally_accelerate.model.report import SyncReport
from rally_accelerate.server.app import Server
from rally_accelerate.server.store.executions import LogLine

BUILD = Path(__file__).parent.parent / "build"

#: Issues in one upload.
UPLOAD = 1_000

#: How often each page is asked for. Every time it is another one: what is kept of an answer must not help.
TIMES = 40

#: The beginnings of the names of the pages that are measured during uploads as well.
BESIDE = (
    "issues, all",
    "issues, filters",
    "issues, common",
    "issues, query that",
    "one issue",
    "value stream, map",
)

#: Whose issues are removed again.
NEW = "bench-rally-new"

ENDPOINT = "/release-events-api/graphql"
UPLOAD_ISSUES = "mutation uploadIssueData($data: IssueDataIn!) { uploadIssueData(data: $data) { result } }"
ISSUES = "query($filter: IssuesFilter!) { issues(filter: $filter) { _id issue { id name status } } }"
CREATE = (
    "mutation($name: String!, $tenantId: ID!, $team: TeamInput!, $workflow: JSON) "
    "{ createValueStream(name: $name, tenantId: $tenantId, team: $team, workflow: $workflow) "
    "{ ... on Workflow { _id } } }"
)

#: Milliseconds: of pages the median and the 95th percentile, of uploads every one.
MEDIAN, NEARLY_ALL, AN_UPLOAD = 200, 500, 1_000

#: The address of the n-th page of a family.
Address = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds, and those of the processor, which other programs do not lengthen."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take the time of what happens inside."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall.append((time.perf_counter() - wall) * 1000)
        self.cpu.append((time.process_time() - cpu) * 1000)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table; without times it is a remark."""

    label: str
    times: Times
    median: float = MEDIAN
    highest: float = NEARLY_ALL

    @property
    def cells(self) -> tuple[str, ...]:
        """Label, median, 95th percentile, median of the processor's, what is wanted, whether it is met."""
        wall = self.times.wall
        middle, high = statistics.median(wall), nearly_all(wall)
        is_met = middle < self.median and high < self.highest
        figures = (f"{each:,.0f}" for each in (middle, high, statistics.median(self.times.cpu)))
        return (self.label, *figures, f"{self.median:,} / {self.highest:,}", "yes" if is_met else "NO")


HEADINGS = ("milliseconds of", "median", "95 %", "CPU", "wanted below", "met")


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[tuple[Server, httpx2.AsyncClient]]:
    """A host, and a client that is signed in and has an access key."""
    async with Server.open(path, interval=timedelta(days=365)) as host:
        transport = httpx2.ASGITransport(app=host.build_app())
        # As ``serve`` has it.
        await host.upload_worker.wait_until_ready()
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=600) as http:
            admin = await host.stores.users.by_name("admin")
            if admin is None:
                raise SystemExit("the database of the benchmark has no administrator; remove it from build/")
            http.cookies.set("rally-accelerate-80", await host.stores.sessions.create(admin.id))
            made = await host.stores.keys.create(f"of the benchmark {time.time_ns()}", user_id=admin.id)
            http.headers["Authorization"] = f"UserAccessKey {made.key}"
            yield host, http


async def built(host: Server, count: int) -> None:
    """Fill a database through the store's own way for uploads, unless it is filled already."""
    there = sum((await host.stores.issues.count_by_tracker()).values())
    for first in range(there // UPLOAD * UPLOAD, count, UPLOAD):
        tracker = TRACKERS[first // UPLOAD % len(TRACKERS)]
        uploaded = list(items(first, UPLOAD))
        await host.stores.issues.store_upload(source="RALLY", tracker_id=tracker, tenant_id=TENANT, items=uploaded)
    if not await host.stores.integrations.all():
        account = SyncReport(started_at=datetime.now(UTC), seconds=1.0).as_dict()
        for name in ("North", "South", "East"):
            its_id = await host.add_integration({"name": name, "disabled": True, "properties": {"apiKey": "bench"}})
            for _ in range(100):
                run = await host.stores.executions.start(its_id, job_name="syncRallyDataEvent")
                await host.stores.lines.append(run, [LogLine(datetime.now(UTC), "INFO", "one line")] * 200, after=0)
                await host.stores.executions.finish(run, outcome="complete", report=account)


def nth(choices: Sequence[str], number: int) -> str:
    """One of them, round and round."""
    return choices[number % len(choices)]


async def families(host: Server, http: httpx2.AsyncClient, count: int) -> dict[str, Address]:
    """The pages that exist, each with its addresses."""
    integrations = [one.id for one in await host.stores.integrations.all()]
    runs = [run.id for its_id in integrations for run in await host.stores.executions.list_latest(its_id)]

    def listed(**given: Any) -> str:
        return "/issues?" + urlencode(given, doseq=True)

    def one(number: int) -> str:
        key = number * 7_919 % count
        return f"/issues/{TRACKERS[key // UPLOAD % len(TRACKERS)]}/{40_000_000_000 + key}"

    def common(number: int) -> str:
        return (
            f"issue.status in ('{nth(STATUSES, number)}', '{nth(STATUSES, (number + 2))}') and issue.type != Task "
            f"and issue.owner = '{nth(PEOPLE, number)}' and issue.created < {300 + number}d"
        )

    def raw(number: int) -> str:
        return f"issue.rawIssue.c_Customer = 'customer {number * 31}' or issue.rawIssue.c_Value > {90 + number / 8}"

    found: dict[str, Address] = {
        "issues, all of them": lambda number: listed(sort=("-updated", "status", "-points", "name")[number % 4]),
        "issues, filters": lambda number: listed(
            type=nth(TYPES, number),
            status=[nth(STATUSES, number), nth(STATUSES, (number + 1))],
            owner=nth(PEOPLE, number),
            project=nth(PROJECTS, number),
        ),
        "issues, a filter that many pass": lambda number: listed(
            status=nth(STATUSES, number), label=nth(LABELS, number)
        ),
        "issues, words": lambda number: listed(text=f"{nth(WORDS, number)} {nth(WORDS, number + 40)[:4]}"),
        "issues, one word that many have": lambda number: listed(text=nth(WORDS, number)),
        "issues, an id": lambda number: listed(text=f"us{number * 97}"),
        "issues, common query": lambda number: listed(dql=common(number)),
        "issues, query that most match": lambda number: listed(
            dql=f"issue.status != '{nth(STATUSES, number)}' and issue.labels != '{nth(LABELS, number)}'"
        ),
        "issues, query on rawIssue": lambda number: listed(dql=raw(number)),
        "issues as JSON": lambda number: "/issues.json?" + urlencode({"limit": 50, "dql": common(number + 50)}),
        "one issue": one,
        "integrations": lambda _: "/settings/integrations",
        "an integration": lambda number: f"/settings/integrations/{integrations[number % len(integrations)]}",
        "an execution": lambda number: f"/executions/{runs[number % len(runs)]}",
    }
    streams = [await _stream(http, number) for number in range(4)]

    def stream(number: int, rest: str = "", **given: Any) -> str:
        return f"/value-streams/{streams[number % 4]}{rest}?" + urlencode(given, doseq=True)

    def dot(number: int) -> str:
        return stream(number, "/dots" + one(number).removeprefix("/issues"))

    its = "/settings/integrations"
    found |= {
        "CSV of a person's issues, the whole file": lambda number: (
            "/issues.csv?" + urlencode({"owner": nth(PEOPLE, number)})
        ),
        "issues, text in descriptions": lambda number: listed(
            dql=f"issue.description contains '{nth(WORDS, number)} {nth(WORDS, number + 9)[:3]}'"
        ),
        "issues, text in comments": lambda number: listed(
            dql=f"issue.comments.comment contains '{nth(WORDS, number)} {nth(WORDS, number + 9)[:2]}'"
        ),
        "value stream, map": stream,
        "value stream, map with a filter": lambda number: stream(
            number, types=nth(TYPES, number), projects=nth(PROJECTS, number)
        ),
        "value stream, map with a query": lambda number: stream(number, dql=f"issue.owner != '{nth(PEOPLE, number)}'"),
        "value stream, map with words": lambda number: stream(number, text=nth(WORDS, number)),
        "value stream, map of 30 days": lambda number: stream(number, time="DAY30", types=nth(TYPES, number)),
        "value stream, map as JSON": lambda number: stream(number).replace("?", ".json?"),
        "value stream, a stage": lambda number: stream(number, f"/stages/{number % 6 + 1}"),
        "value stream, an item's card": dot,
        "value stream, its file": lambda number: stream(number, "/file"),
        "value stream, edit the file": lambda number: stream(number, "/edit"),
        "value stream, versions": lambda number: stream(number, "/versions"),
        "one issue as JSON": lambda number: one(number) + ".json",
        "one issue as of a date": lambda number: one(number) + "?as-of=2025-06-01",
        "executions of an integration": lambda number: (
            f"/executions?integration={integrations[number % len(integrations)]}"
        ),
        "an integration, edit": lambda number: f"{its}/{integrations[number % len(integrations)]}/edit",
        "an execution as JSON": lambda number: f"/executions/{runs[number % len(runs)]}.json",
        "an execution, search its log": lambda number: f"/executions/{runs[number % len(runs)]}?text=line",
        "an execution, log as text": lambda number: f"/executions/{runs[number % len(runs)]}/log.txt",
    }
    for path in sorted({str(getattr(route, "path", "")) for route in host.build_app().routes}):
        # Addresses without anything in them: lists, settings, profile, users, the audit log; also as JSON. All issues
        # as one file take as long as the file is large.
        if (
            path
            and "{" not in path
            and path not in {"/issues", "/issues.json", its, ENDPOINT}
            and not path.endswith(".csv")
        ):
            answer = await http.get(path)
            if answer.status_code == httpx2.codes.OK:
                found[f"page {path}"] = _always(path)
    return {name: address for name, address in found.items() if await _is_there(http, address(0))}


async def _is_there(http: httpx2.AsyncClient, address: str) -> bool:
    """Whether a page exists; one that is called otherwise now is told."""
    found = (await http.get(address)).status_code == httpx2.codes.OK
    if not found:
        print(f"not measured, it is not there: {address}", file=sys.stderr)
    return found


def _always(path: str) -> Address:
    return lambda _: path


async def _stream(http: httpx2.AsyncClient, number: int) -> str:
    """A value stream with a stage for each status."""
    stages = [{"name": status, "query": f"issue.status = '{status}'"} for status in STATUSES]
    query = f"issue.project.name != '{nth(PROJECTS, number)}'"
    workflow = {
        "query": query,
        "phases": [{"name": "Plan", "stages": stages[:2]}, {"name": "Do", "stages": stages[2:]}],
    }
    team = {"id": "1", "name": "Default"}
    variables = {"name": f"Bench {time.time_ns()}", "tenantId": TENANT, "team": team, "workflow": workflow}
    answer = (await http.post(ENDPOINT, json={"query": CREATE, "variables": variables})).json()
    return str(answer["data"]["createValueStream"]["_id"])


async def asked(http: httpx2.AsyncClient, address: Address, times: Sequence[int]) -> Times:
    """The times of pages."""
    found = Times()
    for number in times:
        with found.one():
            answer = await http.get(address(number))
        if answer.status_code != httpx2.codes.OK:
            raise SystemExit(f"{address(number)} answered {answer.status_code}")
    return found


def bodies(count: int, *, tracker: str = "") -> list[bytes]:
    """Uploads of a thousand issues with ten changes each, written before anything is measured."""
    found = []
    for each in range(count):
        data = {"source": "RALLY", "trackerId": tracker or TRACKERS[each % len(TRACKERS)], "tenantId": TENANT}
        # Of another seed: all of an issue is another than it was.
        content = {**data, "issues": list(items(each * UPLOAD, UPLOAD, seed=7 + each % 2))}
        found.append(orjson.dumps({"query": UPLOAD_ISSUES, "variables": {"data": content}}))
    return found


async def uploads(http: httpx2.AsyncClient, sent: Iterable[bytes]) -> Times:
    """The times of uploads through the endpoint."""
    found = Times()
    for content in sent:
        with found.one():
            answer = await http.post(ENDPOINT, content=content, headers={"Content-Type": "application/json"})
        if "errors" in answer.json():
            raise SystemExit(f"an upload was refused: {answer.json()['errors'][0]['message']}")
    return found


def nearly_all(milliseconds: Sequence[float]) -> float:
    """The 95th percentile."""
    return sorted(milliseconds)[math.ceil(len(milliseconds) * 0.95) - 1]


async def _measure(path: Path, count: int, only: str) -> list[Row]:
    async with opened(path) as (host, http):
        await built(host, count)
        # As a host has done that runs for longer than it was filled.
        await host.stores.search.warm()
    async with opened(path) as (host, http):
        first = await asked(http, lambda _: "/issues", [0])
        rows = [Row("the first page, right after the start", first, NEARLY_ALL)]
        known = {name: address for name, address in (await families(host, http, count)).items() if only in name}
        for name, address in known.items():
            rows.append(Row(name, await asked(http, address, range(1, TIMES + 1))))
            print(*rows[-1].cells, sep="  ", file=sys.stderr)
        query = {"query": ISSUES, "variables": {"filter": {"tenantId": TENANT, "skip": 1000, "limit": 100}}}
        graphql = Times()
        for _ in range(TIMES):
            with graphql.one():
                await http.post(ENDPOINT, json=query)
        rows.append(Row("GraphQL issues, 100 of them", graphql))
        again, new = bodies(10), bodies(10, tracker=NEW)
        whole: dict[str, Any] = {"median": AN_UPLOAD, "highest": AN_UPLOAD}
        rows.append(Row("upload of 1,000 known issues, 10 changes each", await uploads(http, again), **whole))
        rows.append(Row("upload of 1,000 new issues, 10 changes each", await uploads(http, new), **whole))
        rows += await _beside_uploads(http, known, again)
        await host.stores.issues.remove(NEW)
    return rows


async def _beside_uploads(http: httpx2.AsyncClient, known: dict[str, Address], sent: list[bytes]) -> list[Row]:
    """Pages while one upload follows the other without a pause."""
    rows = []
    for name, address in known.items():
        if not name.startswith(BESIDE):
            continue
        running = asyncio.create_task(uploads(http, cycle(sent)))
        times = await asked(http, address, range(41, 41 + TIMES // 2))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        rows.append(Row(f"during uploads: {name}", times))
        print(*rows[-1].cells, sep="  ", file=sys.stderr)
    return rows


def measure(count: int, *, only: str = "") -> list[tuple[str, ...]]:
    """The rows of the table, its headings first.

    Args:
        count: So many issues the database has; it is made in ``build/`` and used again.
        only: What the names of the families have in them that are measured.
    """
    BUILD.mkdir(exist_ok=True)
    rows = asyncio.run(_measure(BUILD / f"bench-host-{count}.sqlite", count, only))
    return [HEADINGS, *(row.cells for row in rows)]


def printed(rows: Sequence[tuple[str, ...]]) -> str:
    """The table as text: labels to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def main() -> None:
    """Measure and print, with what the machine does beside."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--issues", type=int, default=200_000, help="with ten changes each")
    parser.add_argument("--only", default="", help="measure only pages with this in their names")
    arguments = parser.parse_args()
    before = os.getloadavg()[0]
    rows = measure(arguments.issues, only=arguments.only)
    print(printed(rows))
    missed = sum(row[-1] == "NO" for row in rows)
    print(
        f"\n{len(rows) - 1 - missed} of {len(rows) - 1} met with {arguments.issues:,} issues; "
        f"load {before:.1f} before and {os.getloadavg()[0]:.1f} after on {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()
