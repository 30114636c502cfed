"""Answers as bytes and headers, the wrong ones included; pure but for the clock's time that is handed in."""

from dataclasses import dataclass, replace
from email.utils import format_datetime

import orjson

from rally_sandbox.envelopes import Json, html_error, operation_result, query_result
from rally_sandbox.faults import Fault
from rally_sandbox.instants import SECOND, to_datetime
from rally_sandbox.paging import Paging

HTML = "text/html;charset=ISO-8859-1"
LOGIN_PATH = "/login/sso"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    #: The connection ends after so many bytes of the body; None sends it all.
    cut_after: int | None = None
    #: The connection ends without an answer.
    dropped: bool = False


def as_json(document: Json, status: int = 200) -> Answer:
    """A JSON answer."""
    return Answer(status, orjson.dumps(document))


def page(status: int, title: str, text: str) -> Answer:
    """A small HTML page."""
    body = (
        f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{text}</p></body></html>\n"
    )
    return Answer(status, body.encode(), HTML)


def container_page(status: int, path: str, reason: str) -> Answer:
    """The servlet container's error page."""
    return Answer(status, html_error(status, path, reason), HTML)


def http_date(milliseconds: int) -> str:
    """A moment as HTTP headers show it."""
    return format_datetime(to_datetime(milliseconds // SECOND * SECOND), usegmt=True)


def instead(fault: Fault, *, path: str, base: str, now: int) -> Answer | None:  # noqa: PLR0911 - one table
    """What a fault answers without looking at the request; None when the right answer is needed first.

    Args:
        fault: The fault.
        path: The path asked for.
        base: Scheme and host.
        now: The simulated time in milliseconds.
    """
    match fault.name if fault.name != "page-limit" else fault.answer:
        case "html-401":
            return container_page(401, path, "Full authentication is required to access this resource")
        case "sso-redirect":
            return Answer(302, b"", HTML, (("location", f"{base}{LOGIN_PATH}?target={path}"),))
        case "maintenance-200":
            return page(200, "Sample maintenance", "The simulated Rally is being maintained.")
        case "errors-200":
            return as_json(query_result([], 0, Paging(), errors=[fault.text]))
        case "operation-result":
            return as_json(operation_result(errors=[fault.text]))
        case "429":
            return replace(page(429, "Too Many Requests", "Slow down."), headers=_retry_after(fault, now))
        case "500-html":
            return unexpected_error()
        case "502":
            return page(502, "502 Bad Gateway", "The sample gateway got no answer in time.")
        case "503":
            return page(503, "Service Unavailable", "The simulated Rally is offline.")
        case "524":
            return page(524, "524: A timeout occurred", "The sample gateway got no answer in time.")
        case "drop":
            return Answer(0, b"", dropped=True)
        case _:
            return None


def unexpected_error() -> Answer:
    """The page for what Rally cannot handle, malformed percent-encoding for one (rally-api.md 1.3)."""
    return page(500, "An unexpected error has occurred", "We have been notified. (Sample text of a simulator.)")


def spoiled(fault: Fault, right: Answer) -> Answer:
    """What a fault makes of the right answer."""
    match fault.name if fault.name != "page-limit" else fault.answer:
        case "truncated-json":
            return replace(right, body=right.body[: len(right.body) // 2])
        case "truncated-connection":
            return replace(right, cut_after=len(right.body) // 2)
        case "set-cookie":
            return replace(
                right, headers=(*right.headers, ("set-cookie", "JSESSIONID=sample-session; Path=/; HttpOnly"))
            )
        case _:
            return right


def _retry_after(fault: Fault, now: int) -> tuple[tuple[str, str], ...]:
    if fault.retry_after is None:
        return ()
    if fault.retry_after_date:
        return (("retry-after", http_date(now + fault.retry_after * SECOND)),)
    return (("retry-after", str(fault.retry_after)),)
