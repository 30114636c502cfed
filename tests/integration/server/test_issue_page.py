"""The page of an issue: what changed when and by whom, what it belongs to, and what it was at any instant."""

import re
from html import unescape
from typing import Any

import httpx2

from rally_accelerate.server.issue_history import find_last_status_change
from support.issues import UPLOAD, item, upload
from support.processes import start_simulator
from support.server_client import TENANT, ServerClient
from support.waiting import PATIENCE_SECONDS

TRACKER = "a" * 24
DAY = 86_400_000
CREATED = 1_700_000_000_000


def moved(at: int, field: str, before: Any, after: Any, user: str = "Ann") -> dict[str, Any]:
    content = {"field": field, "type": "string", "from": before, "to": after, "user": user, "userDisplayName": user}
    return {"timestamp": at, "content": content}


HISTORY = [
    moved(CREATED + 1_000, "status", "Defined", "In-Progress"),
    moved(CREATED + 1_000, "owner", "", "Ann"),
    moved(CREATED + 2 * DAY, "status", "In-Progress", "Accepted", user="Bo"),
]


async def filled(asked: ServerClient) -> None:
    whole = item(
        1,
        status="Accepted",
        owner="Ann",
        history=HISTORY,
        description="<i>text</i>",
        rawIssue={"a": {"b": [1, None, True, "<u>"]}, "c": []},
        comments=[{"id": "1", "user": "Cy", "created": CREATED, "updated": CREATED + DAY, "comment": "said"}],
        relations=[{"id": "2", "type": "PARENT"}, {"id": "9", "type": "RELATED"}],
    )
    others = [
        item(2),
        item(3, relations=[{"id": "1", "type": "PARENT"}]),
        item(4, relations=[{"id": "1", "type": "RELATED"}]),
    ]
    await asked.fetch_data(UPLOAD, data=upload(whole, *others, tracker=TRACKER))


async def shown(asked: ServerClient, more: str = "", *, number: int = 1) -> str:
    """What people read, without the markup."""
    answer = await asked.http.get(f"/issues/{TRACKER}/{number}{more}")
    assert answer.status_code == 200
    return " ".join(unescape(re.sub(r"<[^>]+>", "", answer.text)).split())


async def test_its_history_reads_by_day_newest_first(asked: ServerClient) -> None:
    await filled(asked)
    text = await shown(asked)
    assert "Bo moved it from In-Progress to Accepted" in text
    assert "Ann moved it from Defined to In-Progress and assigned it to Ann" in text
    days = re.findall(r'<h3 class="day"><time datetime="([^"]+)"', (await asked.http.get(f"/issues/{TRACKER}/1")).text)
    assert days == ["2023-11-16", "2023-11-14"]


async def test_one_field_of_its_history(asked: ServerClient) -> None:
    await filled(asked)
    text = await shown(asked, "?field=owner")
    assert "assigned it to Ann" in text
    assert "moved it" not in text
    assert "All fields" in text
    assert "No changes recorded" in await shown(asked, "?field=nothing")


async def test_a_very_long_history_is_shown_in_part_until_it_is_asked_for(asked: ServerClient) -> None:
    history = [moved(CREATED + number * 1000, "status", f"{number}", f"{number + 1}") for number in range(400)]
    await asked.fetch_data(UPLOAD, data=upload(item(1, history=history), tracker=TRACKER))
    assert "Show 100 older changes" in await shown(asked)
    text = await shown(asked, "?all=1")
    assert "moved it from 0 to 1" in text
    assert "older changes" not in text


async def test_relations_are_seen_from_both_sides_with_names(asked: ServerClient) -> None:
    await filled(asked)
    text = await shown(asked)
    assert "Parents US2 Sample story 2 Defined" in text
    assert "Children US3 Sample story 3 Defined" in text
    assert "Other 9 not imported US4 Sample story 4 Defined" in text
    assert "Children US1 Sample story 1 Accepted" in await shown(asked, number=2)
    # An upload replaces what was known before.
    await asked.fetch_data(UPLOAD, data=upload(item(3), tracker=TRACKER))
    assert "US3" not in await shown(asked)
    await asked.host.stores.issues.remove(TRACKER)
    await asked.fetch_data(UPLOAD, data=upload(item(2), tracker=TRACKER))
    assert "Children" not in await shown(asked, number=2)


async def test_what_it_was_at_an_instant_and_how_that_is_known(asked: ServerClient) -> None:
    await filled(asked)
    text = await shown(asked, "?as-of=2023-11-15T12:00")
    assert "1 of 5 fields were different" in text
    assert "Status In-Progress Accepted From the history" in text
    assert "Owner Ann Unchanged From the history" in text
    assert "Name Sample story 1 Unchanged No recorded changes" in text
    assert "This issue did not exist yet" in await shown(asked, "?as-of=2020-01-01")
    # An instant of the time line leads to what was right after it.
    links = re.findall(r'as-of=([^"&]+)" title', (await asked.http.get(f"/issues/{TRACKER}/1")).text)
    assert "In-Progress Accepted" in await shown(asked, f"?as-of={links[-1]}")
    told = (await asked.http.get(f"/issues/{TRACKER}/1.json?as-of={links[-1]}")).json()["past"]
    assert told["instant"] == CREATED + 1_000
    assert told["changed"] == 1


async def test_what_is_no_instant_is_said_beside_the_field(asked: ServerClient) -> None:
    await filled(asked)
    for odd in ("yesterday", "2023-99-99", "0000", "9" * 400, "<b>"):
        answer = await asked.http.get(f"/issues/{TRACKER}/1", params={"as-of": odd})
        assert answer.status_code == 400
        assert 'aria-describedby="as-of-fault"' in answer.text
        assert "<b>" not in answer.text
    for edge in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "20231115", "2023-W46"):
        assert (await asked.http.get(f"/issues/{TRACKER}/1", params={"as-of": edge})).status_code in {200, 400}


