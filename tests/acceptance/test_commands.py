"""What the commands print and end with, as processes: demo, check, errors; and that no secret is ever printed."""

import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from support.processes import run_command, start_command, start_server, start_simulator, write_settings
from support.secret_forms import find_leaks
from support.waiting import PATIENCE_SECONDS, wait_until

SECRETS = {"apiKey": "planted-secret-1", "proxyPassword": "planted@:/%secret-2", "ucvAccessKey": "planted-secret-3"}


def test_the_demo_ends_well_and_can_be_run_again() -> None:
    for _ in range(2):
        done = run_command("demo", "--once", "--port", "0")
        assert done.code == 0, done.err
        assert "first sync: complete" in done.out.replace("\x1b[0m", "").replace("\x1b[32m", "")
        assert "second sync: complete" in done.out
        assert "Traceback" not in done.out + done.err


def test_a_change_in_the_sample_company_reaches_the_host_and_ctrl_c_stops_cleanly() -> None:
    with start_command("demo", "--port", "0", "--every", "2s") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        link = ""
        while not link:
            line = running.stdout.readline()
            assert line, running.stderr.read()
            link = line.split()[1] if line.startswith("open ") else ""
        url, path = link.split("/sign-in")
        with httpx2.Client(base_url=url, timeout=PATIENCE_SECONDS) as http:
            assert http.get("/settings/integrations.json").status_code == 401
            assert http.get(f"/sign-in{path}").status_code == 303

            # The demo's company changes something every few seconds; each cycle is an execution with uploads.
            def a_change_arrived() -> bool:
                (integration,) = http.get("/settings/integrations.json").json()["integrations"]
                page = http.get(f"/settings/integrations/{integration['id']}.json").json()
                return any(run["uploaded"] for run in page["executions"][:-1])

            wait_until(a_change_arrived)
        # The link was for once.
        assert httpx2.get(link, timeout=PATIENCE_SECONDS).status_code == 401
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE_SECONDS) == 0
        said = running.stderr.read()
        assert "Traceback" not in said
        assert said.splitlines()[-1] == "stopped"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_stopped_in_its_first_sync_ends_quietly(number: signal.Signals, tmp_path: Path) -> None:
    # Nothing listens there, and the sync tries for a long time.
    rally = {"RALLY_URL": "http://127.0.0.1:9", "RALLY_API_KEY": "sample-key", "XDG_STATE_HOME": str(tmp_path)}
    with start_command("demo", "--port", "0", **rally) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        line = ""
        while not line.startswith("host:"):
            line = running.stdout.readline()
            assert line
        host = urlsplit(line.split()[1])
        while "Trying again" not in line:
            line = running.stderr.readline()
            assert line
        with socket.create_connection((host.hostname, host.port), timeout=PATIENCE_SECONDS) as half:
            half.sendall(b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nname=a")
            # Also answers whoever asks meanwhile, so that the half request has come.
            assert httpx2.get(f"{host.geturl()}/health", timeout=PATIENCE_SECONDS).status_code
            running.send_signal(number)
            assert running.wait(PATIENCE_SECONDS) == 0
            # Whoever was in the middle of something is told.
            assert half.recv(1000).startswith(b"HTTP/1.1 503")
        said = running.stderr.read()
        assert "Traceback" not in said
        assert "CancelledError" not in said
        assert said.splitlines()[-1] == "stopped"


def write(path: Path, **properties: Any) -> str:
    path.write_text(json.dumps({"integrations": [{"name": "sample", "properties": properties}]}))
    return str(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not valid JSON: line 1"),
        ("{}", "there is no Rally integration"),
        ('{"integrations": [{"name": "x", "properties": {"baseUrl": "ftp://x"}}]}', "properties.baseUrl"),
        ('{"integrations": [{"name": "x", "properties": {"apiKey": "${NOT_SET_ANYWHERE}"}}]}', "NOT_SET_ANYWHERE"),
        ('{"integrations": [{"name": "x", "properties": {"apiKey": "****"}}]}', "masked"),
        ('{"integrations": [{"name": "x", "properties": {"apiKey": "k"}}]}', "accelerateUrl"),
    ],
)
def test_wrong_settings_end_with_2_and_a_sentence(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "rally.json"
    path.write_text(content)
    done = run_command("sync", str(path), "--once", "--state", str(tmp_path / "state"))
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_unreachable_and_refused_end_with_3_and_what_to_do(tmp_path: Path) -> None:
    nowhere = write(
        tmp_path / "a.json",
        baseUrl="http://127.0.0.1:9",
        apiKey="k",
        accelerateUrl="http://127.0.0.1:9",
        ucvAccessKey="k",
        retrySeconds=0,
    )
    done = run_command("sync", nowhere, "--once", "--state", str(tmp_path / "state"))
    assert done.code == 3
    assert "hint:" in done.err
    with start_simulator("--items", "100") as rally, start_server(tmp_path / "host.sqlite") as target:
        wrong_key = write_settings(tmp_path / "b.json", rally, target, apiKey="_wrong")
        done = run_command("sync", str(wrong_key), "--once", "--state", str(tmp_path / "state"))
        assert done.code == 3
        assert "API key" in done.err
        wrong_project = write_settings(tmp_path / "c.json", rally, target, projects=["No such team"])
        done = run_command("sync", str(wrong_project), "--once", "--state", str(tmp_path / "state"))
        assert done.code == 2
        assert "No such team" in done.err


def test_check_names_every_link(tmp_path: Path) -> None:
    with start_simulator("--items", "100") as rally, start_server(tmp_path / "host.sqlite") as target:
        good = run_command("check", str(write_settings(tmp_path / "a.json", rally, target)))
        assert good.code == 0, good.out
        for word in (
            "address",
            "login",
            "workspace",
            "projects",
            "would be synced",
            "Accelerate: accepts the access key",
        ):
            assert word in good.out
        bad = run_command(
            "check", str(write_settings(tmp_path / "b.json", rally, target, apiKey="_wrong", ucvAccessKey="w"))
        )
        assert bad.code == 3
        assert "✗ login" in bad.out
        assert "✗ Accelerate" in bad.out


def test_no_secret_is_ever_printed(tmp_path: Path) -> None:
    given = {"baseUrl": "http://127.0.0.1:9", "accelerateUrl": "http://127.0.0.1:9", "retrySeconds": 0, **SECRETS}
    proxied = write(tmp_path / "a.json", proxyServer="http://127.0.0.1:9", proxyUsername="someone", **given)
    inside = {**given, "proxyServer": "http://someone:planted-secret-4@127.0.0.1:9"}
    inside.pop("proxyPassword")
    in_address = write(tmp_path / "b.json", **inside)
    printed = ""
    for file in (proxied, in_address):
        for arguments in (
            ("check", file),
            ("sync", file, "--once"),
            ("sync", file, "--once", "--json"),
            ("sync", file, "--dry-run"),
        ):
            done = (
                run_command("--debug", *arguments, "--state", str(tmp_path / "s"))
                if arguments[0] == "sync"
                else run_command(*arguments)
            )
            printed += done.out + done.err
    assert printed
    assert find_leaks(printed, [*SECRETS.values(), "planted-secret-4"]) == []
    for piece in ("planted%40", "secret-2"):
        assert piece not in printed


def test_two_runs_on_one_state_do_not_meet(tmp_path: Path) -> None:
    with (
        start_simulator("--items", "30", "--latency-ms", "300") as rally,
        start_server(tmp_path / "host.sqlite") as target,
    ):
        file = write_settings(tmp_path / "rally.json", rally, target, pageSize=5)
        arguments = ["sync", str(file), "--once", "--state", str(tmp_path / "state.sqlite")]
        with start_command(*arguments):
            # The lock is taken once Accelerate was asked; then Rally is, whose every answer takes its time here.
            wait_until(lambda: rally.fetch_stats()["requests"])
            done = run_command(*arguments)
            assert done.code == 3
            assert "another process is syncing the same integration" in done.err
            looked = run_command(*arguments, "--dry-run")
            assert looked.code == 0, looked.err
            assert "nothing was sent" in looked.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--port", "99999"), "0<=x<=65535"),
        (("serve", "--address", "192.0.2.1", "--port", "0"), "cannot listen on 192.0.2.1 port 0"),
        (("serve", "--every", "1e9m"), "is not a valid duration"),
        (("serve", "--every", "999999h"), "the maximum is 7 days"),
    ],
)
def test_an_impossible_option_is_told_and_nothing_is_made(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = run_command(*arguments, "--database", str(tmp_path / "host.sqlite"))
    assert (done.code, list(tmp_path.iterdir())) == (2, [])
    assert said in done.err
    assert "itself" not in done.err


def test_a_second_host_on_one_database_is_turned_away(tmp_path: Path) -> None:
    with start_server(tmp_path / "host.sqlite"):
        done = run_command("serve", "--port", "0", "--database", str(tmp_path / "host.sqlite"))
    assert done.code == 3
    assert "another server is using the database" in done.err


def test_a_check_of_a_dead_address_answers_soon(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", apiKey="sample-key", baseUrl="http://127.0.0.1:9", retrySeconds=300)
    # The command's own limit in ``command`` is far below the 300 seconds that a run would try for.
    done = run_command("check", file)
    assert done.code == 3
    assert "address" in done.out


def test_an_integration_that_is_switched_off_need_not_be_right(tmp_path: Path) -> None:
    with start_simulator("--items", "50") as rally, start_server(tmp_path / "host.sqlite") as target:
        file = write_settings(tmp_path / "rally.json", rally, target)
        content = json.loads(file.read_text())
        (good,) = content["integrations"]
        content["integrations"] = [{**good, "name": "first", "disabled": "yes", "properties": {}}, good]
        file.write_text(json.dumps(content))
        done = run_command("sync", str(file), "--once", "--state", str(tmp_path / "state"))
        assert done.code == 0, done.err


def test_a_lost_password_is_replaced_and_secrets_get_another_key_while_the_host_is_stopped(tmp_path: Path) -> None:
    database = tmp_path / "host.sqlite"
    at = ("--database", str(database))
    with start_server(database) as target:
        for words in (("users", "reset", "admin"), ("users", "list"), ("secrets", "rotate")):
            busy = run_command(*words, *at)
            assert busy.code == 3
            assert "another server is using the database" in busy.err
            assert "Stop it first" in busy.err
        first = target.password
    done = run_command("users", "reset", "ADMIN", *at)
    assert done.code == 0
    password = done.out.split(" / ")[1].split()[0]
    assert password != first
    rotated = run_command("secrets", "rotate", *at)
    assert rotated.code == 0
    assert "re-encrypted 0 secrets" in rotated.out
    Path(f"{database}.key").unlink()
    forgotten = run_command("secrets", "forget", "--yes", *at)
    assert forgotten.code == 0, forgotten.err
    assert "deleted 0 secrets" in forgotten.out
    listed = run_command("users", "list", *at)
    assert listed.out.startswith("admin: admin, ")
    unknown = run_command("users", "reset", "nobody", *at)
    assert unknown.code == 3
    assert "Users in this database: admin." in unknown.err
    missing = run_command("users", "list", "--database", str(tmp_path / "nothing.sqlite"))
    assert missing.code == 3
    assert "no database at" in missing.err
    assert not (tmp_path / "nothing.sqlite").exists()
    for given, status in ((first, 401), (password, 303)):
        with start_command("serve", "--port", "0", *at) as running:
            url = told(running, "host")
            form = {"name": "admin", "password": given}
            assert httpx2.post(f"{url}/sign-in", data=form, timeout=PATIENCE_SECONDS).status_code == status


def told(running: subprocess.Popen[str], word: str) -> str:
    """What a command says behind a word."""
    assert running.stdout is not None
    while line := running.stdout.readline():
        name, _, value = line.partition(":")
        if name.strip() == word:
            return value.split()[0]
    raise AssertionError(f"it ended without telling its {word}")


def test_where_other_machines_reach_the_host_it_says_what_is_missing(tmp_path: Path) -> None:
    # Another address than the usual one stands for another machine's network here: this one is reached from nowhere else.
    with start_command(
        "serve", "--port", "0", "--address", "127.0.0.2", "--database", str(tmp_path / "a.sqlite")
    ) as running:
        url = told(running, "host")
        assert (
            httpx2.get(f"{url}/issues.json", headers={"Host": "host.example"}, timeout=PATIENCE_SECONDS).status_code
            == 401
        )
        running.terminate()
        assert running.stderr is not None
        said = running.stderr.read()
        assert "without TLS" in said
        assert "--outside-url" in said
    for option, value, said in (
        ("--outside-url", "accelerate.example.com", "use for example https://"),
        ("--trusted-proxy", "*", "use for example 127.0.0.1"),
    ):
        wrong = run_command("serve", option, value, "--database", str(tmp_path / "b.sqlite"))
        assert wrong.code == 2
        assert said in wrong.err


def test_behind_a_proxy_the_host_answers_to_its_name_and_its_cookie_asks_for_tls(tmp_path: Path) -> None:
    options = ("--outside-url", "https://accelerate.example", "--trusted-proxy", "127.0.0.1")
    with start_command("serve", "--port", "0", "--database", str(tmp_path / "a.sqlite"), *options) as running:
        url = told(running, "host")
        sent = {"Host": "accelerate.example", "X-Forwarded-For": "10.1.2.3", "X-Forwarded-Proto": "https"}
        assert httpx2.get(f"{url}/sign-in", headers=sent, timeout=PATIENCE_SECONDS).status_code == 200
        assert (
            httpx2.get(f"{url}/sign-in", headers={"Host": "evil.example"}, timeout=PATIENCE_SECONDS).status_code == 421
        )
        # Guesses are counted by whom the proxy names.
        form = {"name": "x", "password": "y"}
        answers = [
            httpx2.post(f"{url}/sign-in", headers=sent, data=form, timeout=PATIENCE_SECONDS).status_code
            for _ in range(6)
        ]
        assert answers[-1] == 429
        elsewhere = {**sent, "X-Forwarded-For": "10.1.2.4"}
        assert httpx2.post(f"{url}/sign-in", headers=elsewhere, data=form, timeout=PATIENCE_SECONDS).status_code == 401
    # Without the option nobody is believed.
    with start_command("serve", "--port", "0", "--database", str(tmp_path / "b.sqlite")) as running:
        url = told(running, "host")
        for number in range(6):
            headers = {"X-Forwarded-For": f"10.1.2.{number}"}
            answer = httpx2.post(f"{url}/sign-in", headers=headers, data=form, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 429
