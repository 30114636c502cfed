"""Authentication: an API key in ``ZSESSIONID``, or user and password (rally-api-notes.md#authentication)."""

import binascii
from base64 import b64decode
from collections.abc import Mapping

from rally_sandbox.access import LIMITED_TEAMS, Accounts, Login
from rally_sandbox.company import LIMITED_USER, PASSWORD, Company

SANDBOX_API_KEY = "_sandbox-key"
LIMITED_API_KEY = "_sandbox-limited-key"


class Unauthorized(Exception):
    """Bad credentials; the message is one of Rally's own (rally-api-notes.md#login-failures)."""


def accounts(company: Company, *, keys_enabled: bool = True) -> Accounts:
    """The logins of a company: every user by name, the first one and the limited one by key."""
    names: dict[str, Login] = {}
    for number, user in enumerate(company.users, start=1):
        only = frozenset(company.teams[each].project.object_id for each in LIMITED_TEAMS)
        names[user.values["UserName"]] = Login(
            user=user,
            default_workspace=company.workspaces[0],
            default_project=company.teams[0].project,
            only_projects=only if number == LIMITED_USER else None,
        )
    first, *_ = names.values()
    limited = names[company.users[LIMITED_USER - 1].values["UserName"]]
    return Accounts({SANDBOX_API_KEY: first, LIMITED_API_KEY: limited}, names, PASSWORD, keys_enabled)


def login(accounts: Accounts, headers: Mapping[str, str]) -> Login:
    """Who asks.

    A key wins: with a wrong one even the right password is refused.

    Raises:
        Unauthorized: Nobody, or somebody else.
    """
    key = headers.get("zsessionid")
    if key:
        found = accounts.keys.get(key) if accounts.keys_enabled else None
        if found is None:
            raise Unauthorized("Full authentication is required to access this resource")
        return found
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise Unauthorized("An Authentication object was not found in the SecurityContext")
    name, password = _basic(credentials)
    found = accounts.names.get(name.lower())
    if found is None or password != accounts.password or found.user.values["Disabled"]:
        raise Unauthorized("The username or password you entered is incorrect.")
    return found


def _basic(credentials: str) -> tuple[str, str]:
    try:
        name, _, password = b64decode(credentials.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password
