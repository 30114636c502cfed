"""The kill matrix: what is killed, stalled or cut off, and the comparison that follows.

Every scenario runs real processes against the simulator, injects its faults at moments chosen by a seeded random
generator, lets the product recover as a user would (run it again, start it again), and returns the damage.
"""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2

from reliability.comparison import Damage, damage, issues_of
from reliability.relay import cutting
from reliability.server import serving
from support.issues import UPLOAD, item, upload
from support.old_database import create_old_database
from support.power_cuts import STRACE, iter_power_cuts
from support.processes import (
    COMMAND,
    TENANT,
    RunningServer,
    Simulator,
    build_environment,
    run_command,
    start_command,
    start_simulator,
    terminate_on_exit,
    write_settings,
)
from support.value_streams import board
from support.waiting import wait_until

#: Runs one round in a new folder.
Scenario = Callable[[Path, random.Random], Damage]

#: Small pages and batches: many moments to die in.
SMALL = {"pageSize": 20, "uploadMaxItems": 7}

INTEGRATIONS = f'{{ integrationsByTenantId(tenantId: "{TENANT}") {{ _id name }} }}'
STREAMS = f'{{ workflowsForTenant(tenantId: "{TENANT}") {{ _id name }} }}'
CREATE_STREAM = f"""
mutation create($name: String!, $workflow: JSON) {{
  createValueStream(name: $name, tenantId: "{TENANT}", team: {{ id: "1", name: "Default" }}, workflow: $workflow) {{
    __typename
  }}
}}
"""
ADD_INTEGRATION = "mutation add($input: AddIntegrationInput!) { addIntegration(input: $input) { _id } }"
REMOVE_INTEGRATION = "mutation remove($id: ID!) { removeIntegration(_id: $id, deleteLinkedData: true) { _id } }"


class NotPossibleError(Exception):
    """The machine cannot run a scenario; the message says what is missing."""


def connector_killed(folder: Path, chance: random.Random) -> Damage:
    """SIGKILL of `sync` at any request, while people go on working in Rally."""
    with start_simulator("--items", "120", "--latency-ms", "3") as rally, serving(folder / "server.sqlite") as target:
        arguments = _sync(folder, rally, target)
        for _ in range(3):
            with start_command(*arguments) as running:
                _wait_for_requests(rally, running, chance.randint(1, 60))
                running.kill()
            rally.post("work", {"steps": 3})
        return _settled(rally, target, arguments)


def connector_stalled(folder: Path, chance: random.Random) -> Damage:
    """SIGSTOP of `sync` at any request, edits in Rally, SIGCONT."""
    with start_simulator("--items", "120", "--latency-ms", "3") as rally, serving(folder / "server.sqlite") as target:
        arguments = _sync(folder, rally, target)
        for _ in range(2):
            with start_command(*arguments) as running:
                _wait_for_requests(rally, running, chance.randint(1, 60))
                running.send_signal(signal.SIGSTOP)
                rally.post("work", {"steps": 5})
                rally.post("clock", {"advance_seconds": 30})
                running.send_signal(signal.SIGCONT)
                running.communicate(timeout=120)
        return _settled(rally, target, arguments)


def schedule_killed(folder: Path, chance: random.Random) -> Damage:
    """SIGKILL of `serve` while its own integration syncs, and a new start."""
    return _interrupted_schedule(folder, chance, lambda target: target.process.kill())


def schedule_stalled(folder: Path, chance: random.Random) -> Damage:
    """SIGSTOP and SIGCONT of `serve` while its own integration syncs."""

    def stall(target: RunningServer) -> None:
        target.process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        target.process.send_signal(signal.SIGCONT)

    return _interrupted_schedule(folder, chance, stall)


def upload_killed(folder: Path, chance: random.Random) -> Damage:
    """SIGKILL of `serve` while a client uploads: what was acknowledged is there, whole and once."""
    database, acknowledged = folder / "server.sqlite", dict[str, str]()
    for round_number in range(3):
        with serving(database) as target:
            done: list[str] = []
            client = threading.Thread(
                target=_upload_until_refused, args=(target, acknowledged, done, round_number, chance)
            )
            client.start()
            # Not the number of issues: there are 400 of them at most, and waiting for more would never end.
            uploads = chance.randint(0, 6)
            wait_until(lambda done=done, uploads=uploads: len(done) >= uploads)  # type: ignore[misc]
            time.sleep(chance.random() * 0.05)
            target.process.kill()
            client.join()
    with serving(database) as target:
        rows = issues_of(target)
    held = {row["_id"]: row for row in rows}
    lost = [key for key in acknowledged if key not in held]
    # A later upload that was not acknowledged may have been stored: then the name is a newer one, never an older one.
    wrong = [key for key, name in acknowledged.items() if key in held and held[key]["name"] < name]
    wrong += [
        row["_id"] for row in rows if len(row["history"]) != 1 or row["history"][0]["content"]["to"] != row["name"]
    ]
    return Damage(lost=len(lost), doubled=len(rows) - len(held), wrong=len(wrong), detail=tuple([*lost, *wrong][:10]))


