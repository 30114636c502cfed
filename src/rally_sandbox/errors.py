"""Errors of requests to the simulated Rally.

::

    SandboxError
    ├── QueryError         HTTP 200 with the message in QueryResult.Errors
    ├── NotFoundError      HTTP 200 with an OperationResult
    └── UnknownTypeError   HTTP 404 with an OperationResult
"""


class SandboxError(Exception):
    """A request failed; the response contains the message."""


class QueryError(SandboxError):
    """A query, order or scope is invalid.

    See rally-api-notes.md#errors-in-answers and rally-api-notes.md#query-language.
    """


class NotFoundError(SandboxError):
    """An object does not exist, is deleted or is not visible: ``Cannot find object to read``."""


class UnknownTypeError(SandboxError):
    """A type does not exist. The HTTP status is assumed: that of a real Rally is unknown."""
