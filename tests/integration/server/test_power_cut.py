"""A power cut after an upload was acknowledged: the issues are there when the server starts again."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from support.issues import UPLOAD, item, upload
from support.power_cuts import STRACE, iter_power_cuts
from support.processes import COMMAND, build_environment, start_server, terminate_on_exit

UPLOADS = 6


def traced(database: Path, trace: Path) -> subprocess.Popen[str]:
    command = [*STRACE, "-o", str(trace), *COMMAND, "serve", "--port", "0", "--database", str(database)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=build_environment()
    )


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed; it shows what was synced when")
@pytest.mark.skipif(sys.platform != "linux", reason="strace is a program of Linux")
@pytest.mark.parametrize(
    "description", ["short", "long " * 60_000], ids=["in the server", "in the process for large uploads"]
)
def test_acknowledged_issues_survive_a_power_cut(tmp_path: Path, description: str) -> None:
    folder, before, trace = tmp_path / "store", tmp_path / "before", tmp_path / "trace"
    with start_server(folder / "host.sqlite") as first:
        key = first.key
    shutil.copytree(folder, before)
    with terminate_on_exit(traced(folder / "host.sqlite", trace)) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        with httpx2.Client(base_url=url, headers={"Authorization": f"UserAccessKey {key}"}, timeout=60) as http:
            for number in range(UPLOADS):
                body = {"query": UPLOAD, "variables": {"data": upload(item(number, description=description))}}
                answer = http.post("/release-events-api/graphql", json=body)
                assert (answer.status_code, "errors" in answer.json()) == (200, False)
        process.kill()
        process.wait()
    cuts = list(iter_power_cuts(trace, folder, before, at=b"HTTP/1.1 200"))
    assert len(cuts) == UPLOADS
    left = tmp_path / "left"
    for number, cut in enumerate(cuts):
        cut.write(left)
        with closing(sqlite3.connect(left / "host.sqlite")) as db:
            found = {key for (key,) in db.execute("SELECT external_id FROM issues")}
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert found == {str(each) for each in range(number + 1)}
