"""Signing in and out: cookies, sessions that end, guesses that are slowed down, and no way in from other sites."""

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from rally_accelerate.errors import ConfigError
from rally_accelerate.server import authentication, passwords
from rally_accelerate.server.app import Server
from rally_accelerate.server.permissions import Role
from rally_accelerate.server.store import credentials
from rally_accelerate.server.store.database import Database, upgrade
from rally_accelerate.server.store.tables import sessions as session_table
from rally_accelerate.server.store.tables import users as user_table
from support.server_client import ServerClient, set_session_cookie

COOKIE = "rally-accelerate-80"


async def sign_in(
    http: httpx2.AsyncClient, name: str, password: str, *, following: str = "", **headers: str
) -> httpx2.Response:
    form = {"name": name, "password": password, "next": following}
    return await http.post("/sign-in", data=form, headers=headers)


@pytest.fixture
def admin(asked: ServerClient) -> str:
    """The administrator's password; the client is not signed in any more."""
    asked.http.cookies.clear()
    assert asked.host.first_password
    return asked.host.first_password


async def names_of_actions(asked: ServerClient) -> list[str]:
    return [entry.action for entry in await asked.host.stores.audit.list_entries()]


async def test_people_are_led_to_the_door_and_back_to_what_they_wanted(asked: ServerClient, admin: str) -> None:
    turned = await asked.http.get("/issues?text=a%20b&type=Story", headers={"Accept": "text/html"})
    assert turned.status_code == 303
    door = turned.headers["location"]
    assert door.startswith("/sign-in?next=/issues")
    shown = await asked.http.get(door)
    assert 'value="/issues?text=a%20b&amp;type=Story"' in shown.text
    assert "Issues</a>" not in shown.text
    answer = await sign_in(asked.http, "admin", admin, following="/issues?text=a%20b&type=Story")
    assert (answer.status_code, answer.headers["location"]) == (303, "/issues?text=a%20b&type=Story")
    assert (await asked.http.get("/issues")).status_code == 200
    assert (await asked.http.get("/sign-in?next=/users")).headers["location"] == "/users"
    assert (await names_of_actions(asked))[0] == "signed in"


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("/issues.json", {}),
        ("/issues", {"Accept": "application/json"}),
        ("/issues", {"Sec-Fetch-Mode": "cors"}),
        ("/issues", {"Authorization": "UserAccessKey wrong"}),
        ("/issues", {"Authorization": "Basic YWRtaW46eA=="}),
        ("/nothing/like/this.json", {}),
    ],
)
async def test_programs_get_401_and_json(
    asked: ServerClient, admin: str, address: str, headers: dict[str, str]
) -> None:
    answer = await asked.http.get(address, headers=headers)
    assert answer.status_code == 401
    assert "authentication required" in answer.json()["error"]


async def test_the_cookie_is_for_this_host_alone_and_no_script_reads_it(asked: ServerClient, admin: str) -> None:
    answer = await sign_in(asked.http, "ADMIN", admin)
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"{COOKIE}=")
    for part in ("httponly", "path=/", "samesite=lax", "max-age=604800"):
        assert part in cookie
    assert "domain" not in cookie
    assert "secure" not in cookie
    for address in ("/static/pages.css", "/issues", "/health"):
        assert "set-cookie" not in (await asked.http.get(address)).headers


async def test_over_tls_the_cookie_never_leaves_it(asked: ServerClient, admin: str) -> None:
    app = asked.host.build_app(names={"host.example"}, secure_names={"host.example"})
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="https://host.example") as http:
        answer = await sign_in(http, "admin", admin)
        assert answer.headers["set-cookie"].startswith("__Host-rally-accelerate=")
        assert "secure" in answer.headers["set-cookie"].lower()
        assert (await http.get("/issues")).status_code == 200
        assert (await http.get("/issues", headers={"Host": "other.example"})).status_code == 421


async def test_every_answer_carries_the_headers_that_keep_browsers_safe(asked: ServerClient) -> None:
    for address in ("/issues", "/sign-in", "/static/pages.css", "/nothing", "/health"):
        headers = (await asked.http.get(address)).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]
        assert headers["cache-control"] == ("no-cache" if "static" in address else "no-store")
    # A style that a browser has is not sent again.
    tag = (await asked.http.get("/static/pages.css")).headers["etag"]
    assert (await asked.http.get("/static/pages.css", headers={"If-None-Match": tag})).status_code == 304


async def test_wrong_names_and_wrong_passwords_are_told_alike(asked: ServerClient, admin: str) -> None:
    known = await sign_in(asked.http, "admin", "not the password")
    unknown = await sign_in(asked.http, "nobody.like.this", "not the password")
    assert known.status_code == unknown.status_code == 401
    assert known.text.replace("admin", "") == unknown.text.replace("nobody.like.this", "").replace("admin", "")
    (second, first) = await asked.host.stores.audit.list_entries(limit=2)
    assert (first.action, first.name) == ("failed to sign in", "admin")
    # Whoever types the password into the field of the name must not find it in the log.
    assert second.name == "an unknown name"
    assert "not the password" not in str(first) + str(second)


