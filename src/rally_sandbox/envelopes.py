"""The envelopes of answers (rally-api-notes.md#envelopes)."""

from collections.abc import Mapping, Sequence
from typing import Any

from rally_sandbox.paging import Paging

Json = dict[str, Any]

VERSION: Mapping[str, str] = {"_rallyAPIMajor": "2", "_rallyAPIMinor": "0"}
JS_WARNING = 'It is no longer necessary to append ".js" to WSAPI resources.'


def query_result(
    rows: Sequence[Json], total: int, paging: Paging, *, warnings: Sequence[str] = (), errors: Sequence[str] = ()
) -> Json:
    """What every query and every collection answers; errors come with no rows and HTTP 200."""
    return {
        "QueryResult": {
            **VERSION,
            "Errors": list(errors),
            "Warnings": list(warnings),
            "TotalResultCount": total,
            "StartIndex": paging.start,
            "PageSize": paging.size,
            "Results": list(rows),
        }
    }


def single(element_name: str, row: Json, *, warnings: Sequence[str] = ()) -> Json:
    """One object under its ElementName, for portfolio items the level."""
    return {element_name: {**row, "Errors": [], "Warnings": list(warnings)}}


def operation_result(*, errors: Sequence[str] = (), warnings: Sequence[str] = (), **more: Any) -> Json:
    """Failed reads, and operations."""
    return {"OperationResult": {**VERSION, "Errors": list(errors), "Warnings": list(warnings), **more}}


def html_error(status: int, path: str, reason: str) -> bytes:
    """A page like the servlet container's: not JSON (rally-api-notes.md#login-failures)."""
    return (
        '<html>\n<head>\n<meta http-equiv="Content-Type" content="text/html;charset=ISO-8859-1"/>\n'
        f"<title>Error {status} {reason}</title>\n</head>\n<body>\n<h2>HTTP ERROR {status}</h2>\n"
        f"<p>Problem accessing {path}. Reason:\n<pre>    {reason}</pre></p>\n</body>\n</html>\n"
    ).encode()
