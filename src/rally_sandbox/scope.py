"""``workspace``, ``project``, ``projectScopeUp`` and ``projectScopeDown`` (rally-api-notes.md#scope)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rally_sandbox.access import Login
from rally_sandbox.company import Company
from rally_sandbox.errors import QueryRefused
from rally_sandbox.records import Record

_REFERENCE = re.compile(r"(?:^|/)(workspace|project)/(\d+)(?:\.js)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a request looks."""

    workspace: Record
    #: ObjectIDs of the projects looked at, visible ones only, closed ones included.
    projects: frozenset[int]
    #: ObjectIDs of every visible project of the workspace.
    visible: frozenset[int]


def scope(company: Company, login: Login, parameters: Mapping[str, str]) -> Scope:
    """Read the parameters.

    An absent workspace is the user's default one, an absent project their default one when it lies in that workspace;
    ``null`` is the whole workspace; both scopes default to true.

    Raises:
        QueryRefused: A reference names nothing that the user can see.
    """
    project_text = parameters.get("project", "").strip()
    project: Record | None = None
    if project_text and project_text.lower() != "null":
        project = _referenced(company, project_text, "project")
        if not login.sees(project):
            raise QueryRefused(f'Could not read: Could not find project "{project_text}"')
    workspace_text = parameters.get("workspace", "").strip()
    if workspace_text and workspace_text.lower() != "null":
        workspace = _referenced(company, workspace_text, "workspace")
        if not login.sees_workspace(workspace):
            raise QueryRefused(f'Could not read: Could not find workspace "{workspace_text}"')
    elif project is not None and project.workspace is not None:
        workspace = project.workspace
    else:
        workspace = login.default_workspace
    if not project_text and login.default_project.workspace is workspace:
        project = login.default_project
    everywhere = [each for each in company.of("project") if each.workspace is workspace and login.sees(each)]
    visible = frozenset(each.object_id for each in everywhere)
    if project is None:
        return Scope(workspace, visible, visible)
    up, down = _flag(parameters, "projectScopeUp"), _flag(parameters, "projectScopeDown")
    wanted = {each.object_id for each in _around(project, up=up, down=down)}
    return Scope(workspace, visible & wanted, visible)


def _around(project: Record, *, up: bool, down: bool) -> Iterator[Record]:
    yield project
    parent = project.values["Parent"]
    while up and parent is not None:
        yield parent
        parent = parent.values["Parent"]
    waiting = list(project.values["Children"].members) if down else []
    while waiting:
        child = waiting.pop()
        yield child
        waiting.extend(child.values["Children"].members)


def _referenced(company: Company, text: str, kind: str) -> Record:
    found = _REFERENCE.search(text)
    record = company.by_id.get(int(found[2])) if found is not None and found[1].lower() == kind else None
    if record is None or record.type.lower() != kind:
        raise QueryRefused(f'Could not read: Could not find {kind} "{text}"')
    return record


def _flag(parameters: Mapping[str, str], name: str) -> bool:
    return parameters.get(name, "").strip().lower() != "false"
