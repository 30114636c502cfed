"""All exceptions of rally-accelerate, grouped by what the caller can do about them.

    RallyAccelerateError
    ├── TransientError                      try again; only these errors are retried
    │   ├── UnreachableError                no connection: name, port, proxy, network
    │   ├── RateLimitedError                the service asks for fewer requests
    │   ├── UnavailableError                maintenance, gateway failure, restart
    │   │   └── InternalServerError         HTTP 500 without details, perhaps caused by the request
    │   ├── ServiceTimeoutError             the service took too long; request less
    │   └── TruncatedResponseError          the response ended early; request less
    ├── PermanentError                      stop; the same request fails again
    │   ├── AccessDeniedError               wrong key, missing permission, single sign-on
    │   ├── CertificateVerificationError    the server's certificate is not trusted
    │   ├── NotFoundError                   the address or the object does not exist
    │   ├── RejectedError                   the service understood the request and refused it
    │   ├── RequestTooLargeError            the request body is over the service's limit
    │   ├── OutdatedError                   the object was changed in the meantime
    │   └── UnexpectedResponseError         the response is not one that the service sends
    ├── ConfigError                         invalid settings; nothing was started
    ├── StoreError                          the local database or state cannot be read or written
    ├── QueryError                          a query text is wrong at a known position
    ├── QueryTooSlowError                   a query exceeds its time limit
    └── TooManyQueriesError                 too many slow queries of one user are waiting

Any other exception is a bug and propagates unchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class RallyAccelerateError(Exception):
    """Base class of all errors that the product can explain.

    Args:
        message: What happened and where, in one sentence without secrets.
        hint: What an operator can do about it, in one sentence; can be empty.
    """

    hint = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        if hint:
            self.hint = hint

    def __str__(self) -> str:
        return self.message


class TransientError(RallyAccelerateError):
    """The same request can succeed later.

    Args:
        message: What happened and where.
        hint: What an operator can do if the problem persists.
        retry_after: The delay in seconds that the service requested; None if it requested none.
    """

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class UnreachableError(TransientError):
    """No connection could be made."""

    hint = "Check the address, the name resolution, the proxy settings and the firewall."


class RateLimitedError(TransientError):
    """The service asks for fewer requests."""

    hint = "Lower maxRequestsInFlight, or give this job a user of its own."


class UnavailableError(TransientError):
    """The service is up but not serving: maintenance, restart or a gateway failure."""

    hint = "Wait until the service is back; nothing is lost, the next run continues."


class InternalServerError(UnavailableError):
    """The service failed with HTTP 500 and no details; the request itself can be the cause."""

    hint = "Look into the service's own log; when one item makes it fail, that item is left out and named."


class ServiceTimeoutError(TransientError):
    """The service did not respond in time; a smaller page can succeed."""

    hint = (
        "If nothing at all is answered, look at what lies between here and the service; "
        "otherwise the page size shrinks by itself, and a narrower scope (projects, query) helps too."
    )


class TruncatedResponseError(TransientError):
    """The response ended early; a smaller page can succeed."""

    hint = (
        "Look for a proxy or gateway between here and the service that limits answers; "
        "if nothing ever arrives whole, check scheme and port of the address (https or http)."
    )


class PermanentError(RallyAccelerateError):
    """The same request fails again until something is changed."""


class AccessDeniedError(PermanentError):
    """The service does not accept the credentials, or the user lacks permission."""

    hint = "Check the key or the user and password, and what this user may see."


class CertificateVerificationError(PermanentError):
    """The certificate of the server cannot be verified."""

    hint = "Give the issuing authority's certificate as caBundle."


class NotFoundError(PermanentError):
    """The address or the object does not exist, or this user cannot see it."""

    hint = "Check the address and the names in the settings."


class RejectedError(PermanentError):
    """The service understood the request and refused it."""


class RequestTooLargeError(PermanentError):
    """The request body is over the service's limit."""

    hint = "Lower uploadMaxBytes."


class OutdatedError(PermanentError):
    """The object to change was changed by another user or process in the meantime."""

    hint = "Look at what changed, then change it again."


class UnexpectedResponseError(PermanentError):
    """The response is not one that this service sends."""

    hint = "Check that the address belongs to the service and not to a portal or proxy in front of it."


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of the settings."""

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
    """The settings are invalid; all problems are reported at once.

    Args:
        message: A summary sentence.
        problems: All problems, in the order of the settings.
        hint: What to do about it.
    """

    def __init__(self, message: str, *, problems: Sequence[Problem] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class StoreError(RallyAccelerateError):
    """The local database or state cannot be read or written."""


class QueryTooSlowError(RallyAccelerateError):
    """A query takes, or would take, longer than its time limit."""


class TooManyQueriesError(RallyAccelerateError):
    """Too many slow queries of one user are waiting."""


class QueryError(RallyAccelerateError):
    """A query text is invalid.

    Args:
        message: What is wrong.
        line: 1-based line of the fault.
        column: 1-based column of the fault.
        expected: What is valid at this position.
    """

    def __init__(self, message: str, *, line: int = 1, column: int = 1, expected: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.expected = tuple(expected)
