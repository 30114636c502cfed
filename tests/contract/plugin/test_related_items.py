"""The container where something around it is odd: another user, nobody who listens, a bad network."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.container import IN_EITHER_FORM, Container, build_event_arguments, find_interpreter, process_props
from support.limited_server import limited_server
from support.processes import RunningServer, Simulator
from support.proxy import Proxy, run_proxy
from support.waiting import PATIENCE_SECONDS

HELD = "query issues($filter: IssuesFilter!) { issues(filter: $filter) { trackerId } }"


def issues_of(target: RunningServer, tracker: str) -> int:
    """How many issues an integration has, however many the other tests' integrations have."""
    count, skip = 0, 0
    while True:
        wanted = {"tenantId": "5ade13625558f2c6688d15ce", "limit": 1000, "skip": skip}
        rows: list[dict[str, str]] = target.query(HELD, filter=wanted)["issues"]
        count += sum(row["trackerId"] == tracker for row in rows)
        skip += len(rows)
        if len(rows) < 1000:
            return count


@IN_EITHER_FORM
def test_another_user_runs_it(container: Container, rally: Simulator, target: RunningServer, tracker: str) -> None:
    """A key file that only its owner may read shows who it is."""
    if not find_interpreter()[1]:
        pytest.skip("only root can run a command as another user")
    container.write_key(container.passphrase or "a key")
    (container.workdir / "encryptKey").chmod(0o600)
    told = container.run(*build_event_arguments(process_props(rally, target, tracker)))
    assert (told.code, told.err) == (1, "")
    assert "the key file encryptKey cannot be read: Permission denied" in told.out


def test_nothing_is_written_anywhere(
    container: Container, rally: Simulator, target: RunningServer, tracker: str
) -> None:
    """Neither a temporary folder nor a home is there, and no folder is writable."""
    nowhere = {"TMPDIR": "/nowhere", "HOME": "/nowhere", "XDG_STATE_HOME": "/nowhere", "LC_ALL": "C"}
    told = container.run(*build_event_arguments(process_props(rally, target, tracker)), **nowhere)
    assert (told.code, told.err) == (0, ""), told.out
    assert {path.name for path in container.workdir.iterdir()} <= {"velocity-plugin.min.js", "encryptKey"}


@pytest.mark.parametrize("kind", ["closed", "read no more", "full"])
def test_a_run_is_done_also_where_nobody_listens(
    container: Container, rally: Simulator, target: RunningServer, tracker: str, kind: str
) -> None:
    """Logging's own complaint about it would print the arguments, secrets among them."""
    where = {"closed": ">&-", "read no more": "| true", "full": ">/dev/full"}[kind]
    props = process_props(rally, target, tracker, loggingLevel="ALL", properties={"unknownKey": "planted-unknown"})
    script = f'set -o pipefail; "$@" {where}'
    told = container.call("bash", "-c", script, "bash", *container.build_command(*build_event_arguments(props)))
    assert (told.code, told.out, told.err) == (0, "", "")
    assert issues_of(target, tracker) > 0


@pytest.mark.parametrize("where", [">&-", ">/dev/full"])
def test_a_manifest_that_nobody_gets_is_a_failure_without_a_traceback(bare: Container, where: str) -> None:
    script = f"node velocity-plugin.min.js getManifest {where}"
    told = bare.call("bash", "-c", script)
    assert told.err == ""
    # With the standard output closed there is nobody to tell a failure either.
    assert told.code == (1 if where == ">/dev/full" else 0)


@IN_EITHER_FORM
@pytest.mark.parametrize("locale", ["C", "de_DE.ISO-8859-1", "no_SUCH.thing"])
def test_the_users_language_changes_nothing(
    container: Container, rally: Simulator, target: RunningServer, tracker: str, locale: str
) -> None:
    props = process_props(rally, target, tracker, properties={"workspace": "Wörk → \U0001f600"})
    told = container.run(*build_event_arguments(props), LC_ALL=locale, PYTHONIOENCODING="ascii")
    assert (told.code, told.err) == (1, "")
    assert 'no workspace "Wörk → \U0001f600"' in told.out