def import_killed(folder: Path, chance: random.Random) -> Damage:
    """SIGKILL of `serve` while a value stream with integrations is imported: all of it is there, or nothing."""
    database = folder / "server.sqlite"
    nowhere = {"baseUrl": "http://127.0.0.1:9", "apiKey": "sample-key", "retrySeconds": 0}
    names = ["first", "second"]
    entries = [{"type": "ucv-ext-rally", "name": name, "properties": nowhere} for name in names]
    workflow = {**board(), "integrations": entries}
    with serving(database) as target, _start_then_kill(target, chance, 0.08):
        target.query(CREATE_STREAM, name="Shop", workflow=workflow)
    with serving(database) as target:
        found = {each["name"] for each in target.query(INTEGRATIONS)["integrationsByTenantId"]}
        imported = any(each["name"] == "Shop" for each in target.query(STREAMS)["workflowsForTenant"])
        half = found not in ([set(names)] if imported else [set(), set(names)]) or (not imported and bool(found))
        if not imported:
            target.query(CREATE_STREAM, name="Shop", workflow=workflow)
        after = [each["name"] for each in target.query(INTEGRATIONS)["integrationsByTenantId"]]
        streams = [each["name"] for each in target.query(STREAMS)["workflowsForTenant"]].count("Shop")
    doubled = (streams > 1) + (len(after) > len(names))
    return Damage(lost=int(sorted(after) != names or not streams), doubled=doubled, wrong=int(half))


def removal_killed(folder: Path, chance: random.Random) -> Damage:
    """SIGKILL of `serve` while an integration is removed with its issues: all of them go, and no others."""
    database = folder / "server.sqlite"
    other = "b" * 24
    with serving(database) as target:
        arguments = {"name": "sample", "type": "ucv-ext-rally", "tenantId": TENANT, "loggingLevel": "INFO"}
        properties = {"baseUrl": "http://127.0.0.1:9", "apiKey": "sample-key", "retrySeconds": 0}
        key = target.query(
            ADD_INTEGRATION,
            input={**arguments, "showHidden": False, "displayName": "Rally"}
            | {"properties": properties, "enabled": False},
        )["addIntegration"]["_id"]
        target.query(UPLOAD, data=upload(*(item(number) for number in range(1_500)), tracker=key))
        target.query(UPLOAD, data=upload(*(item(number) for number in range(5_000, 5_050)), tracker=other))
        with _start_then_kill(target, chance, 0.15):
            target.query(REMOVE_INTEGRATION, id=key)
    with serving(database) as target:
        there = any(each["_id"] == key for each in target.query(INTEGRATIONS)["integrationsByTenantId"])
        if there:
            target.query(REMOVE_INTEGRATION, id=key)

        def removed() -> bool:
            return len(issues_of(target)) <= 50

        with suppress(AssertionError):
            wait_until(removed, 60)
        left = {row["_id"] for row in issues_of(target)}
    mine = {str(number) for number in range(5_000, 5_050)}
    return Damage(lost=len(mine - left), wrong=len(left - mine))


def retention_killed(folder: Path, chance: random.Random) -> Damage:
    """SIGKILL of `serve` while it deletes old runs every second."""
    options = ("--every", "1s", "--keep-runs", "1")
    with start_simulator("--items", "40") as rally:
        file = _server_file(folder, rally)
        for _ in range(3):
            with serving(folder / "server.sqlite", *options, str(file)) as target:
                time.sleep(0.5 + chance.random() * 2)
                target.process.kill()
            rally.post("work", {"steps": 2})
        return _settled_schedule(folder, rally, file)


def migration_killed(folder: Path, chance: random.Random) -> Damage:
    """SIGKILL of `serve` while it brings the database of an old version up to date."""
    database = folder / "server.sqlite"
    entries = [
        {"timestamp": 1_700_000_000_000, "content": {"field": "status", "type": "string", "from": "a", "to": "Defined"}}
    ]
    create_old_database(database, [item(number, history=entries) for number in range(3_000)])
    for _ in range(3):
        with start_command("serve", "--port", "0", "--database", str(database)) as running:
            time.sleep(0.4 + chance.random() * 1.5)
            running.kill()
    return _database_damage(database, 3_000)


