"""Every route and every operation, as everybody: there is no way past the roles.

What is expected comes from the role that each declares, so that new routes and operations are walked without a word here.
"""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    is_leaf_type,
)
from graphql.type import get_named_type
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from rally_accelerate.server.app import Server
from rally_accelerate.server.graphql.schema import ROLES, get_required_role
from rally_accelerate.server.permissions import Role
from rally_accelerate.server.web.security import OPEN
from support.server_client import ServerClient, set_session_cookie

GRAPHQL = "/release-events-api/graphql"
#: Answers through the operation ``uploadIssueData``, which asks for its role.
REST = "/release-events-api/api/v1/issues"

#: What a viewer may change: only what is the viewer's own.
OWN = {
    "/sign-out",
    "/profile/password",
    "/profile/keys",
    "/profile/keys/{id:str}/revoke",
    "/profile/sessions/end",
    "/profile/sessions/{id:str}/end",
}
OWN_MUTATIONS = {"createMyUserAccessKey", "deleteUserAccessKey"}

#: Ways to write an address that a server might take for another one.
SPELLINGS = (
    "{path}.json",
    "{path}/",
    "/{path}",
    "{path}?_method=POST",
    "/.{path}",
    "/static/..{path}",
    "/static/%2e%2e{path}",
    "{upper}",
    "{encoded}",
    "{path}%00",
    "{path};a=b",
    "/sign-in/..{path}",
    "/release-events-api/..{path}",
    "/release-events-api/%2e%2e{path}",
)

OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")


@pytest.fixture
async def people(asked: ServerClient) -> ServerClient:
    """A host with a user of each role, named by it."""
    for role in (Role.VIEWER, Role.EDITOR):
        await asked.host.stores.users.add(role.word, role)
    return asked


def walked(routes: list[BaseRoute]) -> Iterator[tuple[Route, str, str]]:
    """Every route that asks for a role, with a method and an address of it."""
    for route in routes:
        if isinstance(route, Mount):
            assert route.path == "/static"
            continue
        assert isinstance(route, Route)
        assert hasattr(route, "role"), f"{route.path} was made past routing.py"
        if route.role is None:
            assert route.path in {*OPEN, GRAPHQL, REST}, f"{route.path} is open to everybody"
            continue
        for method in sorted(route.methods or ()):
            yield route, method, route.path_format.replace("{", "").replace("}", "")


def routes_of(host: Server) -> list[BaseRoute]:
    return list(host.build_app().routes)


async def answered(asked: ServerClient, method: str, address: str, name: str, **headers: str) -> httpx2.Response:
    """The answer to somebody, who is signed in anew: some routes end the session."""
    asked.http.cookies.clear()
    if name:
        await set_session_cookie(asked.host, asked.http, name=name)
    sent = {"Sec-Fetch-Site": "same-origin", **headers} if method != "GET" else headers
    return await asked.http.request(method, address, headers=sent)


def turned_away(answer: httpx2.Response) -> bool:
    """Whether nobody was let in: told so, or led to the door."""
    led = answer.status_code == 303 and answer.headers["location"].partition("?")[0] == "/sign-in"
    return answer.status_code == 401 or led


async def check_route(asked: ServerClient, route: Route, method: str, address: str) -> None:
    """Ask as everybody, and compare with the role that the route declares."""
    role: Role = route.role  # type: ignore[attr-defined]
    assert turned_away(await answered(asked, method, address, "")), f"{method} {address} as nobody"
    for name in ("viewer", "editor", "admin"):
        answer = await answered(asked, method, address, name)
        assert answer.status_code < 500, f"{method} {address} as {name}"
        refused = answer.status_code == 403
        assert refused is (Role.parse(name) < role), f"{method} {address} as {name}: {answer.status_code}"


async def test_every_route_is_for_whom_it_says_and_for_nobody_else(people: ServerClient) -> None:
    seen = 0
    for route, method, address in walked(routes_of(people.host)):
        await check_route(people, route, method, address)
        seen += 1
    assert seen > 30


async def test_the_walk_sees_a_route_that_forgets_to_ask(people: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(_: Request) -> Response:
        return PlainTextResponse("everything")

    forgetful = Route("/forgetful", told)
    with pytest.raises(AssertionError, match="made past routing"):
        list(walked([forgetful]))
    forgetful.role = None  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="open to everybody"):
        list(walked([forgetful]))
    forgetful.role = Role.ADMIN  # type: ignore[attr-defined]
    app = people.host.build_app()
    app.router.routes.append(forgetful)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1") as http:
        with pytest.raises(AssertionError, match="as viewer: 200"):
            await check_route(ServerClient(people.host, http, ""), forgetful, "GET", "/forgetful")


