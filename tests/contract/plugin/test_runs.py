"""Runs of the event in the container (accelerate-api-notes.md#plug-in-container): what arrives, and what is printed."""

import json
import re
import signal
import ssl
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from support.container import (
    IN_EITHER_FORM,
    Container,
    add_integration,
    build_event_arguments,
    encode_basic_credentials,
    encrypt,
    process_props,
)
from support.limited_server import limited_server, reject_operations
from support.processes import TENANT, RunningServer, Simulator, start_server, start_simulator
from support.secret_forms import find_leaks
from support.waiting import PATIENCE_SECONDS, wait_until

COUNTS = re.compile(r"(\d+) read, (\d+) uploaded, (\d+) unchanged")

#: ``[time] [LEVEL] logger - text``.
LINE = re.compile(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] \[(DEBUG|INFO|WARN|ERROR|FATAL)\] rally - \S.*")

HELD = """
query issues($filter: IssuesFilter!) { issues(filter: $filter) { trackerId issue { _id status } } }
"""


def counts(out: str) -> tuple[int, int, int]:
    """How many were read, uploaded, unchanged."""
    found = COUNTS.search(out)
    assert found, out
    read, uploaded, unchanged = map(int, found.groups())
    return read, uploaded, unchanged


def held_by(target: RunningServer, tracker: str) -> set[str]:
    """The external ids of one integration's issues."""
    found: set[str] = set()
    skip = 0
    while True:
        rows = target.query(HELD, filter={"tenantId": TENANT, "limit": 1000, "skip": skip})["issues"]
        found |= {row["issue"]["_id"] for row in rows if row["trackerId"] == tracker}
        skip += len(rows)
        if len(rows) < 1000:
            return found


def of_rally(rally: Simulator) -> set[str]:
    """The external ids of everything that Rally shows."""
    everything = rally.fetch_ground_truth("hierarchicalrequirement") | rally.fetch_ground_truth("defect")
    return {key for key, item in everything.items() if item["visible"]}


def project_of(item: dict[str, Any]) -> str:
    """The ObjectID of an item's project."""
    return str(item["values"]["Project"]["object_id"])


def resync_wish(target: RunningServer, tracker: str) -> Any:
    """The ``deltaTime`` that the platform holds for the event."""
    query = "query($id: ID!) { integrationById(id: $id) { scheduledEventStates { eventName deltaTime } } }"
    states = target.query(query, id=tracker)["integrationById"]["scheduledEventStates"]
    return next((state["deltaTime"] for state in states if state["eventName"] == "syncRallyDataEvent"), None)


@IN_EITHER_FORM
def test_a_run_brings_everything_once_and_then_only_what_changed(
    container: Container, target: RunningServer, tracker: str
) -> None:
    with start_simulator("--items", "60") as rally:
        first = container.run(*build_event_arguments(process_props(rally, target, tracker)))
        assert (first.code, first.err) == (0, "")
        assert all(LINE.fullmatch(line) for line in first.out.splitlines())
        assert ("Found decryption key file" if container.passphrase else "No Decryption Key Found") in first.out
        assert held_by(target, tracker) == of_rally(rally)
        words = build_event_arguments(
            process_props(rally, target, tracker, state={"lastRun": round(time.time() * 1000)})
        )
        second = container.run(*words)
        assert second.code == 0
        # Everything was created within the overlap: it is read, and known.
        assert counts(second.out)[1] == 0
        changed = min(of_rally(rally))
        rally.post("edit", {"objectId": int(changed), "fields": {"Name": "Changed"}})
        assert counts(container.run(*words).out)[1] == 1
        if container.passphrase:
            # The file is the platform's (accelerate-api-notes.md#encrypted-arguments).
            assert (container.workdir / "encryptKey").read_text() == f"\n {container.passphrase} \n"


