"""The hostile world in the size that is promised: more than 2,000 stories and defects, 1 % of all texts hostile."""

from rally_sandbox.server import WORLDS
from support.hostile_world import sync_and_compare


def test_two_thousand_items_arrive_and_no_change_is_invented() -> None:
    assert sync_and_compare(2_900, WORLDS["hostile"]) >= 2_000
