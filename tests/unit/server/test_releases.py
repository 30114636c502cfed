"""The version history that the host shows names the versions that there are, and no other."""

import re
from pathlib import Path

from rally_accelerate import __version__
from rally_accelerate.server.web.plugins import RELEASES

CHANGELOG = Path(__file__).parents[3] / "CHANGELOG.md"


def test_the_history_is_that_of_the_changelog() -> None:
    told = re.findall(r"^## \[(\d[^\]]*)\](?: - (\S+))?", CHANGELOG.read_text(), re.MULTILINE)
    released = [(each.version, each.date) for each in RELEASES if each.date]
    assert released == told
    assert RELEASES[0].version == __version__
