"""What is tried out in the background while somebody waits: a connection, a preview, the list of projects.

A trial changes nothing. It is known to whoever began it, for an hour, and lives in memory only.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rally_accelerate.config.redact import Redactor, redacting
from rally_accelerate.errors import ConfigError, RallyAccelerateError
from rally_accelerate.host.access import Actor
from rally_accelerate.model.trouble import Troubles, watched
from rally_accelerate.observe.pace import trying_again

log = logging.getLogger(__name__)

LIFETIME = timedelta(hours=1)

#: So many trials are remembered, and so many go on at once; the oldest give way.
MOST = 100
MOST_AT_ONCE = 8

#: A trial is given up after so long, unless it says otherwise.
SECONDS = 120.0


@dataclass(slots=True)
class Trial:
    """One trial, and what it has told so far."""

    actor_id: str
    begun: datetime
    #: The same by a clock that nobody sets.
    since: float = field(default_factory=time.monotonic)
    #: JSON-ready values, filled in as they are found; secrets are masked when they are shown.
    told: dict[str, Any] = field(default_factory=dict)
    #: Message, hint and problems, when it failed.
    failure: dict[str, Any] | None = None
    redactor: Redactor = field(default_factory=lambda: Redactor(()))
    #: What it tries again.
    troubles: Troubles = field(default_factory=Troubles)
    #: After so many seconds it is given up.
    limit: float = SECONDS
    #: What it waits for now, where it goes step by step, and after how many seconds that began.
    step: str = ""
    step_at: float = 0.0
    task: asyncio.Task[None] | None = None

    @property
    def seconds(self) -> float:
        """For how long it has been going."""
        return time.monotonic() - self.since

    def begins(self, step: str) -> None:
        """Note what is waited for from now on."""
        self.step, self.step_at = step, self.seconds

    @property
    def waits(self) -> dict[str, Any]:
        """What it waits for, for how many seconds already, and for how many at most."""
        return {
            "step": self.step,
            "seconds": int(max(0.0, self.seconds - self.step_at)),
            "limit": int(max(0.0, self.limit - self.step_at)),
        }

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self.task is not None and not self.task.done()

    def shown(self) -> dict[str, Any]:
        """What a page shows of it."""
        worst = self.troubles.worst
        trouble = trying_again(worst) if worst else ""
        found: dict[str, Any] = self.redactor.redact_values({"failure": self.failure, "trouble": trouble, **self.told})
        return {"running": self.running, "begun": self.begun, "waits": self.waits, **found}


Work = Callable[[Trial], Awaitable[None]]


class Trials:
    """The trials of one host."""

    def __init__(self) -> None:
        self._trials: dict[str, Trial] = {}

    def begin(self, actor: Actor, key: str, work: Work, *, redactor: Redactor, seconds: float = SECONDS) -> Trial:
        """Begin a trial; one of the same key gives way.

        Args:
            actor: Who wants to know.
            key: What is tried, for ``of``.
            work: Fills in what is found.
            redactor: Knows the secrets that are used.
            seconds: After how long it is given up.
        """
        self._make_room(key)
        trial = Trial(actor.id, datetime.now(UTC), redactor=redactor, limit=seconds)
        trial.task = asyncio.create_task(_done(trial, work, seconds))
        self._trials[key] = trial
        return trial

    def of(self, actor: Actor, key: str) -> Trial | None:
        """A trial that this actor began, or None."""
        found = self._trials.get(key)
        return found if found is not None and found.actor_id == actor.id else None

    def stop(self, actor: Actor, key: str) -> None:
        """Give a trial up; what it told stays."""
        found = self.of(actor, key)
        if found is not None and found.task is not None and found.running:
            found.failure = {"message": "It was stopped.", "hint": "", "problems": []}
            found.task.cancel()

    async def close(self) -> None:
        """Give all of them up."""
        tasks = [each.task for each in self._trials.values() if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._trials.clear()

    def _make_room(self, key: str) -> None:
        oldest = time.monotonic() - LIFETIME.total_seconds()
        old = [each for each, trial in self._trials.items() if each == key or trial.since < oldest]
        old += list(self._trials)[: max(0, len(self._trials) - MOST)]
        going = [each for each, trial in self._trials.items() if trial.running and each not in old]
        old += going[: max(0, len(going) - MOST_AT_ONCE + 1)]
        for each in old:
            trial = self._trials.pop(each, None)
            if trial is not None and trial.task is not None:
                trial.task.cancel()


async def _done(trial: Trial, work: Work, seconds: float) -> None:
    with redacting(trial.redactor):
        await _worked(trial, work, seconds)


async def _worked(trial: Trial, work: Work, seconds: float) -> None:
    try:
        with watched() as trial.troubles:
            async with asyncio.timeout(seconds):
                await work(trial)
    except TimeoutError:
        trial.failure = {
            "message": f"It was given up after {seconds:.0f} seconds.",
            "hint": "Try again; if it takes as long, something on the way to Rally holds the answers back.",
            "problems": [],
        }
    except RallyAccelerateError as error:
        problems = [str(problem) for problem in error.problems] if isinstance(error, ConfigError) else []
        trial.failure = {"message": str(error), "hint": error.hint, "problems": problems}
    except Exception:
        log.exception("a trial failed by a fault of the program itself")
        trial.failure = {
            "message": "A fault in rally-accelerate itself; its details are in the log of the process.",
            "hint": "Please report it.",
            "problems": [],
        }