@IN_EITHER_FORM
def test_half_a_character_in_a_name_is_no_obstacle(
    container: Container, rally: Simulator, target: RunningServer, tracker: str
) -> None:
    props = process_props(rally, target, tracker, loggingLevel="DEBUG", properties={"odd\ud800name": "x"})
    told = container.run(*build_event_arguments(props))
    assert (told.code, told.err) == (0, "")
    assert "the property odd\N{REPLACEMENT CHARACTER}name is not known" in told.out


@contextmanager
def a_proxy(user: str, password: str) -> Iterator[Proxy]:
    """A proxy that wants a login, in a thread of its own."""
    found: list[Proxy] = []
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with run_proxy(user=user, password=password) as proxy:
            found.append(proxy)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    assert ready.wait(PATIENCE_SECONDS)
    try:
        yield found[0]
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(
    ("password", "code", "sentence"),
    [("pr0xy:p@ss/wörd", 0, "complete in"), ("wrong-proxy-password", 1, "proxyUsername and proxyPassword")],
)
def test_a_proxy_that_wants_a_login(
    container: Container,
    rally: Simulator,
    target: RunningServer,
    tracker: str,
    password: str,
    code: int,
    sentence: str,
) -> None:
    with a_proxy("proxy-user", "pr0xy:p@ss/wörd") as proxy:
        given = {"proxyServer": f"127.0.0.1:{proxy.port}", "proxyUsername": "proxy-user", "proxyPassword": password}
        given["retrySeconds"] = "0"
        props = process_props(rally, target, tracker, properties=given, loggingLevel="ALL")
        told = container.run(*build_event_arguments(props))
    assert (told.code, told.err) == (code, ""), told.out
    assert sentence in told.out
    assert bool(proxy.passed) == (code == 0)
    for secret in (password, rally.key, target.key):
        assert secret not in told.out


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((413, {}), "too large"),
        ((429, {}), "is limiting requests"),
        ((503, {}), "not available"),
        ((500, {}), "Accelerate failed"),
        ((401, {}), "refuses the access key"),
        ((200, {"errors": [{"message": "Cast to ObjectId failed"}]}), "Cast to ObjectId failed"),
    ],
)
def test_an_upload_that_is_refused_for_good_fails_and_the_next_run_makes_it_good(
    container: Container,
    rally: Simulator,
    target: RunningServer,
    tracker: str,
    answer: tuple[int, Any],
    sentence: str,
) -> None:
    refusing = True

    def decide(body: dict[str, Any]) -> tuple[int, Any] | None:
        return answer if refusing and body["operationName"] == "uploadIssueData" else None

    with limited_server(target.url, decide) as platform:
        state = {"apiServerUrl": platform.url, "lastRun": round(time.time() * 1000)}
        words = build_event_arguments(
            process_props(rally, target, tracker, state=state, properties={"retrySeconds": "0"})
        )
        told = container.run(*words)
        assert (told.code, told.err) in {(0, ""), (1, "")}
        assert sentence in told.out
        assert "Traceback" not in told.out
        assert issues_of(target, tracker) == 0
        refusing = False
        again = container.run(*words)
    assert (again.code, again.err) == (0, ""), again.out
    assert issues_of(target, tracker) > 40 * 0.5


@pytest.mark.parametrize("answer", [(413, {}), (429, {}), (503, {})])
def test_an_upload_that_is_refused_once_arrives_in_the_same_run(
    container: Container, rally: Simulator, target: RunningServer, tracker: str, answer: tuple[int, Any]
) -> None:
    refused: list[bool] = []

    def decide(body: dict[str, Any]) -> tuple[int, Any] | None:
        if body["operationName"] == "uploadIssueData" and not refused:
            refused.append(True)
            return answer
        return None

    with limited_server(target.url, decide) as platform:
        props = process_props(rally, target, tracker, state={"apiServerUrl": platform.url})
        told = container.run(*build_event_arguments(props))
    assert (told.code, told.err) == (0, ""), told.out
    assert refused
    assert issues_of(target, tracker) > 0
