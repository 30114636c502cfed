"""Template environment with its filters; every page is available as JSON with ``.json`` at the end of its path."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from rally_accelerate import __version__
from rally_accelerate.config.form import list_form_fields
from rally_accelerate.observe.run_summary import format_duration
from rally_accelerate.server.web.help_site import help_site

#: Which names are spoken of as they stand: ``workspace`` is also an ordinary word, ``apiKey`` is none.
_SPOKEN = re.compile(r"[A-Z]")


def replace_names(text: str) -> str:
    """Replace property names in a text by field labels: ``apiKey`` becomes API Token."""
    return _PROPERTY.sub(lambda match: _LABELS[match["path"] or match["name"]], text)


def replace_labels(text: str) -> str:
    """Replace field labels in a text by property names, to search stored texts."""
    return _LABEL.sub(lambda match: _NAMES[match[0]], text)


_LABELS = {field.name: field.label for field in list_form_fields()}
_PROPERTY = re.compile(
    # Text inside quotes belongs to the user and is left unchanged.
    r"(?<![\w.\"'])(?:properties\.(?P<path>{paths})|(?P<name>{names}))(?![\w\"'])".format(
        paths="|".join(_LABELS), names="|".join(name for name in _LABELS if _SPOKEN.search(name))
    )
)
_NAMES = {label: name for name, label in _LABELS.items() if _SPOKEN.search(name)}
# The longest first: a label may begin like another one.
_LABEL = re.compile(r"(?<!\w)(?:{})(?!\w)".format("|".join(sorted(map(re.escape, _NAMES), key=len, reverse=True))))


FOLDER = Path(__file__).parent

DAY_SECONDS = 86_400

THOUSAND = 1000

#: Shorter runs are shown with tenths of a second.
SHORT_SECONDS = 10

#: Below these, programs ask and not people.
MACHINE_PATHS = ("/release-events-api/", "/static/")

#: Closer than this is "now".
NOW_SECONDS = 2

_templates = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_page(request: Request, template: str, data: Mapping[str, Any], *, status: int = 200) -> Response:
    """Render a page, or return its data as JSON if the path ends in ``.json``."""
    if request.url.path.endswith(".json"):
        return Response(orjson.dumps(data, default=_to_json), status, media_type="application/json")
    surroundings = {
        "actor": getattr(request.state, "actor", None),
        "here": request.url.path,
        "now": datetime.now(UTC),
        "version": __version__,
    }
    html = _templates.get_template(template).render(**data, **surroundings)
    return HTMLResponse(html, status)


def not_found(request: Request, what: str) -> Response:
    """Return the page for something that doesn't exist."""
    return render_page(request, "not_found.html", {"what": what, "title": "Page not found"}, status=404)


async def no_route(request: Request, error: Exception) -> Response:
    """Return the response to an unknown path: a page for browsers, plain text for other clients."""
    fault = error if isinstance(error, HTTPException) else HTTPException(500)
    if fault.status_code not in {404, 405} or request.url.path.startswith(MACHINE_PATHS):
        return PlainTextResponse(fault.detail, fault.status_code, fault.headers)
    answer = render_page(
        request, "not_found.html", {"what": "this page", "title": "Page not found"}, status=fault.status_code
    )
    answer.headers.update(fault.headers or {})
    return answer


def as_instant(value: Any) -> datetime | None:
    """Return an aware datetime from milliseconds or a datetime."""
    return datetime.fromtimestamp(value / 1000, UTC) if isinstance(value, int | float) else value


def _format_ago(value: Any, now: datetime) -> str:
    moment = as_instant(value)
    if moment is None:
        return "never"
    seconds = (now - moment).total_seconds()
    # What has been cannot be to come: a clock was set back, here or where it was noted.
    return "now" if seconds < NOW_SECONDS else f"{_format_duration(seconds)} ago"


def _format_until(value: Any, now: datetime) -> str:
    moment = as_instant(value)
    seconds = (moment - now).total_seconds() if moment is not None else 0.0
    return "now" if seconds < NOW_SECONDS else f"in {_format_duration(seconds)}"


def _format_duration(seconds: float) -> str:
    return format_duration(seconds) if seconds < DAY_SECONDS else _format_days(seconds)


def _format_age(milliseconds: float) -> str:
    """Format a duration in milliseconds for tables: up to a day in minutes, then in days."""
    return _format_duration(max(milliseconds, 0) / 1000)


def _format_days(seconds: float) -> str:
    days = round(seconds / DAY_SECONDS)
    return "1 day" if days == 1 else f"{days} days"


def _format_exact(value: Any) -> str:
    moment = as_instant(value)
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _safe_link(value: Any) -> str:
    """Return a URL if it is safe to link, else an empty string: uploads can contain any URL."""
    text = str(value or "")
    try:
        return text if urlsplit(text).scheme in {"http", "https"} else ""
    except ValueError:
        # "http://[" begins like an address, and is none.
        return ""


def _format_value(value: Any) -> str:
    """Format a value of a history or raw issue; lists by the names of their elements."""
    match value:
        case list():
            return ", ".join(map(_format_value, value))
        case {"name": name}:
            return str(name)
        case bool():
            return "yes" if value else "no"
        case None:
            return ""
        case _:
            return str(value)


def _format_count(number: int, word: str) -> str:
    """Format a count with its noun: ``1 issue``, ``1,200 issues``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _format_size(value: float) -> str:
    """Format a number of bytes in decimal units."""
    for unit in ("bytes", "kB", "MB"):
        if value < THOUSAND:
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= THOUSAND
    return f"{value:,.1f} GB"


def quote_segment(value: Any) -> str:
    """Quote any text as one path segment."""
    # Servers undo one quoting before an address is taken apart: a slash, and an end like that of our JSON addresses,
    # must survive it.
    once = quote(str(value), safe="")
    if once.endswith(".json"):
        once = once.removesuffix(".json") + "%2Ejson"
    if once in {".", ".."}:
        # Browsers follow these, also quoted once.
        once = once.replace(".", "%2E")
    return quote(once, safe="") if "%" in once else once


def _to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError


_templates.filters |= {
    "ago": _format_ago,
    "until": _format_until,
    "said": _format_value,
    "segment": quote_segment,
    "exact": _format_exact,
    "labelled": replace_names,
    "link": _safe_link,
    "duration": format_duration,
    "lasting": _format_age,
    "counted": _format_count,
}
_templates.globals["help_address"] = lambda page, anchor="": help_site().address(page, anchor)
_templates.filters["took"] = lambda seconds: f"{seconds:.1f} s" if seconds < SHORT_SECONDS else format_duration(seconds)
_templates.filters["bytes"] = _format_size
_templates.filters["number"] = lambda value: f"{value:,}"
