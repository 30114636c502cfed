"""Users and everybody's access keys, for administrators."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.errors import ConfigError
from rally_accelerate.server import passwords
from rally_accelerate.server.permissions import Role
from rally_accelerate.server.store.audit_log import AuditFilter
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.store.users import User
from rally_accelerate.server.web.account import key_row, session_row
from rally_accelerate.server.web.audit_log import entry_row
from rally_accelerate.server.web.forms import form
from rally_accelerate.server.web.routing import actor_of, posted, routed, shown
from rally_accelerate.server.web.templating import missing, page

#: What the pages say after something was done; the address names it.
DONE = {
    "role": "Role changed. The user was signed out.",
    "disabled": "User disabled. The user can't sign in, and the user's access keys no longer work.",
    "enabled": "User enabled.",
    "ended": "All sessions of the user were signed out.",
    "deleted": "User deleted, including all access keys.",
    "revoked": "Access key revoked.",
}

LATEST_ENTRIES = 20


class UserPages:
    """The pages about users and keys."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def routes(self) -> list[Route]:
        """Their addresses."""
        admin = Role.ADMIN
        return [
            *shown("/users", self.listed, role=admin),
            posted("/users", self.add, role=admin),
            posted("/users/{id:str}/role", self.change_role, role=admin),
            posted("/users/{id:str}/disable", self.disable, role=admin),
            posted("/users/{id:str}/enable", self.enable, role=admin),
            posted("/users/{id:str}/password", self.reset, role=admin),
            posted("/users/{id:str}/sessions/end", self.sign_out, role=admin),
            posted("/users/{id:str}/delete", self.delete, role=admin),
            routed("/users/{id:str}", self.one, role=admin),
            *shown("/access-keys", self.keys, role=admin),
            posted("/access-keys/{id:str}/revoke", self.revoke, role=admin),
        ]

    async def listed(self, request: Request) -> Response:
        """Every user."""
        return await self._list(request)

    async def one(self, request: Request) -> Response:
        """One user, with what can be done."""
        found = await self._stores.users.by_id(request.path_params["id"].removesuffix(".json"))
        return missing(request, "this user") if found is None else await self._one(request, found)

    async def add(self, request: Request) -> Response:
        """Add a user and show the password that was made, for the only time."""
        given = await form(request)
        try:
            user, password = await self._stores.users.add(given["name"], Role.parse(given["role"]))
        except (ConfigError, ValueError) as error:
            return await self._list(request, fault=_told(error), given=given, status=400)
        await self._note(request, "added", user, role=user.role.word)
        return await self._one(request, user, password=password)

    async def change_role(self, request: Request) -> Response:
        """Give a user another role."""
        wanted = (await form(request))["role"]

        async def change(user: User) -> None:
            role = Role.parse(wanted)
            await self._stores.users.set_role(user.id, role)
            await self._note(request, "changed the role", user, before=user.role.word, after=role.word)

        return await self._changed(request, change, done="role")

    async def disable(self, request: Request) -> Response:
        """Keep a user out."""

        async def change(user: User) -> None:
            await self._stores.users.disable(user.id)
            await self._note(request, "disabled", user)

        return await self._changed(request, change, done="disabled")

    async def enable(self, request: Request) -> Response:
        """Let a user in again."""

        async def change(user: User) -> None:
            await self._stores.users.enable(user.id)
            await self._note(request, "enabled", user)

        return await self._changed(request, change, done="enabled")

    async def sign_out(self, request: Request) -> Response:
        """End every session of a user."""

        async def change(user: User) -> None:
            await self._stores.sessions.end_all(user.id)
            await self._note(request, "signed out", user)

        return await self._changed(request, change, done="ended")

    async def delete(self, request: Request) -> Response:
        """Delete a user."""
        sure = (await form(request))["sure"]

        async def change(user: User) -> None:
            if sure != "yes":
                raise ConfigError("Select the checkbox to confirm the deletion.")
            await self._stores.users.remove(user.id)
            await self._note(request, "deleted", user)

        return await self._changed(request, change, done="deleted", then="/users")

    async def reset(self, request: Request) -> Response:
        """Make another password for a user and show it, for the only time."""
        found = await self._stores.users.by_id(request.path_params["id"])
        if found is None:
            return missing(request, "this user")
        password = passwords.generate()
        await self._stores.users.set_password(found.id, password, temporary=True)
        await self._note(request, "reset the password", found)
        return await self._one(request, found, password=password)

    async def keys(self, request: Request) -> Response:
        """Everybody's access keys."""
        data = {
            "title": "Access keys",
            "keys": [key_row(one) for one in await self._stores.keys.list_keys()],
            "done": DONE.get(request.query_params.get("done", ""), ""),
        }
        return page(request, "access-keys.html", data)

    async def revoke(self, request: Request) -> Response:
        """Revoke anybody's access key."""
        found = await self._stores.keys.get(request.path_params["id"])
        if found is None:
            return missing(request, "this access key")
        await self._stores.keys.revoke(found.id)
        detail = {"user": found.user or "the server"}
        await self._stores.audit.record(
            actor_of(request), "revoked", kind="access key", object_id=found.id, name=found.name, detail=detail
        )
        return RedirectResponse("/access-keys?done=revoked", 303)

    async def _changed(
        self, request: Request, change: Callable[[User], Awaitable[None]], *, done: str, then: str = ""
    ) -> Response:
        found = await self._stores.users.by_id(request.path_params["id"])
        if found is None:
            return missing(request, "this user")
        try:
            await change(found)
        except (ConfigError, ValueError) as error:
            return await self._one(request, found, fault=_told(error), status=400)
        return RedirectResponse(f"{then or f'/users/{found.id}'}?done={done}", 303)

    async def _note(self, request: Request, action: str, user: User, **detail: str) -> None:
        await self._stores.audit.record(
            actor_of(request), action, kind="user", object_id=user.id, name=user.name, detail=detail
        )

    async def _list(
        self, request: Request, *, fault: str = "", given: dict[str, str] | None = None, status: int = 200
    ) -> Response:
        data = {
            "title": "Users",
            "users": [_row(one) for one in await self._stores.users.all()],
            "roles": [role.word for role in Role],
            "fault": fault,
            "given": {"name": (given or {}).get("name", ""), "role": (given or {}).get("role", "viewer")},
            "done": DONE.get(request.query_params.get("done", ""), ""),
        }
        return page(request, "users.html", data, status=status)

    async def _one(
        self, request: Request, user: User, *, fault: str = "", password: str = "", status: int = 200
    ) -> Response:
        wanted = AuditFilter(object_id=user.id)
        data = {
            "title": user.name,
            "user": _row(user),
            "roles": [role.word for role in Role],
            "keys": [key_row(one) for one in await self._stores.keys.list_keys(user_id=user.id)],
            "sessions": [session_row(one, "") for one in await self._stores.sessions.list_for_user(user.id)],
            "entries": [entry_row(one) for one in await self._stores.audit.list_entries(wanted, limit=LATEST_ENTRIES)],
            "fault": fault,
            "password": password,
            "done": DONE.get(request.query_params.get("done", ""), ""),
        }
        return page(request, "user.html", data, status=status)


def _row(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "role": user.role.word,
        "disabled": user.disabled,
        "temporary": user.temporary,
        "created": user.created,
        "lastSeen": user.last_seen,
    }


def _told(error: Exception) -> str:
    text = str(error)
    hint = error.hint if isinstance(error, ConfigError) else ""
    return f"{text[:1].upper()}{text[1:]}. {hint}".strip()
