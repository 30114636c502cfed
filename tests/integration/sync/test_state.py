"""The state file keeps what it was told, whatever happens to the process that tells it."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rally_accelerate.accelerate.payload import item_in
from rally_accelerate.errors import StoreError
from rally_accelerate.model.issue import Issue, SourceRevision
from rally_accelerate.model.progress import REMOVED_MARK, Lane, Progress, Sent
from rally_accelerate.sync.state import StateFile

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SENT = Sent(SourceRevision(NOW, 3), "rules")


async def test_progress_and_ledger_come_back(tmp_path: Path) -> None:
    progress = Progress(scope="s", rules_version="r", cursors={Lane("defect", 4): NOW})
    with StateFile(tmp_path / "deep" / "state.sqlite") as file:
        await file.of("a").commit(progress, {str(number): SENT for number in range(2500)})
    with StateFile(tmp_path / "deep" / "state.sqlite") as file:
        assert await file.of("a").load() == progress
        found = await file.of("a").load_sent([str(number) for number in range(3000)])
        assert len(found) == 2500
        assert found["7"] == SENT


async def test_integrations_do_not_see_each_other(tmp_path: Path) -> None:
    with StateFile(tmp_path / "state.sqlite") as file:
        await file.of("a").commit(Progress(scope="s"), {"1": SENT})
        assert await file.of("b").load() == Progress()
        assert await file.of("b").load_sent(["1"]) == {}


ASKS = textwrap.dedent("""
    import sys
    from pathlib import Path
    from rally_accelerate.errors import StoreError
    from rally_accelerate.sync.state import StateFile
    with StateFile(Path(sys.argv[1])) as file:
        file.of("b")
        try:
            file.of("a")
        except StoreError as error:
            print(error)
""")


def test_a_second_process_may_work_on_another_integration_but_not_on_the_same(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    command = [sys.executable, "-c", ASKS, str(path)]
    with StateFile(path) as file:
        file.of("a")
        file.of("a")
        turned_away = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "another process is syncing the same integration" in turned_away.stdout
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""


async def test_a_look_at_the_state_needs_no_lock_and_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with StateFile(path) as file:
        await file.of("a").commit(Progress(scope="s"), {"1": SENT})
        with StateFile(path, read_only=True) as look:
            assert (await look.of("a").load()).scope == "s"
            with pytest.raises(StoreError, match="cannot be written"):
                await look.of("a").commit(Progress(), {})
    (tmp_path / "state.sqlite.lock").unlink()
    before = sorted(tmp_path.iterdir())
    with StateFile(path, read_only=True) as look:
        assert await look.of("a").load_sent(["1"]) == {"1": SENT}
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    StateFile(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    Path(f"{path}.lock").unlink()
    with pytest.raises(StoreError, match="newer version"):
        StateFile(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_refusal_leaves_the_lock_file_of_another_process(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    StateFile(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="newer version"):
        StateFile(path)
    assert Path(f"{path}.lock").exists()


def test_a_lock_file_that_was_removed_after_its_opening_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with StateFile(path) as file:
        Path(f"{path}.lock").unlink()
        file.of("a")
        command = [sys.executable, "-c", ASKS, str(path)]
        turned_away = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "another process is syncing the same integration" in turned_away.stdout


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    path.write_text("this is a note, not a database, and long enough to be read as a header " * 20)
    with pytest.raises(StoreError, match="is not a state file: it is no SQLite file"):
        StateFile(path)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_of_another_program_is_left_alone(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "photos.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE photos (name TEXT)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match=r"is not a state file: it has the tables photos; nothing was changed"
    ) as caught:
        StateFile(path, read_only=read_only)
    assert "--state" in caught.value.hint
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])


async def test_a_commit_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    with StateFile(tmp_path / "state.sqlite") as file:
        state = file.of("a")
        await state.commit(Progress(scope="before"), {"1": SENT})
        file._db.execute("CREATE TRIGGER no BEFORE UPDATE ON progress BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        with pytest.raises(StoreError, match="cannot be written"):
            await state.commit(Progress(scope="after"), {"2": SENT})
        assert (await state.load()).scope == "before"
        assert await state.load_sent(["2"]) == {}


WRITER = textwrap.dedent("""
    import asyncio, itertools, sys
    from datetime import UTC, datetime
    from pathlib import Path
    from rally_accelerate.model.issue import SourceRevision
    from rally_accelerate.model.progress import Progress, Sent
    from rally_accelerate.sync.state import StateFile

    async def main():
        state = StateFile(Path(sys.argv[1])).of("a")
        for number in itertools.count(1):
            sent = Sent(SourceRevision(datetime(2026, 1, 1, tzinfo=UTC), number), "r")
            await state.commit(Progress(scope=str(number)), {str(key): sent for key in range(50)})
            print(number, flush=True)

    asyncio.run(main())
