"""Every fault as a client meets it, the control endpoints, and the simulator as a process."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from rally_sandbox.auth import SANDBOX_API_KEY
from rally_sandbox.faults import FAULTS
from rally_sandbox.server import Sandbox, run, serve
from rally_sandbox.world import World
from support.waiting import PATIENCE_SECONDS, until

WSAPI = "/slm/webservice/v2.0/"


@pytest.fixture(scope="module")
def own(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with serve(World.create(7, 100)) as running:
        yield running


@pytest.fixture
def client(own: Sandbox) -> Iterator[httpx2.Client]:
    own.faults.clear()
    own.stats.reset()
    headers = {"ZSESSIONID": SANDBOX_API_KEY}
    with httpx2.Client(base_url=own.url, headers=headers, trust_env=False, timeout=PATIENCE_SECONDS) as client:
        yield client


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("html-401", 401, "HTTP ERROR 401"),
        ("maintenance-200", 200, "<!DOCTYPE html>"),
        ("errors-200", 200, "sample fault"),
        ("operation-result", 200, "OperationResult"),
        ("429", 429, "Slow down"),
        ("500-html", 500, "unexpected error"),
        ("502", 502, "Bad Gateway"),
        ("503", 503, "offline"),
        ("524", 524, "timeout"),
        ("sso-401", 401, "Single Sign-On"),
        ("proxy-401", 401, "tinyproxy"),
        ("ntlm-proxy", 407, "sample proxy"),
    ],
)
def test_a_fault_is_answered_once_and_then_all_is_well(
    client: httpx2.Client, own: Sandbox, name: str, status: int, text: str
) -> None:
    own.faults.add(name, match="defect")
    assert client.get(f"{WSAPI}project").status_code == 200
    wrong = client.get(f"{WSAPI}defect")
    assert wrong.status_code == status
    assert text in wrong.text
    assert client.get(f"{WSAPI}defect").json()["QueryResult"]["Errors"] == []
    assert own.stats.faults == {name: 1}


def test_single_sign_on_redirects_to_a_page(client: httpx2.Client, own: Sandbox) -> None:
    own.faults.add("sso-redirect")
    first = client.get(f"{WSAPI}defect")
    assert first.status_code == 302
    page = client.get(first.headers["location"])
    assert (page.status_code, page.headers["content-type"][:9]) == (200, "text/html")


def test_a_body_cut_with_a_length_that_fits(client: httpx2.Client, own: Sandbox) -> None:
    own.faults.add("truncated-json")
    cut = client.get(f"{WSAPI}defect")
    assert int(cut.headers["content-length"]) == len(cut.content)
    with pytest.raises(json.JSONDecodeError):
        cut.json()


def test_a_connection_that_ends_in_the_middle_of_the_body(client: httpx2.Client, own: Sandbox) -> None:
    own.faults.add("truncated-connection")
    with pytest.raises(httpx2.RemoteProtocolError):
        client.get(f"{WSAPI}defect")
    assert client.get(f"{WSAPI}defect").status_code == 200


def test_a_connection_that_ends_without_an_answer(client: httpx2.Client, own: Sandbox) -> None:
    own.faults.add("drop")
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        client.get(f"{WSAPI}defect")
    assert client.get(f"{WSAPI}defect").status_code == 200


def test_silence_lasts_until_the_client_gives_up(client: httpx2.Client, own: Sandbox) -> None:
    own.faults.add("timeout")
    with pytest.raises(httpx2.ReadTimeout):
        client.get(f"{WSAPI}defect", timeout=httpx2.Timeout(60, read=0.2))


def test_slow_answers_are_right(client: httpx2.Client, own: Sandbox) -> None:
    own.faults.add("slow", seconds=0.01)
    assert client.get(f"{WSAPI}defect").json()["QueryResult"]["Errors"] == []


def test_a_server_stops_while_a_fault_sleeps() -> None:
    with serve(World.create(7, 20)) as sandbox:
        sandbox.faults.add("timeout")
        headers = {"ZSESSIONID": SANDBOX_API_KEY}
        with (
            httpx2.Client(base_url=sandbox.url, headers=headers, trust_env=False, timeout=PATIENCE_SECONDS) as client,
            pytest.raises(httpx2.ReadTimeout),
        ):
            client.get(f"{WSAPI}defect", timeout=httpx2.Timeout(60, read=0.1))


def test_large_pages_fail_while_small_ones_succeed(client: httpx2.Client, own: Sandbox) -> None:
    own.faults.add("page-limit", rows=50)
    assert client.get(f"{WSAPI}defect", params={"pagesize": 51}).status_code == 502
    assert client.get(f"{WSAPI}defect", params={"pagesize": 50}).status_code == 200


def test_cookies_come_only_when_asked_for(client: httpx2.Client, own: Sandbox) -> None:
    own.faults.add("set-cookie")
    assert "JSESSIONID" in client.get(f"{WSAPI}defect").headers["set-cookie"]
    assert "set-cookie" not in client.get(f"{WSAPI}defect").headers


def test_edits_happen_between_pages(client: httpx2.Client, own: Sandbox) -> None:
    seen: list[int] = []
    own.faults.edit_between_pages = lambda world: seen.append(world.version)
    for start in (1, 3, 5):
        client.get(f"{WSAPI}defect", params={"start": start, "pagesize": 2})
    assert len(seen) == 3
    before = own.world.version
    own.faults.edit_between_pages = 2
    client.get(f"{WSAPI}defect")
    assert own.world.version > before


async def test_simultaneous_requests_are_counted(own: Sandbox, client: httpx2.Client) -> None:
    own.faults.add("timeout", times=3)
    async with httpx2.AsyncClient(base_url=own.url, headers=client.headers, trust_env=False, timeout=None) as others:
        requests = [asyncio.ensure_future(others.get(f"{WSAPI}defect")) for _ in range(3)]
        await until(lambda: own.stats.max_in_flight == 3)
        for each in requests:
            each.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
    assert own.stats.max_in_flight == 3


def test_controls(client: httpx2.Client, own: Sandbox) -> None:
    made = client.post("/_sandbox/create", json={"kind": "story", "fields": {"Name": "Sample"}}).json()
    edited = client.post(
        "/_sandbox/edit",
        json={"objectId": made["objectId"], "fields": {"Name": "Sample 2"}, "user": "user02@sandbox.example"},
    ).json()
    assert edited["revision"]["text"] == "NAME changed from [Sample] to [Sample 2]"
    rows = [json.loads(line) for line in client.get("/_sandbox/truth/story").text.splitlines()]
    assert rows[-1]["object_id"] == made["objectId"]
    assert client.post("/_sandbox/delete", json={"objectId": made["objectId"]}).status_code == 200
    assert client.post("/_sandbox/restore", json={"objectId": made["objectId"]}).status_code == 200
    assert len(client.post("/_sandbox/work", json={"steps": 3}).json()["objectIds"]) == 3
    assert client.post("/_sandbox/close", json={"project": "Team Birch"}).status_code == 200
    assert client.post("/_sandbox/close", json={"project": "Team Birch", "open": True}).status_code == 200
    assert client.post("/_sandbox/clock", json={"advance_seconds": 60}).json()["now"].endswith("Z")
    assert client.post("/_sandbox/faults", json=[{"name": "502", "match": "defect"}]).json() == {"armed": 1}
    assert client.get(f"{WSAPI}defect").status_code == 502
    assert client.post("/_sandbox/faults", json={"latency_ms": 1, "edit_between_pages": 1}).status_code == 200
    assert client.delete("/_sandbox/faults").status_code == 200
    assert own.faults.latency_ms == 0
    assert client.get("/_sandbox/stats").json()["requests"]["defect"] == 1
    client.post("/_sandbox/stats/reset")
    assert client.get("/_sandbox/stats").json()["total"] == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("edit", {"objectId": 1, "fields": {}}),
        ("create", {"kind": "cloud"}),
        ("faults", [{"name": "flood"}]),
        ("clock", {"advance_seconds": -1}),
        ("restore", {}),
    ],
)
def test_mistakes_in_controls_are_told(client: httpx2.Client, path: str, body: object) -> None:
    answer = client.post(f"/_sandbox/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_people_find_a_page(client: httpx2.Client) -> None:
    page = client.get("/")
    assert "not Rally" in page.text
    assert page.headers["date"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("byte-order-mark", b"\xef\xbb\xbf{"),
        ("lone-surrogate", rb"\ud83d"),
        ("control-characters", b"\x0b"),
        ("invalid-utf-8", b"\xf6"),
    ],
)
def test_hostile_texts_come_with_everything_else(
    own: Sandbox, client: httpx2.Client, name: str, expected: bytes
) -> None:
    right = client.get(f"{WSAPI}defect", params={"fetch": "Name,FormattedID"}).content
    own.faults.add(name)
    answer = client.get(f"{WSAPI}defect", params={"fetch": "Name,FormattedID"})
    assert answer.status_code == 200
    assert expected in answer.content
    assert expected not in right
    assert answer.content.count(b'"FormattedID"') == right.count(b'"FormattedID"')


def test_an_empty_page_announces_what_it_lacks(own: Sandbox, client: httpx2.Client) -> None:
    own.faults.add("empty-page")
    page = client.get(f"{WSAPI}defect").json()["QueryResult"]
    assert page["Results"] == []
    assert page["TotalResultCount"] > 0


def test_every_fault_is_tested_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{name}"' in text for name in FAULTS)


def test_the_process_says_where_it_is_and_ends_with_0() -> None:
    command = [sys.executable, "-m", "rally_sandbox", "--items", "50", "--live", "--every", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        headers = {"ZSESSIONID": ready["apiKey"]}
        answer = httpx2.get(f"{ready['url']}{WSAPI}defect", headers=headers, trust_env=False, timeout=PATIENCE_SECONDS)
        assert answer.json()["QueryResult"]["TotalResultCount"] > 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_SECONDS) == 0


def test_run_calls_back_when_it_answers() -> None:
    seen: list[str] = []

    def ready(url: str) -> None:
        seen.append(url)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    run(port=0, items=20, on_ready=ready)
    assert seen[0].startswith("http://127.0.0.1:")
    assert signal.getsignal(signal.SIGTERM) is before
