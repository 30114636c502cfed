"""Administration of users and access keys."""

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
from rally_accelerate.server.web.forms import read_form
from rally_accelerate.server.web.routing import actor_of, page_routes, post_route, role_route
from rally_accelerate.server.web.templating import not_found, render_page

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
        """Return the routes."""
        admin = Role.ADMIN
        return [
            *page_routes("/users", self.index, role=admin),
            post_route("/users", self.add, role=admin),
            post_route("/users/{id:str}/role", self.change_role, role=admin),
            post_route("/users/{id:str}/disable", self.disable, role=admin),
            post_route("/users/{id:str}/enable", self.enable, role=admin),
            post_route("/users/{id:str}/password", self.reset_password, role=admin),
            post_route("/users/{id:str}/sessions/end", self.sign_out, role=admin),
            post_route("/users/{id:str}/delete", self.delete, role=admin),
            role_route("/users/{id:str}", self.detail, role=admin),
            *page_routes("/access-keys", self.keys, role=admin),
            post_route("/access-keys/{id:str}/revoke", self.revoke, role=admin),
        ]

    async def index(self, request: Request) -> Response:
        """List all users."""
        return await self._list(request)

    async def detail(self, request: Request) -> Response:
        """Show a user and the available actions."""
        user = await self._stores.users.by_id(request.path_params["id"].removesuffix(".json"))
        return not_found(request, "this user") if user is None else await self._one(request, user)

    async def add(self, request: Request) -> Response:
        """Add a user and show the password that was made, for the only time."""
        fields = await read_form(request)
        try:
            user, password = await self._stores.users.add(fields["name"], Role.parse(fields["role"]))
        except (ConfigError, ValueError) as error:
            return await self._list(request, fault=_error_text(error), values=fields, status=400)
        await self._note(request, "added", user, role=user.role.word)
        return await self._one(request, user, password=password)

    async def change_role(self, request: Request) -> Response:
        """Give a user another role."""
        new_role = (await read_form(request))["role"]

        async def change(user: User) -> None:
            role = Role.parse(new_role)
            await self._stores.users.set_role(user.id, role)
            await self._note(request, "changed the role", user, before=user.role.word, after=role.word)

        return await self._apply_change(request, change, done="role")

    async def disable(self, request: Request) -> Response:
        """Keep a user out."""

        async def change(user: User) -> None:
            await self._stores.users.disable(user.id)
            await self._note(request, "disabled", user)

        return await self._apply_change(request, change, done="disabled")

    async def enable(self, request: Request) -> Response:
        """Let a user in again."""

        async def change(user: User) -> None:
            await self._stores.users.enable(user.id)
            await self._note(request, "enabled", user)

        return await self._apply_change(request, change, done="enabled")

    async def sign_out(self, request: Request) -> Response:
        """End every session of a user."""

        async def change(user: User) -> None:
            await self._stores.sessions.end_all(user.id)
            await self._note(request, "signed out", user)

        return await self._apply_change(request, change, done="ended")

    async def delete(self, request: Request) -> Response:
        """Delete a user."""
        sure = (await read_form(request))["sure"]

        async def change(user: User) -> None:
            if sure != "yes":
                raise ConfigError("Select the checkbox to confirm the deletion.")
            await self._stores.users.remove(user.id)
            await self._note(request, "deleted", user)

        return await self._apply_change(request, change, done="deleted", then="/users")

    async def reset_password(self, request: Request) -> Response:
        """Make another password for a user and show it, for the only time."""
        user = await self._stores.users.by_id(request.path_params["id"])
        if user is None:
            return not_found(request, "this user")
        password = passwords.generate()
        await self._stores.users.set_password(user.id, password, temporary=True)
        await self._note(request, "reset the password", user)
        return await self._one(request, user, password=password)

    async def keys(self, request: Request) -> Response:
        """List the access keys of all users."""
        data = {
            "title": "Access keys",
            "keys": [key_row(one) for one in await self._stores.keys.list_keys()],
            "done": DONE.get(request.query_params.get("done", ""), ""),
        }
        return render_page(request, "access_keys.html", data)

    async def revoke(self, request: Request) -> Response:
        """Revoke anybody's access key."""
        access_key = await self._stores.keys.get(request.path_params["id"])
        if access_key is None:
            return not_found(request, "this access key")
        await self._stores.keys.revoke(access_key.id)
        detail = {"user": access_key.user or "the server"}
        await self._stores.audit.record(
            actor_of(request),
            "revoked",
            kind="access key",
            object_id=access_key.id,
            name=access_key.name,
            detail=detail,
        )
        return RedirectResponse("/access-keys?done=revoked", 303)

    async def _apply_change(
        self, request: Request, change: Callable[[User], Awaitable[None]], *, done: str, then: str = ""
    ) -> Response:
        user = await self._stores.users.by_id(request.path_params["id"])
        if user is None:
            return not_found(request, "this user")
        try:
            await change(user)
        except (ConfigError, ValueError) as error:
            return await self._one(request, user, fault=_error_text(error), status=400)
        return RedirectResponse(f"{then or f'/users/{user.id}'}?done={done}", 303)

    async def _note(self, request: Request, action: str, user: User, **detail: str) -> None:
        await self._stores.audit.record(
            actor_of(request), action, kind="user", object_id=user.id, name=user.name, detail=detail
        )

    async def _list(
        self, request: Request, *, fault: str = "", values: dict[str, str] | None = None, status: int = 200
    ) -> Response:
        data = {
            "title": "Users",
            "users": [_row(one) for one in await self._stores.users.all()],
            "roles": [role.word for role in Role],
            "fault": fault,
            "given": {"name": (values or {}).get("name", ""), "role": (values or {}).get("role", "viewer")},
            "done": DONE.get(request.query_params.get("done", ""), ""),
        }
        return render_page(request, "users.html", data, status=status)

    async def _one(
        self, request: Request, user: User, *, fault: str = "", password: str = "", status: int = 200
    ) -> Response:
        criteria = AuditFilter(object_id=user.id)
        data = {
            "title": user.name,
            "user": _row(user),
            "roles": [role.word for role in Role],
            "keys": [key_row(one) for one in await self._stores.keys.list_keys(user_id=user.id)],
            "sessions": [session_row(one, "") for one in await self._stores.sessions.list_for_user(user.id)],
            "entries": [
                entry_row(one) for one in await self._stores.audit.list_entries(criteria, limit=LATEST_ENTRIES)
            ],
            "fault": fault,
            "password": password,
            "done": DONE.get(request.query_params.get("done", ""), ""),
        }
        return render_page(request, "user.html", data, status=status)


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


def _error_text(error: Exception) -> str:
    text = str(error)
    hint = error.hint if isinstance(error, ConfigError) else ""
    return f"{text[:1].upper()}{text[1:]}. {hint}".strip()
