"""A run that is told to end ends, whatever it is at: each in a process of its own, as signals belong to processes."""

import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import asyncio, logging, sys, time
from rally_accelerate.plugin import log_output, run

async def work():
    print("at work", flush=True)
    {work}
    return 0

log_output.set_up("INFO", ())
sys.exit(asyncio.run(run.stoppable(work())))
"""

CASES = {
    "a name that is being looked up": ("await asyncio.to_thread(time.sleep, 60)", "continues where this one ended"),
    "a loop that never waits": ("time.sleep(60)", "stopped early"),
    "an answer that does not come": ("await asyncio.sleep(60)", "continues where this one ended"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_soon(case: str, number: signal.Signals) -> None:
    work, sentence = CASES[case]
    command = [sys.executable, "-c", PROGRAM.replace("{work}", work)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "at work\n"
        process.send_signal(number)
        told = time.monotonic()
        out, err = process.communicate(timeout=40)
        # Two seconds are promised, and a minute is what the work takes; the machine may be busy.
        assert time.monotonic() - told < 20
    assert (process.returncode, err) == (143, "")
    assert out.count("stopped") == 1
    assert sentence in out