def test_only_their_own_things_can_be_changed_by_viewers(asked: ServerClient) -> None:
    changing = [route for route, method, _ in walked(routes_of(asked.host)) if method not in {"GET", "HEAD"}]
    assert {route.path for route in changing if route.role is Role.VIEWER} == OWN  # type: ignore[attr-defined]
    for schema in schemas_of(asked.host):
        assert schema.mutation_type is not None
        assert {name for name in schema.mutation_type.fields if get_required_role(name) is Role.VIEWER} == OWN_MUTATIONS


async def test_no_other_spelling_of_an_address_leads_past_its_role(people: ServerClient) -> None:
    addresses = {
        (address, route.role)  # type: ignore[attr-defined]
        for route, _, address in walked(routes_of(people.host))
        if route.role > Role.VIEWER  # type: ignore[attr-defined]
    }
    for address, role in sorted(addresses):
        lower = "viewer" if role is Role.EDITOR else "editor"
        encoded = "/" + "".join(f"%{ord(letter):02x}" for letter in address[1:])
        for spelling in SPELLINGS:
            other = spelling.format(path=address, upper=address.upper(), encoded=encoded)
            for method in ("GET", "POST", "OPTIONS"):
                for name in ("", lower):
                    answer = await answered(people, method, other, name)
                    harmless = answer.status_code in {401, 403, 404, 405, 307} or turned_away(answer)
                    # The door itself may be looked at.
                    assert harmless or "/sign-in/.." in other, f"{method} {other} as {name}: {answer.status_code}"


async def test_no_header_turns_a_question_into_a_change(people: ServerClient) -> None:
    for route, method, address in walked(routes_of(people.host)):
        if method == "POST" and route.role > Role.VIEWER:  # type: ignore[attr-defined]
            for header in OVERRIDES:
                answer = await answered(people, "GET", address, "viewer", **{header: "POST"})
                assert answer.status_code in {403, 404, 405}, f"{address} with {header}"


# --- GraphQL ---------------------------------------------------------------------------------------------------------


def schemas_of(host: Server) -> tuple[GraphQLSchema, ...]:
    return host._endpoint.schemas


def operations(host: Server) -> Iterator[tuple[str, str, GraphQLField]]:
    """Every operation with its kind, as each schema has it; once where they agree."""
    seen = set()
    for schema in schemas_of(host):
        for kind, root in (("query", schema.query_type), ("mutation", schema.mutation_type)):
            for name, field in root.fields.items() if root else ():
                # The required arguments are what questions are written from.
                required = tuple(
                    f"{each} {argument.type}" for each, argument in field.args.items() if _required(argument)
                )
                if (name, required) not in seen:
                    seen.add((name, required))
                    yield kind, name, field


def sample(kind: Any) -> Any:
    """A value that a type takes."""
    match kind:
        case GraphQLNonNull(of_type=inner):
            return sample(inner)
        case GraphQLList():
            return []
        case GraphQLInputObjectType(fields=fields):
            return {name: sample(each.type) for name, each in fields.items() if isinstance(each.type, GraphQLNonNull)}
        case GraphQLEnumType(values=values):
            return next(iter(values))
        case _:
            return {"Int": 1, "Float": 1.5, "Boolean": True, "Date": 0, "JSON": {}, "SemVer": "latest"}.get(
                kind.name, "x"
            )


def written(name: str, field: GraphQLField) -> tuple[str, str, dict[str, Any]]:
    """The question for a field with what it requires: the variables' declarations, the selection, the values."""
    required = {each: argument for each, argument in field.args.items() if _required(argument)}
    declared = ", ".join(f"${each}: {argument.type}" for each, argument in required.items())
    given = ", ".join(f"{each}: ${each}" for each in required)
    leaf = is_leaf_type(get_named_type(field.type))
    selection = f"{name}{f'({given})' if given else ''}{'' if leaf else ' { __typename }'}"
    values = {each: sample(argument.type) for each, argument in required.items()}
    return f"({declared})" if declared else "", selection, values


def _required(argument: GraphQLArgument) -> bool:
    return isinstance(argument.type, GraphQLNonNull)


async def keys_of(asked: ServerClient) -> dict[str, str]:
    """An access key of a user of each role, and one of the host's own."""
    found = {}
    for name in ("viewer", "editor", "admin"):
        user = await asked.host.stores.users.by_name(name)
        assert user is not None
        found[name] = (await asked.host.stores.keys.create(name, user_id=user.id)).key
    assert asked.host.first_access_key
    return {**found, "editor, the host's own": asked.host.first_access_key}


