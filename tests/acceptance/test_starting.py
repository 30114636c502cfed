"""A copy of a process that has imported the product does what a new process does: the other tests rely on it."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import process_starter
from support.process_starter import ForkedProcess, fork_processes, start_process
from support.processes import MODULE, build_environment, terminate_on_exit

Start = Callable[..., "subprocess.Popen[str]"]
PIPE = subprocess.PIPE


@pytest.fixture(params=["new", "copied"])
def begin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(process_starter, "_servers", [])
    if request.param == "new":
        yield start_process
    else:
        with fork_processes():
            yield start_process


def finished(begin: Start, *arguments: str, **more: str) -> tuple[int, str, str]:
    with begin(MODULE, *arguments, stdout=PIPE, stderr=PIPE, env=build_environment(**more)) as process:
        out, err = process.communicate(timeout=60)
        assert isinstance(process, ForkedProcess) == bool(process_starter._servers)
        return process.wait(), out, err


def test_outputs_and_exit_code_are_its_own(begin: Start, tmp_path: Path) -> None:
    code, out, err = finished(begin, "--version")
    assert (code, out.split(",")[0], err) == (0, "rally-accelerate", "")
    code, out, err = finished(begin, "sync", str(tmp_path / "none.json"))
    assert (code, out) == (2, "")
    assert "none.json" in err


def test_a_wrong_option_is_told_with_the_usage_of_a_new_process(begin: Start) -> None:
    code, out, err = finished(begin, "serve", "--no-such-option")
    assert (code, out) == (2, "")
    assert err.startswith("Usage: python -m rally_accelerate.cli.entry serve [OPTIONS] [FILE]\n")


def test_it_can_open_its_output_in_its_own_way(begin: Start) -> None:
    code, out, err = finished(begin, "plugin", "nonsense")
    assert (code, err) == (1, "")
    assert "Unknown command 'nonsense'" in out


def test_its_environment_and_folder_are_what_it_is_given(
    begin: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "here.json" in finished(begin, "sync", "here.json")[2]
    (tmp_path / "here.json").write_text('{"integrations": [{"name": "a", "properties": {"apiKey": "${GIVEN}"}}]}')
    assert "GIVEN" in finished(begin, "sync", "here.json", "--once")[2]
    assert "GIVEN" not in finished(begin, "sync", "here.json", "--once", GIVEN="key")[2]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 0), (signal.SIGINT, 0)])
def test_a_signal_ends_it_alone(begin: Start, number: signal.Signals, code: int, tmp_path: Path) -> None:
    words = ("serve", "--port", "0", "--database")
    how = {"stdout": PIPE, "stderr": subprocess.DEVNULL, "env": build_environment()}
    with (
        terminate_on_exit(begin(MODULE, *words, str(tmp_path / "a.sqlite"), **how)) as one,
        terminate_on_exit(begin(MODULE, *words, str(tmp_path / "b.sqlite"), **how)) as other,
    ):
        for process in (one, other):
            assert process.stdout is not None
            while not process.stdout.readline().startswith("key"):
                assert process.poll() is None
        assert len({one.pid, other.pid, os.getpid()}) == 3
        with pytest.raises(subprocess.TimeoutExpired):
            one.wait(0.001)
        one.send_signal(number)
        assert one.wait(60) == code
        assert other.poll() is None


def test_what_an_interpreter_reads_at_its_start_needs_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_starter, "_servers", [])
    with fork_processes():
        how = {"stdout": PIPE, "stderr": PIPE, "env": build_environment(PYTHONUTF8="0", PYTHONWARNINGS="ignore")}
        with start_process(MODULE, "--version", **how) as process:
            assert not isinstance(process, ForkedProcess)
            assert process.communicate(timeout=60)[0].startswith("rally-accelerate")
