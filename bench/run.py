"""Measure the connector against the simulator, and write the figures with their command to RESULTS.md.

The simulator, the receiving host and the connector are three processes, so that nobody's work is counted as the
connector's. Requests are counted by the simulator, CPU time and peak memory by the operating system.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

HERE = Path(__file__).parent
PAGE = 2000
KINDS = ("hierarchicalrequirement", "defect")

#: Log in with the workspace, and list the projects.
START_UP = 2


@dataclass(frozen=True, slots=True)
class Run:
    """One finished connector process."""

    report: dict[str, Any]
    cpu_seconds: float
    peak_mb: float


@contextmanager
def process(*arguments: str) -> Iterator[dict[str, Any]]:
    """A server process; its first line of output is a JSON object that tells where it is."""
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield json.loads(server.stdout.readline())
        finally:
            server.terminate()
            server.wait()


def connector(settings: Path, state: Path) -> Run:
    """Run the connector once, as a process of its own."""
    command = [sys.executable, "-m", "rally_accelerate.cli.entry", "sync", str(settings), "--once", "--json"]
    with subprocess.Popen([*command, "--state", str(state)], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        output = running.stdout.read()
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        sys.exit(f"the connector ended with {running.returncode}: {output.decode()}")
    return Run(json.loads(output), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def total(rally: str, key: str, kind: str, query: str = "") -> int:
    """How many rows of a type Rally has."""
    parameters = {"pagesize": "1", "project": "null", "fetch": "ObjectID"} | ({"query": query} if query else {})
    address = f"{rally}/slm/webservice/v2.0/{kind}"
    answer = httpx2.get(address, params=parameters, headers={"ZSESSIONID": key}, timeout=60)
    return int(answer.json()["QueryResult"]["TotalResultCount"])


def fewest_requests(rally: str, key: str) -> int:
    """Pages of items, pages of the revisions that matter, and the start-up."""
    items = sum(math.ceil(total(rally, key, kind) / PAGE) for kind in KINDS)
    revisions = math.ceil(total(rally, key, "revision", '(Description contains "SCHEDULE STATE")') / PAGE)
    return items + revisions + START_UP


def measure(items: int, runs: int) -> list[tuple[str, str]]:
    """The rows of the table."""
    firsts: list[Run] = []
    idles: list[Run] = []
    fewest = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            process("-m", "rally_sandbox", "--port", "0", "--items", str(items)) as rally,
            process(str(HERE / "receiver.py")) as receiver,
        ):
            settings = folder / "bench.json"
            properties = {"baseUrl": rally["url"], "apiKey": rally["apiKey"]}
            properties |= {"accelerateUrl": receiver["url"], "ucvAccessKey": "bench-key"}
            settings.write_text(json.dumps({"integrations": [{"name": "bench", "properties": properties}]}))
            fewest = fewest_requests(rally["url"], rally["apiKey"])
            for number in range(runs):
                state = folder / f"state-{number}.sqlite"
                firsts.append(connector(settings, state))
                idles.append(connector(settings, state))
    requests = statistics.median(run.report["requests"]["rally"] for run in firsts)
    seconds = statistics.median(run.report["seconds"] for run in firsts)
    read = firsts[0].report["read"]
    idle_uploads = max(run.report["uploaded"] for run in idles)
    idle_requests = max(run.report["requests"]["rally"] + run.report["requests"]["accelerate"] for run in idles)
    return [
        ("first sync: items read and uploaded", f"{read:,} and {firsts[0].report['uploaded']:,}"),
        ("first sync: requests to Rally", f"{requests:,.0f}"),
        ("fewest possible (pages of items and of revisions, start-up)", f"{fewest:,}"),
        ("ratio, at most 1.2 wanted", f"{requests / fewest:.2f}"),
        ("first sync: peak memory, below 250 MB wanted", f"{max(run.peak_mb for run in firsts):.0f} MB"),
        ("first sync: wall time", f"{seconds:.1f} s"),
        ("first sync: items per second", f"{read / seconds:,.0f}"),
        (
            "first sync: CPU seconds per 10,000 items",
            f"{statistics.median(run.cpu_seconds for run in firsts) / read * 10_000:.1f}",
        ),
        ("cycle without a change: requests to both sides, at most 8 wanted", f"{idle_requests}"),
        ("cycle without a change: uploads", f"{idle_uploads}"),
        ("cycle without a change: CPU seconds", f"{statistics.median(run.cpu_seconds for run in idles):.2f}"),
    ]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--items",
        type=int,
        default=28_000,
        help="size of the simulated workspace, tasks included: 28,000 hold 20,000 stories and defects",
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of which the median is told")
    arguments = parser.parse_args()
    rows = measure(arguments.items, arguments.runs)
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        print(f"{label:<{width}}  {value}")
    table = "\n".join(f"| {label} | {value} |" for label, value in rows)
    (HERE / "RESULTS.md").write_text(
        f"# Results\n\nMade by `make bench` (`python bench/run.py --items {arguments.items} --runs {arguments.runs}`)\n"
        f"with Python {platform.python_version()} on {os.cpu_count()} cores; medians of {arguments.runs} runs, memory "
        "the highest of them. Absolute times differ between machines; requests, uploads and ratios do not.\n\n"
        f"| figure | value |\n|---|---|\n{table}\n"
    )


if __name__ == "__main__":
    main()
