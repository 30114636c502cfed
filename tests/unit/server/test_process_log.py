"""Each line of the process log says whose it is: runs of several integrations go on at once."""

import io
import logging
from collections.abc import Iterator

import pytest

from rally_accelerate.config.redaction import Redactor
from rally_accelerate.observe import logs

log = logging.getLogger("rally_accelerate.some.room")


@pytest.fixture
def told() -> Iterator[io.StringIO]:
    """What the process log says."""
    stream = io.StringIO()
    root = logging.getLogger("rally_accelerate")
    level, propagate = root.level, root.propagate
    handler = logs.set_up("INFO", redactor=Redactor(["planted-secret"]), stream=stream)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)
    root.propagate = propagate


def test_lines_of_a_run_bear_the_name_of_its_integration(told: io.StringIO) -> None:
    with logs.log_context("first"):
        log.info("complete: %d read", 3)
        # Some lines name it themselves.
        log.warning("first: not verified")
    log.info("nobody's")
    with logs.log_context("planted-secret"):
        log.info("x")
    lines = [line.partition(" ")[2] for line in told.getvalue().splitlines()]
    assert lines == [
        "INFO    first: complete: 3 read",
        "WARNING first: not verified",
        "INFO    nobody's",
        "INFO    ***: x",
    ]
