"""My profile, users, access keys and the audit log: what they do, what they tell, and what they write down."""

import re

import httpx2
import pytest

from rally_accelerate.server.permissions import Role
from rally_accelerate.server.store.credentials import AccessKey
from rally_accelerate.server.store.users import User
from support.server_client import ServerClient, set_session_cookie

SHOWN = re.compile(r'class="shown" value="([^"]+)"')
COOKIE = "rally-accelerate-80"


async def user(asked: ServerClient, name: str) -> User:
    found = await asked.host.stores.users.by_name(name)
    assert found is not None
    return found


async def actions(asked: ServerClient) -> list[tuple[str, str, str, str]]:
    """Who did what to what, oldest first."""
    entries = await asked.host.stores.audit.list_entries()
    return [(one.actor, one.action, one.kind, one.name) for one in reversed(entries)]


def shown_in(answer: httpx2.Response) -> str:
    found = SHOWN.search(answer.text)
    assert found, answer.text
    return found[1]


async def sign_in(asked: ServerClient, name: str, password: str) -> httpx2.Response:
    asked.http.cookies.clear()
    return await asked.http.post("/sign-in", data={"name": name, "password": password})


async def test_a_user_from_adding_to_deleting(asked: ServerClient) -> None:
    added = await asked.http.post("/users", data={"name": "Eva.Schmidt", "role": "editor"})
    password = shown_in(added)
    eva = await user(asked, "eva.schmidt")
    address = f"/users/{eva.id}"
    # Whoever got a password from somebody else sees first where to change it.
    assert (await sign_in(asked, "eva.schmidt", password)).headers["location"] == "/profile"
    assert "You are using a temporary password" in (await asked.http.get("/profile")).text
    asked.http.cookies.clear()
    await set_session_cookie(asked.host, asked.http)
    assert password not in (await asked.http.get(address)).text
    for what, form, done in (
        ("role", {"role": "viewer"}, "role"),
        ("disable", {}, "disabled"),
        ("enable", {}, "enabled"),
        ("sessions/end", {}, "ended"),
    ):
        answer = await asked.http.post(f"{address}/{what}", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, f"{address}?done={done}")
        assert 'role="status"' in (await asked.http.get(answer.headers["location"])).text
    assert (await user(asked, "eva.schmidt")).role is Role.VIEWER
    other = shown_in(await asked.http.post(f"{address}/password"))
    assert other != password
    assert (await asked.http.post(f"{address}/delete")).status_code == 400
    assert (await asked.http.post(f"{address}/delete", data={"sure": "yes"})).headers["location"] == (
        "/users?done=deleted"
    )
    assert (await asked.http.get(address)).status_code == 404
    assert (await asked.http.get(f"{address}.json")).status_code == 404
    assert [each for each in await actions(asked) if each[0] == "admin"] == [
        ("admin", action, "user", "Eva.Schmidt")
        for action in (
            "added",
            "changed the role",
            "disabled",
            "enabled",
            "signed out",
            "reset the password",
            "deleted",
        )
    ]


@pytest.mark.parametrize(
    ("name", "role", "said"),
    [
        ("", "viewer", "cannot be a user&#39;s name"),
        ("two words", "viewer", "without spaces"),
        ("<script>", "viewer", "cannot be"),
        ("x" * 65, "viewer", "up to 64"),
        ("ADMIN", "viewer", "there is a user ADMIN already"),
        ("eva", "emperor", "viewer, editor and admin"),
        ("eva", "", "viewer, editor and admin"),
    ],
)
async def test_a_user_who_cannot_be_added_is_explained(asked: ServerClient, name: str, role: str, said: str) -> None:
    answer = await asked.http.post("/users", data={"name": name, "role": role})
    assert answer.status_code == 400
    assert said.casefold() in answer.text.casefold()
    assert "<script>" not in answer.text
    assert len(await asked.host.stores.users.all()) == 1


async def test_the_last_administrator_cannot_lock_everybody_out(asked: ServerClient) -> None:
    admin = await user(asked, "admin")
    for what, form in (("role", {"role": "viewer"}), ("disable", {}), ("delete", {"sure": "yes"})):
        answer = await asked.http.post(f"/users/{admin.id}/{what}", data=form)
        assert answer.status_code == 400
        assert "No one would be left to administer" in answer.text
    assert [each[1] for each in await actions(asked)] == []


