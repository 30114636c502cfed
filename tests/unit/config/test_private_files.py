"""Who can read the files that are kept."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rally_accelerate.config.private_files import (
    close_to_others,
    make_private_file,
    make_private_folder,
    read_small_file,
    replace_private_file,
)
from rally_accelerate.errors import StoreError
from rally_accelerate.sync.state import StateFile


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Run with the umask that hides nothing."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_new_folders_are_private_and_existing_ones_stay(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private_folder(tmp_path / "a" / "b")
    assert [mode(tmp_path / "a"), mode(tmp_path / "a" / "b"), mode(tmp_path)] == [0o700, 0o700, 0o755]
    make_private_folder(tmp_path / "a" / "b")


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o640), (0o600, 0o600), (0o660, 0o660), (0o666, 0o660)])
def test_an_existing_file_is_closed_to_other_users_only(tmp_path: Path, before: int, after: int) -> None:
    path = tmp_path / "x"
    path.write_text("content")
    path.chmod(before)
    make_private_file(path)
    assert (mode(path), path.read_text()) == (after, "content")


def test_a_replaced_file_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    # What a crash left of an earlier try.
    (tmp_path / "x.new").write_bytes(b"half")
    replace_private_file(path, b"new")
    assert (path.read_bytes(), mode(path), sorted(each.name for each in tmp_path.iterdir())) == (b"new", 0o600, ["x"])


def test_a_replaced_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    replace_private_file(tmp_path / "link", b"new")
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()


@pytest.mark.timeout(60)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match=r"regular file|directory"):
            read_small_file(path, 100)
    with pytest.raises(OSError, match="not a regular file"):
        make_private_file(pipe)
    with pytest.raises(StoreError, match=r"pipe is not a state file: it is not a regular file"):
        StateFile(pipe)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert read_small_file(tmp_path / "x", 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_small_file(tmp_path / "x", 4)


def test_closing_a_file_tells_whether_others_could_read_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.touch(0o644)
    assert [close_to_others(path), close_to_others(path), close_to_others(tmp_path / "none")] == [True, False, False]
    assert mode(path) == 0o640


def test_everything_that_a_sync_keeps_is_private(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "state.sqlite"
    state = StateFile(path)
    state.write([("INSERT INTO progress (owner, value) VALUES (?, ?)", [("a", "{}")])])
    state.close()
    assert mode(path.parent) == 0o700
    files = list(path.parent.iterdir())
    assert len(files) >= 2
    assert {mode(each) for each in files} == {0o600}


def test_a_state_file_of_an_older_version_is_closed_to_other_users(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    StateFile(path).close()
    path.chmod(0o644)
    StateFile(path).close()
    assert mode(path) == 0o640
