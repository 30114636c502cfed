"""A Rally or an Accelerate that cannot be reached ends a run in time, and the next run makes up for it."""

import time
from pathlib import Path
from typing import Any

import pytest

from support.container import Container, build_event_arguments, process_props
from support.processes import RunningServer, Simulator, run_command, write_settings

#: Nothing listens there.
NOWHERE = "http://127.0.0.1:9"

#: A name that no resolver knows (RFC 6761).
NO_NAME = "http://rally.invalid"

#: The time that a run may lose; the default is scaled down so that the test is quick.
BUDGET = 3

#: What the run takes besides; the machine that runs the tests may be busy.
BESIDES = 40


@pytest.mark.parametrize("address", [NOWHERE, NO_NAME])
@pytest.mark.parametrize("dead", ["Rally", "Accelerate"])
def test_a_run_in_the_container_ends_in_time_with_one_error(
    bare: Container, rally: Simulator, target: RunningServer, tracker: str, dead: str, address: str
) -> None:
    given: dict[str, Any] = {"properties": {"retrySeconds": str(BUDGET)}}
    if dead == "Rally":
        given["properties"]["baseUrl"] = address
    else:
        given["state"] = {"apiServerUrl": address}
    began = time.monotonic()
    told = bare.run(*build_event_arguments(process_props(rally, target, tracker, **given)))
    assert BUDGET / 2 < time.monotonic() - began < BUDGET + BESIDES
    assert told.code == 1
    errors = [line for line in told.out.splitlines() if "[ERROR]" in line]
    assert len([line for line in errors if address in line]) == 1, told.out
    assert bare.run(*build_event_arguments(process_props(rally, target, tracker))).code == 0


@pytest.mark.parametrize("dead", ["baseUrl", "accelerateUrl"])
def test_a_sync_ends_in_time_and_the_next_one_repairs_everything(
    tmp_path: Path, rally: Simulator, target: RunningServer, dead: str
) -> None:
    state = ("--state", str(tmp_path / "state"))
    file = write_settings(tmp_path / "a.json", rally, target, **{dead: NOWHERE, "retrySeconds": BUDGET})
    began = time.monotonic()
    told = run_command("sync", str(file), "--once", *state)
    assert BUDGET / 2 < time.monotonic() - began < BUDGET + BESIDES
    assert told.code == 3
    file = write_settings(tmp_path / "a.json", rally, target)
    assert run_command("sync", str(file), "--once", "--json", *state).code == 0
