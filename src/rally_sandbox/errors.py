"""What the simulated Rally refuses.

::

    Refusal
    ├── QueryRefused   HTTP 200 with the message in QueryResult.Errors
    ├── NotFound       HTTP 200 with an OperationResult
    └── UnknownType    HTTP 404 with an OperationResult
"""


class SandboxError(Exception):
    """A request that is answered with a message."""


class QueryError(SandboxError):
    """A query, an order or a scope that cannot be understood.

    See rally-api-notes.md#errors-in-answers and rally-api-notes.md#query-language.
    """


class NotFoundError(SandboxError):
    """An object that does not exist, is deleted or is not visible: ``Cannot find object to read``."""


class UnknownTypeError(SandboxError):
    """A type that does not exist. The HTTP status of a real Rally is not known."""
