"""What can be tried before anything is saved or sent: each is the work of a trial and changes nothing."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from rally_accelerate.config.model import Integration
from rally_accelerate.config.redaction import Redactor, redacting
from rally_accelerate.errors import ConfigError, RallyAccelerateError
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Window
from rally_accelerate.model.report import Tally, Troubles, watched
from rally_accelerate.observe.run_summary import Follower, progress_of, trying_again
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.rally.records import Project
from rally_accelerate.server.permissions import Actor
from rally_accelerate.server.runner import Runs
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.sync_state import HostState
from rally_accelerate.sync.connection_check import Finding, Link, check
from rally_accelerate.sync.dry_run import PreviewSink, Sample, UnwrittenState, compare, sample
from rally_accelerate.sync.empty_sync import counted
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.wiring import Target, links, plans_of, rules_for, rules_from

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


#: Nothing is sent to it: a sample is only looked at.
_NOWHERE = Target("https://accelerate.invalid", SecretStr(""))

#: Somebody waits: what does not answer is given up soon.
RETRY_SECONDS = 5.0
ANSWER_SECONDS = 30.0

#: How many items a preview shows, and how many differences.
ITEMS_SHOWN = 5
DIFFERENCES_SHOWN = 200


def impatient(integration: Integration, *, page_size: int | None = None) -> Integration:
    """The settings for somebody who waits."""
    properties = integration.properties
    changes: dict[str, Any] = {
        "retry_seconds": min(properties.retry_seconds, RETRY_SECONDS),
        "request_timeout_seconds": min(properties.request_timeout_seconds, ANSWER_SECONDS),
        "page_size": page_size or properties.page_size,
    }
    return integration.model_copy(update={"properties": properties.model_copy(update=changes)})


def connection(integration: Integration, limiters: LimiterPool) -> Work:
    """Try every link of the chain, as the command ``check`` does."""

    async def work(trial: Trial) -> None:
        findings: list[dict[str, Any]] = []
        trial.told["findings"] = findings
        wanted = impatient(integration)
        async for finding in check(
            wanted, target=None, limiters=limiters, begins=lambda link: trial.begins(link.value)
        ):
            # The last link is this host itself. One by one, so that each is seen when it is found.
            findings += [_finding(finding)] if finding.link is not Link.ACCELERATE else []
        if not any(each["state"] == "failed" for each in findings):
            findings.append({"link": "this host", "state": "ok", "text": "keeps the issues itself", "todo": []})

    return work


def items(integration: Integration, limiters: LimiterPool) -> Work:
    """Read a few live items, and map them."""

    async def work(trial: Trial) -> None:
        wanted = impatient(integration, page_size=ITEMS_SHOWN)
        async with links(wanted, target=_NOWHERE, limiters=limiters) as connected:
            rules, _ = await rules_from(connected.source, wanted.properties)
            since = wanted.properties.initial_sync_date
            found = await sample(connected.source, rules, count=ITEMS_SHOWN, since=since)
        trial.told |= {
            "issues": [_issue(each, found) for each in found.issues],
            "skipped": [{"key": each.key, "reason": each.reason} for each in found.skipped],
            "notices": list(found.notices),
        }

    return work


def projects(integration: Integration, limiters: LimiterPool) -> Work:
    """Read the projects of the workspace, and count the items below those that are chosen."""

    async def work(trial: Trial) -> None:
        chosen = integration.properties.projects
        everything = integration.properties.model_copy(update={"projects": ()})
        async with RallyClient(
            impatient(integration.model_copy(update={"properties": everything})).properties,
            limiters=limiters,
            clock=lambda: datetime.now(UTC),
        ) as source:
            workspace, found = await source.projects()
            trial.told |= {
                "workspace": {"id": workspace.object_id, "name": workspace.name},
                "projects": [_project(each) for each in found],
            }
            above = {each.parent for each in found}
            # A pattern or a path means projects of many teams: what is below them is not offered one by one.
            parents = [
                each
                for each in found
                if each.open and each.object_id in above and {each.name, str(each.object_id)} & set(chosen)
            ]
            if not parents or integration.properties.include_child_projects:
                return
            try:
                counts = await counted(source, await source.open(), parents)
            except RallyAccelerateError as error:
                # The tree is what was asked for; types that are not known yet, for example, only prevent the count.
                log.info("The items of child projects cannot be counted: %s", error)
                return
            trial.told["counts"] = [
                {"id": its_id, "own": own, "children": children} for its_id, (own, children) in counts.items()
            ]

    return work


def resync(stores: Stores, runs: Runs, integration: Integration, again: Window) -> Work:
    """See what a resync would change."""

    async def work(trial: Trial) -> None:
        started = time.monotonic()
        trial.told |= {
            "since": again.since.isoformat() if again.since else "",
            "progress": "",
            "percent": None,
            "result": None,
        }

        follower = Follower()

        def watch(tally: Tally) -> None:
            seconds = time.monotonic() - started
            follower.update(tally, seconds=seconds)
            words = follower.sentence(seconds=seconds, uploading="mapping")
            trial.told |= {"progress": words, **progress_of(follower.measured(seconds=seconds))}

        async with links(integration, target=runs.target, limiters=runs.limiters) as connected:
            await connected.sink.open()
            sink = PreviewSink(keep=0)
            state = UnwrittenState(HostState(stores.database, integration.id))
            report = await sync_once(
                connected.source,
                sink,
                state,
                await rules_for(connected.source, integration.properties, state),
                lambda: datetime.now(UTC),
                overlap=timedelta(minutes=integration.properties.overlap_minutes),
                plans=plans_of(integration.properties, again=again),
                watch=watch,
            )
            if report.failure is not None:
                raise report.failure
            compared = await compare(connected.sink, sink.expected, whole=False)
        trial.told["result"] = {
            "read": report.tally.read,
            "sent": len(sink.expected),
            "compared": compared.issues,
            "gone": len(sink.retired),
            "withheld": report.tally.withheld,
            "skipped": report.tally.skipped,
            "skippedItems": [{"key": each.key, "reason": each.reason} for each in report.skipped],
            "notices": list(report.notices),
            "differences": compared.differences[:DIFFERENCES_SHOWN],
            "differing": len(compared.differences),
            "empty": report.empty,
        }

    return work


def _finding(finding: Finding) -> dict[str, Any]:
    state = "failed" if finding.error is not None else "doubtful" if finding.doubtful else "ok"
    todo = []
    if isinstance(finding.error, ConfigError):
        todo += [str(problem) for problem in finding.error.problems if str(problem) != finding.text]
    if finding.error is not None and finding.error.hint:
        todo.append(finding.error.hint)
    return {"link": finding.link.value, "state": state, "text": finding.text, "todo": todo}


def _issue(issue: Issue, found: Sample) -> dict[str, Any]:
    judgement = found.judgements[issue.external_id]
    sprints: Sequence[Any] = [each for each in issue.sprints if not each.former] or issue.sprints
    return {
        "id": issue.display_id,
        "name": issue.name,
        "type": issue.type,
        "status": issue.status,
        "owner": issue.owner or "",
        "sprint": sprints[0].name if sprints else "",
        "changes": len(issue.history),
        "history": judgement.verdict.value,
        "url": issue.url,
    }


def _project(project: Project) -> dict[str, Any]:
    return {"id": project.object_id, "name": project.name, "parent": project.parent, "open": project.open}