async def test_guesses_are_slowed_down_and_told_how_long(asked: ServerClient, admin: str) -> None:
    for number in range(authentication.FREE_ATTEMPTS["both"]):
        answer = await sign_in(asked.http, "admin", f"guess {number}")
    assert answer.status_code == 429
    right = await sign_in(asked.http, "admin", admin)
    assert right.status_code == 429
    assert int(right.headers["retry-after"]) > 0
    assert "try again in" in right.text
    assert COOKIE not in asked.http.cookies
    # A name that nobody has is slowed down alike.
    for number in range(authentication.FREE_ATTEMPTS["both"]):
        answer = await sign_in(asked.http, "nobody", f"guess {number}")
    assert answer.status_code == 429
    assert "failures': 5" in str((await asked.host.stores.audit.list_entries(limit=1))[0])


async def test_many_guesses_at_once_are_counted_too(asked: ServerClient, admin: str) -> None:
    answers = await asyncio.gather(*(sign_in(asked.http, "admin", f"guess {number}") for number in range(40)))
    heard = [answer for answer in await asked.host.stores.audit.list_entries() if answer.action == "failed to sign in"]
    assert len(heard) <= authentication.FREE_ATTEMPTS["both"] + 1
    assert {answer.status_code for answer in answers} <= {401, 429}


async def test_each_sign_in_has_a_new_token_and_the_one_before_is_worth_nothing(
    asked: ServerClient, admin: str
) -> None:
    await sign_in(asked.http, "admin", admin)
    first = asked.http.cookies[COOKIE]
    await sign_in(asked.http, "admin", admin)
    assert asked.http.cookies[COOKIE] != first
    asked.http.cookies.clear()
    asked.http.cookies.set(COOKIE, first)
    assert (await asked.http.get("/issues.json")).status_code == 401
    # A token that somebody planted in the browser is never taken over.
    asked.http.cookies.clear()
    asked.http.cookies.set(COOKIE, "planted")
    assert "planted" not in (await sign_in(asked.http, "admin", admin)).headers["set-cookie"]


async def test_signing_out_ends_the_session_on_the_host(asked: ServerClient) -> None:
    token = asked.http.cookies[COOKIE]
    assert (await asked.http.get("/sign-out")).status_code == 405
    answer = await asked.http.post("/sign-out")
    assert answer.headers["location"] == "/sign-in"
    assert await names_of_actions(asked) == ["signed out"]
    asked.http.cookies.clear()
    asked.http.cookies.set(COOKIE, token)
    assert (await asked.http.get("/issues.json")).status_code == 401


async def test_a_session_ends_after_long_silence_and_after_a_week_in_any_case(asked: ServerClient) -> None:
    async def age(**values: Any) -> int:
        async with asked.host.stores.database.writing() as connection:
            await connection.execute(sa.update(session_table).values(values))
        return (await asked.http.get("/issues.json")).status_code

    def before(span: timedelta) -> int:
        return session_ms - int(span.total_seconds() * 1000)

    async with asked.host.stores.database.reading() as connection:
        session_ms: int = (await connection.execute(sa.select(session_table.c.created))).scalar_one()
    minute = timedelta(minutes=5)
    assert await age(last_seen=before(credentials.MAX_IDLE - minute)) == 200
    assert await age(last_seen=before(credentials.MAX_IDLE + minute)) == 401
    assert await age(last_seen=session_ms, created=before(credentials.MAX_AGE - minute)) == 200
    assert await age(last_seen=session_ms, created=before(credentials.MAX_AGE + minute)) == 401


async def test_the_database_holds_neither_passwords_nor_tokens(asked: ServerClient, admin: str) -> None:
    await sign_in(asked.http, "admin", admin)
    token = asked.http.cookies[COOKIE]
    async with asked.host.stores.database.reading() as connection:
        rows = [(await connection.execute(sa.select(table))).all() for table in (session_table, user_table)]
    assert token not in str(rows)
    assert admin not in str(rows)


@pytest.mark.parametrize("what", ["role", "disable", "password", "remove"])
async def test_whatever_changes_about_a_user_ends_the_users_sessions(asked: ServerClient, what: str) -> None:
    users = asked.host.stores.users
    eva, _ = await users.add("eva", Role.EDITOR)
    asked.http.cookies.clear()
    await set_session_cookie(asked.host, asked.http, name="eva")
    assert (await asked.http.get("/issues.json")).status_code == 200
    match what:
        case "role":
            await users.set_role(eva.id, Role.ADMIN)
        case "disable":
            await users.disable(eva.id)
        case "password":
            await users.set_password(eva.id, "another password", temporary=True)
        case _:
            await users.remove(eva.id)
    assert (await asked.http.get("/issues.json")).status_code == 401


