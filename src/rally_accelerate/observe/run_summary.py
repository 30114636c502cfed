"""Texts about a running sync and its histories."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rally_accelerate.model.report import ProjectResult, RetriedFailure, Tally
from rally_accelerate.observe.progress_rate import Measure, Meter, Phase

SIXTY = 60

#: After waiting this long for a first response, the progress shows for how long.
SILENT_SECONDS = 5.0


class ProgressTracker:
    """Progress of one sync from its counts; times are seconds since its start."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._meter = Meter()

    def update(self, tally: Tally, *, seconds: float) -> None:
        """Take fresh counts in."""
        self.tally = tally
        total = max(tally.expected, tally.read)
        done = tally.uploaded + tally.unchanged + tally.skipped
        for phase, count in ((Phase.READING, tally.read), (Phase.HISTORY, tally.ready), (Phase.UPLOADING, done)):
            self._meter.update(phase, count, total, seconds)

    def measure(self, *, seconds: float) -> Measure:
        """Return how far the run is."""
        return self._meter.measure(seconds, known=not self.tally.uncounted)

    def sentence(self, *, seconds: float, uploading: str = Phase.UPLOADING.value) -> str:
        """Return one line about the run.

        Args:
            seconds: How long it has been going.
            uploading: What the last phase is called.
        """
        return describe_progress(self.tally, self.measure(seconds=seconds), seconds=seconds, uploading=uploading)


def progress_of(measure: Measure) -> dict[str, Any]:
    """Return a run's progress as JSON-ready values: percent of all phases, seconds left, and each phase."""
    return {
        "percent": None if measure.share is None else int(100 * measure.share),
        "remaining": measure.remaining,
        "phases": [
            {
                "name": stage.phase.value,
                "done": stage.done,
                "total": stage.total,
                "rate": None if stage.rate is None else round(stage.rate, 1),
            }
            for stage in measure.stages
        ],
    }


def format_duration(seconds: float) -> str:
    """Format a duration: ``8 s``, ``2 min 5 s``, ``1 h 12 min``."""
    total = round(seconds)
    if total < SIXTY:
        return f"{total} s"
    minutes, rest = divmod(total, SIXTY)
    if minutes < SIXTY:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, SIXTY)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def describe_histories(tally: Tally) -> str:
    """Describe the histories of the uploaded items; empty if nothing was uploaded."""
    parts = [f"{tally.complete:,} complete"]
    if tally.incomplete:
        awaited = f" ({describe_pending_histories(tally.awaited, of=tally.incomplete)})" if tally.awaited else ""
        parts.append(f"{tally.incomplete:,} incomplete{awaited}")
    if tally.unverifiable:
        parts.append(f"{tally.unverifiable:,} not verifiable")
    return ", ".join(parts) if tally.complete + tally.incomplete + tally.unverifiable else ""


def describe_pending_histories(count: int, *, of: int) -> str:
    """Return why histories are incomplete while Rally's Lookback lacks the latest changes."""
    pending = "pending: Rally's Lookback is behind; the next sync completes them"
    return f"{count:,} {pending}" if count < of else pending


def describe_retry(trouble: RetriedFailure) -> str:
    """Describe a failure that is being retried."""
    often = "" if trouble.failures == 1 else f" after {trouble.failures} failures"
    return f"Retrying{often}: {trouble.message}"


def describe_progress(tally: Tally, measure: Measure, *, seconds: float, uploading: str = Phase.UPLOADING.value) -> str:
    """Describe the progress of a running sync in one line."""
    if not any(stage.total or stage.done for stage in measure.stages):
        # Before Rally's first response the totals are unknown; "0 of 0" would be wrong.
        counting = "counting items in Rally"
        return counting if seconds < SILENT_SECONDS else f"{counting}; no response for {format_duration(seconds)}"
    more = "at least " if tally.uncounted else ""
    parts: list[str] = []
    for stage in measure.stages:
        name = uploading if stage.phase is Phase.UPLOADING else stage.phase.value
        if stage.total:
            parts.append(f"{name} {stage.done:,} of {more}{stage.total:,}")
        elif stage.done:
            parts.append(f"{name} {stage.done:,}")
    if tally.unchanged:
        parts.append(f"{tally.unchanged:,} unchanged")
    if tally.skipped:
        parts.append(f"{tally.skipped:,} skipped")
    if measure.last.rate and measure.last.remaining != 0:
        parts.append(f"{measure.last.rate:,.0f}/s" if measure.last.rate >= 1 else "less than 1/s")
    if measure.remaining:
        parts.append(f"{format_duration(measure.remaining)} left")
    return ", ".join(parts)


#: So many projects are named on a terminal and in a log; the JSON report and the pages name all of them.
MOST_NAMED = 20

UNNAMED = "without a project"


def project_labels(projects: Iterable[Mapping[str, Any]]) -> Mapping[str, str]:
    """Return what each project is called, by ``id``: its ``name``, with the id where several have the same name."""
    listed = list(projects)
    names = Counter(project["name"] for project in listed)
    return {
        project["id"]: (project["name"] if names[project["name"]] == 1 else f"{project['name']} ({project['id']})")
        if project["id"]
        else UNNAMED
        for project in listed
    }


def project_lines(projects: Sequence[ProjectResult], *, uploaded: str = "uploaded") -> Iterator[str]:
    """Yield one line for each project, those with the most items first.

    Args:
        projects: The results of the projects.
        uploaded: What became of changed items: a dry run only would have uploaded them.
    """
    order = sorted(projects, key=lambda one: (-one.skipped, -one.read, one.name.casefold(), one.id))
    names = project_labels([{"id": one.id, "name": one.name} for one in projects])
    for project in order[:MOST_NAMED]:
        parts = [f"{project.read:,} read", f"{project.uploaded:,} {uploaded}", f"{project.skipped:,} skipped"]
        parts += [f"{project.removed:,} marked as removed"] if project.removed else []
        parts += [f"{project.incomplete:,} with an incomplete history"] if project.incomplete else []
        yield f"{f'project {names[project.id]}' if project.id else names[project.id]}: {', '.join(parts)}"
    if rest := order[MOST_NAMED:]:
        read, sent = sum(one.read for one in rest), sum(one.uploaded for one in rest)
        yield f"{len(rest):,} more projects: {read:,} read, {sent:,} {uploaded}"
