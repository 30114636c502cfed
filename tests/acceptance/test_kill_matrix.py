"""One round of the kill matrix; ``make kill-test`` runs as many rounds of every scenario as wanted."""

import sqlite3
from pathlib import Path

import pytest

from reliability.comparison import damage
from reliability.scenarios import NotPossibleError, run
from reliability.server import serving
from support.processes import run_command, start_simulator, write_settings

#: The others take longer, or have tests of their own; ``make kill-test`` runs them all.
SHORT = [
    "connector-killed",
    "schedule-killed",
    "upload-killed",
    "import-killed",
    "removal-killed",
    "migration-killed",
    "rotation-killed",
    "disk-full",
]


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_doubled_or_wrong(name: str, tmp_path: Path) -> None:
    try:
        found = run(name, tmp_path / "round", seed=7)
    except NotPossibleError as error:
        pytest.skip(str(error))
    assert found.none, found


def test_the_comparison_sees_damage(tmp_path: Path) -> None:
    database = tmp_path / "server.sqlite"
    with start_simulator("--items", "40") as rally, serving(database) as target:
        file = write_settings(tmp_path / "rally.json", rally, target)
        assert run_command("sync", str(file), "--once", "--state", str(tmp_path / "state.sqlite")).code == 0
        assert damage(rally, target).none
        with sqlite3.connect(database) as connection:
            rows = connection.execute("SELECT external_id, number FROM issues ORDER BY 1 LIMIT 2").fetchall()
            connection.execute("DELETE FROM issues WHERE number = ?", rows[0][1:])
            connection.execute("DELETE FROM issue_history WHERE number = ?", rows[1][1:])
        connection.close()
        found = damage(rally, target)
        assert (found.lost, found.doubled, found.wrong) == (1, 0, 1)
        assert set(found.detail) == {f"lost {rows[0][0]}", f"wrong {rows[1][0]}"}