async def test_a_key_from_making_to_revoking(asked: ServerClient) -> None:
    made = await asked.http.post("/profile/keys", data={"name": " nightly sync "})
    key = shown_in(made)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", key)
    for address in ("/profile", "/profile.json", "/access-keys", "/access-keys.json", "/audit", "/audit.csv"):
        text = (await asked.http.get(address)).text
        assert key not in text
        assert "nightly sync" in text
    assert (await asked.graphql("{ productVersion }", key=key)).status_code == 200
    # Who reloads the page that showed the key makes no second one.
    again = await asked.http.post("/profile/keys", data={"name": "nightly sync"})
    assert again.status_code == 400
    assert "There is a key nightly sync already" in again.text
    (listed,) = [one for one in await keys_of_admin(asked) if one.name == "nightly sync"]
    assert listed.last_used is not None
    answer = await asked.http.post(f"/profile/keys/{listed.id}/revoke")
    assert answer.headers["location"] == "/profile?done=revoked"
    assert (await asked.graphql("{ productVersion }", key=key)).status_code == 401
    assert [each[1:] for each in await actions(asked)] == [
        ("created", "access key", "nightly sync"),
        ("revoked", "access key", "nightly sync"),
    ]


async def keys_of_admin(asked: ServerClient) -> list[AccessKey]:
    return await asked.host.stores.keys.list_keys(user_id=(await user(asked, "admin")).id)


async def test_keys_and_sessions_of_others_are_out_of_reach(asked: ServerClient) -> None:
    await asked.host.stores.users.add("eva", Role.EDITOR)
    (key, *_) = await keys_of_admin(asked)
    (session,) = await asked.host.stores.sessions.list_for_user((await user(asked, "admin")).id)
    asked.http.cookies.clear()
    await set_session_cookie(asked.host, asked.http, name="eva")
    assert (await asked.http.post(f"/profile/keys/{key.id}/revoke")).status_code == 404
    assert (await asked.http.post(f"/profile/sessions/{session.id}/end")).status_code == 404
    assert (await asked.http.post(f"/access-keys/{key.id}/revoke")).status_code == 403
    assert await asked.host.stores.keys.get(key.id)
    assert "of the tests" not in (await asked.http.get("/profile")).text


async def test_an_administrator_revokes_anybodys_key(asked: ServerClient) -> None:
    listed = (await asked.http.get("/access-keys.json")).json()["keys"]
    (own,) = [one for one in listed if not one["userId"]]
    assert "System key (editor)" in (await asked.http.get("/access-keys")).text
    assert (await asked.http.post(f"/access-keys/{own['id']}/revoke")).headers["location"] == (
        "/access-keys?done=revoked"
    )
    assert asked.host.first_access_key
    assert (await asked.graphql("{ productVersion }", key=asked.host.first_access_key)).status_code == 401


async def test_another_password_ends_every_other_session(asked: ServerClient) -> None:
    assert asked.host.first_password
    here = asked.http.cookies[COOKIE]
    elsewhere = await asked.host.stores.sessions.create((await user(asked, "admin")).id)
    form = {"current": asked.host.first_password, "new": "a much better one", "again": "a much better one"}
    answer = await asked.http.post("/profile/password", data=form)
    assert answer.headers["location"] == "/profile?done=password"
    mine = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
    for token, expected in ((here, 401), (elsewhere, 401), (mine, 200)):
        asked.http.cookies.clear()
        asked.http.cookies.set(COOKIE, token)
        assert (await asked.http.get("/profile.json")).status_code == expected
    assert (await sign_in(asked, "admin", asked.host.first_password)).status_code == 401
    assert (await sign_in(asked, "admin", "a much better one")).status_code == 303
    assert "better" not in str(await asked.host.stores.audit.list_entries())


@pytest.mark.parametrize(
    ("current", "new", "again", "said"),
    [
        ("", "short", "short", "at least 10 characters"),
        ("", "a much better one", "a much better on", "new passwords don&#39;t match"),
        ("wrong", "a much better one", "a much better one", "not your present password"),
    ],
)
async def test_a_password_that_is_not_taken_is_explained(
    asked: ServerClient, current: str, new: str, again: str, said: str
) -> None:
    form = {"current": current or asked.host.first_password or "", "new": new, "again": again}
    answer = await asked.http.post("/profile/password", data=form)
    assert answer.status_code == 400
    assert said in answer.text
    assert (await asked.http.get("/profile")).status_code == 200


