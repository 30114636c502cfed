"""What a user gives by mistake is refused in words, and nothing is created or changed by it."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rally_sandbox.world import MAX_ITEMS, MIN_ITEMS
from support.processes import run_command, start_simulator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Another program's database."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE photos (name TEXT)")
        db.commit()
    return path


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program uses."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


@pytest.mark.parametrize(
    "words",
    [
        ("users", "list"),
        ("users", "reset", "admin"),
        ("secrets", "rotate"),
        ("secrets", "forget", "--yes"),
        ("serve", "--port", "0"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("content", ["another program's", "empty", "no SQLite file"])
def test_a_database_of_another_program_is_left_as_it_is(foreign: Path, words: tuple[str, ...], content: str) -> None:
    if content == "empty":
        if words[0] == "serve":
            pytest.skip("an empty file is a new database")
        foreign.write_bytes(b"")
    elif content == "no SQLite file":
        foreign.write_text("Minutes of the meeting, and long enough to be taken for a header. " * 20)
    before = foreign.read_bytes()
    done = run_command(*words, "--database", str(foreign))
    assert done.code == 3
    assert f"{foreign} is not a database of the embedded server" in done.err
    assert "Check --database" in done.err
    assert "Traceback" not in done.err
    assert (foreign.read_bytes(), list(foreign.parent.iterdir())) == (before, [foreign])


@pytest.mark.parametrize("mark", ["user_version", "application_id"])
def test_a_database_that_another_program_has_begun_is_left_as_it_is(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA {mark} = 1")
    before = path.read_bytes()
    done = run_command("serve", "--port", "0", "--database", str(path))
    assert done.code == 3
    assert f"{path} is not a database of the embedded server: it has {mark} 1; nothing was changed" in done.err
    assert "the file belongs to another program" in done.err
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])


def test_a_database_of_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "host.sqlite"
    with closing(sqlite3.connect(path)) as db:
        for table in ("integrations", "issues", "executions"):
            db.execute(f"CREATE TABLE {table} (id TEXT)")
        db.execute("CREATE TABLE alembic_version (version_num TEXT)")
        db.execute("INSERT INTO alembic_version VALUES ('9999')")
        db.commit()
    before = path.read_bytes()
    done = run_command("users", "list", "--database", str(path))
    assert done.code == 3
    assert "written by a newer version" in done.err
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "accelerateUrl and ucvAccessKey are not set"),
        ({"accelerateUrl": "http://127.0.0.1:9"}, "ucvAccessKey is not set"),
        ({"ucvAccessKey": "key"}, "accelerateUrl is not set"),
    ],
)
def test_a_check_says_what_of_accelerate_is_not_given(tmp_path: Path, given: dict[str, str], said: str) -> None:
    with start_simulator("--items", "20") as rally:
        file = tmp_path / "rally.json"
        properties = {"baseUrl": rally.url, "apiKey": rally.key, **given}
        file.write_text(json.dumps([{"type": "ucv-ext-rally", "name": "sample", "properties": properties}]))
        done = run_command("check", str(file))
    assert f"not tested: {said}" in done.out


def test_a_check_tells_a_wrong_workspace_once(tmp_path: Path) -> None:
    with start_simulator("--items", "20") as rally:
        file = tmp_path / "rally.json"
        properties = {"baseUrl": rally.url, "apiKey": rally.key, "workspace": "No such workspace"}
        file.write_text(json.dumps([{"type": "ucv-ext-rally", "name": "sample", "properties": properties}]))
        done = run_command("check", str(file))
    assert done.code == 2
    assert done.out.count("properties.workspace") == 1
    assert done.out.count("No such workspace") == 1


@pytest.mark.parametrize("items", ["5", "0", "-3", "1000001", "many"])
def test_a_company_that_is_too_small_or_too_large_is_refused(items: str) -> None:
    done = run_command("sandbox", f"--items={items}", "--port", "0")
    assert done.code == 2
    assert "--items" in done.err
    assert items == "many" or f"{MIN_ITEMS}<=x<={MAX_ITEMS}" in done.err


@pytest.mark.parametrize("name", ["sandbox", "demo", "serve"])
def test_a_port_that_is_taken_is_told(name: str, taken: int, tmp_path: Path) -> None:
    at = ("--database", str(tmp_path / "host.sqlite")) if name == "serve" else ()
    done = run_command(name, "--port", str(taken), *at)
    assert done.code == 2
    assert f"port {taken} on 127.0.0.1 is already in use" in done.err
    assert "--port" in done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_make_names_its_own_variable_for_a_port_that_is_taken(taken: int) -> None:
    make = shutil.which("make")
    assert make
    done = subprocess.run(
        [make, "-C", str(ROOT), "demo", f"PORT={taken}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": ""},
        timeout=120,
    )
    assert "already in use" in done.stderr
    assert "make demo PORT=" in done.stderr
    assert "--port" not in done.stderr
