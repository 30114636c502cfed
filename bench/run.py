"""Measure the connector and its peer in one run, and write the figures with their command to RESULTS.md."""

import argparse
import math
import os
import platform
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx2

import host
from container import start_up
from processes import HERE, Rally, Run, connector, peer, rally, server, settings

PAGE = 2000
SNAPSHOTS = 20_000
KINDS = ("hierarchicalrequirement", "defect")
LATENCY_MS = 50

#: Items whose revisions the peer reads: it takes each the same time, and all of them would take half an hour.
PEER_ITEMS = 100

#: Whose names stand in histories: projects, people, iterations, releases, tags, portfolio items; and the login.
START_UP = 7


def fewest_requests(rally: Rally, *, changes: int) -> int:
    """Whole pages of items and posts, whole answers of snapshots, and one list each of what has a name."""
    rows = sum(math.ceil(total(rally, kind) / PAGE) for kind in (*KINDS, "conversationpost"))
    return rows + math.ceil(changes / SNAPSHOTS) + START_UP


def total(rally: Rally, kind: str) -> int:
    """How many rows of a type Rally has."""
    parameters = {"pagesize": "1", "project": "null", "fetch": "ObjectID"}
    address = f"{rally.simulator}/slm/webservice/v2.0/{kind}"
    answer = httpx2.get(address, params=parameters, headers={"ZSESSIONID": rally.key}, timeout=60)
    return int(answer.json()["QueryResult"]["TotalResultCount"])


def snapshots(rally: Rally) -> int:
    """How many snapshots the stories and defects of the workspace have."""
    address = f"{rally.simulator}/slm/webservice/v2.0/project?pagesize=1&project=null&fetch=Workspace,ObjectID"
    row = httpx2.get(address, headers={"ZSESSIONID": rally.key}, timeout=60).json()["QueryResult"]["Results"][0]
    workspace = row["Workspace"]["ObjectID"]
    question = {
        "find": {"_TypeHierarchy": {"$in": ["HierarchicalRequirement", "Defect"]}},
        "fields": ["ObjectID"],
        "sort": {"ObjectID": 1},
        "pagesize": 1,
    }
    path = f"/analytics/v2.0/service/rally/workspace/{workspace}/artifact/snapshot/query.js"
    answer = httpx2.post(rally.simulator + path, json=question, headers={"ZSESSIONID": rally.key}, timeout=600)
    return int(answer.json()["TotalResultCount"])


def firsts(rally: Rally, file: Path, folder: Path, *, runs: int, latency_ms: int) -> list[Run]:
    """First syncs, each into a state of its own; one more before them fills the replaying server."""
    found = []
    for number in range(runs + 1):
        rally.reset(latency_ms=latency_ms if number else 0)
        (folder / f"{file.stem}-{latency_ms}-{number}").unlink(missing_ok=True)
        found.append(connector(file, folder / f"{file.stem}-{latency_ms}-{number}"))
    return found[1:]


def middle(runs: Sequence[Run], name: str) -> float:
    """The median of a figure."""
    return statistics.median(float(getattr(run, name)) for run in runs)


