"""Texts about a running sync and its histories."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rally_accelerate.model.report import ProjectResult, RetriedFailure, Tally
from rally_accelerate.observe.progress_rate import Measure, Meter, Phase

SIXTY = 60

#: Whoever has waited so long for a first answer is told for how long.
SILENT_SECONDS = 5.0


class Follower:
    """How far one run is, from the counts that it tells; seconds are those since it began."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._meter = Meter()

    def update(self, tally: Tally, *, seconds: float) -> None:
        """Take fresh counts in."""
        self.tally = tally
        total = max(tally.expected, tally.read)
        done = tally.uploaded + tally.unchanged + tally.skipped
        for phase, count in ((Phase.READING, tally.read), (Phase.HISTORY, tally.ready), (Phase.UPLOADING, done)):
            self._meter.feed(phase, count, total, seconds)

    def measured(self, *, seconds: float) -> Measure:
        """Return how far the run is."""
        return self._meter.measured(seconds, known=not self.tally.uncounted)

    def sentence(self, *, seconds: float, uploading: str = Phase.UPLOADING.value) -> str:
        """Return one line about the run.

        Args:
            seconds: How long it has been going.
            uploading: What the last phase is called.
        """
        return sentence(self.tally, self.measured(seconds=seconds), seconds=seconds, uploading=uploading)


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


def duration(seconds: float) -> str:
    """A duration for people: ``8 s``, ``2 min 5 s``, ``1 h 12 min``."""
    whole = round(seconds)
    if whole < SIXTY:
        return f"{whole} s"
    minutes, rest = divmod(whole, SIXTY)
    if minutes < SIXTY:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, SIXTY)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def histories(tally: Tally) -> str:
    """What became of the histories of what was uploaded; empty when nothing was."""
    parts = [f"{tally.complete:,} complete"]
    if tally.incomplete:
        awaited = f" ({awaited_words(tally.awaited, of=tally.incomplete)})" if tally.awaited else ""
        parts.append(f"{tally.incomplete:,} incomplete{awaited}")
    if tally.unverifiable:
        parts.append(f"{tally.unverifiable:,} not verifiable")
    return ", ".join(parts) if tally.complete + tally.incomplete + tally.unverifiable else ""


def awaited_words(count: int, *, of: int) -> str:
    """Return why histories are incomplete while Rally's Lookback lacks the latest changes."""
    pending = "pending: Rally's Lookback is behind; the next sync completes them"
    return f"{count:,} {pending}" if count < of else pending


def trying_again(trouble: RetriedFailure) -> str:
    """What somebody reads who waits while something fails and is tried again."""
    often = "" if trouble.failures == 1 else f" after {trouble.failures} failures"
    return f"Retrying{often}: {trouble.message}"


def sentence(tally: Tally, measure: Measure, *, seconds: float, uploading: str = Phase.UPLOADING.value) -> str:
    """One line about a run that is going on."""
    if not any(stage.total or stage.done for stage in measure.stages):
        # Before Rally's first answer there is no "0 of 0": nobody knows yet.
        asking = "counting items in Rally"
        return asking if seconds < SILENT_SECONDS else f"{asking}; no response for {duration(seconds)}"
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
        parts.append(f"{duration(measure.remaining)} left")
    return ", ".join(parts)


#: So many projects are named on a terminal and in a log; the JSON report and the pages name all of them.
MOST_NAMED = 20

UNNAMED = "without a project"


def labels(projects: Iterable[Mapping[str, Any]]) -> Mapping[str, str]:
    """Return what each project is called, by ``id``: its ``name``, with the id where several have the same name."""
    listed = list(projects)
    names = Counter(each["name"] for each in listed)
    return {
        each["id"]: (each["name"] if names[each["name"]] == 1 else f"{each['name']} ({each['id']})")
        if each["id"]
        else UNNAMED
        for each in listed
    }


def project_lines(projects: Sequence[ProjectResult], *, uploaded: str = "uploaded") -> Iterator[str]:
    """Yield one line for each project, those with the most items first.

    Args:
        projects: The results of the projects.
        uploaded: What became of changed items: a dry run only would have uploaded them.
    """
    order = sorted(projects, key=lambda each: (-each.skipped, -each.read, each.name.casefold(), each.id))
    names = labels([{"id": each.id, "name": each.name} for each in projects])
    for each in order[:MOST_NAMED]:
        parts = [f"{each.read:,} read", f"{each.uploaded:,} {uploaded}", f"{each.skipped:,} skipped"]
        parts += [f"{each.removed:,} marked as removed"] if each.removed else []
        parts += [f"{each.incomplete:,} with an incomplete history"] if each.incomplete else []
        yield f"{f'project {names[each.id]}' if each.id else names[each.id]}: {', '.join(parts)}"
    if rest := order[MOST_NAMED:]:
        read, sent = sum(each.read for each in rest), sum(each.uploaded for each in rest)
        yield f"{len(rest):,} more projects: {read:,} read, {sent:,} {uploaded}"
