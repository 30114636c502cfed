"""``fetch``, paging, ``order``, scope and credentials: the parts of a request that need no server."""

from base64 import b64encode

import pytest

from rally_sandbox.auth import (
    LIMITED_API_KEY,
    SANDBOX_API_KEY,
    Login,
    Scope,
    UnauthorizedError,
    authenticate,
    create_accounts,
    parse_scope,
)
from rally_sandbox.errors import QueryError
from rally_sandbox.parameters import EVERYTHING, STUB, Fetch, OrderKey, parse_fetch, parse_order, parse_paging
from rally_sandbox.sample_company import Company, create_company
from rally_sandbox.schema import TYPES, find_type, list_concrete_types

STORY = TYPES["hierarchicalrequirement"]


@pytest.fixture(scope="module")
def company() -> Company:
    return create_company(7, history_end=1_790_000_000_000, same_workspace_names=False)


@pytest.fixture
def admin(company: Company) -> Login:
    return create_accounts(company).keys[SANDBOX_API_KEY]


def names(company: Company, where: Scope) -> set[str]:
    return {company.by_id[each].name for each in where.projects}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, STUB),
        ("false", STUB),
        ("TRUE", EVERYTHING),
        ("Name, Owner", Fetch(frozenset({"Name", "Owner"}))),
        ('"ObjectID,Name,State"', Fetch(frozenset({"ObjectID", "Name", "State"}))),
        ("Tasks:summary[State]", Fetch(frozenset({"Tasks"}))),
    ],
)
def test_fetch_is_read(text: str | None, expected: Fetch) -> None:
    assert parse_fetch(text) == expected


def test_unknown_names_are_ignored_and_names_apply_at_any_depth() -> None:
    wanted = parse_fetch("Name,NoSuchThing,StartDate")
    assert [each.name for each in wanted.list_row_attributes(STORY)] == ["Name"]
    assert {each.name for each in wanted.list_nested_attributes(TYPES["iteration"])} == {"Name", "StartDate"}
    assert EVERYTHING.list_nested_attributes(TYPES["iteration"]) == []


@pytest.mark.parametrize(
    ("parameters", "start", "size"),
    [({}, 1, 20), ({"start": "21", "pagesize": "5"}, 21, 5), ({"pagesize": "5000"}, 1, 2000), ({"start": ""}, 1, 20)],
)
def test_paging_is_read_and_clamped(parameters: dict[str, str], start: int, size: int) -> None:
    wanted = parse_paging(parameters)
    assert (wanted.start, wanted.size) == (start, size)


@pytest.mark.parametrize("parameters", [{"start": "0"}, {"pagesize": "0"}, {"pagesize": "many"}, {"start": "-1"}])
def test_impossible_paging_is_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(QueryError):
        parse_paging(parameters)


def test_order_is_read() -> None:
    assert parse_order("LastUpdateDate desc, ObjectID", (STORY,)) == (
        OrderKey("LastUpdateDate", descending=True),
        OrderKey("ObjectID", descending=False),
    )
    assert parse_order("Rank ASC", (STORY,)) == (OrderKey("DragAndDropRank", descending=False),)


@pytest.mark.parametrize("text", ["Parent", "Blocked", "Tags", "NoSuchThing", "Name sideways"])
def test_what_cannot_be_ordered_by_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse_order(text, (STORY,))


def test_absent_scope_is_the_default_project_with_its_parents_and_children(company: Company, admin: Login) -> None:
    assert names(company, parse_scope(company, admin, {})) == {"Team Amber", "Platform", "Sample Company Delivery"}


@pytest.mark.parametrize(
    ("up", "down", "expected"),
    [
        ("false", "false", {"Platform"}),
        ("true", "false", {"Platform", "Sample Company Delivery"}),
        ("false", "true", {"Platform", "Team Amber", "Team Birch", "Team Cobalt", "Support"}),
    ],
)
def test_scope_goes_up_and_down_as_told(company: Company, admin: Login, up: str, down: str, expected: set[str]) -> None:
    platform = next(each for each in company.records_of("project") if each.name == "Platform")
    parameters = {"project": f"/project/{platform.object_id}", "projectScopeUp": up, "projectScopeDown": down}
    assert names(company, parse_scope(company, admin, parameters)) == expected


def test_project_null_is_the_whole_workspace(company: Company, admin: Login) -> None:
    main, archive = company.workspaces
    assert parse_scope(company, admin, {"project": "null"}).workspace is main
    there = parse_scope(
        company, admin, {"workspace": f"https://x.example/slm/webservice/v2.0/workspace/{archive.object_id}"}
    )
    assert "Team Fern" in names(company, there)


@pytest.mark.parametrize("parameters", [{"project": "/project/1"}, {"workspace": "Sample Company"}])
def test_references_to_nothing_are_refused(company: Company, admin: Login, parameters: dict[str, str]) -> None:
    with pytest.raises(QueryError):
        parse_scope(company, admin, parameters)


def test_the_limited_user_sees_two_projects(company: Company) -> None:
    limited = create_accounts(company).keys[LIMITED_API_KEY]
    assert names(company, parse_scope(company, limited, {"project": "null"})) == {"Team Amber", "Team Birch"}


def _basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


def test_a_key_wins_over_a_password(company: Company) -> None:
    people = create_accounts(company)
    right = _basic("user03@sandbox.example", "sandbox")
    assert authenticate(people, right).user.name == "Sample User 03"
    assert authenticate(people, right | {"zsessionid": SANDBOX_API_KEY}).user.name == "Sample User 01"
    with pytest.raises(UnauthorizedError):
        authenticate(people, right | {"zsessionid": "_wrong"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer x"},
        {"authorization": "Basic ???"},
        _basic("user03@sandbox.example", "wrong"),
        _basic("user05@sandbox.example", "sandbox"),
    ],
)
def test_others_are_refused(company: Company, headers: dict[str, str]) -> None:
    with pytest.raises(UnauthorizedError):
        authenticate(create_accounts(company), headers)


def test_keys_can_be_switched_off(company: Company) -> None:
    with pytest.raises(UnauthorizedError):
        authenticate(create_accounts(company, keys_enabled=False), {"zsessionid": SANDBOX_API_KEY})


def test_type_names_are_read_in_any_case_and_number() -> None:
    assert find_type("HIERARCHICALREQUIREMENT") is STORY
    assert find_type("users") is TYPES["user"]
    assert find_type("portfolioitem/Feature") is TYPES["portfolioitem/feature"]
    assert find_type("recyclebinentries") is TYPES["recyclebinentry"]
    assert find_type("nonsense") is None
    assert len(list_concrete_types("PortfolioItem")) == 2
