"""Whole processes, started as users start them, on free ports, stopped by their own process id."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from support.starting import start
from support.truth import history, told
from support.waiting import PATIENCE_SECONDS

MODULE = "rally_accelerate.cli.entry"
COMMAND = [sys.executable, "-m", MODULE]


@dataclass(frozen=True)
class Simulator:
    """A simulated Rally in a process of its own."""

    url: str
    key: str

    def post(self, control: str, body: Any = None) -> Any:
        """Tell the simulator to do something."""
        answer = httpx2.post(f"{self.url}/_sandbox/{control}", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stats(self) -> dict[str, Any]:
        """What it was asked."""
        found: dict[str, Any] = httpx2.get(f"{self.url}/_sandbox/stats", timeout=PATIENCE_SECONDS).json()
        return found

    def truth(self, kind: str) -> dict[str, dict[str, Any]]:
        """Every item of a kind in the default workspace, by ObjectID; ``visible`` tells whether Rally shows it."""
        answer = httpx2.get(f"{self.url}/_sandbox/truth/{kind}", timeout=60)
        rows = [json.loads(line) for line in answer.text.splitlines()]
        # The default workspace was founded first.
        default = min(row["workspace"] for row in rows)
        return {str(row["object_id"]): row for row in rows if row["workspace"] == default}


@dataclass(frozen=True)
class RunningHost:
    """An embedded host in a process of its own."""

    url: str
    key: str
    #: The password of ``admin``.
    password: str
    process: subprocess.Popen[str]

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask its GraphQL endpoint as any client would."""
        answer = httpx2.post(
            f"{self.url}/release-events-api/graphql",
            json={"query": query, "variables": variables},
            headers={"Authorization": f"UserAccessKey {self.key}"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert "errors" not in body, body
        data: dict[str, Any] = body["data"]
        return data


@contextmanager
def stopped_at_the_end(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is asked to end, and made to if it does not."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@contextmanager
def started(*arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """The command line as a running process; it is gone at the end, whatever happened."""
    pipe = subprocess.PIPE
    with stopped_at_the_end(start(MODULE, *arguments, stdout=pipe, stderr=pipe, env=environment(**more))) as process:
        yield process


@contextmanager
def simulator(*options: str) -> Iterator[Simulator]:
    """Start a simulator."""
    how = {"stdout": subprocess.PIPE, "stderr": None, "env": environment()}
    with stopped_at_the_end(start("rally_sandbox", "--port", "0", *options, **how)) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        yield Simulator(told["url"], told["apiKey"])


@contextmanager
def host(database: Path) -> Iterator[RunningHost]:
    """Start an embedded host on a new database."""
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "env": environment()}
    with stopped_at_the_end(start(MODULE, "serve", "--port", "0", "--database", str(database), **how)) as process:
        told: dict[str, str] = {}
        assert process.stdout is not None
        while "key" not in told:
            line = process.stdout.readline()
            assert line, "the host ended before it told its key"
            name, _, value = line.partition(":")
            # "sign in: admin / PASSWORD (shown only now)", and words with one value.
            told[name.strip()] = value.rpartition(" / ")[2].split()[0] if value.split() else ""
        yield RunningHost(told["host"], told["key"], told["sign in"], process)


def environment(**more: str) -> dict[str, str]:
    """The process environment without anything that configures the product, unbuffered."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RALLY_", "ACCELERATE_"))}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The last line of ``--json``."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


def command(*arguments: str, **more: str) -> Finished:
    """Run the command line to its end."""
    pipe = subprocess.PIPE
    with start(MODULE, *arguments, stdout=pipe, stderr=pipe, env=environment(**more)) as process:
        try:
            out, err = process.communicate(timeout=300)
        finally:
            process.kill()
    return Finished(process.returncode, out, err)


def settings(path: Path, rally: Simulator, target: RunningHost, **properties: Any) -> Path:
    """A settings file as a user has it."""
    given = {"baseUrl": rally.url, "apiKey": rally.key, "accelerateUrl": target.url, "ucvAccessKey": target.key}
    integration = {"type": "ucv-ext-rally", "name": "sample", "properties": {**given, **properties}}
    path.write_text(json.dumps({"integrations": [integration]}))
    return path


ISSUES = """
query issues($filter: IssuesFilter!) {
  issues(filter: $filter) { _id trackerId issue { _id id name description status type normalizedType owner creator url
    created lastUpdate priority storyPoints labels epic rawIssue project { id key name } relations { id type }
    sprints { id name previous } comments { id user comment } releases { id name }
    history { timestamp content { field type from to user } } } }
}
"""
TENANT = "5ade13625558f2c6688d15ce"


def held(target: RunningHost) -> dict[str, dict[str, Any]]:
    """Every issue that a host holds, by external id; fails when one is there twice."""
    found: dict[str, dict[str, Any]] = {}
    skip = 0
    while True:
        page = target.ask(ISSUES, filter={"tenantId": TENANT, "skip": skip, "limit": 500})["issues"]
        for row in page:
            assert row["issue"]["_id"] not in found, "an issue is there twice"
            found[row["issue"]["_id"]] = row["issue"]
        if len(page) < 500:
            return found
        skip += 500


def assert_same(rally: Simulator, target: RunningHost) -> None:
    """The host holds exactly what the simulator's own records say, every change of their past included."""
    everything = rally.truth("hierarchicalrequirement") | rally.truth("defect")
    truth = {key: item for key, item in everything.items() if item["visible"]}
    issues = held(target)
    assert set(truth) <= set(issues)
    # What was deleted or closed away after it was synced stays, with another status (docs/explanation/delivery.md).
    assert set(issues) <= set(everything)
    for key, item in truth.items():
        values, issue = item["values"], issues[key]
        owner = values["Owner"]["name"] if values["Owner"] else None
        expected = (item["formatted_id"], values["Name"].strip(), values["ScheduleState"], owner)
        assert (issue["id"], issue["name"], issue["status"], issue["owner"]) == expected
        assert told(issue) == history(item), item["formatted_id"]
