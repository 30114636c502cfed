"""What people read of a run's histories."""

import pytest

from rally_accelerate.model.report import Tally
from rally_accelerate.observe.pace import histories, sentence

SOON = "until the next run: Rally's Lookback has not got"


@pytest.mark.parametrize(
    ("tally", "told"),
    [
        (Tally(uploaded=3), ""),
        (Tally(complete=1_200), "1,200 complete"),
        (Tally(complete=1, incomplete=2, unverifiable=3), "1 complete, 2 incomplete, 3 that cannot be checked"),
        (Tally(incomplete=2, awaited=2), f"0 complete, 2 incomplete ({SOON} the last changes yet)"),
        (Tally(incomplete=3, awaited=1), f"0 complete, 3 incomplete (1 of them {SOON} their last changes yet)"),
    ],
)
def test_what_the_next_run_completes_is_told_as_such(tally: Tally, told: str) -> None:
    assert histories(tally) == told


def test_who_waits_long_for_a_first_answer_is_told_for_how_long() -> None:
    assert sentence(Tally(), seconds=1) == "asking Rally what there is to read"
    assert sentence(Tally(), seconds=125).endswith("waiting for the answer for 2 min 5 s")