@pytest.mark.parametrize(
    ("key", "process", "sentence"),
    [
        ("a key", '{"state": {}, "properties": {}}', "is plain text, but the key file"),
        ("another key", "ENCRYPTED", "encrypted with another key"),
        ("", "ENCRYPTED", "is encrypted, but there is no key file"),
        ("a key", "U2FsdGVkX18x", "truncated or encrypted with another method"),
        ("a key", "not base64!", "it is not base64 text"),
        (" \n", "{}", "the key file encryptKey is empty"),
    ],
)
def test_encryption_that_does_not_fit_gets_a_sentence(bare: Container, key: str, process: str, sentence: str) -> None:
    if key:
        bare.write_key(key)
    text = process.replace("ENCRYPTED", encrypt('{"state": {}, "properties": {"apiKey": "s3cret"}}', "a key"))
    told = bare.run("scheduledEvents", "syncRallyDataEvent", text, text)
    assert (told.code, told.err) == (1, "")
    assert sentence in told.out
    assert "s3cret" not in told.out
    assert text[20:40] not in told.out or len(text) < 40


@pytest.mark.parametrize("spelling", ["array", "commas", "json"])
def test_projects_may_be_a_list_or_text(
    container: Container, rally: Simulator, target: RunningServer, tracker: str, spelling: str
) -> None:
    truth = rally.fetch_ground_truth("defect") | rally.fetch_ground_truth("hierarchicalrequirement")
    wanted = sorted({project_of(item) for item in truth.values() if item["visible"]})[:2]
    given = {"array": wanted, "commas": f" {wanted[0]} ,, {wanted[1]}", "json": json.dumps(wanted)}[spelling]
    # A form sends what nobody filled in, too.
    untouched: dict[str, Any] = {"types": [], "workspace": "", "pageSize": None, "removedStatus": []}
    props = process_props(rally, target, tracker, properties={"projects": given, "comments": "false", **untouched})
    assert container.run(*build_event_arguments(props)).code == 0
    expected = {key for key, item in truth.items() if item["visible"] and project_of(item) in wanted}
    assert held_by(target, tracker) == expected


def test_the_platforms_own_key_comes_first(
    container: Container, rally: Simulator, target: RunningServer, tracker: str
) -> None:
    wrong = {"ucvAccessKey": "a-wrong-access-key"}
    assert container.run(*build_event_arguments(process_props(rally, target, tracker, properties=wrong))).code == 0
    alone = {"_userAccessKey": "", "ucvAccessKey": target.key}
    assert container.run(*build_event_arguments(process_props(rally, target, tracker, properties=alone))).code == 0


@pytest.mark.parametrize("unit", ["seconds", "milliseconds", "text"])
def test_last_run_in_any_unit_is_where_the_next_run_begins(
    container: Container, rally: Simulator, target: RunningServer, tracker: str, unit: str
) -> None:
    ahead = time.time() + 3600
    given = {"seconds": round(ahead), "milliseconds": round(ahead * 1000), "text": str(round(ahead * 1000))}[unit]
    # The platform's time is all there is where nothing is kept. It lies behind every item.
    old = {"overlapMinutes": "0", "removedStatus": "keep"}
    with limited_server(target.url, reject_operations("updateIntegrationState")) as platform:
        state = {"lastRun": given, "apiServerUrl": platform.url}
        told = container.run(*build_event_arguments(process_props(rally, target, tracker, state=state, properties=old)))
    assert told.code == 0
    assert counts(told.out)[1] == 0
    assert "Syncing changes since" in told.out


def test_an_integration_that_another_plug_in_worked_for_is_read_whole_once(
    container: Container, rally: Simulator, target: RunningServer, tracker: str
) -> None:
    words = build_event_arguments(process_props(rally, target, tracker, state={"lastRun": round(time.time() * 1000)}))
    assert container.run(*words).code == 0
    assert held_by(target, tracker) == of_rally(rally)
    assert counts(container.run(*words).out)[1] == 0


@pytest.mark.parametrize(("word", "printed"), [("WARN", False), ("off", False), ("Info", True), ("nonsense", True)])
def test_the_level_is_read_in_any_case(
    container: Container, rally: Simulator, target: RunningServer, tracker: str, word: str, printed: bool
) -> None:
    props = process_props(rally, target, tracker)
    del props["loggingLevel"]
    props["logginglevel"] = word
    told = container.run(*build_event_arguments(props))
    assert told.code == 0
    assert bool(told.out) == printed


