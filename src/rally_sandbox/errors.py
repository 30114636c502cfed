"""What the simulated Rally refuses.

::

    Refusal
    ├── QueryRefused   HTTP 200 with the message in QueryResult.Errors
    ├── NotFound       HTTP 200 with an OperationResult
    └── UnknownType    HTTP 404 with an OperationResult
"""


class Refusal(Exception):
    """A request that is answered with a message."""


class QueryRefused(Refusal):
    """A query, an order or a scope that cannot be understood.

    See rally-api-notes.md#errors-in-answers and rally-api-notes.md#query-language.
    """


class NotFound(Refusal):
    """An object that does not exist, is deleted or is not visible: ``Cannot find object to read``."""


class UnknownType(Refusal):
    """A type that does not exist. The HTTP status of a real Rally is not known."""
