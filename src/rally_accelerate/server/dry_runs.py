"""Dry runs of settings and resyncs. They change nothing."""

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
from rally_accelerate.model.report import RetriedFailures, Tally, track_failures
from rally_accelerate.observe.run_summary import ProgressTracker, describe_retry, progress_of
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.rally.records import Project
from rally_accelerate.server.permissions import Actor
from rally_accelerate.server.runner import Runner
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.sync_state import ServerState
from rally_accelerate.sync.connection_check import Finding, Link, run_checks
from rally_accelerate.sync.dry_run import PreviewSink, Sample, UnwrittenState, compare, read_sample
from rally_accelerate.sync.empty_sync import count_items
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.wiring import Target, connect, load_rules, plans_of, rules_with_cache

log = logging.getLogger(__name__)

LIFETIME = timedelta(hours=1)

#: So many dry runs are remembered, and so many go on at once; the oldest give way.
MAX_DRY_RUNS = 100
MAX_CONCURRENT = 8

#: A dry run is given up after so long, unless it says otherwise.
TIMEOUT_SECONDS = 120.0


@dataclass(slots=True)
class DryRun:
    """One dry run and its results so far."""

    actor_id: str
    started: datetime
    #: The same by a clock that no one sets.
    started_at: float = field(default_factory=time.monotonic)
    #: JSON-ready values, filled in as they are found; secrets are masked when they are shown.
    results: dict[str, Any] = field(default_factory=dict)
    #: Message, hint and problems, when it failed.
    failure: dict[str, Any] | None = None
    redactor: Redactor = field(default_factory=lambda: Redactor(()))
    #: What it tries again.
    troubles: RetriedFailures = field(default_factory=RetriedFailures)
    #: After so many seconds it is given up.
    limit: float = TIMEOUT_SECONDS
    #: What it waits for now, where it goes step by step, and after how many seconds that began.
    step: str = ""
    step_started: float = 0.0
    task: asyncio.Task[None] | None = None

    @property
    def seconds(self) -> float:
        """For how long it has been going."""
        return time.monotonic() - self.started_at

    def start_step(self, step: str) -> None:
        """Note what is waited for from now on."""
        self.step, self.step_started = step, self.seconds

    @property
    def waits(self) -> dict[str, Any]:
        """What it waits for, for how many seconds already, and for how many at most."""
        return {
            "step": self.step,
            "seconds": int(max(0.0, self.seconds - self.step_started)),
            "limit": int(max(0.0, self.limit - self.step_started)),
        }

    @property
    def running(self) -> bool:
        """Whether it continues."""
        return self.task is not None and not self.task.done()

    def as_dict(self) -> dict[str, Any]:
        """Return the state and the results as JSON-ready values, without secrets."""
        worst = self.troubles.worst
        trouble = describe_retry(worst) if worst else ""
        result: dict[str, Any] = self.redactor.redact_values(
            {"failure": self.failure, "trouble": trouble, **self.results}
        )
        return {"running": self.running, "begun": self.started, "waits": self.waits, **result}


Work = Callable[[DryRun], Awaitable[None]]


