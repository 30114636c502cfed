"""Measure the embedded host with 200,000 issues: every page through the application itself, and uploads."""

import argparse
import asyncio
import math
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2

from issuemaker import LABELS, PEOPLE, PROJECTS, STATUSES, TENANT, TRACKERS, TYPES, WORDS, items
from rally_accelerate.host.app import Host
from rally_accelerate.model.report import SyncReport

BUILD = Path(__file__).parent.parent / "build"

#: Issues in one upload.
UPLOAD = 1_000

#: How often each page is asked for. Every time it is another one: what is kept of an answer must not help.
TIMES = 40

#: Whose issues are removed again.
NEW = "bench-rally-new"

ENDPOINT = "/release-events-api/graphql"
UPLOAD_ISSUES = "mutation uploadIssueData($data: IssueDataIn!) { uploadIssueData(data: $data) { result } }"
ISSUES = "query($filter: IssueFilterInput!) { issues(filter: $filter) { _id issue { id name status } } }"
CREATE = (
    "mutation($name: String!, $tenantId: ID!, $workflow: JSON) "
    "{ createValueStream(name: $name, tenantId: $tenantId, workflow: $workflow) { ... on Workflow { _id } } }"
)

#: The address of the n-th page of a family.
Address = Callable[[int], str]


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[tuple[Host, httpx2.AsyncClient]]:
    """A host, and a client that is signed in and has an access key."""
    async with Host.open(path, interval=timedelta(days=365)) as host:
        transport = httpx2.ASGITransport(app=host.app())
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=600) as http:
            admin = await host.stores.users.by_name("admin")
            if admin is None:
                raise SystemExit("the database of the benchmark has no administrator; remove it from build/")
            http.cookies.set("rally-accelerate-80", await host.stores.sessions.begin(admin.id))
            made = await host.stores.keys.make(f"of the benchmark {time.time_ns()}", user_id=admin.id)
            http.headers["Authorization"] = f"UserAccessKey {made.key}"
            yield host, http


