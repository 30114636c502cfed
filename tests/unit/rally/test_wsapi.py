"""What goes over the wire: encoding, refs and dates."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.rally.wsapi import (
    Ref,
    Request,
    object_id,
    parse_http_date,
    parse_instant,
    parse_ref,
    query_path,
    ref_id,
    render_instant,
)


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_every_value_arrives_as_it_was_given(params: Any) -> None:
    target = Request("/slm/webservice/v2.0/defect", params).target
    assert target.isascii()
    assert "+" not in target, "blanks must be %20"
    arrived = parse_qsl(urlsplit(target).query, keep_blank_values=True, errors="strict")
    assert dict(arrived) == params


def test_characters_that_break_rally_are_encoded() -> None:
    target = Request("/x", {"query": '(Name = "a & b%c#d|e~f\\g")'}).target
    assert not set('&#|() \\"') & set(target.partition("=")[2])


def test_levels_of_the_workspaces_own_naming_are_encoded() -> None:
    assert query_path("portfolioitem/größe") == "/slm/webservice/v2.0/portfolioitem/gr%C3%B6%C3%9Fe"
    assert Request(query_path("portfolioitem/größe")).resource.endswith("portfolioitem/größe")


@pytest.mark.parametrize(
    "text",
    [
        "https://rally1.rallydev.com/slm/webservice/v2.0/project/123",
        "https://eu1.rallydev.com/slm/webservice/v2.x/Project/123",
        "https://gate.example/rally/slm/webservice/v2.0/project/123.js",
        "/slm/webservice/v2.x/project/123",
        "/project/123",
        "project/123",
        "/project/123/",
    ],
)
def test_a_ref_is_its_path_whatever_the_host(text: Any) -> None:
    assert parse_ref(text) == Ref("project", 123)


def test_a_portfolio_ref_keeps_its_level() -> None:
    ref = parse_ref("https://rally1.rallydev.com/slm/webservice/v2.0/portfolioitem/Feature/987654321012")
    assert ref == Ref("portfolioitem/feature", 987654321012)
    assert str(ref) == "/portfolioitem/feature/987654321012"


@pytest.mark.parametrize("text", [None, 5, "", "null", "https://rally1.rallydev.com/", "/project/", "/project/x", "12"])
def test_what_is_no_ref_is_none(text: Any) -> None:
    assert parse_ref(text) is None


def test_an_id_comes_from_the_field_or_from_the_ref() -> None:
    assert ref_id({"ObjectID": 7, "_ref": "/project/8"}) == 7
    assert ref_id({"ObjectID": None, "_ref": "/project/8"}) == 8
    assert ref_id("/project/-51038") == -51038
    assert ref_id({}) is None
    assert ref_id(None) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(12, 12), ("12", 12), (12.0, 12), (True, None), (1.5, None), ("x", None), ("", None), (None, None), ("٣", None)],
)
def test_object_ids(value: Any, expected: Any) -> None:
    assert object_id(value) == expected


def test_dates_are_read_as_aware_utc() -> None:
    expected = datetime(2017, 3, 16, 17, 23, 6, 674000, tzinfo=UTC)
    assert parse_instant("2017-03-16T17:23:06.674Z") == expected
    assert parse_instant("2017-03-16T10:23:06.674-07:00") == expected
    assert parse_instant("2017-03-16T17:23:06.674") == expected
    for text in ("", "yesterday", None, 5, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        assert parse_instant(text) is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_rendered_instant_is_read_back_to_the_millisecond(moment: Any) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    text = render_instant(moment)
    assert text.endswith("Z")
    assert parse_instant(text) == moment


def test_an_instant_without_zone_is_never_sent() -> None:
    with pytest.raises(ValueError, match="zone"):
        render_instant(datetime(2026, 1, 1))  # noqa: DTZ001 - the very thing that is refused
    assert render_instant(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == "2026-01-01T00:00:00.000Z"


def test_http_dates() -> None:
    assert parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT") == datetime(2026, 10, 21, 7, 28, tzinfo=UTC)
    assert parse_http_date("soon") is None
    assert parse_http_date(None) is None