def rotation_killed(folder: Path, chance: random.Random) -> Damage:
    """SIGKILL of `secrets rotate`: the integration can still log in to Rally afterwards."""
    database = folder / "server.sqlite"
    with start_simulator("--items", "40") as rally:
        file = _server_file(folder, rally)
        with serving(database, str(file)):
            pass
        for _ in range(3):
            with start_command("secrets", "rotate", "--database", str(database)) as running:
                with suppress(subprocess.TimeoutExpired):
                    running.wait(0.2 + chance.random() * 1.2)
                running.kill()
        finished = run_command("secrets", "rotate", "--database", str(database))
        if finished.code:
            return Damage(lost=1, detail=(finished.err,))
        # The file is not given again: the secret comes from the database.
        return _settled_schedule(folder, rally, None)


def disk_full(folder: Path, chance: random.Random) -> Damage:
    """A file system without space under the server's database, and space again."""
    small = folder / "small"
    small.mkdir()
    size = chance.randint(1_500, 3_000)
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(small)], check=False, capture_output=True
        ).returncode
    ):
        raise NotPossibleError("mounting a small file system needs root")
    try:
        with start_simulator("--items", "300") as rally, serving(small / "server.sqlite") as target:
            arguments = _sync(folder, rally, target, retrySeconds=1)
            run_command(*arguments)
            rally.post("work", {"steps": 3})
            run_command(*arguments)
            subprocess.run(["mount", "-o", "remount,size=200m", str(small)], check=True)
            return _settled(rally, target, arguments)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=False)


def clock_jumped(folder: Path, chance: random.Random) -> Damage:
    """Rally's clock jumps ahead by up to three days between and during runs that are killed."""
    with start_simulator("--items", "120", "--latency-ms", "3") as rally, serving(folder / "server.sqlite") as target:
        arguments = _sync(folder, rally, target)
        for _ in range(3):
            with start_command(*arguments) as running:
                _wait_for_requests(rally, running, chance.randint(1, 60))
                rally.post("clock", {"advance_seconds": chance.choice([1, 3_600, 90_000, 260_000])})
                rally.post("work", {"steps": 3})
                if chance.random() < 0.5:
                    running.kill()
                else:
                    running.communicate(timeout=120)
        return _settled(rally, target, arguments)


def connections_cut(folder: Path, chance: random.Random) -> Damage:
    """Connections to Rally and to the server end in the middle of an answer."""
    with (
        start_simulator("--items", "120") as rally,
        serving(folder / "server.sqlite") as target,
        cutting(rally.url, chance, most=3) as to_rally,
        cutting(target.url, chance, most=3) as to_server,
    ):
        cut = {"baseUrl": to_rally.url, "accelerateUrl": to_server.url, "retrySeconds": 8}
        arguments = _sync(folder, rally, target, **cut)
        for _ in range(2):
            run_command(*arguments)
            rally.post("work", {"steps": 3})
        return _settled(rally, target, arguments)


def power_cut(folder: Path, chance: random.Random) -> Damage:
    """The files as a power cut leaves them: what was not synced when an upload was acknowledged is gone."""
    if shutil.which("strace") is None:
        raise NotPossibleError("strace is not installed")
    store, before, trace, left = (folder / name for name in ("store", "before", "trace", "left"))
    with serving(store / "server.sqlite") as target:
        key = target.key
    shutil.copytree(store, before)
    command_line = [
        *STRACE,
        "-o",
        str(trace),
        *COMMAND,
        "serve",
        "--port",
        "0",
        "--database",
        str(store / "server.sqlite"),
    ]
    uploads = chance.randint(2, 6)
    with terminate_on_exit(
        subprocess.Popen(
            command_line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=build_environment()
        )
    ) as process:
        assert process.stdout is not None
        target = RunningServer(process.stdout.readline().split()[1], key, "", process)
        for number in range(uploads):
            # A large one is written by the second process.
            text = "many words " * (30_000 if chance.random() < 0.5 else 1)
            target.query(UPLOAD, data=upload(item(number, description=text)))
        process.kill()
        process.wait()
    lost = doubled = 0
    for number, cut in enumerate(iter_power_cuts(trace, store, before, at=b"HTTP/1.1 200")):
        cut.write(left)
        with closing(sqlite3.connect(left / "server.sqlite")) as connection:
            found = [row[0] for row in connection.execute("SELECT external_id FROM issues")]
        lost += len({str(each) for each in range(number + 1)} - set(found))
        doubled += len(found) - len(set(found))
    return Damage(lost=lost, doubled=doubled)


#: The matrix, in the order of the published table.
SCENARIOS: Mapping[str, Scenario] = {
    each.__name__.replace("_", "-"): each
    for each in (
        connector_killed,
        connector_stalled,
        schedule_killed,
        schedule_stalled,
        upload_killed,
        import_killed,
        removal_killed,
        retention_killed,
        migration_killed,
        rotation_killed,
        disk_full,
        clock_jumped,
        connections_cut,
        power_cut,
    )
}