async def built(host: Host, count: int) -> None:
    """Fill a database through the store's own way for uploads, unless it is filled already."""
    there = sum((await host.stores.issues.counts()).values())
    for first in range(there // UPLOAD * UPLOAD, count, UPLOAD):
        tracker = TRACKERS[first // UPLOAD % len(TRACKERS)]
        uploaded = list(items(first, UPLOAD))
        await host.stores.issues.take(source="RALLY", tracker_id=tracker, tenant_id=TENANT, items=uploaded)
    if not await host.stores.integrations.all():
        account = SyncReport(started_at=datetime.now(UTC), seconds=1.0).as_dict()
        for name in ("North", "South", "East"):
            its_id = await host.add_integration({"name": name, "disabled": True, "properties": {"apiKey": "bench"}})
            for _ in range(100):
                run = await host.stores.executions.begin(its_id, job_name="syncRallyDataEvent")
                await host.stores.executions.end(run, outcome="complete", report=account, log="INFO one line\n" * 200)


async def families(host: Host, http: httpx2.AsyncClient, count: int) -> dict[str, Address]:
    """The pages that exist, each with its addresses."""
    integrations = [one.id for one in await host.stores.integrations.all()]
    runs = [run.id for its_id in integrations for run in await host.stores.executions.of(its_id)]

    def listed(**given: Any) -> str:
        return "/issues?" + urlencode(given, doseq=True)

    def one(number: int) -> str:
        key = number * 7_919 % count
        return f"/issues/{TRACKERS[key // UPLOAD % len(TRACKERS)]}/{40_000_000_000 + key}"

    def common(number: int) -> str:
        return (
            f"issue.status in ('{STATUSES[number % 6]}', '{STATUSES[(number + 2) % 6]}') and issue.type != Task "
            f"and issue.owner = '{PEOPLE[number % len(PEOPLE)]}' and issue.created < {300 + number}d"
        )

    def raw(number: int) -> str:
        return f"issue.rawIssue.c_Customer = 'customer {number * 31}' or issue.rawIssue.c_Value > {90 + number / 8}"

    found: dict[str, Address] = {
        "issues, all of them": lambda number: listed(sort=("-updated", "status", "-points", "name")[number % 4]),
        "issues, filters": lambda number: listed(
            type=TYPES[number % 5],
            status=[STATUSES[number % 6], STATUSES[(number + 1) % 6]],
            owner=PEOPLE[number],
            project=PROJECTS[number % 60],
        ),
        "issues, a filter that many pass": lambda number: listed(status=STATUSES[number % 6], label=LABELS[number]),
        "issues, words": lambda number: listed(text=f"{WORDS[number]} {WORDS[number + 40][:4]}"),
        "issues, one word that many have": lambda number: listed(text=WORDS[number]),
        "issues, an id": lambda number: listed(text=f"us{number * 97}"),
        "issues, common query": lambda number: listed(dql=common(number)),
        "issues, query that most match": lambda number: listed(
            dql=f"issue.status != '{STATUSES[number % 6]}' and issue.labels != '{LABELS[number]}'"
        ),
        "issues, query on rawIssue": lambda number: listed(dql=raw(number)),
        "issues as JSON": lambda number: "/issues.json?" + urlencode({"limit": 50, "dql": common(number + 50)}),
        "one issue": one,
        "integrations": lambda _: "/settings/integrations",
        "an integration": lambda number: f"/settings/integrations/{integrations[number % len(integrations)]}",
        "an execution": lambda number: f"/executions/{runs[number % len(runs)]}",
    }
    paths = {str(getattr(route, "path", "")) for route in host.app().routes}
    if "/value-streams/{id:str}" in paths:
        streams = [await _stream(http, number) for number in range(4)]
        found["value stream, map"] = lambda number: (
            f"/value-streams/{streams[number % 4]}?" + urlencode({"dql": f"issue.owner != '{PEOPLE[number]}'"})
        )
    for path in sorted(paths):
        if path and "{" not in path and path not in {"/issues", "/settings/integrations", ENDPOINT}:
            answer = await http.get(path)
            if answer.status_code == httpx2.codes.OK and not path.endswith((".csv", ".json")):
                found[f"page {path}"] = _always(path)
    return found


def _always(path: str) -> Address:
    return lambda _: path


async def _stream(http: httpx2.AsyncClient, number: int) -> str:
    """A value stream with a stage for each status."""
    stages = [{"name": status, "query": f"issue.status = '{status}'"} for status in STATUSES]
    query = f"issue.project.name != '{PROJECTS[number]}'"
    workflow = {
        "query": query,
        "phases": [{"name": "Plan", "stages": stages[:2]}, {"name": "Do", "stages": stages[2:]}],
    }
    variables = {"name": f"Bench {time.time_ns()}", "tenantId": TENANT, "workflow": workflow}
    answer = (await http.post(ENDPOINT, json={"query": CREATE, "variables": variables})).json()
    return str(answer["data"]["createValueStream"]["_id"])


async def asked(http: httpx2.AsyncClient, address: Address, times: Sequence[int]) -> list[float]:
    """Milliseconds of each page."""
    found = []
    for number in times:
        begun = time.perf_counter()
        answer = await http.get(address(number))
        found.append((time.perf_counter() - begun) * 1000)
        if answer.status_code != httpx2.codes.OK:
            raise SystemExit(f"{address(number)} answered {answer.status_code}")
    return found


async def uploads(http: httpx2.AsyncClient, count: int, *, tracker: str = "") -> list[float]:
    """Milliseconds of uploads of a thousand issues with ten changes each, through the endpoint."""
    found = []
    for each in range(count):
        issues = list(items(each * UPLOAD, UPLOAD))
        data = {"source": "RALLY", "trackerId": tracker or TRACKERS[each % len(TRACKERS)], "tenantId": TENANT}
        content = {"query": UPLOAD_ISSUES, "variables": {"data": {**data, "issues": issues}}}
        request = http.build_request("POST", ENDPOINT, json=content)
        begun = time.perf_counter()
        answer = (await http.send(request)).json()
        found.append((time.perf_counter() - begun) * 1000)
        if "errors" in answer:
            raise SystemExit(f"an upload was refused: {answer['errors'][0]['message']}")
        await asyncio.sleep(0)
    return found


def told(milliseconds: Sequence[float]) -> str:
    """The median and the 95th percentile."""
    ordered = sorted(milliseconds)
    return f"{statistics.median(ordered):,.0f} ms, {ordered[math.ceil(len(ordered) * 0.95) - 1]:,.0f} ms"


async def _measure(path: Path, count: int) -> list[tuple[str, str]]:
    async with opened(path) as (host, http):
        await built(host, count)
    async with opened(path) as (host, http):
        known = await families(host, http, count)
        begun = time.perf_counter()
        await asked(http, known["issues, all of them"], [0])
        rows = [("the first page after the start, once", f"{(time.perf_counter() - begun) * 1000:,.0f} ms")]
        rows += [(name, told(await asked(http, address, range(1, TIMES + 1)))) for name, address in known.items()]
        query = {"query": ISSUES, "variables": {"filter": {"tenantId": TENANT, "skip": 1000, "limit": 100}}}
        graphql = []
        for _ in range(TIMES):
            begun = time.perf_counter()
            await http.post(ENDPOINT, json=query)
            graphql.append((time.perf_counter() - begun) * 1000)
        rows.append(("GraphQL issues, 100 of them", told(graphql)))
        rows.append(("upload of 1,000 issues again, with ten changes each", told(await uploads(http, 10))))
        rows.append(("upload of 1,000 new issues, with ten changes each", told(await uploads(http, 10, tracker=NEW))))
        rows += await _beside_uploads(http, known)
        await host.stores.issues.remove(NEW)
    return rows


async def _beside_uploads(http: httpx2.AsyncClient, known: dict[str, Address]) -> list[tuple[str, str]]:
    """Pages while one upload follows the other."""
    rows = []
    for name in ("issues, all of them", "issues, filters", "issues, common query", "one issue", "value stream, map"):
        if name not in known:
            continue
        running = asyncio.create_task(uploads(http, 1_000))
        times = await asked(http, known[name], range(41, 41 + TIMES // 2))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        rows.append((f"while uploads run: {name}", told(times)))
    return rows


def measure(count: int) -> list[tuple[str, str]]:
    """The rows of the table: median and 95th percentile of every family of pages."""
    BUILD.mkdir(exist_ok=True)
    path = BUILD / f"bench-host-{count}.sqlite"
    rows = asyncio.run(_measure(path, count))
    size = path.stat().st_size / 1e6
    return [("issues, with ten changes each", f"{count:,}"), ("megabytes of the database", f"{size:,.0f}"), *rows]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--issues", type=int, default=200_000)
    rows = measure(parser.parse_args().issues)
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        print(f"{label:<{width}}  {value}")


if __name__ == "__main__":
    main()
