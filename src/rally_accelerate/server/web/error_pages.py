"""What is answered when a request fails by no fault of its own."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rally_accelerate.errors import StoreError
from rally_accelerate.server.web.routing import page_before
from rally_accelerate.server.web.templating import page

#: Said of a fault that nobody but a developer can mend.
FAULT, REPORT = "Internal error.", "See the server log for details, and report the problem."


def unkept(error: StoreError) -> str:
    """What a form says above what was typed, which could not be kept."""
    text = str(error).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}, so nothing was saved. {error.hint}".strip()


def faulty(request: Request, text: str, hint: str, *, status: int, api: bool) -> Response:
    """The answer to a request that could not be answered, in the form that its sender reads.

    Args:
        request: The request.
        text: What is wrong, in one sentence.
        hint: What can be done about it.
        status: Of HTTP.
        api: Whether a GraphQL client asks.
    """
    if api:
        return JSONResponse({"errors": [{"message": f"{text} {hint}".strip()}]}, status)
    data = {"title": "Something went wrong", "error": text, "hint": hint, "before": page_before(request)}
    return page(request, "fault.html", data, status=status)
