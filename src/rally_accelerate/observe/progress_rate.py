"""Progress, rate and remaining time of the phases of a sync. No I/O.

The phases overlap: while a page is read, the histories of the previous page are read, and earlier pages are uploaded.
Therefore each phase is measured separately, over the last seconds only, and the slowest one determines the remaining
time.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

#: A rate is that of so many last seconds: pages and batches come in bursts, and a run changes its speed.
WINDOW_SECONDS = 20.0

#: Before this many seconds a rate says nothing.
FIRST_SECONDS = 1.0

#: The share of the last phase that must be done before the remaining time is estimated: earlier, it is a guess.
SHARE_BEFORE_ESTIMATE = 0.1

#: So many samples lie in a window.
_SAMPLES = 20


class Phase(StrEnum):
    """What happens to every item of a run, in this order."""

    READING = "reading"
    HISTORY = "history"
    UPLOADING = "uploading"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How far one phase is."""

    phase: Phase
    done: int
    total: int
    #: Items per second, or None while it is too early to say.
    rate: float | None
    #: Seconds to the end of the phase, or None when that cannot be said.
    remaining: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How far a run is."""

    stages: tuple[Stage, ...]
    #: Between 0 and 1, all phases together; None while the total is unknown.
    share: float | None
    #: Seconds to the end, or None while it is too early to say.
    remaining: float | None

    @property
    def last(self) -> Stage:
        """The phase that ends last."""
        return self.stages[-1]


class Meter:
    """Measures the phases of one run; times are seconds since any fixed moment.

    Args:
        phases: What is measured, in order.
    """

    def __init__(self, phases: Sequence[Phase] = tuple(Phase)) -> None:
        self._gauges = {phase: _Gauge() for phase in phases}

    def update(self, phase: Phase, done: int, total: int, at: float) -> None:
        """Take in how far a phase is at a time."""
        self._gauges[phase].feed(done, total, at)

    def measure(self, at: float, *, known: bool = True) -> Measure:
        """Return how far the run is at a time.

        Args:
            at: The time; what stands still gets slower with it.
            known: Whether the totals are complete; otherwise no end can be estimated.
        """
        stages = tuple(gauge.stage(phase, at) for phase, gauge in self._gauges.items())
        totals, last = sum(stage.total for stage in stages), stages[-1]
        share = sum(min(stage.done, stage.total) for stage in stages) / totals if totals else None
        times = [stage.remaining for stage in stages]
        early = not known or not last.total or last.done < SHARE_BEFORE_ESTIMATE * last.total
        remaining = None if early or None in times else max(time for time in times if time is not None)
        return Measure(stages=stages, share=share, remaining=remaining)


class _Gauge:
    """Measures one phase."""

    def __init__(self) -> None:
        self._done = self._total = 0
        #: Times with counts. The first one is as old as the window, or stands where the phase began.
        self._samples: deque[tuple[float, int]] = deque()

    def feed(self, done: int, total: int, at: float) -> None:
        self._done, self._total = done, total
        if not done:
            # A phase that has not begun has no speed.
            self._samples.clear()
        if len(self._samples) > 1 and at - self._samples[-2][0] < WINDOW_SECONDS / _SAMPLES:
            self._samples.pop()
        self._samples.append((at, done))
        self._forget(at)

    def stage(self, phase: Phase, at: float) -> Stage:
        self._forget(at)
        rate = self._rate(at)
        pending = max(0, self._total - self._done)
        remaining = pending / rate if rate and pending else None
        return Stage(
            phase=phase, done=self._done, total=self._total, rate=rate, remaining=remaining if pending else 0.0
        )

    def _forget(self, at: float) -> None:
        samples = self._samples
        while len(samples) > 1 and samples[1][0] <= at - WINDOW_SECONDS:
            samples.popleft()

    def _rate(self, at: float) -> float | None:
        if not self._samples or not self._done:
            return None
        began, before = self._samples[0]
        return (self._done - before) / (at - began) if at - began >= FIRST_SECONDS else None
