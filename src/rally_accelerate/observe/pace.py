"""How fast a run goes and when it will be done: pure figures from counts and seconds."""

from dataclasses import dataclass

from rally_accelerate.model.report import Tally
from rally_accelerate.model.trouble import Trouble

#: Before this many seconds a rate says nothing.
FIRST_SECONDS = 0.5

SIXTY = 60

#: Whoever has waited so long for a first answer is told for how long.
SILENT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The figures that people ask for while they wait."""

    done: int
    expected: int
    #: Items per second, or None while it is too early to say.
    rate: float | None
    #: Seconds to the end, or None while it is too early to say.
    remaining: float | None


def pace_of(tally: Tally, *, seconds: float) -> Pace:
    """The pace of a run.

    Args:
        tally: Its counts so far.
        seconds: How long it has been going.
    """
    done = tally.uploaded + tally.unchanged + tally.skipped
    expected = max(tally.expected, tally.read)
    rate = done / seconds if seconds >= FIRST_SECONDS and done else None
    remaining = max(0.0, (expected - done) / rate) if rate else None
    return Pace(done=done, expected=expected, rate=rate, remaining=remaining)


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
        parts.append(f"{tally.unverifiable:,} that cannot be checked")
    return ", ".join(parts) if tally.complete + tally.incomplete + tally.unverifiable else ""


def awaited_words(count: int, *, of: int) -> str:
    """Why histories are incomplete that Rally's own record of the past, a minute behind, will tell soon."""
    if count < of:
        return f"{count:,} of them until the next run: Rally's Lookback has not got their last changes yet"
    return "until the next run: Rally's Lookback has not got the last changes yet"


def trying_again(trouble: Trouble) -> str:
    """What somebody reads who waits while something fails and is tried again."""
    often = "" if trouble.failures == 1 else f" after {trouble.failures} failures"
    return f"Trying again{often}: {trouble.message}"


def sentence(tally: Tally, *, seconds: float) -> str:
    """One line about a run that is going on."""
    pace = pace_of(tally, seconds=seconds)
    if not pace.expected and not pace.done:
        # Before Rally's first answer there is no "0 of 0": nobody knows yet.
        asking = "asking Rally what there is to read"
        return asking if seconds < SILENT_SECONDS else f"{asking}; waiting for the answer for {duration(seconds)}"
    parts = [f"{pace.done:,} of {pace.expected:,} items", f"{tally.uploaded:,} uploaded"]
    if tally.unchanged:
        parts.append(f"{tally.unchanged:,} unchanged")
    if tally.skipped:
        parts.append(f"{tally.skipped:,} skipped")
    if pace.rate is not None:
        parts.append(f"{pace.rate:,.0f}/s")
    if pace.remaining is not None:
        parts.append(f"{duration(pace.remaining)} left")
    return ", ".join(parts)
