"""What the guard lets through, what it answers itself, and what every answer carries."""

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import replace

import httpx2
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rally_accelerate.errors import QueryTooSlowError, StoreError, TooManyQueriesError
from rally_accelerate.server.authentication import Authenticator, Identity
from rally_accelerate.server.permissions import SYSTEM_ACTOR, Actor, Role
from rally_accelerate.server.store.issue_search import current_user_key
from rally_accelerate.server.web import error_pages, request_limits
from rally_accelerate.server.web.security import HEADERS, Cookie, Guard, Names

ADDRESS = "http://127.0.0.1"
ADA = Identity(Actor("u1", "ada", Role.EDITOR))
KEY = "UserAccessKey right"
API = "/release-events-api/graphql"
OURS = {"Sec-Fetch-Site": "same-origin"}
HEADERS_OF_OTHERS = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": ADDRESS},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://["},
)


def plain(value: object) -> str:
    """Return the id of a case, without the marks that separate the parts of a test's name."""
    return re.sub(r"\W+", "-", repr(value)).strip("-") or "none"


class OneUser(Authenticator):
    """Knows one session and one access key."""

    def __init__(self) -> None:
        """Do without a store."""

    async def authenticate_header(self, header: str) -> Identity | None:
        return Identity(SYSTEM_ACTOR) if header == KEY else None

    async def authenticate_session(self, token: str) -> Identity | None:
        return ADA if token == "of-ada" else None