def measure(items: int, runs: int) -> list[tuple[str, str]]:
    """The rows of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with rally(folder, items=items) as source, server(str(HERE / "receiver.py")) as receiver:
            common = {"baseUrl": source.url, "apiKey": source.key, "caBundle": str(source.authority)}
            common |= {"accelerateUrl": receiver["url"], "ucvAccessKey": "bench-key"}
            whole = settings(folder, "whole", **common)
            bare = settings(folder, "bare", **common, historySource="none", comments=False, relations=False)
            quick = firsts(source, whole, folder, runs=runs, latency_ms=0)
            slow = firsts(source, whole, folder, runs=runs, latency_ms=LATENCY_MS)
            plain = firsts(source, bare, folder, runs=runs, latency_ms=LATENCY_MS)
            source.reset(latency_ms=0)
            idle = connector(whole, folder / f"whole-{LATENCY_MS}-{runs}")
            source.reset(latency_ms=0)
            peer(source, history=PEER_ITEMS)
            source.reset(latency_ms=LATENCY_MS)
            peers = [peer(source, history=PEER_ITEMS) for _ in range(runs)]
            changes = snapshots(source)
            fewest = fewest_requests(source, changes=changes)
    read = quick[0].report["read"]
    requests = statistics.median(run.report["requests"]["rally"] for run in slow)
    peer_read = statistics.median(each["items"] / each["seconds"] for each in peers)
    peer_past = statistics.median(each["with_past"] / each["past_seconds"] for each in peers)
    # Its items per second with history: the time for an item is that of reading it and that of its past.
    peer_whole = 1 / (1 / peer_read + 1 / peer_past)
    complete = quick[0].report["histories"]["complete"]
    idle_requests = idle.report["requests"]["rally"] + idle.report["requests"]["accelerate"]
    return [
        ("items, and snapshots of them", f"{read:,}, {changes:,} ({changes / read:.1f} each)"),
        ("histories that replay to the present", f"{complete:,} of {quick[0].report['uploaded']:,}"),
        (f"pyral, {LATENCY_MS} ms: items per second, merely read", f"{peer_read:,.0f}"),
        (f"pyral, {LATENCY_MS} ms: items per second with revisions", f"{peer_whole:,.1f}"),
        (f"connector, {LATENCY_MS} ms: items per second without history, uploaded", f"{middle(plain, 'rate'):,.0f}"),
        ("ratio to pyral's reading, at least 1 wanted", f"{middle(plain, 'rate') / peer_read:.2f}"),
        (f"connector, {LATENCY_MS} ms: items per second with whole history, uploaded", f"{middle(slow, 'rate'):,.0f}"),
        ("ratio to pyral with revisions, at least 200 wanted", f"{middle(slow, 'rate') / peer_whole:,.0f}"),
        (
            "connector, no latency: items per second with whole history, at least 3,000 wanted",
            f"{middle(quick, 'rate'):,.0f}",
        ),
        (
            "connector: CPU seconds per 10,000 items with whole history",
            f"{middle(quick, 'cpu_seconds') / read * 10_000:.1f}",
        ),
        (
            "connector: CPU seconds per 10,000 items without history",
            f"{middle(plain, 'cpu_seconds') / read * 10_000:.1f}",
        ),
        ("requests to Rally with whole history", f"{requests:,.0f}"),
        ("fewest possible (pages of items and posts, answers of snapshots, a list of each name)", f"{fewest:,}"),
        ("ratio, at most 1.15 wanted", f"{requests / fewest:.2f}"),
        ("megabytes received", f"{slow[0].report['bytes']['received'] / 1e6:,.0f}"),
        ("peak memory, below 250 MB wanted", f"{max(run.peak_mb for run in (*quick, *slow)):.0f} MB"),
        ("cycle without a change: requests to both sides, at most 8 wanted", f"{idle_requests}"),
        ("cycle without a change: uploads", f"{idle.report['uploaded']}"),
        ("cycle without a change: CPU seconds", f"{idle.cpu_seconds:.2f}"),
    ]


def large(items: int) -> list[tuple[str, str]]:
    """Memory with twenty times as many items, from the simulator itself."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            server("-m", "rally_sandbox", "--port", "0", "--items", str(items)) as simulator,
            server(str(HERE / "receiver.py")) as receiver,
        ):
            properties = {"baseUrl": simulator["url"], "apiKey": simulator["apiKey"], "requestTimeoutSeconds": 600}
            properties |= {"accelerateUrl": receiver["url"], "ucvAccessKey": "bench-key"}
            run = connector(settings(folder, "large", **properties), folder / "state")
    label = f"{run.report['read']:,} items: peak memory, below 250 MB wanted"
    return [(label, f"{run.peak_mb:.0f} MB")]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--items", type=int, default=14_000, help="size of the workspace: 14,000 hold 10,000 stories and defects"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of which the median is told")
    parser.add_argument(
        "--large",
        type=int,
        default=280_000,
        help="size of the workspace for memory alone: 280,000 hold 200,000 items, some seven minutes; 0 for none",
    )
    parser.add_argument("--issues", type=int, default=200_000, help="issues in the embedded host; 0 leaves it out")
    arguments = parser.parse_args()
    rows = [*measure(arguments.items, arguments.runs), *start_up()]
    if arguments.large:
        rows += large(arguments.large)
    # Last: it runs in this process, and the system counts what a parent holds into its children's peaks.
    hosted = host.measure(arguments.issues) if arguments.issues else []
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        print(f"{label:<{width}}  {value}")
    if hosted:
        print(f"\n{host.printed(hosted)}")
    table = "\n".join(f"| {label} | {value} |" for label, value in rows)
    command = f"python bench/run.py --items {arguments.items} --runs {arguments.runs}"
    command += f" --large {arguments.large} --issues {arguments.issues}"
    (HERE / "RESULTS.md").write_text(
        f"# Results\n\nMade by `{command}` (`make bench`) with Python {platform.python_version()} on {os.cpu_count()} "
        f"cores; medians of {arguments.runs} runs, memory the highest of them.\n\n"
        "Both contenders are served the simulator's answers from memory by a process of its own, after a run that\n"
        "fills it: the simulator's speed is in nobody's figure. pyral reads pages of 2,000 with its threads on, then\n"
        f"the revisions of {PEER_ITEMS} items one after the other. Absolute figures differ between machines;\n"
        f"ratios and requests hardly do.\n\n| figure | value |\n|---|---|\n{table}\n" + _hosted(hosted)
    )


def _hosted(rows: Sequence[tuple[str, ...]]) -> str:
    """The section on the embedded host."""
    if not rows:
        return ""
    lines = [
        "",
        "## The embedded host",
        "",
        "Every page through the whole application, on SQLite, each time with other filters, words and queries, so that",
        f"nothing kept of an earlier answer helps; median and 95th percentile of {host.TIMES}.",
        "Wanted are a median below 200 ms and a 95th percentile below 500 ms, also while uploads follow each other,",
        "and every upload in less than a second. CPU is what the median page takes of one core in the host's process;",
        "uploads take theirs in the process beside it.",
        "",
        f"| {' | '.join(rows[0])} |",
        "|---|---:|---:|---:|---:|---|",
        *(f"| {' | '.join(row)} |" for row in rows[1:]),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
