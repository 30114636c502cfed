"""Who is asking, and what part of the company they see."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rally_sandbox.records import Record

#: Teams, by position, whose projects the limited user sees.
LIMITED_TEAMS = (0, 1)


@dataclass(slots=True, eq=False)
class Login:
    """A user with their rights, which can change, and defaults."""

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

    def restrict(self, user: str, projects: Iterable[Record] | None) -> None:
        """Let a user see these projects only, or every one.

        What they do not see any more is missing from the results without a word (rally-api-notes.md#removed-items).

        Args:
            user: An API key, or a user name; empty for the user of the first key.
            projects: May be none at all.

        Raises:
            KeyError: There is no such user.
        """
        login = self.keys.get(user) or self.names.get(user.lower()) if user else next(iter(self.keys.values()))
        if login is None:
            raise KeyError(f"no user is {user!r}")
        login.only_projects = None if projects is None else frozenset(each.object_id for each in projects)
