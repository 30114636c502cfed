"""Roles and actors."""

from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """What a user may do; each role may do everything that the one before it may."""

    #: Look at everything but users and the audit log.
    VIEWER = 1
    #: Change integrations and value streams, run and resync, upload issues.
    EDITOR = 2
    #: Manage users, everybody's access keys and the audit log.
    ADMIN = 3

    @property
    def word(self) -> str:
        """As it is stored and shown."""
        return self.name.lower()

    @classmethod
    def parse(cls, word: str) -> "Role":
        """Parse a role name.

        Raises:
            ValueError: There is no role with this name.
        """
        try:
            return cls[word.upper()]
        except KeyError:
            raise ValueError(f"there is no role {word!r}; there are viewer, editor and admin") from None


@dataclass(frozen=True, slots=True)
class Actor:
    """A user who is signed in, or whose access key came with a request."""

    #: The user's id; empty for the server itself.
    id: str
    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Return whether the actor has at least a role."""
        return self.role >= role


#: The server itself: its own runs upload in its name.
SYSTEM_ACTOR = Actor("", "rally-accelerate", Role.ADMIN)
