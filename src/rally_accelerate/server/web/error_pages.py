"""Error responses for failures of the server."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rally_accelerate.errors import StoreError
from rally_accelerate.server.web.routing import referring_page
from rally_accelerate.server.web.templating import render_page

#: The message for an error that only a developer can fix.
FAULT, REPORT = "Internal error.", "See the server log for details, and report the problem."


def unsaved_message(error: StoreError) -> str:
    """Return the message of a form whose input could not be saved."""
    text = str(error).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}, so nothing was saved. {error.hint}".strip()


def error_response(request: Request, text: str, hint: str, *, status: int, api: bool) -> Response:
    """Return an error response in the format of the client.

    Args:
        request: The request.
        text: What is wrong, in one sentence.
        hint: What can be done about it.
        status: Of HTTP.
        api: Whether a GraphQL client asks.
    """
    if api:
        return JSONResponse({"errors": [{"message": f"{text} {hint}".strip()}]}, status)
    data = {"title": "Something went wrong", "error": text, "hint": hint, "before": referring_page(request)}
    return render_page(request, "error.html", data, status=status)
