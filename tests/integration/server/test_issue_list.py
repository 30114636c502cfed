"""The list of issues: every view is an address, counted, ordered, paged by key, and a file that is whole and harmless."""

import csv
import io
import re
from html import unescape
from typing import Any

import pytest

from rally_accelerate.server.web import issue_list
from rally_accelerate.server.web.issue_columns import COLUMNS
from support.issues import UPLOAD, item, upload
from support.server_client import ServerClient

HERE, THERE = "a" * 24, "b/elsewhere"


async def filled(asked: ServerClient) -> None:
    """119 issues of one tracker with everything in turns, and two of another."""
    statuses, types, owners = ("Defined", "In-Progress", "Accepted"), ("Story", "Defect"), ("Ann", None, "Bo", "Cy")
    some = [
        item(
            number,
            status=statuses[number % 3],
            type=types[number % 2],
            owner=owners[number % 4],
            storyPoints=None if number % 5 else number / 2,
            labels=["a, b", "c"] if number % 7 == 0 else [],
            sprints=[{"id": "1", "name": f"S{number % 2}"}],
            project={"id": "1", "key": "1", "name": "P"},
        )
        for number in range(1, 120)
    ]
    await asked.fetch_data(UPLOAD, data=upload(*some, tracker=HERE))
    await asked.fetch_data(UPLOAD, data=upload(item(1, name="other"), item(2, name="<b>&other"), tracker=THERE))


async def ids(asked: ServerClient, query: str = "") -> list[str]:
    found = (await asked.http.get(f"/issues.json{query}")).json()
    assert found["more"] == ""
    assert found["count"] == len(found["issues"])
    return [row["id"] for row in found["issues"]]


def links(text: str) -> list[str]:
    return [unescape(address) for address in re.findall(r'href="(/issues\?[^"]*)"', text)]