""")


async def test_a_killed_process_leaves_progress_and_ledger_of_one_commit(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    for commits_before_the_kill in (1, 7, 20):
        path.unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                if int(line) >= commits_before_the_kill:
                    break
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
        with StateFile(path) as file:
            scope = int((await file.of("a").load()).scope)
            ledger = await file.of("a").load_sent([str(key) for key in range(50)])
            assert scope >= commits_before_the_kill
            assert {entry.revision.version for entry in ledger.values()} == {scope}


def issue(key: str, **more: Any) -> Issue:
    """An issue with the least that it has."""
    given = {"name": "A", "status": "Defined", "description": "", "history": (), **more}
    return Issue(
        external_id=key,
        display_id=f"US{key}",
        revision=SENT.revision,
        url="https://rally.example",
        creator="u",
        created=NOW,
        last_update=NOW,
        type="Story",
        **given,
    )


async def test_the_last_upload_of_each_item_comes_back(tmp_path: Path) -> None:
    with StateFile(tmp_path / "state.sqlite") as file:
        state = file.of("a")
        await state.commit(Progress(), {"1": SENT, "2": SENT}, [issue("1"), issue("2")])
        await state.commit(Progress(), {"1": SENT}, [issue("1", name="B")])
        await file.of("b").commit(Progress(), {"1": SENT}, [issue("1", name="Other")])
    with StateFile(tmp_path / "state.sqlite") as file:
        found = await file.of("a").documents(["1", "2", "3"])
        assert {key: document["name"] for key, document in found.items()} == {"1": "B", "2": "A"}
        assert found["1"] == item_in(issue("1", name="B")) | {"created": found["1"]["created"]}
        assert await file.of("a").comments(["1", "3"]) == {"1": 0}


async def test_the_upload_of_a_removed_item_is_dropped_and_one_too_large_never_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StateFile(tmp_path / "state.sqlite") as file:
        state = file.of("a")
        await state.commit(Progress(), {"1": SENT, "2": SENT}, [issue("1"), issue("2")])
        await state.commit(Progress(), {"1": Sent(SENT.revision, f"rules{REMOVED_MARK}")})
        assert (await state.documents(["1", "2"])).keys() == {"2"}
        monkeypatch.setattr("rally_accelerate.sync.state.MOST_DOCUMENT_BYTES", 300)
        # An older upload must not pass for the last one.
        await state.commit(Progress(), {"2": SENT}, [issue("2", description=os.urandom(2000).hex())])
        assert await state.documents(["2"]) == {}
        monkeypatch.setattr("rally_accelerate.sync.state.MOST_FILE_BYTES", 1)
        await state.commit(Progress(), {"3": SENT}, [issue("3")])
        assert await state.documents(["3"]) == {}


async def test_a_damaged_upload_is_none(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with StateFile(path) as file:
        await file.of("a").commit(Progress(), {"1": SENT}, [issue("1")])
        db = sqlite3.connect(path)
        db.execute("UPDATE documents SET content = ?", [b"\x00damaged"])
        db.commit()
        db.close()
        assert await file.of("a").documents(["1"]) == {}
        assert (await file.of("a").load_sent(["1"])) == {"1": SENT}


async def test_a_file_of_the_first_format_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with StateFile(path) as file:
        await file.of("a").commit(Progress(scope="s"), {"1": SENT})
    db = sqlite3.connect(path)
    db.execute("DROP TABLE documents")
    db.execute("PRAGMA user_version = 1")
    db.close()
    with StateFile(path, read_only=True) as file:
        assert await file.of("a").documents(["1"]) == {}
    with StateFile(path) as file:
        state = file.of("a")
        assert (await state.load()).scope == "s"
        assert await state.documents(["1"]) == {}
        await state.commit(Progress(), {"1": SENT}, [issue("1")])
        assert (await state.documents(["1"])).keys() == {"1"}
