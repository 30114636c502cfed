"""What is asked of the next run is kept beside what a plug-in keeps, and struck out when it is done."""

from datetime import UTC, datetime

import pytest

from rally_accelerate.config.model import EVENT
from rally_accelerate.model.progress import Window
from rally_accelerate.server.runner import add_removal_approval, add_resync_request, clear_run_request, read_run_request

SINCE = datetime(2026, 1, 31, tzinfo=UTC)


def test_a_resync_is_wished_for_and_struck_out() -> None:
    states = add_resync_request({EVENT: {"lastStartTime": 5}, "other": {"deltaTime": 7}}, SINCE)
    wishes = read_run_request(states)
    assert wishes.resync_window == Window(SINCE)
    done = clear_run_request(states, wishes)
    assert not read_run_request(done)
    assert done == {EVENT: {"lastStartTime": 5, "deltaTime": -1}, "other": {"deltaTime": 7}}


def test_everything_is_a_window_without_bounds() -> None:
    assert read_run_request(add_resync_request({}, None)).resync_window == Window()
    assert read_run_request(add_resync_request({}, datetime(1970, 1, 1, tzinfo=UTC))).resync_window != Window()


def test_a_wish_that_came_while_a_run_went_on_stays() -> None:
    begun = read_run_request(add_resync_request({}, SINCE))
    meanwhile = add_resync_request({}, None)
    assert read_run_request(clear_run_request(meanwhile, begun)).resync_window == Window()


def test_an_approval_counts_once() -> None:
    states = add_removal_approval(add_resync_request({}, SINCE))
    wishes = read_run_request(states)
    assert wishes.approve_removal
    assert not read_run_request(clear_run_request(states, wishes)).approve_removal


@pytest.mark.parametrize("state", [{}, {"deltaTime": -1}, {"deltaTime": None}, {"deltaTime": "x"}, None])
def test_nothing_is_wished_for(state: object) -> None:
    assert not read_run_request({EVENT: state})
