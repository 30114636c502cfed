"""What is asked of the next run is kept beside what a plug-in keeps, and struck out when it is done."""

from datetime import UTC, datetime

import pytest

from rally_accelerate.config.model import EVENT
from rally_accelerate.model.progress import Window
from rally_accelerate.server.runner import fulfilled, wishes_of, with_approval, with_resync

SINCE = datetime(2026, 1, 31, tzinfo=UTC)


def test_a_resync_is_wished_for_and_struck_out() -> None:
    states = with_resync({EVENT: {"lastStartTime": 5}, "other": {"deltaTime": 7}}, SINCE)
    wishes = wishes_of(states)
    assert wishes.again == Window(SINCE)
    done = fulfilled(states, wishes)
    assert not wishes_of(done)
    assert done == {EVENT: {"lastStartTime": 5, "deltaTime": -1}, "other": {"deltaTime": 7}}


def test_everything_is_a_window_without_bounds() -> None:
    assert wishes_of(with_resync({}, None)).again == Window()
    assert wishes_of(with_resync({}, datetime(1970, 1, 1, tzinfo=UTC))).again != Window()


def test_a_wish_that_came_while_a_run_went_on_stays() -> None:
    begun = wishes_of(with_resync({}, SINCE))
    meanwhile = with_resync({}, None)
    assert wishes_of(fulfilled(meanwhile, begun)).again == Window()


def test_an_approval_counts_once() -> None:
    states = with_approval(with_resync({}, SINCE))
    wishes = wishes_of(states)
    assert wishes.approve_removal
    assert not wishes_of(fulfilled(states, wishes)).approve_removal


@pytest.mark.parametrize("state", [{}, {"deltaTime": -1}, {"deltaTime": None}, {"deltaTime": "x"}, None])
def test_nothing_is_wished_for(state: object) -> None:
    assert not wishes_of({EVENT: state})