async def test_a_view_as_json_is_whole_however_it_is_read(asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(asked)
    everything = await ids(asked)
    assert len(everything) == 121
    monkeypatch.setattr(issue_list, "AT_ONCE", 7)
    assert await ids(asked) == everything


async def test_pages_follow_each_other_without_gap_or_repeat(asked: ServerClient) -> None:
    await filled(asked)
    for order in ("", "&sort=name", "&sort=-points", "&sort=owner", "&sort=-age"):
        seen: list[str] = []
        address = f"/issues?limit=50{order}"
        while address:
            text = (await asked.http.get(address)).text
            seen += re.findall(r'<th scope="row"><a href="([^"]+)"', text)
            following = re.findall(r'href="([^"]+)" rel="next"', text)
            address = unescape(following[0]) if following else ""
        assert len(seen) == len(set(seen)) == 121, order
        files: list[str] = []
        address = f"/issues.json?limit=50{order}"
        while address:
            page = (await asked.http.get(address)).json()
            assert len(page["issues"]) <= 50
            files += [f"{row['tracker']}/{row['key']}" for row in page["issues"]]
            address = page["more"]
        assert len(files) == len(set(files)) == 121, order


async def test_headings_that_nothing_is_sorted_by_are_no_links(asked: ServerClient) -> None:
    await filled(asked)
    columns = "&".join(f"column={name}" for name in COLUMNS)
    headings = re.findall(r"<th scope=\"col\"[^>]*>(.*?)</th>", (await asked.http.get(f"/issues?{columns}")).text)
    plain = {each for each in headings if not each.startswith("<a ")}
    assert plain == {column.label for column in COLUMNS.values() if column.sort is None}
    assert len(headings) == len(COLUMNS)


CHOSEN = [
    ("?status=Defined", 41),
    ("?status=Defined&status=Accepted", 81),
    ("?status=Defined&type=Defect", 20),
    (f"?integration={HERE}", 119),
    ("?integration=b%2Felsewhere", 2),
    ("?owner=Ann&owner=Bo", 59),
    ("?label=a%2C+b", 17),
    ("?sprint=S1&sprint=S0", 119),
    ("?text=us117", 1),
    ("?text=other", 2),
    ("?dql=issue.id+in+(US2,us3)+or+issue.id=US117", 4),
    ("?dql=not+issue.id=US117", 120),
    ("?dql=issue.id=US117&status=nowhere", 0),
    ("?dql=issue.storyPoints+>+50&type=Defect", 2),
    ("?sort=nothing&column=nothing&limit=x&after=x", 121),
]


async def test_what_is_chosen_is_shown_and_counted(asked: ServerClient) -> None:
    await filled(asked)
    for query, count in CHOSEN:
        assert len(await ids(asked, query)) == count, query
        page = (await asked.http.get(f"/issues{query}")).text
        assert f'role="status"><strong>{count}</strong>' in page, query
        written = (await asked.http.get(f"/issues.csv{query}")).text
        assert len(list(csv.reader(io.StringIO(written)))) == count + 1, query


async def test_facets_count_what_a_click_on_them_would_show(asked: ServerClient) -> None:
    await filled(asked)
    for query in ("?status=Defined", "?status=Defined&owner=Ann&integration=b%2Felsewhere"):
        facets = (await asked.http.get(f"/issues.json{query}")).json()["facets"]
        for facet, values in facets.items():
            for one in values:
                without = [part for part in query.strip("?").split("&") if part and not part.startswith(f"{facet}=")]
                value = one["value"].replace("/", "%2F").replace(", ", "%2C+")
                only = "?" + "&".join([*without, f"{facet}={value}"])
                assert one["count"] == len(await ids(asked, only)), (query, facet, one)


async def test_a_click_on_a_facet_adds_its_value_and_another_takes_it_away(asked: ServerClient) -> None:
    await filled(asked)
    first = (await asked.http.get("/issues?text=sample&column=id&column=name")).text
    address = next(each for each in links(first) if "status=Defined" in each)
    assert "text=sample" in address
    assert "column=name" in address
    second = (await asked.http.get(address)).text
    assert 'class="chosen" aria-current="true" aria-label="Defined, selected; remove filter"' in second
    both = next(each for each in links(second) if "status=Defined&status=Accepted" in each)
    third = (await asked.http.get(both)).text
    assert any(each.endswith("status=Accepted&text=sample&column=id&column=name") for each in links(third))


async def test_headers_order_by_their_column_and_say_so(asked: ServerClient) -> None:
    await filled(asked)
    text = (await asked.http.get("/issues")).text
    assert text.count("aria-sort=") == 1
    assert 'aria-sort="descending"><a href="/issues?sort=updated" title="Sort by Updated in reverse order">U' in text
    assert 'href="/issues?sort=name" title="Sort by Name">Name</a>' in text
    text = (await asked.http.get("/issues?sort=name")).text
    assert 'aria-sort="ascending"><a href="/issues?sort=-name" ' in text
    names = [row["name"] for row in (await asked.http.get("/issues.json?sort=-name&text=sample")).json()["issues"]]
    assert names == sorted(names, reverse=True)
    assert len(names) == 119


async def test_columns_are_chosen_and_remembered_in_the_address(asked: ServerClient) -> None:
    await filled(asked)
    text = (await asked.http.get("/issues?column=name&column=labels&column=id")).text
    assert re.findall(r'<th scope="col"[^>]*>(?:<a [^>]*>)?([A-Za-z ]+)', text) == ["ID", "Name", "Labels"]
    assert all("column=labels" in each for each in links(text) if "sort=" in each)
    written = (await asked.http.get("/issues.csv?column=name&column=labels&column=id&sort=name&label=c")).text
    rows = list(csv.reader(io.StringIO(written)))
    assert rows[0] == ["ID", "Name", "Labels"]
    assert all(row[2] == "a, b, c" for row in rows[1:])


async def test_a_spreadsheet_computes_nothing_that_somebody_uploaded(asked: ServerClient) -> None:
    for formula in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1", "=cmd|' /C calc'!A0"):
        odd = item(1, name=formula, owner=formula, labels=[formula], status=f'{formula}","x', storyPoints=-2.5)
        await asked.fetch_data(UPLOAD, data=upload(odd))
        answer = await asked.http.get("/issues.csv")
        assert answer.headers["content-type"].startswith("text/csv; charset=utf-8")
        heading, row = csv.reader(io.StringIO(answer.content.decode(), newline=""))
        cells = dict(zip(heading, row, strict=True))
        assert all(not cell.startswith(("=", "+", "@", "\t", "\r", "\uff1d")) for cell in row)
        assert cells["Name"] == f"'{formula}"
        assert cells["Points"] == "-2.5"
        assert cells["Updated"] == "2023-11-14T22:13:20Z"


async def test_a_fault_in_a_query_is_shown_under_its_place(asked: ServerClient) -> None:
    given = {"dql": "issue.status = Done and isue.type = '<b>'", "status": "x"}
    answer = await asked.http.get("/issues", params=given)
    assert answer.status_code == 400
    assert "line 1, column 25" in answer.text
    assert "did you mean issue?" in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert "<b>" not in answer.text
    place = re.search(r'<pre class="place"[^>]*>([^\n]*)\n( *)\^', answer.text)
    assert place is not None
    assert unescape(place[1])[len(place[2]) :].startswith("isue.type")
    for kind in ("json", "csv"):
        assert (await asked.http.get(f"/issues.{kind}", params=given)).status_code == 400
    assert (await asked.http.get("/issues.json", params=given)).json()["fault"]["column"] == 25


async def test_an_empty_list_says_why_and_what_to_do(asked: ServerClient) -> None:
    for query, said in (
        ("", "No issues yet"),
        ("?text=nothing", "No matching issues"),
        ("?status=Nowhere", "Remove filter Status: Nowhere"),
    ):
        assert said in (await asked.http.get(f"/issues{query}")).text


async def test_what_was_uploaded_is_text_and_what_was_asked_as_well(asked: ServerClient) -> None:
    await filled(asked)
    nasty = '"><script>x</script>'
    everything: dict[str, Any] = dict.fromkeys(
        ("text", "status", "owner", "integration", "column", "sort", "after"), nasty
    )
    for given in ({"text": "other"}, everything):
        text = (await asked.http.get("/issues", params=given)).text
        assert "<script>x" not in text
        assert "<b>&other" not in text


async def test_an_issue_of_any_id_has_its_page(asked: ServerClient) -> None:
    odd_ones = ["a/b", "a.json", "a.csv", "a%2Fb", "../a", "a b?c#d", "ä", ".", "..", "%2e", "+", "'"]
    for odd in odd_ones:
        await asked.fetch_data(
            UPLOAD, data=upload({**item(1), "_id": odd, "name": f"[{odd}]"}, tracker=f"tracker/{odd}")
        )
    listed = (await asked.http.get("/issues")).text
    found = re.findall(r'<th scope="row"><a href="(/issues/[^"?]+)"', listed)
    assert len(found) == len(odd_ones)
    told = set()
    for address in found:
        assert "<h1>" in (await asked.http.get(address)).text
        answer = await asked.http.get(f"{address}.json")
        assert answer.status_code == 200, address
        told.add(answer.json()["issue"]["name"])
    assert told == {f"[{odd}]" for odd in odd_ones}