async def tells_who_asks(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the name of the actor, as routes find it."""
    request = Request(scope, receive)
    await request.body()
    known, actor = getattr(request.state, "known", None), getattr(request.state, "actor", None)
    assert actor == (known and known.actor)
    await PlainTextResponse(actor.name if actor else "unknown")(scope, receive, send)


def guarded(app: ASGIApp = tells_who_asks, names: Names = Names()) -> Guard:  # noqa: B008 - it cannot change
    return Guard(app, callers=OneUser(), cookie=Cookie(), names=names)


async def ask(
    path: str,
    *,
    app: ASGIApp = tells_who_asks,
    method: str = "GET",
    token: str = "",
    headers: Mapping[str, str] = {},
    names: Names = Names(),  # noqa: B008 - it cannot change
) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=guarded(app, names))
    cookies = {"rally-accelerate-80": token} if token else {}
    async with httpx2.AsyncClient(transport=transport, base_url=ADDRESS, cookies=cookies) as http:
        return await http.request(method, path, headers=dict(headers))


def answering(response: Response) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await response(scope, receive, send)

    return app


def failing(error: Exception) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return app


# Who is let in


@pytest.mark.parametrize("path", ["/issues", "/", "/sign-in", "/health", "/static-not", "/sign-in/x.json"])
async def test_a_session_is_known_on_every_page(path: str) -> None:
    answer = await ask(path, token="of-ada")
    assert (answer.status_code, answer.text) == (200, "ada")


@pytest.mark.parametrize("path", ["/sign-in", "/health"])
async def test_open_pages_answer_strangers_and_tell_them_from_users(path: str) -> None:
    assert (await ask(path)).text == "unknown"
    assert (await ask(path, token="wrong")).text == "unknown"


async def test_static_files_are_everybody_s() -> None:
    app = answering(PlainTextResponse("style"))
    assert (await ask("/static/pages.css", app=app)).text == "style"


@pytest.mark.parametrize("path", ["/static", "/issues/static/", "/sign-in/", "/health/x", "/SIGN-IN"])
async def test_nothing_that_looks_like_an_open_page_is_open(path: str) -> None:
    answer = await ask(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_access_key_reads_pages(method: str) -> None:
    answer = await ask("/issues", method=method, headers={"Authorization": KEY})
    assert answer.status_code == 200
    assert method == "HEAD" or answer.text == SYSTEM_ACTOR.name


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_an_access_key_sends_no_form_and_a_session_beside_it_does_not_count(method: str) -> None:
    for headers in ({"Authorization": KEY}, {"Authorization": KEY, **OURS}):
        assert (await ask("/issues", method=method, token="of-ada", headers=headers)).status_code == 401


async def test_a_wrong_access_key_is_not_helped_by_a_session() -> None:
    for path in ("/issues", "/sign-out"):
        assert (await ask(path, token="of-ada", headers={"Authorization": "UserAccessKey wrong"})).status_code == 401
    assert (await ask(API, token="of-ada", headers={"Authorization": "", **OURS})).text == "unknown"


@pytest.mark.parametrize(("token", "who"), [("of-ada", "u1"), ("", "")])
async def test_turns_of_slow_queries_are_the_user_s(token: str, who: str) -> None:
    found = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(current_user_key.get())
        await PlainTextResponse("")(scope, receive, send)

    current_user_key.set("another one")
    await ask("/health", app=app, token=token)
    assert found == [who]


async def test_a_user_with_too_many_slow_queries_is_refused_for_now() -> None:
    answer = await ask("/issues.json", app=failing(TooManyQueriesError("20 are waiting", hint="Wait.")), token="of-ada")
    assert (answer.status_code, answer.json()["error"], answer.json()["hint"]) == (429, "20 are waiting.", "Wait.")


# What comes from other sites


@pytest.mark.parametrize("path", ["/issues", "/sign-in", "/static/pages.css"])
@pytest.mark.parametrize("headers", HEADERS_OF_OTHERS, ids=plain)
async def test_nothing_that_another_site_sends_is_done(path: str, headers: dict[str, str]) -> None:
    answer = await ask(path, method="POST", token="of-ada", headers=headers)
    assert (answer.status_code, answer.text) == (403, "cross-site request rejected")


@pytest.mark.parametrize("headers", HEADERS_OF_OTHERS, ids=plain)
async def test_links_of_other_sites_are_followed(headers: dict[str, str]) -> None:
    assert (await ask("/issues", token="of-ada", headers=headers)).text == "ada"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        OURS,
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        {"Origin": ADDRESS},
        {"Origin": "HTTP://127.0.0.1"},
        {"Origin": "https://Localhost:8420", "Host": "localhost:8420"},
        {"Origin": "https://localhost:8420", "Host": "LOCALHOST:8420"},
    ],
    ids=plain,
)
async def test_forms_of_our_own_pages_are_taken(headers: dict[str, str]) -> None:
    cookie = {"Cookie": "rally-accelerate-8420=of-ada; rally-accelerate-80=of-ada"}
    assert (await ask("/issues", method="POST", headers={**headers, **cookie})).text == "ada"


async def test_an_origin_counts_even_where_a_request_names_no_host() -> None:
    scope = scope_of("/issues", method="POST", headers={"origin": "https://evil.example"})
    assert (await messages_of(guarded(), scope))[0]["status"] == 403


# GraphQL: it answers for itself who may ask


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", [{}, *HEADERS_OF_OTHERS], ids=plain)
async def test_graphql_takes_keys_from_anywhere(method: str, headers: dict[str, str]) -> None:
    answer = await ask(API, method=method, headers={"Authorization": KEY, **headers})
    assert (answer.status_code, answer.text) == (200, SYSTEM_ACTOR.name)


@pytest.mark.parametrize("headers", [OURS, {"Origin": ADDRESS}, {**OURS, "Origin": "https://odd.example"}], ids=plain)
async def test_graphql_takes_a_session_only_with_a_browser_s_word_that_our_page_asks(headers: dict[str, str]) -> None:
    assert (await ask(API, method="POST", token="of-ada", headers=headers)).text == "ada"
    assert (await ask(API, method="POST", headers=headers)).text == "unknown"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "none", "Origin": ADDRESS}, *HEADERS_OF_OTHERS],
    ids=plain,
)
async def test_graphql_takes_silence_for_no(method: str, headers: dict[str, str]) -> None:
    assert (await ask(API, method=method, token="of-ada", headers=headers)).text == "unknown"


# Under which names


@pytest.mark.parametrize("path", ["/issues", API, "/static/x", "/health"])
async def test_other_names_that_lead_here_are_turned_away(path: str) -> None:
    for token in ("", "of-ada"):
        answer = await ask(path, token=token, headers={"Host": "evil.example", "Authorization": KEY})
        assert answer.status_code == 421
        assert answer.text == "unknown host name; see --outside-url"
    assert (
        await ask(path, headers={"Host": "evil.example", "Authorization": KEY}, names=Names(None))
    ).status_code == 200


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST:8420", "127.0.0.1:1", "host.invalid"])
async def test_this_machine_answers_to_its_own_names(name: str) -> None:
    assert (await ask("/health", headers={"Host": name})).status_code == 200


async def test_a_host_answers_to_no_name_at_all() -> None:
    assert (await messages_of(guarded(), scope_of("/health")))[0]["status"] == 200


# What strangers get


@pytest.mark.parametrize(
    ("path", "back"),
    [
        ("/issues", "/issues"),
        ("/issues?text=a%20b&type=Story", "/issues%3Ftext%3Da%2520b%26type%3DStory"),
        ("/issues/t/a%2Fb", "/issues/t/a/b"),
        ("/issues/%C3%A4", "/issues/%25C3%25A4"),
        ("/issues.json/x", "/issues.json/x"),
    ],
)
@pytest.mark.parametrize(
    "mode", [{}, {"Sec-Fetch-Mode": "navigate"}, {"Accept": "text/html,application/json"}], ids=plain
)
async def test_people_are_led_to_the_sign_in_page_and_back(path: str, back: str, mode: dict[str, str]) -> None:
    answer = await ask(path, headers=mode)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?next={back}")


async def test_what_strangers_send_and_the_first_page_are_not_led_back_to() -> None:
    for path, method in (("/", "GET"), ("/?x=1", "HEAD"), ("/issues", "POST"), ("/", "POST")):
        answer = await ask(path, method=method)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert (await ask("/issues", method="HEAD")).headers["location"] == "/sign-in?next=/issues"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/issues.json", {}),
        ("/.json", {"Accept": "text/html"}),
        ("/issues", {"Accept": "application/json"}),
        ("/issues", {"Accept": "application/json, text/html"}),
        ("/issues", {"Sec-Fetch-Mode": "cors"}),
        ("/issues", {"Authorization": "Basic x"}),
        ("/issues", {"Authorization": ""}),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_programs_get_a_status_and_a_sentence(method: str, path: str, headers: dict[str, str]) -> None:
    answer = await ask(path, method=method, headers=headers)
    assert answer.status_code == 401
    assert answer.json() == {
        "error": "authentication required: sign in or send an access key (Authorization: UserAccessKey ...)"
    }
    assert answer.headers["www-authenticate"] == "UserAccessKey"


async def test_a_stranger_s_request_need_not_have_a_query_nor_say_what_it_accepts() -> None:
    (start, *_) = await messages_of(guarded(), scope_of("/issues"))
    assert (start["status"], dict(start["headers"])[b"location"]) == (303, b"/sign-in?next=/issues")


# What every answer carries


@pytest.mark.parametrize("path", ["/issues", "/sign-in", API, "/static/pages.css", "/static/", "/nothing.json"])
@pytest.mark.parametrize("token", ["", "of-ada"])
async def test_every_answer_has_the_headers_that_keep_browsers_safe(path: str, token: str) -> None:
    own = {
        "X-Frame-Options": "ALLOW",
        "Cache-Control": "public",
        "Content-Security-Policy": "default-src *",
        "ETag": "x",
    }
    loose = PlainTextResponse("x", headers=own)
    for app in (answering(loose), failing(ZeroDivisionError()), failing(StoreError("it is full"))):
        answer = await ask(path, app=app, token=token)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert answer.headers["cache-control"] == ("no-cache" if path.startswith("/static/") else "no-store")


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("http://127.0.0.1/issues?text=a", "/issues?text=a"),
        ("http://127.0.0.1//evil.example", "http://127.0.0.1//evil.example"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://127.0.0.1.evil.example/", "http://127.0.0.1.evil.example/"),
        ("https://127.0.0.1/issues", "https://127.0.0.1/issues"),
        ("https://other.example/", "https://other.example/"),
        ("//other.example/", "//other.example/"),
        ("/issues", "/issues"),
    ],
)
async def test_addresses_of_this_host_lead_on_under_whatever_scheme_a_proxy_shows_it(location: str, told: str) -> None:
    answer = await ask("/issues/", token="of-ada", app=answering(RedirectResponse(location)))
    assert answer.headers["location"] == told


async def test_an_answer_that_leads_nowhere_gets_no_address() -> None:
    assert "location" not in (await ask("/issues", token="of-ada")).headers


async def test_a_path_without_a_host_leads_on_as_it_is() -> None:
    app = answering(RedirectResponse("http:///issues"))
    (start, *_) = await messages_of(guarded(app), scope_of("/health"))
    assert dict(start["headers"])[b"location"] == b"/issues"


# What goes wrong


@pytest.mark.parametrize(
    ("error", "status", "text", "hint"),
    [
        (ZeroDivisionError("planted"), 500, error_pages.FAULT, error_pages.REPORT),
        (StoreError("the disk is full", hint="Free space."), 503, "The disk is full.", "Free space."),
        (StoreError("Ö is full"), 503, "Ö is full.", ""),
        (
            QueryTooSlowError("the query takes too long", hint="Ask for less."),
            422,
            "The query takes too long.",
            "Ask for less.",
        ),
        (QueryTooSlowError(""), 422, ".", ""),
        (StoreError(""), 503, ".", ""),
    ],
    ids=plain,
)
async def test_a_failure_is_told_in_words_in_the_form_that_the_sender_reads(
    error: Exception, status: int, text: str, hint: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await ask("/issues.json", app=failing(error), token="of-ada")
    told = answer.json()
    assert (answer.status_code, told["error"], told["hint"]) == (status, text, hint)
    page = await ask("/issues", app=failing(error), token="of-ada")
    assert page.status_code == status
    assert text in page.text
    assert hint in page.text
    assert "planted" not in page.text
    client = await ask(API, app=failing(error))
    assert (client.status_code, client.json()) == (status, {"errors": [{"message": f"{text} {hint}".strip()}]})


async def test_a_fault_of_the_program_is_in_the_log_with_its_place_and_others_with_their_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await ask("/issues", app=failing(ZeroDivisionError("planted")), token="of-ada")
    (fault,) = caplog.records
    assert (fault.levelno, fault.getMessage()) == (
        logging.ERROR,
        "internal error in GET /issues",
    )
    assert fault.exc_info
    assert str(fault.exc_info[1]) == "planted"
    caplog.clear()
    await ask("/issues?secret=1", app=failing(StoreError("it is full", hint="Free space.")), token="of-ada")
    (full,) = caplog.records
    assert (full.levelno, full.getMessage(), full.exc_info) == (
        logging.ERROR,
        "GET /issues: it is full Free space.",
        None,
    )
    caplog.clear()
    # Who asks too much is told so; the operator has nothing to do.
    await ask("/issues", app=failing(QueryTooSlowError("it takes too long")), token="of-ada")
    assert caplog.records == []


async def test_a_request_that_does_not_arrive_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limits, "OF_STRANGERS", replace(request_limits.OF_STRANGERS, seconds=0.01))
    scope = scope_of("/sign-in", method="POST")
    start, body = await messages_of(guarded(), scope, hung=True)
    headers = dict(start["headers"])
    assert start["status"] == 408
    assert headers[b"connection"] == b"close"
    assert headers[b"x-frame-options"] == b"DENY"
    assert body["body"] == b"the request timed out before it was complete; send it again"


async def test_who_has_hung_up_gets_no_answer_and_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    # Hosts that other tests started in this process have set the level of the product's own logger.
    caplog.set_level(logging.DEBUG, logger="rally_accelerate")
    assert await messages_of(guarded(failing(ClientDisconnect())), scope_of("/health")) == []
    assert [(each.levelno, each.getMessage()) for each in caplog.records if each.name.endswith("security")] == [
        (logging.DEBUG, "GET /health: client disconnected")
    ]


async def test_half_an_answer_is_broken_off_and_not_ended_with_another() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    sent: list[Message] = []
    with pytest.raises(ZeroDivisionError):
        await messages_of(guarded(app), scope_of("/health"), into=sent)
    assert [each["status"] for each in sent] == [200]


async def test_nothing_but_http_is_spoken() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("reached")

    assert await messages_of(guarded(app), {"type": "websocket", "path": "/", "headers": []}) == [
        {"type": "websocket.close", "code": 1008}
    ]
    assert await messages_of(guarded(app), {"type": "lifespan"}) == []


# Bare requests: clients add a host and headers of their own


def scope_of(path: str, *, method: str = "GET", headers: Mapping[str, str] = {}) -> Scope:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "root_path": "",
    }


async def messages_of(
    app: ASGIApp, scope: Scope, *, hung: bool = False, into: list[Message] | None = None
) -> list[Message]:
    sent: list[Message] = [] if into is None else into

    async def receive() -> Message:
        if hung:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent
