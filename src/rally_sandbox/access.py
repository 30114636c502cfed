"""Who is asking, and what part of the company they see."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rally_sandbox.records import Record

#: Teams, by position, whose projects the limited user sees.
LIMITED_TEAMS = (0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Login:
    """A user with their rights and defaults."""

    user: Record
    default_workspace: Record
    default_project: Record
    #: ObjectIDs of the only projects that the user sees; None means every one.
    only_projects: frozenset[int] | None = None

    def sees(self, project: Record) -> bool:
        """Whether the user may see a project."""
        return self.only_projects is None or project.object_id in self.only_projects

    def sees_workspace(self, workspace: Record) -> bool:
        """Whether the user may see anything in a workspace."""
        return self.only_projects is None or workspace is self.default_workspace


@dataclass(frozen=True, slots=True)
class Accounts:
    """The logins of a company by API key and by user name."""

    keys: Mapping[str, Login] = field(repr=False)
    names: Mapping[str, Login]
    password: str = field(repr=False)
    keys_enabled: bool = True