def test_the_level_may_stand_among_the_properties(
    container: Container, rally: Simulator, target: RunningServer, tracker: str
) -> None:
    props = process_props(rally, target, tracker, properties={"logLevel": "warn"})
    del props["loggingLevel"]
    told = container.run(*build_event_arguments(props))
    assert (told.code, told.out) == (0, "")


def test_the_environment_decides_nothing(
    container: Container, rally: Simulator, target: RunningServer, tracker: str
) -> None:
    """An issue plug-in goes by its arguments (accelerate-api-notes.md#environment-variables)."""
    elsewhere = {"GRAPHQL_URL": "http://127.0.0.1:9", "BEARER_TOKEN": "x", "NODE_TLS_REJECT_UNAUTHORIZED": "0"}
    elsewhere |= {"RALLY_API_KEY": "_another", "RALLY_URL": "http://127.0.0.1:9", "PYTHONPATH": "/nowhere"}
    told = container.run(*build_event_arguments(process_props(rally, target, tracker)), **elsewhere)
    assert told.code == 0, told.out
    assert held_by(target, tracker) == of_rally(rally)


def test_a_failure_without_a_word_when_the_level_is_off(container: Container) -> None:
    told = container.run(
        "scheduledEvents", "syncRallyDataEvent", '{"state": {}, "properties": {}, "loggingLevel": "OFF"}', "{}"
    )
    assert (told.code, told.out, told.err) == (1, "", "")


def test_a_resync_sends_everything_again_and_is_cleared_only_after_success(
    container: Container, rally: Simulator, target: RunningServer, tracker: str
) -> None:
    assert container.run(*build_event_arguments(process_props(rally, target, tracker))).code == 0
    wish = "mutation($id: ID!, $s: [ScheduledEventStateInput!]!) { updateScheduledEventStates(integrationId: $id, scheduledEventStates: $s) { _id } }"
    target.query(wish, id=tracker, s=[{"eventName": "syncRallyDataEvent", "deltaTime": 0}])
    state = {"lastRun": round(time.time() * 1000), "deltaTime": 0}
    refused = {"apiKey": "_wrong_key_0123456789"}
    failed = container.run(
        *build_event_arguments(process_props(rally, target, tracker, state=state, properties=refused))
    )
    assert failed.code == 1

    def no_uploads(body: dict[str, Any]) -> tuple[int, Any] | None:
        return (401, {}) if body["operationName"] == "uploadIssueData" else None

    with limited_server(target.url, no_uploads) as platform:
        through = {**state, "apiServerUrl": platform.url}
        failed = container.run(*build_event_arguments(process_props(rally, target, tracker, state=through)))
        assert failed.code == 1
    assert resync_wish(target, tracker) == 0
    done = container.run(*build_event_arguments(process_props(rally, target, tracker, state=state)))
    assert done.code == 0
    assert counts(done.out)[1] == len(of_rally(rally))
    assert resync_wish(target, tracker) == -1
    idle = container.run(
        *build_event_arguments(process_props(rally, target, tracker, state={**state, "deltaTime": -1}))
    )
    assert counts(idle.out)[1] == 0


