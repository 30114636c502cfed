"""How far a run is and when it will be done, from counts and seconds alone."""

from collections.abc import Callable

import pytest

from rally_accelerate.observe.progress_rate import SHARE_BEFORE_ESTIMATE, WINDOW_SECONDS, Measure, Meter, Phase

TOTAL = 14_000


def run(*, reading: float, history: float, uploading: float, until: float, silent: float = 0.0) -> Meter:
    """Return the meter of a run whose phases go at constant rates, each behind the one before.

    Args:
        reading: Items per second.
        history: Items per second.
        uploading: Items per second.
        until: For how many seconds it goes.
        silent: For how many seconds nothing comes at first.
    """
    meter = Meter()
    for tenth in range(round(until * 10) + 1):
        at = tenth / 10
        going = max(0.0, at - silent)
        read = min(TOTAL, int(reading * going))
        ready = min(read, int(history * going))
        for phase, done in (
            (Phase.READING, read),
            (Phase.HISTORY, ready),
            (Phase.UPLOADING, min(ready, int(uploading * going))),
        ):
            meter.update(phase, done, TOTAL, at)
    return meter


def test_nothing_is_known_before_anything_is_fed() -> None:
    assert Meter().measure(5.0) == Measure(stages=Meter().measure(0.0).stages, share=None, remaining=None)


def test_items_that_are_read_count_although_none_is_uploaded() -> None:
    measure = run(reading=1_000, history=0, uploading=0, until=7).measure(7.0)
    assert [(stage.phase.value, stage.done) for stage in measure.stages] == [
        ("reading", 7_000),
        ("history", 0),
        ("uploading", 0),
    ]
    assert measure.share == pytest.approx(1 / 6)
    assert measure.remaining is None


def test_no_time_is_told_before_a_tenth_is_through() -> None:
    before = run(reading=1_000, history=500, uploading=350, until=3.9)
    assert before.measure(3.9).last.done < SHARE_BEFORE_ESTIMATE * TOTAL
    assert before.measure(3.9).remaining is None
    after = run(reading=1_000, history=500, uploading=350, until=4.1)
    assert after.measure(4.1).remaining == pytest.approx(36, abs=1)
    assert after.measure(4.1, known=False).remaining is None


def test_a_silent_beginning_does_not_slow_the_estimate() -> None:
    measure = run(reading=1_000, history=500, uploading=350, silent=60, until=66).measure(66.0)
    assert measure.last.rate == pytest.approx(350, rel=0.05)
    assert measure.remaining == pytest.approx(34, abs=2)


def test_the_slowest_phase_decides() -> None:
    measure = run(reading=1_000, history=200, uploading=200, until=30).measure(30.0)
    assert measure.stages[0].remaining == 0
    assert measure.remaining == pytest.approx(40, abs=2)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = Meter([Phase.UPLOADING])
    for second in range(101):
        # A hundred items in each of the first fifty seconds, ten in each of the others.
        meter.update(Phase.UPLOADING, min(second, 50) * 100 + max(0, second - 50) * 10, 10_000, float(second))
    assert meter.measure(100.0).last.rate == pytest.approx(10)


@pytest.mark.parametrize(
    "rest", [lambda meter, at: None, lambda meter, at: meter.update(Phase.UPLOADING, 500, 1_000, at)]
)
def test_what_stands_still_has_no_end(rest: Callable[[Meter, float], None]) -> None:
    meter = Meter([Phase.UPLOADING])
    meter.update(Phase.UPLOADING, 0, 1_000, 0.0)
    meter.update(Phase.UPLOADING, 500, 1_000, 0.5)
    assert meter.measure(2.0).last.rate == pytest.approx(250)
    for second in range(3, 41):
        rest(meter, float(second))
    assert meter.measure(WINDOW_SECONDS * 2).last.rate == 0
    assert meter.measure(WINDOW_SECONDS * 2).remaining is None


def test_what_is_done_has_no_time_left() -> None:
    meter = Meter([Phase.UPLOADING])
    meter.update(Phase.UPLOADING, 10, 10, 3.0)
    assert meter.measure(9.0).remaining == 0
    assert meter.measure(9.0).share == 1
