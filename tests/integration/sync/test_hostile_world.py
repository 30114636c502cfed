"""A company whose texts break every rule: every item arrives, and its history tells nothing that did not happen."""

from rally_accelerate.cli import sandbox
from rally_sandbox import hostile_data, server
from support.hostile_world import sync_and_compare


def test_every_item_arrives_and_no_change_is_invented() -> None:
    assert sync_and_compare(140, 0.3) > 80


def test_the_command_offers_the_worlds_of_the_simulator() -> None:
    assert tuple(server.WORLDS) == sandbox.WORLDS
    assert server.WORLDS["hostile"] == hostile_data.SHARE