def test_a_first_run_begins_at_the_initial_sync_date_and_later_ones_do_not_reach_behind_it(
    container: Container, target: RunningServer, tracker: str
) -> None:
    with start_simulator("--items", "60") as rally:
        everything = rally.fetch_ground_truth("defect") | rally.fetch_ground_truth("hierarchicalrequirement")
        moments = sorted(row["updated"] for row in everything.values() if row["visible"])
        since = moments[len(moments) // 2]
        state = {"deltaTime": round(datetime.fromisoformat(since).timestamp() * 1000)}
        assert container.run(*build_event_arguments(process_props(rally, target, tracker, state=state))).code == 0
        expected = {key for key, row in everything.items() if row["visible"] and row["updated"] >= since}
        assert held_by(target, tracker) == expected
        later = process_props(rally, target, tracker, state={"lastRun": round(time.time() * 1000)})
        assert container.run(*build_event_arguments(later)).code == 0
        assert held_by(target, tracker) == expected


def test_a_server_that_keeps_nothing_gets_everything_all_the_same(
    container: Container, target: RunningServer, tracker: str
) -> None:
    lacks = reject_operations("integrationById", "updateIntegrationState", "updateScheduledEventStates")
    with start_simulator("--items", "60") as rally, limited_server(target.url, lacks) as platform:

        def run(**state: Any) -> Any:
            given = {"apiServerUrl": f"{platform.url}/release-events-api", **state}
            return container.run(*build_event_arguments(process_props(rally, target, tracker, state=given)))

        assert run().code == 0
        assert held_by(target, tracker) == of_rally(rally)
        before = round(time.time() * 1000)
        changed = min(of_rally(rally))
        rally.post("clock", {"advance_seconds": 3600})
        rally.post("edit", {"objectId": int(changed), "fields": {"Name": "Changed"}})
        again = run(lastRun=before)
        assert again.code == 0
        # What lies in the overlap is sent again where nobody remembers that it was sent.
        assert counts(again.out)[1] >= 1
        assert "updateIntegrationState" in platform.operations


def test_a_last_run_that_moved_with_a_failed_run_loses_nothing(
    container: Container, target: RunningServer, tracker: str
) -> None:
    """The server keeps no state, but tells when a run last succeeded."""
    succeeded = round(time.time() * 1000)
    told = {
        "_id": tracker,
        "name": "x",
        "state": None,
        "last_run_successful": False,
        "last_successful_execution_time": succeeded,
    }

    def decide(body: dict[str, Any]) -> tuple[int, Any] | None:
        if body["operationName"] == "integrationById":
            return 200, {"data": {"integrationById": told}}
        return reject_operations("updateIntegrationState")(body)

    with start_simulator("--items", "60") as rally, limited_server(target.url, decide) as platform:
        rally.post("clock", {"advance_seconds": 7200})
        changed = min(of_rally(rally))
        rally.post("edit", {"objectId": int(changed), "fields": {"Name": "Changed"}})
        rally.post("clock", {"advance_seconds": 7200})
        failed_at = succeeded + 4 * 3600 * 1000
        state = {"apiServerUrl": platform.url, "lastRun": failed_at}
        props = process_props(rally, target, tracker, state=state)
        assert container.run(*build_event_arguments(props)).code == 0
        assert changed in held_by(target, tracker)
        told["last_successful_execution_time"] = None
        assert container.run(*build_event_arguments(props)).code == 0
        assert held_by(target, tracker) == of_rally(rally)


def test_a_run_that_is_told_to_end_does_and_the_next_one_goes_on(
    container: Container, target: RunningServer, tracker: str
) -> None:
    with start_simulator("--items", "1200") as rally:
        small = {"pageSize": "20", "uploadMaxItems": "20", "comments": "false"}
        words = build_event_arguments(process_props(rally, target, tracker, properties=small))
        with container.start(*words) as process:
            wait_until(lambda: process.poll() is not None or len(held_by(target, tracker)) >= 100)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 143, process.stdout and process.stdout.read()
            assert process.stdout is not None
            assert "the next run continues where this one ended" in process.stdout.read()
        some = held_by(target, tracker)
        everything = of_rally(rally)
        assert 0 < len(some) < len(everything)
        rest = container.run(*words)
        assert rest.code == 0
        assert held_by(target, tracker) == everything
        # It did not begin anew: a page or two at most are sent twice.
        assert counts(rest.out)[1] <= len(everything) - len(some) + 100


def test_a_second_run_at_once_does_no_harm(container: Container, target: RunningServer, tracker: str) -> None:
    with start_simulator("--items", "300") as rally:
        words = build_event_arguments(process_props(rally, target, tracker, properties={"pageSize": "20"}))
        with container.start(*words) as one, container.start(*words) as two:
            assert {one.wait(120), two.wait(120)} == {0}
        assert held_by(target, tracker) == of_rally(rally)
        # Whatever was sent in which order is put right by the next run at the latest.
        later = build_event_arguments(
            process_props(rally, target, tracker, state={"lastRun": round(time.time() * 1000)})
        )
        assert container.run(*later).code == 0
        assert counts(container.run(*later).out)[1] == 0


def test_a_run_that_sees_another_at_work_leaves(
    container: Container, rally: Simulator, target: RunningServer, tracker: str
) -> None:
    assert container.run(*build_event_arguments(process_props(rally, target, tracker))).code == 0
    query = "query($id: ID!) { integrationById(id: $id) { state } }"
    kept = target.query(query, id=tracker)["integrationById"]["state"]["syncRallyDataEvent"]
    keep = 'mutation($id: ID!, $p: JSON) { updateIntegrationState(integrationId: $id, eventName: "syncRallyDataEvent", properties: $p) { _id } }'
    kept["rallyAccelerate"] |= {"running": True, "at": round(time.time() * 1000), "run": "another"}
    target.query(keep, id=tracker, p=kept)
    told = container.run(*build_event_arguments(process_props(rally, target, tracker)))
    assert told.code == 0
    assert "Another run of this integration is in progress" in told.out
    # One that has not been heard of for long has died.
    kept["rallyAccelerate"]["at"] -= 600_000
    target.query(keep, id=tracker, p=kept)
    assert "complete in" in container.run(*build_event_arguments(process_props(rally, target, tracker))).out


def status_of(target: RunningServer, tracker: str) -> dict[str, str]:
    """The status of each of an integration's issues."""
    rows = target.query(HELD, filter={"tenantId": TENANT, "limit": 1000})["issues"]
    return {row["issue"]["_id"]: row["issue"]["status"] for row in rows if row["trackerId"] == tracker}


def test_what_is_gone_is_told_without_a_ledger_of_our_own(bare: Container, tmp_path: Path) -> None:
    with start_simulator("--items", "80") as rally, start_server(tmp_path / "host.sqlite") as target:
        tracker = add_integration(target)

        def run(**properties: Any) -> str:
            state = {"lastRun": round(time.time() * 1000)}
            props = process_props(rally, target, tracker, state=state, properties=properties)
            done = bare.run(*build_event_arguments(props))
            assert done.code == 0, done.out
            return done.out

        run()
        before = status_of(target, tracker)
        everything = rally.fetch_ground_truth("defect") | rally.fetch_ground_truth("hierarchicalrequirement")
        deleted = next(key for key, row in rally.fetch_ground_truth("defect").items() if row["visible"])
        rally.post("delete", {"objectId": int(deleted)})
        rally.post("clock", {"advance_seconds": 400})
        assert "marked as gone" not in run()
        rally.post("clock", {"advance_seconds": 400})
        assert "marked as removed: 1" in run()
        assert status_of(target, tracker) == {**before, deleted: "Deleted"}
        # Closed projects are found by listing everything, here in every run.
        closed = {key for key, row in everything.items() if row["values"]["Project"]["name"] == "Team Birch"}
        closed &= before.keys()
        assert closed - {deleted}
        rally.post("close", {"project": "Team Birch"})
        for _ in range(2):
            rally.post("clock", {"advance_seconds": 400})
            run(removalCheckHours="0")
        moved = {key for key, status in status_of(target, tracker).items() if status == "Moved out"}
        assert moved == closed - {deleted}
        rally.post("restore", {"objectId": int(deleted)})
        rally.post("close", {"project": "Team Birch", "open": True})
        for _ in range(3):
            rally.post("clock", {"advance_seconds": 400})
            run(removalCheckHours="0")
        assert status_of(target, tracker) == before


@pytest.mark.parametrize(
    ("trust", "code", "sentence"),
    [
        ({}, 1, "Or set verifyAccelerateTls to false"),
        ({"verifyAccelerateTls": "false"}, 0, "verifyAccelerateTls is false"),
        ({"caBundle": "PEM"}, 0, "complete in"),
        ({"caBundle": "PEM in one line"}, 0, "complete in"),
        ({"caBundle": "-----BEGIN CERTIFICATE----- AAAA -----END CERTIFICATE-----"}, 1, "properties.caBundle"),
    ],
)
def test_a_platform_with_a_certificate_of_its_own(
    container: Container,
    rally: Simulator,
    target: RunningServer,
    tracker: str,
    trust: dict[str, str],
    code: int,
    sentence: str,
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    pem = authority.cert_pem.bytes().decode()
    written = {"PEM": pem, "PEM in one line": " ".join(pem.split("\n"))}
    properties = {"retrySeconds": "0", **{name: written.get(value, value) for name, value in trust.items()}}
    with limited_server(target.url, tls=context) as platform:
        state = {"apiServerUrl": platform.url}
        told = container.run(
            *build_event_arguments(process_props(rally, target, tracker, state=state, properties=properties))
        )
    assert told.code == code, told.out
    assert sentence in told.out


def test_what_a_server_keeps_may_come_back_with_the_arguments(
    container: Container, rally: Simulator, target: RunningServer, tracker: str
) -> None:
    assert container.run(*build_event_arguments(process_props(rally, target, tracker))).code == 0
    query = "query($id: ID!) { integrationById(id: $id) { state } }"
    kept = target.query(query, id=tracker)["integrationById"]["state"]
    with limited_server(target.url, reject_operations("integrationById")) as platform:
        state = {"apiServerUrl": platform.url, "lastRun": round(time.time() * 1000), **kept}
        told = container.run(*build_event_arguments(process_props(rally, target, tracker, state=state)))
    assert told.code == 0
    assert counts(told.out)[0] < len(of_rally(rally))


SECRETS = {
    "apiKey": "_Zq3kS9vXw/7Lr+planted1",
    "password": 'p"l@nted:pass%wörd-2',
    "proxyPassword": "planted'proxy&word<3>",
    "ucvAccessKey": "planted-4444-access-key",
    "_userAccessKey": "planted-5555-platform-key",
    "clientKeyPassword": "planted-6666-key-password",
    "someToken": "planted-7777-unknown-token",
}


@IN_EITHER_FORM
def test_no_secret_is_ever_printed(container: Container, rally: Simulator, target: RunningServer, tracker: str) -> None:
    """Every secret is planted everywhere, echoed by both servers, and looked for in all that was printed."""
    echo = " ".join([*SECRETS.values(), encode_basic_credentials("sample", SECRETS["password"])])
    # In the middle of a secret, as messages are cut when they are too long.
    cut = echo.index(SECRETS["_userAccessKey"]) + 14

    def decide(body: dict[str, Any]) -> tuple[int, Any] | None:
        return 200, {"errors": [{"message": f"bad {body['operationName']}: {echo[:cut]}"}]}

    with limited_server(target.url, decide) as platform:
        usual = {"state": {"apiServerUrl": platform.url, "securityToken": "planted-8888-bearer"}, "loggingLevel": "ALL"}
        proxied = {"proxyServer": "http://u:planted-9999-inside@127.0.0.1:9", "proxyUsername": "u", "retrySeconds": "1"}
        kept_aside = {**SECRETS, "oldApiKey": SECRETS["apiKey"]}
        cases: list[dict[str, Any]] = [
            {"properties": SECRETS},
            {"properties": {**SECRETS, **proxied}},
            {"properties": {**kept_aside, "apiKey": "", "username": "sample"}},
            {"properties": {**SECRETS, "pageSize": SECRETS["apiKey"], "projects": {"x": SECRETS["password"]}}},
            {"properties": {**SECRETS, "baseUrl": f"http://u:{SECRETS['ucvAccessKey']}@127.0.0.1"}},
            {"properties": {**kept_aside, "apiKey": rally.key}},
            {"properties": {**kept_aside, "apiKey": rally.key, "workspace": echo}},
        ]
        printed = ""
        for case in cases:
            told = container.run(*build_event_arguments(process_props(rally, target, tracker, **{**usual, **case})))
            assert told.code == 1
            assert told.err == ""
            printed += told.out
    secrets = [*SECRETS.values(), "planted-8888-bearer", "planted-9999-inside", rally.key]
    assert find_leaks(printed, secrets) == []
    for secret in secrets:
        assert not any(
            form in printed
            for form in (encode_basic_credentials("", secret)[:-4], encode_basic_credentials("sample", secret)[:-4])
        )