async def test_a_disabled_user_is_told_so_only_with_the_right_password(asked: ServerClient, admin: str) -> None:
    eva, password = await asked.host.stores.users.add("eva", Role.EDITOR)
    await asked.host.stores.users.disable(eva.id)
    assert "disabled" in (await sign_in(asked.http, "eva", password)).text
    assert "disabled" not in (await sign_in(asked.http, "eva", "a wrong password")).text
    assert (await asked.http.get("/issues.json")).status_code == 401


async def test_a_link_from_the_terminal_signs_in_once(asked: ServerClient, admin: str) -> None:
    link = await asked.host.create_sign_in_link()
    assert (await asked.http.head(link)).status_code == 200
    answer = await asked.http.get(link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (await asked.http.get("/users")).status_code == 200
    asked.http.cookies.clear()
    again = await asked.http.get(link)
    assert again.status_code == 401
    assert "has been used" in again.text


async def test_a_link_is_too_old_after_a_while(
    asked: ServerClient, admin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "LINK_LIFETIME", timedelta(seconds=-1))
    assert (await asked.http.get(await asked.host.create_sign_in_link())).status_code == 401


async def test_forms_of_other_sites_sign_nobody_in_or_out(asked: ServerClient, admin: str) -> None:
    foreign = (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
        {"Origin": "http://["},
    )
    for headers in foreign:
        assert (await sign_in(asked.http, "admin", admin, **headers)).status_code == 403
    await sign_in(asked.http, "admin", admin)
    for headers in foreign:
        assert (await asked.http.post("/sign-out", headers=headers)).status_code == 403
    assert (await asked.http.get("/issues")).status_code == 200


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 200_000, b"&".join(b"a=1" for _ in range(5000)), b""])
async def test_what_is_no_form_is_no_sign_in(asked: ServerClient, admin: str, content: bytes) -> None:
    answer = await asked.http.post("/sign-in", content=content)
    assert answer.status_code in {401, 413, 429}


@pytest.mark.parametrize("host", ["127.0.0.1:abc", "127.0.0.1:", "a:b:c", "[::1", "\u00e4"])
async def test_odd_host_names_are_no_fault(asked: ServerClient, host: str) -> None:
    app = asked.host.build_app(names=None)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1") as http:
        for address in ("/issues", "/sign-in", "/issues.json"):
            assert (await http.get(address, headers={b"Host": host.encode()})).status_code < 500


async def test_the_first_start_makes_an_administrator_and_tells_the_password_once(tmp_path: Path) -> None:
    async with Server.open(tmp_path / "x.sqlite") as host:
        password = host.first_password
        assert password
        assert await host.stores.users.by_password("admin", password)
    async with Server.open(tmp_path / "x.sqlite") as host:
        assert host.first_password is None


async def test_an_earlier_database_gets_an_administrator_and_its_keys_go_on_working(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    key = "11111111-2222-4333-8444-555555555555"
    digest = hashlib.sha256(key.encode()).hexdigest()
    upgrade(f"sqlite:///{path}", to="0004")
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO access_keys (id, name, digest, created) VALUES ('a', 'first', ?, 1)", (digest,)
        )
    engine.dispose()
    async with Server.open(path) as host:
        assert host.first_password
        assert host.first_access_key is None
        found = await host.stores.keys.authenticate(key)
        assert found is not None
        assert found[0].role is Role.EDITOR
    await (await Database.open(path)).close()


async def test_somebody_can_always_administer(asked: ServerClient) -> None:
    users = asked.host.stores.users
    admin = await users.by_name("admin")
    assert admin is not None
    for change in (users.set_role(admin.id, Role.EDITOR), users.disable(admin.id), users.remove(admin.id)):
        with pytest.raises(ConfigError, match="no one would be left"):
            await change
    assert (await asked.http.get("/users")).status_code == 200
    other, _ = await users.add("other", Role.ADMIN)
    await users.disable(other.id)
    with pytest.raises(ConfigError, match="no one would be left"):
        await users.remove(admin.id)
    await users.enable(other.id)
    await users.remove(admin.id)
    assert [user.name for user in await users.all()] == ["other"]


async def test_a_hash_of_earlier_days_is_made_anew_when_its_owner_signs_in(
    asked: ServerClient, admin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def kept() -> str:
        async with asked.host.stores.database.reading() as connection:
            found: str = (await connection.execute(sa.select(user_table.c.password))).scalar_one()
        return found

    before = await kept()
    monkeypatch.setattr(passwords, "COST", passwords.Cost(4, 1, 1))
    await sign_in(asked.http, "admin", "a wrong password")
    assert await kept() == before
    assert (await sign_in(asked.http, "admin", admin)).status_code == 303
    assert (await kept()).startswith("scrypt$4$1$1$")
    assert (await sign_in(asked.http, "admin", admin)).status_code == 303
