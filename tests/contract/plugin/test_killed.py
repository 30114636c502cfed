"""A run in the container that is killed at any request ends, with the runs after it, where one that lives ends."""

import copy
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from support.accelerate_stub import TENANT, TRACKER, AccelerateStub, accelerate_stub
from support.container import Container, build_event_arguments
from support.processes import Simulator, start_simulator
from support.relay import Response, run_relay
from support.waiting import wait_until

T = TypeVar("T")

DAY = 25 * 3600

#: Of each so many requests one is a moment of death; 1 is every request.
EVERY = 4


class Killer:
    """Kills a process at one of the requests that it makes, before it is answered or after it was done."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.at: int | None = None
        self.after = False
        self.count = 0
        self.killed = False

    def arm(self, at: int | None, *, after: bool) -> None:
        """Kill at a request, counted from 1; None lets the process live."""
        self.at, self.after, self.count, self.killed, self.process = at, after, 0, False, None

    def meets(self, answer: Callable[[], T], *, nothing: T) -> T:
        """Answer a request, unless it is the last one."""
        self.count += 1
        if self.count != self.at or self.killed:
            return nothing if self.killed else answer()
        if self.after:
            answer()
        self.killed = True
        wait_until(lambda: self.process).kill()
        return nothing


class World:
    """A small company, a server as the vendor's, and a connector between them that may die."""

    def __init__(self, container: Container, rally: Simulator, stub: AccelerateStub) -> None:
        self.container = container
        self.rally = rally
        self.stub = stub
        self.killer = Killer()
        self.by_rally = False
        self.last_run = 0
        self.url = ""
        answered = stub.answer

        def answer(path: str, authorization: str, content: bytes) -> tuple[int, Any]:
            if self.by_rally:
                return answered(path, authorization, content)
            return self.killer.meets(lambda: answered(path, authorization, content), nothing=(500, {}))

        stub.answer = answer  # type: ignore[method-assign]  # every request passes here

    def meets_rally(self, answer: Callable[[], Response]) -> Response:
        """Let a request to Rally pass, or die at it."""
        nothing: Response = (500, {}, b"")
        return self.killer.meets(answer, nothing=nothing) if self.by_rally else answer()

    def run(self, at: int | None = None, *, after: bool = False, by_rally: bool = False) -> bool:
        """Run, and perhaps die at a request; whether it died."""
        self.by_rally = by_rally
        self.killer.arm(at, after=after)
        self.forget_the_dead()
        state = {
            "lastRun": self.last_run,
            "trackerId": TRACKER,
            "tenantId": TENANT,
            "apiServerUrl": f"{self.stub.url}/release-events-api",
        }
        properties = {
            "baseUrl": self.url,
            "apiKey": self.rally.key,
            "_userAccessKey": self.stub.key,
            "projects": ["Team Amber", "Team Birch"],
            "uploadMaxItems": "12",
            "pageSize": "15",
        }
        words = build_event_arguments({"state": state, "properties": properties, "loggingLevel": "INFO"})
        with self.container.start(*words) as process:
            self.killer.process = process
            out, err = process.communicate(timeout=120)
        assert self.killer.killed or (process.returncode, err) == (0, ""), out
        assert not self.stub.refused
        return self.killer.killed

    def forget_the_dead(self) -> None:
        """Let a minute and a half pass for the server: after that a run that says nothing counts as dead."""
        for each in self.stub.integrations.values():
            kept = (each["state"] or {}).get("rallyAccelerate")
            if kept:
                kept["at"] -= 600_000

    def kept(self) -> Any:
        """Everything that the server holds."""
        return copy.deepcopy((self.stub.issues, self.stub.integrations, self.stub.event_states, self.last_run))

    def put_back(self, kept: Any) -> None:
        """Let the server hold what it held at an earlier moment."""
        issues, integrations, states, self.last_run = copy.deepcopy(kept)
        for held, earlier in (
            (self.stub.issues, issues),
            (self.stub.integrations, integrations),
            (self.stub.event_states, states),
        ):
            held.clear()
            held.update(earlier)


@contextmanager
def world(container: Container) -> Iterator[World]:
    """The world, with its relay."""
    with start_simulator("--items", "60") as rally, accelerate_stub("A") as stub:
        made = World(container, rally, stub)
        with run_relay(rally.url, made.meets_rally) as made.url:
            yield made


def told(stub: AccelerateStub) -> dict[str, Any]:
    """The issues, without the instant at which a move was noticed: that depends on the runs."""
    found = copy.deepcopy(stub.issues_of())
    for issue in found.values():
        last = issue["history"][-1] if issue["history"] else {"content": {}}
        if last["content"].get("to") == "Moved out":
            last["timestamp"] = ""
    return found


def first_sync(its: World) -> int:
    """Nothing has happened yet; one run is enough."""
    del its
    return 1


def a_day_with_removals(its: World) -> int:
    """An item is deleted, one moved and one edited; the second run marks what the first one missed."""
    its.run()
    its.last_run = round(time.time() * 1000)
    keys = sorted(
        key for key, issue in its.stub.issues_of().items() if not issue["comments"] and len(issue["history"]) > 2
    )
    its.rally.post("edit", {"objectId": int(keys[2]), "fields": {"Name": "Edited"}})
    its.rally.post("delete", {"objectId": int(keys[0])})
    its.rally.post("edit", {"objectId": int(keys[1]), "fields": {"Project": "Team Dune"}})
    its.rally.post("clock", {"advance_seconds": DAY})
    return 2


def removals_noticed(its: World) -> int:
    """What is gone was missed once; the next run marks it."""
    a_day_with_removals(its)
    its.run()
    its.rally.post("clock", {"advance_seconds": 400})
    return 1


def lost_issues(its: World) -> int:
    """The server lost its issues and kept the integration's state."""
    a_day_with_removals(its)
    its.run()
    its.run()
    its.stub.lose_issues()
    its.last_run = 0
    return 1


@pytest.mark.parametrize("begin", [first_sync, a_day_with_removals, removals_noticed, lost_issues])
def test_wherever_a_run_is_killed_the_end_is_the_same(bare: Container, begin: Callable[[World], int]) -> None:
    with world(bare) as its:
        runs = begin(its)
        start = its.kept()
        for _ in range(runs):
            its.run()
        requests = its.killer.count
        expected = told(its.stub)
        assert expected
        if begin in (a_day_with_removals, removals_noticed):
            assert {"Deleted", "Moved out"} <= {issue["status"] for issue in expected.values()}
        deaths = 0
        for by_rally, after in ((False, False), (False, True), (True, True)):
            its.put_back(start)
            at = 1
            while its.run(at, after=after, by_rally=by_rally):
                deaths += 1
                for _ in range(runs + 1):
                    its.run()
                assert told(its.stub) == expected, f"killed at request {at}"
                its.put_back(start)
                at += EVERY if not by_rally else 2 * EVERY
        assert deaths >= requests / EVERY
