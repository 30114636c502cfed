"""A trial tells what it finds while it goes on, masks secrets, ends in time, and is its author's alone."""

import asyncio
import logging
from typing import Any

import pytest

from rally_accelerate.config.redaction import RedactingFormatter, Redactor
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.server.dry_runs import DryRun, DryRuns
from rally_accelerate.server.permissions import Actor, Role

ADA = Actor("1", "Ada", Role.EDITOR)
SECRET = "planted-secret"


async def ended(trials: DryRuns, work: Any, **more: Any) -> dict[str, Any]:
    """What a trial told at its end."""
    trial = trials.start(ADA, "x", work, redactor=Redactor([SECRET]), **more)
    assert trial.task is not None
    await asyncio.gather(trial.task, return_exceptions=True)
    return trial.as_dict()


async def test_what_is_told_and_what_fails_holds_no_secret() -> None:
    async def work(trial: DryRun) -> None:
        trial.results["lines"] = [{"text": f"echo {SECRET}", SECRET: 1}]
        raise ConfigError(f"no {SECRET}", problems=[Problem("a.b", SECRET)], hint="Do it.")

    shown = await ended(DryRuns(), work)
    assert shown["lines"][0]["text"] == "echo ***"
    assert shown["failure"] == {"message": "no ***", "hint": "Do it.", "problems": ["a.b: ***"]}
    assert not shown["running"]


async def test_the_log_of_the_process_holds_no_secret_of_a_trial(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(_: DryRun) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(logging.getLogger("rally_accelerate"), "propagate", True)
    monkeypatch.setattr(caplog.handler, "formatter", RedactingFormatter("%(message)s", redactor=Redactor(())))
    await ended(DryRuns(), work)
    assert "RuntimeError: ***" in caplog.text
    assert SECRET not in caplog.text


async def test_what_takes_too_long_is_given_up() -> None:
    async def work(_: DryRun) -> None:
        await asyncio.Event().wait()

    shown = await ended(DryRuns(), work, seconds=0.01)
    assert "given up" in shown["failure"]["message"]


async def test_a_fault_of_our_own_is_told_without_its_details() -> None:
    async def work(_: DryRun) -> None:
        raise ZeroDivisionError("inside")

    shown = await ended(DryRuns(), work)
    assert "rally-accelerate itself" in shown["failure"]["message"]
    assert "inside" not in str(shown)


async def test_trials_give_way_and_are_their_authors_alone() -> None:
    async def work(_: DryRun) -> None:
        await asyncio.Event().wait()

    trials = DryRuns()
    first = trials.start(ADA, "0", work, redactor=Redactor(()))
    for number in range(1, 30):
        trials.start(ADA, str(number), work, redactor=Redactor(()))
    assert trials.get(ADA, "0") is None
    assert trials.get(Actor("2", "Bob", Role.ADMIN), "29") is None
    last = trials.get(ADA, "29")
    assert last is not None
    assert last.running
    trials.stop(ADA, "29")
    await asyncio.sleep(0)
    await trials.close()
    assert first.task is not None
    assert first.task.cancelled()
    assert last.as_dict()["failure"]["message"] == "It was stopped."
