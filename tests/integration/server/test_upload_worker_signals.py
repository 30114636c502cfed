"""The process beside a host that is served ends with it, however that ends, and minds no signal that is the host's."""

import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from support.issues import UPLOAD, item, upload
from support.processes import start_command
from support.waiting import PATIENCE_SECONDS, wait_until

LARGE = upload(*(item(number, description="many words " * 1_000) for number in range(30)))


def status(process_id: int) -> list[str]:
    """What the system tells of a process behind its name; nothing when it is gone."""
    try:
        fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    # One that nobody has buried yet is gone as well.
    return [] if fields[0] in {"Z", "X"} else fields


def children(process_id: int) -> list[int]:
    """The processes that a process has started."""
    known = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]
    return [each for each in known if (fields := status(each)) and int(fields[1]) == process_id]


class Served:
    """A host that is served, and the process beside it."""

    def __init__(self, process: subprocess.Popen[str], database: Path) -> None:
        self.process = process
        self.database = database
        told: dict[str, str] = {}
        assert process.stdout is not None
        while "key" not in told:
            name, _, value = process.stdout.readline().partition(":")
            told[name.strip()] = value.split()[0]
        self.url, self.key = told["host"], told["key"]
        wait_until(lambda: len(children(process.pid)) == 1)
        (self.beside,) = children(process.pid)
        # Once a minute it is noted that a key was used, which writes.
        self.ask("{ productVersion }")

    def ask(self, query: str, **variables: object) -> httpx2.Response:
        body = {"query": query, "variables": variables}
        headers = {"Authorization": f"UserAccessKey {self.key}"}
        return httpx2.post(f"{self.url}/release-events-api/graphql", json=body, headers=headers, timeout=60)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The process beside has an upload, and cannot write it."""

        def uploading() -> None:
            # The host is ended meanwhile.
            with suppress(httpx2.HTTPError):
                self.ask(UPLOAD, data=LARGE)

        wait_until(lambda: self.ask(UPLOAD, data=LARGE).status_code == 200 and self.has_worked())
        worked = self.worked()
        connection = sqlite3.connect(self.database)
        connection.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=uploading)
        thread.start()
        try:
            wait_until(lambda: self.worked() > worked)
            yield
        finally:
            connection.rollback()
            connection.close()
            thread.join()

    def worked(self) -> int:
        """For how long the process beside has used the processor, in ticks."""
        return sum(int(each) for each in status(self.beside)[11:13])

    def has_worked(self) -> bool:
        """Whether it has taken an upload: it holds the database open since."""
        return any("host.sqlite" in str(each.readlink()) for each in Path(f"/proc/{self.beside}/fd").iterdir())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    database = tmp_path / "host.sqlite"
    with start_command("serve", "--port", "0", "--database", str(database)) as process:
        yield Served(process, database)


def test_a_host_that_is_killed_leaves_no_process(served: Served) -> None:
    with served.at_work():
        served.process.kill()
        served.process.wait()
        wait_until(lambda: not status(served.beside))
    with sqlite3.connect(served.database) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT external_id) FROM issues").fetchone() == (30, 30)
    connection.close()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_host_that_is_stopped_leaves_no_process_and_prints_no_fault(served: Served, sent: signal.Signals) -> None:
    os.kill(served.process.pid, sent)
    _, said = served.process.communicate(timeout=PATIENCE_SECONDS)
    assert served.process.returncode in {0, 130}
    assert "Traceback" not in said
    assert not status(served.beside)


def test_signals_that_a_whole_service_gets_are_the_hosts_to_obey(served: Served) -> None:
    wait_until(lambda: served.ask(UPLOAD, data=LARGE).status_code == 200 and served.has_worked())
    for each in (signal.SIGINT, signal.SIGTERM):
        os.kill(served.beside, each)
    assert served.ask(UPLOAD, data=LARGE).json() == {"data": {"uploadIssueData": {"result": True}}}
    assert children(served.process.pid) == [served.beside]
