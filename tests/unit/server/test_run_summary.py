"""What people read of a run's histories."""

import pytest

from rally_accelerate.model.report import Tally
from rally_accelerate.observe.run_summary import ProgressTracker, describe_histories, progress_of

SOON = "pending: Rally's Lookback is behind; the next sync completes them"


@pytest.mark.parametrize(
    ("tally", "told"),
    [
        (Tally(uploaded=3), ""),
        (Tally(complete=1_200), "1,200 complete"),
        (Tally(complete=1, incomplete=2, unverifiable=3), "1 complete, 2 incomplete, 3 not verifiable"),
        (Tally(incomplete=2, awaited=2), f"0 complete, 2 incomplete ({SOON})"),
        (Tally(incomplete=3, awaited=1), f"0 complete, 3 incomplete (1 {SOON})"),
    ],
)
def test_what_the_next_run_completes_is_told_as_such(tally: Tally, told: str) -> None:
    assert describe_histories(tally) == told


def test_who_waits_long_for_a_first_answer_is_told_for_how_long() -> None:
    assert ProgressTracker().sentence(seconds=1) == "counting items in Rally"
    assert ProgressTracker().sentence(seconds=125).endswith("no response for 2 min 5 s")


def followed(*counts: tuple[float, Tally]) -> ProgressTracker:
    """Return what was told a run's counts, each with its time."""
    its = ProgressTracker()
    for seconds, tally in counts:
        its.update(tally, seconds=seconds)
    return its


def test_each_phase_is_told_by_itself() -> None:
    its = followed(
        (2, Tally(expected=14_441)),
        (10, Tally(expected=14_441, read=8_750, ready=6_000, uploaded=100, unchanged=3_900, skipped=200)),
    )
    assert its.sentence(seconds=12) == (
        "reading 8,750 of 14,441, history 6,000 of 14,441, uploading 4,200 of 14,441, 3,900 unchanged, 200 skipped, "
        "420/s, 24 s left"
    )
    assert its.sentence(seconds=12, uploading="mapping").split(", ")[2] == "mapping 4,200 of 14,441"
    told = progress_of(its.measure(seconds=12))
    assert told["percent"] == 43
    assert [phase["name"] for phase in told["phases"]] == ["reading", "history", "uploading"]


def test_as_long_as_walks_wait_uncounted_nobody_knows_how_much_there_is() -> None:
    its = followed(
        (0, Tally(expected=10, uncounted=2)), (10, Tally(expected=10, uncounted=2, read=9, ready=9, uploaded=9))
    )
    assert its.sentence(seconds=10) == (
        "reading 9 of at least 10, history 9 of at least 10, uploading 9 of at least 10, less than 1/s"
    )


def test_what_is_mapped_again_without_being_read_is_told_without_a_total() -> None:
    assert followed((1, Tally(uploaded=300))).sentence(seconds=1) == "uploading 300"