async def test_a_status_that_the_history_does_not_tell_yet_is_said_to_be_so(asked: ServerClient) -> None:
    late = item(1, status="Completed", lastUpdate=CREATED + 3 * DAY, history=HISTORY[:2])
    await asked.fetch_data(UPLOAD, data=upload(late, tracker=TRACKER))
    text = await shown(asked)
    assert re.search(r"in this status for [^·]+ or longer", text)
    assert "History is catching up. It ends with the status In-Progress" in text
    assert "the status was already Completed at 2023-11-17" in text
    told = (await asked.http.get(f"/issues/{TRACKER}/1.json")).json()
    assert told["late"] == {"at": CREATED + 3 * DAY, "before": "In-Progress", "after": "Completed"}
    (row,) = (await asked.http.get("/issues.json")).json()["issues"]
    assert row["statusSince"] == CREATED + 3 * DAY
    # The next run completes it.
    whole = [*HISTORY[:2], moved(CREATED + 2 * DAY, "status", "In-Progress", "Completed")]
    await asked.fetch_data(UPLOAD, data=upload({**late, "history": whole}, tracker=TRACKER))
    text = await shown(asked)
    assert "or longer" not in text
    assert "History is catching up" not in text
    (row,) = (await asked.http.get("/issues.json")).json()["issues"]
    assert row["statusSince"] == CREATED + 2 * DAY


async def test_what_lookback_has_not_got_yet_is_missed_until_a_later_run_brings_it(asked: ServerClient) -> None:
    with (
        start_simulator("--items", "40") as rally,
        httpx2.Client(base_url=f"{rally.url}/_sandbox", timeout=PATIENCE_SECONDS) as sandbox,
    ):
        sandbox.post("/lookback", json={"lag_ms": 0}).raise_for_status()
        its_id = await asked.host.add_integration(
            {"name": "sample", "properties": {"baseUrl": rally.url, "apiKey": rally.key}}
        )
        await asked.host.run_integration(its_id)
        stored = await asked.host.stores.issues.list_page(limit=40)
        begun = [each.content for each in stored if each.content["status"] == "In-Progress"]
        its_key = next(one["_id"] for one in begun if find_last_status_change(one["history"]))
        address = f"/issues/{its_id}/{its_key}.json"
        assert (await asked.http.get(address)).json()["late"] is None
        # Ten minutes: far more than the test takes, and less than what is read from revisions.
        sandbox.post("/lookback", json={"lag_ms": 600_000}).raise_for_status()
        change = {"objectId": int(its_key), "fields": {"ScheduleState": "Completed"}}
        assert sandbox.post("/edit", json=change).raise_for_status().json()["revision"]
        await asked.host.run_integration(its_id)
        told = (await asked.http.get(address)).json()
        assert told["issue"]["status"] == "Completed"
        assert told["late"] == {"at": told["issue"]["lastUpdate"], "before": "In-Progress", "after": "Completed"}
        sandbox.post("/lookback", json={"lag_ms": 0}).raise_for_status()
        await asked.host.run_integration(its_id)
    told = (await asked.http.get(address)).json()
    assert told["late"] is None
    assert told["days"][0]["entries"][0]["changes"][0]["to"] == "Completed"


async def test_its_source_is_a_tree_that_folds_and_its_texts_are_texts(asked: ServerClient) -> None:
    await filled(asked)
    text = (await asked.http.get(f"/issues/{TRACKER}/1")).text
    assert '<summary><span class="key">a</span> <small>1 field</small></summary>' in text
    assert '<span class="number">1</span>' in text
    assert '<span class="literal">null</span>' in text
    assert "&lt;u&gt;" in text
    assert "<i>" not in text
    assert "Cy" in text
    assert "said" in text
    deep: Any = "bottom"
    for _ in range(95):
        deep = {"x": deep}
    await asked.fetch_data(
        UPLOAD, data=upload(item(5, rawIssue=deep), item(6, rawIssue=[1, [2]]), item(7, rawIssue="t"), tracker=TRACKER)
    )
    assert "bottom" in await shown(asked, number=5)
    assert "0 1 1 1 element" in await shown(asked, number=6)
    await shown(asked, number=7)


async def test_it_leads_to_the_run_that_wrote_it_for_as_long_as_that_is_kept(asked: ServerClient) -> None:
    with start_simulator("--items", "20") as rally:
        its_id = await asked.host.add_integration(
            {"name": "sample", "properties": {"baseUrl": rally.url, "apiKey": rally.key}}
        )
        await asked.host.run_integration(its_id)
    (run,) = await asked.host.stores.executions.list_latest(its_id)
    one = (await asked.host.stores.issues.list_page(limit=1))[0].content
    address = f"/issues/{its_id}/{one['_id']}"
    link = f'<a href="/executions/{run.id}">this run</a>'
    assert link in (await asked.http.get(address)).text
    assert (await asked.http.get(f"{address}.json")).json()["execution"] == run.id
    assert (await asked.http.get(f"/executions/{run.id}")).status_code == 200
    # Somebody else uploads it: then no run of this host is to be asked about it.
    await asked.fetch_data(UPLOAD, data=upload(item(1) | {"_id": one["_id"]}, tracker=its_id))
    assert "this run" not in (await asked.http.get(address)).text


async def test_a_run_that_is_no_longer_kept_is_no_link(asked: ServerClient) -> None:
    await asked.host.stores.issues.store_upload(
        source="Rally", tracker_id="t", tenant_id=TENANT, items=[item(1)], execution_id="0" * 24
    )
    assert "this run" not in (await asked.http.get("/issues/t/1")).text
