"""Authentication: an API key in ``ZSESSIONID``, or user and password (rally-api-notes.md#authentication)."""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rally_sandbox.errors import QueryError
from rally_sandbox.records import Record
from rally_sandbox.sample_company import LIMITED_USER, PASSWORD, Company

#: Teams, by position, whose projects the limited user sees.
LIMITED_TEAMS = (0, 1)


@dataclass(slots=True, eq=False)
class Login:
    """A user with permissions, which can change, and default workspace and project."""

    user: Record
    default_workspace: Record
    default_project: Record
    #: ObjectIDs of the projects that the user can see; None means all projects.
    visible_projects: frozenset[int] | None = None

    def can_see(self, project: Record) -> bool:
        """Return whether the user can see a project."""
        return self.visible_projects is None or project.object_id in self.visible_projects

    def can_see_workspace(self, workspace: Record) -> bool:
        """Return whether the user can see anything in a workspace."""
        return self.visible_projects is None or workspace is self.default_workspace


@dataclass(frozen=True, slots=True)
class Accounts:
    """The logins of a company by API key and by user name."""

    keys: Mapping[str, Login] = field(repr=False)
    names: Mapping[str, Login]
    password: str = field(repr=False)
    keys_enabled: bool = True

    def restrict(self, user: str, projects: Iterable[Record] | None) -> None:
        """Restrict a user to some projects, or lift the restriction.

        Items in other projects disappear from results without an error (rally-api-notes.md#removed-items).

        Args:
            user: An API key or a user name; empty for the user of the first key.
            projects: The visible projects, possibly empty; None for all.

        Raises:
            KeyError: There is no such user.
        """
        login = self.keys.get(user) or self.names.get(user.lower()) if user else next(iter(self.keys.values()))
        if login is None:
            raise KeyError(f"no user is {user!r}")
        login.visible_projects = None if projects is None else frozenset(project.object_id for project in projects)


SANDBOX_API_KEY = "_sandbox-key"
LIMITED_API_KEY = "_sandbox-limited-key"


class UnauthorizedError(Exception):
    """Credentials were rejected; the message is Rally's (rally-api-notes.md#login-failures)."""


def create_accounts(company: Company, *, keys_enabled: bool = True) -> Accounts:
    """Create the logins of a company: all users by name; the first and the limited user also by API key."""
    names: dict[str, Login] = {}
    for number, user in enumerate(company.users, start=1):
        limited_projects = frozenset(company.teams[position].project.object_id for position in LIMITED_TEAMS)
        names[user.values["UserName"]] = Login(
            user=user,
            default_workspace=company.workspaces[0],
            default_project=company.teams[0].project,
            visible_projects=limited_projects if number == LIMITED_USER else None,
        )
    first, *_ = names.values()
    limited = names[company.users[LIMITED_USER - 1].values["UserName"]]
    return Accounts({SANDBOX_API_KEY: first, LIMITED_API_KEY: limited}, names, PASSWORD, keys_enabled)


def authenticate(accounts: Accounts, headers: Mapping[str, str]) -> Login:
    """Return the login that a request's headers authenticate.

    An API key has precedence: with a wrong key, a correct password is rejected, too.

    Raises:
        UnauthorizedError: Credentials are missing or wrong.
    """
    key = headers.get("zsessionid")
    if key:
        account = accounts.keys.get(key) if accounts.keys_enabled else None
        if account is None:
            raise UnauthorizedError("Full authentication is required to access this resource")
        return account
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise UnauthorizedError("An Authentication object was not found in the SecurityContext")
    name, password = _parse_basic_credentials(credentials)
    account = accounts.names.get(name.lower())
    if account is None or password != accounts.password or account.user.values["Disabled"]:
        raise UnauthorizedError("The username or password you entered is incorrect.")
    return account


def _parse_basic_credentials(credentials: str) -> tuple[str, str]:
    try:
        name, _, password = b64decode(credentials.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


_REFERENCE = re.compile(r"(?:^|/)(workspace|project)/(\d+)(?:\.js)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Scope:
    """The workspace and projects that a request covers."""

    workspace: Record
    #: ObjectIDs of the visible projects in scope, closed projects included.
    projects: frozenset[int]
    #: ObjectIDs of every visible project of the workspace.
    visible: frozenset[int]


def parse_scope(company: Company, login: Login, parameters: Mapping[str, str]) -> Scope:
    """Parse the scope parameters of a request.

    A missing workspace means the user's default workspace; a missing project means the default project if it is in that
    workspace; ``null`` means all projects of the workspace; both scope flags default to true.

    Raises:
        QueryError: A reference names nothing that the user can see.
    """
    project_text = parameters.get("project", "").strip()
    project: Record | None = None
    if project_text and project_text.lower() != "null":
        project = _resolve_reference(company, project_text, "project")
        if not login.can_see(project):
            raise QueryError(f'Could not read: Could not find project "{project_text}"')
    workspace_text = parameters.get("workspace", "").strip()
    if workspace_text and workspace_text.lower() != "null":
        workspace = _resolve_reference(company, workspace_text, "workspace")
        if not login.can_see_workspace(workspace):
            raise QueryError(f'Could not read: Could not find workspace "{workspace_text}"')
    elif project is not None and project.workspace is not None:
        workspace = project.workspace
    else:
        workspace = login.default_workspace
    if not project_text and login.default_project.workspace is workspace:
        project = login.default_project
    visible_records = [
        record for record in company.records_of("project") if record.workspace is workspace and login.can_see(record)
    ]
    visible = frozenset(record.object_id for record in visible_records)
    if project is None:
        return Scope(workspace, visible, visible)
    up, down = _parse_flag(parameters, "projectScopeUp"), _parse_flag(parameters, "projectScopeDown")
    in_scope = {record.object_id for record in _iter_related_projects(project, up=up, down=down)}
    return Scope(workspace, visible & in_scope, visible)


def _iter_related_projects(project: Record, *, up: bool, down: bool) -> Iterator[Record]:
    yield project
    parent = project.values["Parent"]
    while up and parent is not None:
        yield parent
        parent = parent.values["Parent"]
    stack = list(project.values["Children"].members) if down else []
    while stack:
        child = stack.pop()
        yield child
        stack.extend(child.values["Children"].members)


def _resolve_reference(company: Company, text: str, kind: str) -> Record:
    match = _REFERENCE.search(text)
    record = company.by_id.get(int(match[2])) if match is not None and match[1].lower() == kind else None
    if record is None or record.type.lower() != kind:
        raise QueryError(f'Could not read: Could not find {kind} "{text}"')
    return record


def _parse_flag(parameters: Mapping[str, str], name: str) -> bool:
    return parameters.get(name, "").strip().lower() != "false"