def forbidden(answer: httpx2.Response) -> bool:
    assert answer.status_code == 200, answer.text
    return any((each.get("extensions") or {}).get("code") == "FORBIDDEN" for each in answer.json().get("errors", ()))


async def test_every_operation_is_for_whom_it_says_and_for_nobody_else(people: ServerClient) -> None:
    keys = await keys_of(people)
    people.http.cookies.clear()
    seen = 0
    for kind, name, field in operations(people.host):
        declared, selection, values = written(name, field)
        question = f"{kind} q{declared} {{ {selection} }}"
        for key in ("", "unknown"):
            assert (await people.graphql(question, key=key, **values)).status_code == 401, name
        for who, key in keys.items():
            answer = await people.graphql(question, key=key, **values)
            role = Role.parse(who.partition(",")[0])
            assert forbidden(answer) is (role < get_required_role(name)), f"{name} as {who}: {answer.text}"
        seen += 1
    assert seen > 20
    assert set(ROLES) <= {name for _, name, _ in operations(people.host)}


async def test_no_other_wording_leads_past_an_operations_role(people: ServerClient) -> None:
    key = (await keys_of(people))["viewer"]
    for kind, name, field in operations(people.host):
        if get_required_role(name) is Role.VIEWER:
            continue
        declared, selection, values = written(name, field)
        root = kind.capitalize()
        own = "createMyUserAccessKey(name: $own) { id }" if kind == "mutation" else "productVersion"
        with_own = f"({', '.join(filter(None, (declared.strip('()'), '$own: String!' if kind == 'mutation' else '')))})"
        with_own = with_own if with_own != "()" else ""
        wordings = {
            "an alias": f"{kind} q{declared} {{ productVersion: {selection} }}",
            "a fragment": f"{kind} q{declared} {{ ...f }} fragment f on {root} {{ {selection} }}",
            "an inline fragment": f"{kind} q{declared} {{ ... on {root} {{ {selection} }} }}",
            "a directive": f"{kind} q{declared} {{ {selection.replace(' {', ' @include(if: true) {', 1)} }}",
            "company": f"{kind} q{with_own} {{ mine: {own} {selection} }}",
        }
        for wording, question in wordings.items():
            answer = await people.graphql(question, key=key, own=f"{name} {wording}"[:90], **values)
            assert forbidden(answer), f"{name} by {wording}: {answer.text}"
        several = [{"query": f"{kind} q{declared} {{ {selection} }}", "variables": values}]
        headers = {"Authorization": f"UserAccessKey {key}"}
        assert (await people.http.post(GRAPHQL, json=several, headers=headers)).status_code == 400
        named = f"query a {{ productVersion }} {kind} b{declared} {{ {selection} }}"
        body = {"query": named, "operationName": "b", "variables": values}
        assert forbidden(await people.http.post(GRAPHQL, json=body, headers=headers)), name


async def test_a_key_ends_with_its_user_and_follows_the_users_role(people: ServerClient) -> None:
    stores = people.host.stores
    key = (await keys_of(people))["editor"]
    editor = await stores.users.by_name("editor")
    assert editor is not None
    remove = 'mutation { bulkDataRemovalByIntegration(integrationId: "x") }'
    assert not forbidden(await people.graphql(remove, key=key))
    await stores.users.set_role(editor.id, Role.VIEWER)
    assert forbidden(await people.graphql(remove, key=key))
    await stores.users.disable(editor.id)
    assert (await people.graphql("{ productVersion }", key=key)).status_code == 401
    await stores.users.enable(editor.id)
    assert (await people.graphql("{ productVersion }", key=key)).status_code == 200
    (listed,) = await stores.keys.list_keys(user_id=editor.id)
    await stores.keys.revoke(listed.id)
    assert (await people.graphql("{ productVersion }", key=key)).status_code == 401
    other = (await stores.keys.create("other", user_id=editor.id)).key
    await stores.users.remove(editor.id)
    assert (await people.graphql("{ productVersion }", key=other)).status_code == 401
    assert await stores.keys.list_keys(user_id=editor.id) == []