def run(name: str, folder: Path, *, seed: int) -> Damage:
    """Run one round of a scenario in an empty folder, which is deleted afterwards.

    Raises:
        NotPossibleError: This machine cannot run it.
    """
    folder.mkdir(parents=True)
    try:
        return SCENARIOS[name](folder, random.Random(seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sync(folder: Path, rally: Simulator, target: RunningServer, **properties: Any) -> list[str]:
    file = write_settings(folder / "rally.json", rally, target, **SMALL, **{"retrySeconds": 5, **properties})
    return ["sync", str(file), "--once", "--json", "--state", str(folder / "state.sqlite")]


def _server_file(folder: Path, rally: Simulator) -> Path:
    file = folder / "serve.json"
    properties = {"baseUrl": rally.url, "apiKey": rally.key, **SMALL, "retrySeconds": 5}
    entry = {"type": "ucv-ext-rally", "name": "sample", "properties": properties}
    file.write_text(json.dumps({"integrations": [entry]}))
    return file


def _wait_for_requests(rally: Simulator, running: subprocess.Popen[str], count: int) -> None:
    """Wait until a process has sent so many requests to Rally, or has ended."""
    last = rally.fetch_stats()["total"] + count
    wait_until(lambda: running.poll() is not None or rally.fetch_stats()["total"] >= last)


def _settled(rally: Simulator, target: RunningServer, arguments: list[str]) -> Damage:
    """Run `sync` until Lookback has caught up, as a schedule would, and compare."""
    for _ in range(2):
        done = run_command(*arguments)
        if done.code:
            return Damage(lost=1, detail=(f"exit {done.code}: {done.err[-500:]}",))
        rally.post("clock", {"advance_seconds": 120})
    done = run_command(*arguments)
    return damage(rally, target)


def _interrupted_schedule(folder: Path, chance: random.Random, interrupt: Callable[[RunningServer], None]) -> Damage:
    with start_simulator("--items", "120", "--latency-ms", "3") as rally:
        file = _server_file(folder, rally)
        for _ in range(3):
            with serving(folder / "server.sqlite", "--every", "1s", str(file)) as target:
                _wait_for_requests(rally, target.process, chance.randint(1, 60))
                interrupt(target)
            rally.post("work", {"steps": 3})
        return _settled_schedule(folder, rally, file)


def _settled_schedule(folder: Path, rally: Simulator, file: Path | None) -> Damage:
    """Start `serve` again, let it run until nothing differs any more or a minute has passed, and compare."""
    rally.post("clock", {"advance_seconds": 120})
    with serving(folder / "server.sqlite", "--every", "1s", *([str(file)] if file else [])) as target:

        def undamaged() -> bool:
            return damage(rally, target).none

        with suppress(AssertionError):
            wait_until(undamaged, 60)
        return damage(rally, target)


def _upload_until_refused(
    target: RunningServer, acknowledged: dict[str, str], done: list[str], round_number: int, chance: random.Random
) -> None:
    """Upload batches, small and large, until the server does not answer any more; add each acknowledged one's name."""
    batch = 0
    with suppress(httpx2.HTTPError):
        while True:
            batch += 1
            name = f"name {round_number:03} {batch:06}"
            # Large uploads are written by the second process.
            text = "many words " * (1_500 if chance.random() < 0.3 else 1)
            content = {"field": "status", "type": "string", "from": "", "to": name, "user": "u", "userDisplayName": "U"}
            entry = {"timestamp": "1700000000500", "content": content}
            rows = [item(chance.randint(1, 400), name=name, description=text, history=[entry]) for _ in range(25)]
            unique = {row["_id"]: row for row in rows}
            target.query(UPLOAD, data=upload(*unique.values()))
            acknowledged.update(dict.fromkeys(unique, name))
            done.append(name)


@contextmanager
def _start_then_kill(target: RunningServer, chance: random.Random, within: float) -> Iterator[None]:
    """Kill the server within so many seconds; what it does not answer any more is no error."""
    timer = threading.Timer(chance.random() * within, target.process.kill)
    timer.start()
    with suppress(httpx2.HTTPError, AssertionError):
        yield
    timer.join()


def _database_damage(database: Path, count: int) -> Damage:
    """Start `serve` on a database until it is up to date, and count what it holds."""
    with start_command("serve", "--port", "0", "--database", str(database)) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        while line and not line.startswith("host:"):
            line = process.stdout.readline()
        if not line:
            return Damage(lost=count, detail=("the server does not start any more",))
    with sqlite3.connect(database) as connection:
        rows, distinct = connection.execute("SELECT count(*), count(DISTINCT external_id) FROM issues").fetchone()
        changes = connection.execute("SELECT count(*) FROM issue_history").fetchone()[0]
        words = connection.execute("SELECT count(*) FROM issue_words WHERE issue_words MATCH 'sample'").fetchone()[0]
    connection.close()
    return Damage(lost=count - distinct, doubled=rows - distinct, wrong=abs(count - changes) + abs(count - words))
