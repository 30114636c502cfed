"""What a Rally user is called, whatever is left of the user object; pure (rally-api-notes.md#users)."""

import unicodedata
from collections.abc import Mapping
from typing import Any

from rally_accelerate.rally.wire import ref_id

#: What ``person_name`` reads; to be fetched wherever users come along with other objects.
PERSON_FIELDS = ("DisplayName", "FirstName", "LastName", "UserName", "EmailAddress")


def person_name(user: Mapping[str, Any]) -> str:
    """Return the display name, or the best name that the object still has; empty when it has none.

    A display name may be empty or blank: then the first and last name stand for it, else the user name, else the e-mail
    address. Stubs, and all that is left of deleted users, carry nothing but ``_refObjectName``, which is the display
    name (rally-api-notes.md#references).

    Args:
        user: A user as an object, or as a stub.
    """
    shown = "DisplayName" if "DisplayName" in user else "_refObjectName"
    full = " ".join(part for name in ("FirstName", "LastName") if (part := _text(user, name)))
    candidates = (_text(user, shown), full, _text(user, "UserName"), _text(user, "EmailAddress"))
    return next(filter(None, candidates), "") or _text(user, "_refObjectName")


def name_or_id(user: Mapping[str, Any]) -> str:
    """Return the best name of a user, or one made of the ObjectID: a user without any name is never left out."""
    its_id = ref_id(user)
    return person_name(user) or (nameless(its_id) if its_id is not None else "")


def nameless(its_id: int) -> str:
    """Return what a user without any name is called."""
    return f"User {its_id}"


def _text(user: Mapping[str, Any], name: str) -> str:
    """Return an attribute without surrounding space; empty when nothing of it is visible."""
    value = user.get(name)
    if not isinstance(value, str):
        return ""
    # Separators, controls and invisible characters such as U+200B make no name.
    return value.strip() if any(unicodedata.category(char)[0] not in "CZ" for char in value) else ""