async def test_a_key_reads_pages_and_never_sends_a_form(people: ServerClient) -> None:
    people.http.cookies.clear()
    keys = await keys_of(people)
    admins = {"Authorization": f"UserAccessKey {keys['admin']}"}
    assert (await people.http.get("/users.json", headers=admins)).status_code == 200
    assert (await people.http.post("/users", headers=admins, data={"name": "new", "role": "admin"})).status_code == 401
    viewers = {"Authorization": f"UserAccessKey {keys['viewer']}"}
    assert (await people.http.get("/users.json", headers=viewers)).status_code == 403
    # A wrong key is not made good by a session.
    await set_session_cookie(people.host, people.http)
    assert (await people.http.get("/issues.json", headers={"Authorization": "UserAccessKey wrong"})).status_code == 401


async def test_a_browsers_session_counts_for_graphql_only_from_a_page_of_the_host(people: ServerClient) -> None:
    question = {"query": "{ productVersion }"}
    for good in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://127.0.0.1"}):
        assert (await people.http.post(GRAPHQL, json=question, headers=good)).status_code == 200
    foreign: tuple[dict[str, str], ...] = (
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:81"},
        {"Origin": "null"},
    )
    for headers in foreign:
        assert (await people.http.post(GRAPHQL, json=question, headers=headers)).status_code == 401, headers


async def test_keys_through_graphql_are_those_of_their_user(people: ServerClient) -> None:
    keys = await keys_of(people)
    made = (
        await people.graphql('mutation { createMyUserAccessKey(name: "x") { id accessKey } }', key=keys["viewer"])
    ).json()
    mine = made["data"]["createMyUserAccessKey"]
    about = "{ myAccessKeyMetaData { id name userId lastUsed } }"
    told = (await people.graphql(about, key=mine["accessKey"])).json()["data"]["myAccessKeyMetaData"]
    viewer = await people.host.stores.users.by_name("viewer")
    assert viewer is not None
    assert {each["name"] for each in told} == {"viewer", "x"}
    assert {each["userId"] for each in told} == {viewer.id}
    assert next(each for each in told if each["id"] == mine["id"])["lastUsed"]
    (hosts_own,) = (await people.graphql(about, key=keys["editor, the host's own"])).json()["data"][
        "myAccessKeyMetaData"
    ]
    assert hosts_own["userId"] is None
    twice = await people.graphql('mutation { createMyUserAccessKey(name: "x") { id } }', key=keys["viewer"])
    assert "there is a key x already" in twice.json()["errors"][0]["message"]
    delete = 'mutation($i: String!) { deleteUserAccessKey(id: $i, tenantId: "t") }'
    other = await people.graphql(delete, key=keys["editor"], i=mine["id"])
    nothing = await people.graphql(delete, key=keys["editor"], i="nothing")
    assert other.json()["errors"][0]["message"].replace(mine["id"], "") == (
        nothing.json()["errors"][0]["message"].replace("nothing", "")
    )
    assert (await people.graphql(delete, key=mine["accessKey"], i=mine["id"])).json()["data"]["deleteUserAccessKey"]
    assert (await people.graphql(about, key=mine["accessKey"])).status_code == 401
    own = await people.graphql(
        'mutation { createMyUserAccessKey(name: "y") { id } }', key=keys["editor, the host's own"]
    )
    assert "belongs to no user" in own.json()["errors"][0]["message"]


async def test_permissions_are_told_of_oneself_and_to_administrators_of_others(people: ServerClient) -> None:
    keys = await keys_of(people)
    question = (
        'query($u: ID!, $p: [ScopedPermission!]!) { hasPermissions(userId: $u, tenantId: "t", scopedPermissions: $p) }'
    )
    ids = {user.name: user.id for user in await people.host.stores.users.all()}

    async def may(who: str, of: str, *permissions: tuple[str, str]) -> bool:
        given = [{"resourceKey": resource, "actionKey": action, "scope": "global"} for resource, action in permissions]
        answer = await people.graphql(question, key=keys[who], u=ids.get(of, of), p=given)
        found: bool = answer.json()["data"]["hasPermissions"]
        return found

    assert await may("viewer", "viewer", ("integration", "view"), ("value_stream", "read"))
    assert not await may("viewer", "viewer", ("integration", "view"), ("integration", "edit"))
    assert await may("editor", "editor", ("integration", "edit"))
    assert not await may("editor", "editor", ("user", "create"))
    assert await may("admin", "admin", ("user", "create"), ("plugin", "install"))
    assert await may("admin", "editor", ("integration", "edit"))
    assert not await may("admin", "viewer", ("integration", "edit"))
    assert not await may("editor", "admin", ("integration", "view")), "of others only administrators are told"
    assert not await may("admin", "nobody", ("integration", "view"))
    assert await may("editor, the host's own", "anything", ("integration", "edit"))
