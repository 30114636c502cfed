"""Every exception of the product, grouped by what can be done about it.

    RallyAccelerateError
    ├── Transient              try again; the only branch that is ever retried
    │   ├── Unreachable        no connection: name, port, proxy, network
    │   ├── Throttled          the service asks for patience
    │   ├── Unavailable        maintenance, gateway failure, restart
    │   │   └── Broken         a bare failure, perhaps because of what was sent
    │   ├── TimedOut           the service worked too long; ask for less
    │   └── CutShort           the answer ended in the middle; ask for less
    ├── Permanent              stop; trying again gives the same answer
    │   ├── AccessRefused      wrong key, no right, single sign-on in the way
    │   ├── Untrusted          the certificate does not verify
    │   ├── NotFound           the address or the object does not exist
    │   ├── Rejected           the service understood the request and said no
    │   ├── TooLarge           the request body is over the service's limit
    │   ├── Outdated           it was changed by somebody else meanwhile
    │   └── UnexpectedAnswer   the answer is none that this service gives
    ├── ItemError              leave this item out, count it, go on
    ├── ConfigError            settings are wrong; nothing was started
    ├── StoreError             our own state cannot be read or written
    └── QueryError             a query text is wrong at a known place

Whatever is not in this tree is a bug and travels up untouched.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class RallyAccelerateError(Exception):
    """Something went wrong that the product knows how to explain.

    Args:
        message: What is wrong and where, in one sentence, without any secret.
        hint: What an operator can do about it, in one sentence; may be empty.
    """

    hint = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        if hint:
            self.hint = hint

    def __str__(self) -> str:
        return self.message


class Transient(RallyAccelerateError):
    """The same request may succeed later.

    Args:
        message: What is wrong and where.
        hint: What an operator can do if it does not pass by itself.
        retry_after: Seconds that the service asked to wait, or None if it did not say.
    """

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Unreachable(Transient):
    """No connection could be made."""

    hint = "Check the address, the name resolution, the proxy settings and the firewall."


class Throttled(Transient):
    """The service asks for fewer requests."""

    hint = "Lower maxRequestsInFlight, or give this job a user of its own."


class Unavailable(Transient):
    """The service is up but not serving: maintenance, restart or a gateway failure."""

    hint = "Wait until the service is back; nothing is lost, the next run continues."


class Broken(Unavailable):
    """The service failed without a word (a bare HTTP 500): by itself, or because of what it was sent."""

    hint = "Look into the service's own log; when one item makes it fail, that item is left out and named."


class TimedOut(Transient):
    """The service did not answer in time; a smaller page may be answered."""

    hint = (
        "If nothing at all is answered, look at what lies between here and the service; "
        "otherwise the page size shrinks by itself, and a narrower scope (projects, query) helps too."
    )


class CutShort(Transient):
    """The answer ended before it was complete; a smaller page may arrive whole."""

    hint = (
        "Look for a proxy or gateway between here and the service that limits answers; "
        "if nothing ever arrives whole, check scheme and port of the address (https or http)."
    )


class Permanent(RallyAccelerateError):
    """The same request will fail again; somebody has to change something."""


class AccessRefused(Permanent):
    """The service does not accept who asks."""

    hint = "Check the key or the user and password, and what this user may see."


class Untrusted(Permanent):
    """The other side's certificate does not verify."""

    hint = "Give the issuing authority's certificate as caBundle."


class NotFound(Permanent):
    """The address or the object does not exist, or this user may not see it."""

    hint = "Check the address and the names in the settings."


class Rejected(Permanent):
    """The service understood the request and refused it."""


class TooLarge(Permanent):
    """The request body is over the service's limit."""

    hint = "Lower uploadMaxBytes."


class Outdated(Permanent):
    """What is to be changed was changed by somebody else meanwhile."""

    hint = "Look at what changed, then change it again."


class UnexpectedAnswer(Permanent):
    """The answer is none that this service is known to give."""

    hint = "Check that the address belongs to the service and not to a portal or proxy in front of it."


class ItemError(RallyAccelerateError):
    """One item cannot be handled; the run goes on without it.

    Args:
        message: What is wrong with the item.
        key: The item's display id, for example US123.
        hint: What an operator can do about it.
    """

    def __init__(self, message: str, *, key: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.key = key


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the settings."""

    #: Where it is, for example ``integrations[0].properties.baseUrl``.
    path: str
    #: What is wrong and what to do.
    text: str
    #: Where the value came from, for example a file name or ``environment``; may be empty.
    source: str = ""

    def __str__(self) -> str:
        origin = f" ({self.source})" if self.source else ""
        return f"{self.path}: {self.text}{origin}" if self.path else f"{self.text}{origin}"


class ConfigError(RallyAccelerateError):
    """The settings are wrong; all problems are told at once.

    Args:
        message: A summary sentence.
        problems: Every problem found, in the order of the settings.
        hint: What to do about it.
    """

    def __init__(self, message: str, *, problems: Sequence[Problem] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class StoreError(RallyAccelerateError):
    """Our own state cannot be read or written."""


class QueryTooSlow(RallyAccelerateError):
    """A query would take, or has taken, more time than one query can have."""


class TooManyQueries(RallyAccelerateError):
    """A user has more slow queries waiting than one user can have."""


class QueryError(RallyAccelerateError):
    """A query text is wrong.

    Args:
        message: What is wrong.
        line: 1-based line of the fault.
        column: 1-based column of the fault.
        expected: What would have been right there.
    """

    def __init__(self, message: str, *, line: int = 1, column: int = 1, expected: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.expected = tuple(expected)
