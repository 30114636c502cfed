"""A company whose texts break every rule: every item arrives, and its history tells nothing that did not happen."""

from rally_accelerate.cli import sandbox
from rally_sandbox import hostileworld, serving
from support.hostile_world import check


def test_every_item_arrives_and_no_change_is_invented() -> None:
    assert check(140, 0.3) > 80


def test_the_command_offers_the_worlds_of_the_simulator() -> None:
    assert tuple(serving.WORLDS) == sandbox.WORLDS
    assert serving.WORLDS["hostile"] == hostileworld.SHARE