async def test_whoever_sits_at_an_open_browser_cannot_guess_the_password(asked: ServerClient) -> None:
    form = {"new": "a much better one", "again": "a much better one"}
    for number in range(6):
        answer = await asked.http.post("/profile/password", data={**form, "current": f"guess {number}"})
    assert "try again in" in answer.text


async def test_sessions_are_listed_and_ended(asked: ServerClient) -> None:
    admin = await user(asked, "admin")
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    token = await asked.host.stores.sessions.create(admin.id, address="10.0.0.7", agent=agent)
    listed = (await asked.http.get("/profile.json")).json()["sessions"]
    assert [(one["browser"], one["address"], one["current"]) for one in listed if not one["current"]] == [
        ("Firefox", "10.0.0.7", False)
    ]
    (other,) = [one for one in listed if not one["current"]]
    await asked.http.post(f"/profile/sessions/{other['id']}/end")
    assert await asked.host.stores.sessions.find(token) is None
    await asked.host.stores.sessions.create(admin.id)
    assert (await asked.http.post("/profile/sessions/end")).headers["location"] == "/sign-in"
    assert await asked.host.stores.sessions.list_for_user(admin.id) == []


async def test_the_navigation_shows_what_one_may(asked: ServerClient) -> None:
    await asked.host.stores.users.add("eva", Role.EDITOR)
    text = (await asked.http.get("/issues")).text
    for part in ('href="/users"', 'href="/audit"', 'href="/profile"', 'action="/sign-out"'):
        assert part in text
    asked.http.cookies.clear()
    await set_session_cookie(asked.host, asked.http, name="eva")
    text = (await asked.http.get("/issues")).text
    assert 'href="/users"' not in text
    assert 'href="/audit"' not in text
    assert ">eva</span></summary>" in text


async def test_the_audit_log_is_filtered_and_paged_without_gap_or_repeat(asked: ServerClient) -> None:
    audit, admin = asked.host.stores.audit, (await user(asked, "admin")).actor
    for number in range(230):
        await audit.record(admin, "edited" if number % 2 else "removed", kind="integration", name=f"=sum({number})")
    seen: list[str] = []
    address = "/audit.json?action=edited"
    while address:
        page = (await asked.http.get(address)).json()
        seen += [one["name"] for one in page["entries"]]
        assert {one["action"] for one in page["entries"]} == {"edited"}
        address = f"/audit.json{page['more']}" if page["more"] else ""
    assert seen == [f"=sum({number})" for number in reversed(range(1, 230, 2))]
    found = (await asked.http.get("/audit.json?text=sum(22&from=2000-01-01&to=9000-12-31")).json()
    assert len(found["entries"]) == 11
    assert found["choices"]["action"] == ["edited", "removed"]
    assert (await asked.http.get("/audit.json?to=2000-01-01")).json()["entries"] == []
    assert (await asked.http.get("/audit.json?actor=nobody")).json()["entries"] == []
    # A spreadsheet must not compute what somebody wrote.
    table = (await asked.http.get("/audit.csv?action=edited")).text.splitlines()
    assert len(table) == 116
    assert "'=sum(229)" in table[1]


@pytest.mark.parametrize("odd", ["from=yesterday", "to=9999-12-31", "from=2026-02-30"])
async def test_dates_that_are_none_are_explained(asked: ServerClient, odd: str) -> None:
    answer = await asked.http.get(f"/audit?{odd}")
    assert answer.status_code == 400
    assert "is not a valid date" in answer.text
    assert (await asked.http.get(f"/audit.csv?{odd}")).status_code == 400


@pytest.mark.parametrize("odd", ["before=x", "before=-1", "before=99999999999999999999999", "before=%C2%B2"])
async def test_odd_places_in_the_audit_log_are_no_fault(asked: ServerClient, odd: str) -> None:
    assert (await asked.http.get(f"/audit?{odd}")).status_code == 200


async def test_the_audit_log_leads_to_what_was_changed_while_it_is_there(asked: ServerClient) -> None:
    await asked.http.post("/users", data={"name": "ann", "role": "viewer"})
    ann = await user(asked, "ann")
    assert f'<a href="/users/{ann.id}">ann</a>' in (await asked.http.get("/audit")).text
    await asked.http.post(f"/users/{ann.id}/delete", data={"sure": "yes"})
    latest = (await asked.http.get("/audit.json")).json()["entries"][0]
    assert (latest["action"], latest["name"], latest["address"]) == ("deleted", "ann", "")