class DryRuns:
    """The dry runs of a server."""

    def __init__(self) -> None:
        self._dry_runs: dict[str, DryRun] = {}

    def start(
        self, actor: Actor, key: str, work: Work, *, redactor: Redactor, seconds: float = TIMEOUT_SECONDS
    ) -> DryRun:
        """Start a dry run; cancel an earlier one of the same key.

        Args:
            actor: Who wants to know.
            key: What is tried, for ``of``.
            work: Fills in what is found.
            redactor: Knows the secrets that are used.
            seconds: After how long it is given up.
        """
        self._evict(key)
        trial = DryRun(actor.id, datetime.now(UTC), redactor=redactor, limit=seconds)
        trial.task = asyncio.create_task(_run_with_redaction(trial, work, seconds))
        self._dry_runs[key] = trial
        return trial

    def get(self, actor: Actor, key: str) -> DryRun | None:
        """Return the dry run of a key if this actor started it, else None."""
        dry_run = self._dry_runs.get(key)
        return dry_run if dry_run is not None and dry_run.actor_id == actor.id else None

    def stop(self, actor: Actor, key: str) -> None:
        """Cancel a dry run; its results so far stay available."""
        result = self.get(actor, key)
        if result is not None and result.task is not None and result.running:
            result.failure = {"message": "It was stopped.", "hint": "", "problems": []}
            result.task.cancel()

    async def close(self) -> None:
        """Cancel all dry runs."""
        tasks = [dry_run.task for dry_run in self._dry_runs.values() if dry_run.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._dry_runs.clear()

    def _evict(self, key: str) -> None:
        oldest = time.monotonic() - LIFETIME.total_seconds()
        old = [item for item, trial in self._dry_runs.items() if item == key or trial.started_at < oldest]
        old += list(self._dry_runs)[: max(0, len(self._dry_runs) - MAX_DRY_RUNS)]
        going = [item for item, trial in self._dry_runs.items() if trial.running and item not in old]
        old += going[: max(0, len(going) - MAX_CONCURRENT + 1)]
        for item in old:
            trial = self._dry_runs.pop(item, None)
            if trial is not None and trial.task is not None:
                trial.task.cancel()


async def _run_with_redaction(trial: DryRun, work: Work, seconds: float) -> None:
    with redacting(trial.redactor):
        await _run_work(trial, work, seconds)


async def _run_work(trial: DryRun, work: Work, seconds: float) -> None:
    try:
        with track_failures() as trial.troubles:
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
_NO_TARGET = Target("https://accelerate.invalid", SecretStr(""))

#: A user is waiting, so requests time out early.
RETRY_SECONDS = 5.0
RESPONSE_SECONDS = 30.0

#: How many items a preview shows, and how many differences.
PREVIEW_ITEMS = 5
MAX_DIFFERENCES = 200


def limit_timeouts(integration: Integration, *, page_size: int | None = None) -> Integration:
    """Return the settings with short timeouts, for a user who is waiting."""
    properties = integration.properties
    changes: dict[str, Any] = {
        "retry_seconds": min(properties.retry_seconds, RETRY_SECONDS),
        "request_timeout_seconds": min(properties.request_timeout_seconds, RESPONSE_SECONDS),
        "page_size": page_size or properties.page_size,
    }
    return integration.model_copy(update={"properties": properties.model_copy(update=changes)})


def check_connection(integration: Integration, limiters: LimiterPool) -> Work:
    """Try every link of the chain, as the command ``check`` does."""

    async def work(trial: DryRun) -> None:
        findings: list[dict[str, Any]] = []
        trial.results["findings"] = findings
        settings = limit_timeouts(integration)
        async for finding in run_checks(
            settings, target=None, limiters=limiters, begins=lambda link: trial.start_step(link.value)
        ):
            # The last link is this server itself. One by one, so that each is seen when it is found.
            findings += [_finding(finding)] if finding.link is not Link.ACCELERATE else []
        if not any(finding["state"] == "failed" for finding in findings):
            findings.append({"link": "this host", "state": "ok", "text": "keeps the issues itself", "todo": []})

    return work


def preview_items(integration: Integration, limiters: LimiterPool) -> Work:
    """Read a few live items, and map them."""

    async def work(trial: DryRun) -> None:
        settings = limit_timeouts(integration, page_size=PREVIEW_ITEMS)
        async with connect(settings, target=_NO_TARGET, limiters=limiters) as connected:
            rules, _ = await load_rules(connected.source, settings.properties)
            since = settings.properties.initial_sync_date
            result = await read_sample(connected.source, rules, count=PREVIEW_ITEMS, since=since)
        trial.results |= {
            "issues": [_issue(issue, result) for issue in result.issues],
            "skipped": [{"key": item.key, "reason": item.reason} for item in result.skipped],
            "notices": list(result.notices),
        }

    return work


def load_projects(integration: Integration, limiters: LimiterPool) -> Work:
    """Read the projects of the workspace, and count the items below those that are chosen."""

    async def work(trial: DryRun) -> None:
        chosen = integration.properties.projects
        everything = integration.properties.model_copy(update={"projects": ()})
        async with RallyClient(
            limit_timeouts(integration.model_copy(update={"properties": everything})).properties,
            limiters=limiters,
            clock=lambda: datetime.now(UTC),
        ) as source:
            workspace, result = await source.projects()
            trial.results |= {
                "workspace": {"id": workspace.object_id, "name": workspace.name},
                "projects": [_project(item) for item in result],
            }
            above = {item.parent for item in result}
            # A pattern or a path means projects of many teams: what is below them is not offered one by one.
            parents = [
                item
                for item in result
                if item.open and item.object_id in above and {item.name, str(item.object_id)} & set(chosen)
            ]
            if not parents or integration.properties.include_child_projects:
                return
            try:
                counts = await count_items(source, await source.open(), parents)
            except RallyAccelerateError as error:
                # The tree is what was asked for; types that are not known yet, for example, only prevent the count.
                log.info("The items of child projects cannot be counted: %s", error)
                return
            trial.results["counts"] = [
                {"id": project_id, "own": own, "children": children} for project_id, (own, children) in counts.items()
            ]

    return work


def preview_resync(stores: Stores, runs: Runner, integration: Integration, again: Window) -> Work:
    """See what a resync would change."""

    async def work(trial: DryRun) -> None:
        started = time.monotonic()
        trial.results |= {
            "since": again.since.isoformat() if again.since else "",
            "progress": "",
            "percent": None,
            "result": None,
        }

        follower = ProgressTracker()

        def watch(tally: Tally) -> None:
            seconds = time.monotonic() - started
            follower.update(tally, seconds=seconds)
            words = follower.sentence(seconds=seconds, uploading="mapping")
            trial.results |= {"progress": words, **progress_of(follower.measure(seconds=seconds))}

        async with connect(integration, target=runs.target, limiters=runs.limiters) as connected:
            await connected.sink.open()
            sink = PreviewSink(keep=0)
            state = UnwrittenState(ServerState(stores.database, integration.id))
            report = await sync_once(
                connected.source,
                sink,
                state,
                await rules_with_cache(connected.source, integration.properties, state),
                lambda: datetime.now(UTC),
                overlap=timedelta(minutes=integration.properties.overlap_minutes),
                plans=plans_of(integration.properties, again=again),
                watch=watch,
            )
            if report.failure is not None:
                raise report.failure
            compared = await compare(connected.sink, sink.expected, complete=False)
        trial.results["result"] = {
            "read": report.tally.read,
            "sent": len(sink.expected),
            "compared": compared.issues,
            "gone": len(sink.retired),
            "withheld": report.tally.withheld,
            "skipped": report.tally.skipped,
            "skippedItems": [{"key": item.key, "reason": item.reason} for item in report.skipped],
            "notices": list(report.notices),
            "differences": compared.differences[:MAX_DIFFERENCES],
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


def _issue(issue: Issue, preview: Sample) -> dict[str, Any]:
    judgement = preview.judgements[issue.external_id]
    sprints: Sequence[Any] = [sprint for sprint in issue.sprints if not sprint.former] or issue.sprints
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
