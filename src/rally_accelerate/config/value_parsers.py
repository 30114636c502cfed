"""Tolerant parsers of single settings. No I/O.

See accelerate-api-notes.md#property-values.
"""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from rally_accelerate.model.addresses import clean_address
from rally_accelerate.model.lenient_json import JsonDecodeError, parse_json
from rally_accelerate.model.text_folding import normalize_typography, strip_quotes, trim

#: What people call a type, and what it is called on the wire (rally-api-notes.md#type-names).
KIND_ALIASES = {
    "story": "hierarchicalrequirement",
    "stories": "hierarchicalrequirement",
    "userstory": "hierarchicalrequirement",
    "userstories": "hierarchicalrequirement",
    "hierarchicalrequirement": "hierarchicalrequirement",
    "defects": "defect",
    "tasks": "task",
    "testcases": "testcase",
    "testsets": "testset",
    "risks": "risk",
    "defectsuites": "defectsuite",
    "feature": "portfolioitem/feature",
    "features": "portfolioitem/feature",
    "initiative": "portfolioitem/initiative",
    "initiatives": "portfolioitem/initiative",
    "theme": "portfolioitem/theme",
    "themes": "portfolioitem/theme",
    "portfolioitems": "portfolioitem",
}

LEVELS = ("ALL", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF")

#: The words of other tools are understood as well.
_LEVEL_WORDS = {**{word: word for word in LEVELS}, "WARNING": "WARN", "CRITICAL": "FATAL"}

#: All public authorities together take 250,000 characters.
LARGEST_BUNDLE = 1_000_000
#: More than any list of settings needs; workspaces have some thousand projects.
MAX_LIST_LENGTH = 10_000
#: The maximum length of an invalid value in a message.
_MAX_QUOTED_LENGTH = 40
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0", ""}


def as_text(value: Any) -> Any:
    """Return text without surrounding white space; None is empty; a number becomes its digits."""
    match value:
        case None:
            return ""
        case bool():
            return value
        case int():
            return _format_digits(value)
        case str():
            return trim(value)
        case _:
            return value


def _format_digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:
        # Python's limit, against the time that grows with the square of the length.
        raise ValueError("has too many digits") from None


def as_bundle(value: Any) -> Any:
    """Return the path of a bundle of certificates, or the certificates themselves as text."""
    text = as_text(value)
    if isinstance(text, str) and len(text) > LARGEST_BUNDLE:
        raise ValueError(
            f"has {len(text):,} characters, more than {LARGEST_BUNDLE:,}; give only the authorities that you need"
        )
    return text


def as_identifier(value: Any) -> Any:
    """Return an identifier as text; newer servers can send an object with one, in an undocumented format."""
    match value:
        case dict():
            return as_text(next((value[name] for name in ("_id", "id", "name") if value.get(name)), ""))
        case list() | tuple():
            return ", ".join(str(as_identifier(identifier)) for identifier in value)
        case _:
            return as_text(value)


def as_list(value: Any) -> Any:
    """Return the items of an array, comma-separated text or JSON text, without empty and repeated ones."""
    match value:
        case None:
            return ()
        case str() if value.strip().startswith("["):
            try:
                parsed = parse_json(value).data
            except JsonDecodeError:
                # A name may itself begin with a bracket: then it was not JSON.
                parsed = value.split(",")
        case str():
            parsed = value.split(",")
        case list() | tuple() | set():
            parsed = list(value)
        case int() if not isinstance(value, bool):
            parsed = [_format_digits(value)]
        case _:
            return value
    if not isinstance(parsed, list) or any(isinstance(item, dict | list) for item in parsed):
        raise ValueError("must be a list of texts")
    if len(parsed) > MAX_LIST_LENGTH:
        raise ValueError(f"lists {len(parsed):,} texts; there are at most {MAX_LIST_LENGTH:,}")
    texts = (trim(str(item)) for item in parsed if item is not None)
    return tuple(dict.fromkeys(text for text in texts if text))


def as_boolean(value: Any) -> Any:
    """Return a boolean from a boolean, a number or a word."""
    match value:
        case bool():
            return value
        case int() if value in (0, 1):
            return bool(value)
        case str() if value.strip().lower() in _TRUE:
            return True
        case str() if value.strip().lower() in _FALSE:
            return False
        case _:
            raise ValueError("must be true or false")


def as_level(value: Any) -> str:
    """Return a logging level; anything unknown becomes INFO, as in the platform's own runner.

    See accelerate-api-notes.md#logging-levels.
    """
    word = str(value).strip().upper() if isinstance(value, str) else ""
    return _LEVEL_WORDS.get(word, "INFO")


def explain_unknown_level(value: Any) -> str:
    """Return a notice for an unknown logging level, which is read as INFO; empty for known levels."""
    if value in (None, "") or (isinstance(value, str) and value.strip().upper() in _LEVEL_WORDS):
        return ""
    quoted = repr(value) if len(repr(value)) <= _MAX_QUOTED_LENGTH else f"{repr(value)[:_MAX_QUOTED_LENGTH]}..."
    *most, last = (word.lower() for word in LEVELS)
    return f"the logging level {quoted} is not known, so info is used; there are {', '.join(most)} and {last}"


def as_kind(value: str) -> str:
    """Return the wire name of a Rally type, lower case, for any of its usual names."""
    family, slash, level = " ".join(normalize_typography(value).lower().split()).strip("/ ").partition("/")
    compact = re.sub(r"[\s_]+", "", family)
    # The name after the slash is defined by the workspace.
    return f"{compact}/{level.strip()}" if slash else KIND_ALIASES.get(compact, compact)


def as_status_field(value: Any) -> Any:
    """Return the name of a status field from any case, or from Rally's label ``Schedule State``."""
    if not isinstance(value, str):
        return value
    word = re.sub(r"\s+", "", normalize_typography(value).lower())
    return {"schedulestate": "ScheduleState", "state": "State"}.get(word, value)


def as_name_map(value: Any) -> Any:
    """Return a mapping of names from an object, its JSON text, or ``A=B, C=D``."""
    match value:
        case None | "":
            return {}
        case str() if value.strip().startswith("{"):
            try:
                return parse_json(value).data
            except JsonDecodeError as error:
                raise ValueError(f"is not valid JSON: {error.reason} at column {error.column}") from None
        case str():
            pairs = [part.partition("=") for part in value.split(",") if part.strip()]
            if any(not separator for _, separator, _ in pairs):
                raise ValueError('must be JSON such as {"Story": "User Story"} or text such as Story=User Story')
            return {old.strip(): new.strip() for old, _, new in pairs}
        case _:
            return value


def as_base_url(value: Any) -> Any:
    """Return the root of a Rally server: with a scheme, without page paths and trailing slashes."""
    text = as_text(value)
    if not isinstance(text, str):
        return text
    text = clean_address(normalize_typography(strip_quotes(text)))
    if not text:
        return "https://rally1.rallydev.com"
    if not re.match(r"^[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        text = f"https://{text}"
    parts = urlsplit(text)
    if parts.scheme.lower() not in {"http", "https"}:
        raise ValueError(f"must begin with https:// or http://, not {parts.scheme}://")
    if parts.username or parts.password:
        raise ValueError("must not contain a user or password; use username and password")
    host = _check_host(parts.hostname)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise ValueError("has a port that is not a number from 1 to 65535") from None
    # A reverse proxy may serve Rally below a path of its own: only Rally's own paths are cut.
    path = re.split(r"/(?:slm|analytics|login|#)(?:/|$)|#", parts.path, maxsplit=1)[0].rstrip("/")
    return f"{parts.scheme.lower()}://{host}{port}{path}"


def as_proxy_server(value: Any) -> Any:
    """Return a proxy's address with a scheme; credentials inside it are preserved."""
    text = as_text(value)
    if not isinstance(text, str) or not text:
        return text
    text = strip_quotes(text)
    if re.search(r"(?i)(\.pac|/wpad\.dat)(\?.*)?$", text):
        raise ValueError(
            "is the address of a PAC file (automatic configuration), which this program does not evaluate; open "
            "the file in a browser and give the proxy that it names, for example http://proxy.example:8080"
        )
    if not re.match(r"^[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        text = f"http://{text}"
    scheme, _, rest = text.partition("://")
    if scheme.lower() not in {"http", "https"}:
        socks = "; ask for the address of an HTTP proxy" if scheme.lower().startswith("socks") else ""
        raise ValueError(f"must be an http:// or https:// proxy, not {scheme}://{socks}")
    # Credentials end at the last @: passwords may hold the character themselves.
    credentials, at, server = rest.rpartition("@")
    server = normalize_typography(server).split("/", 1)[0]
    parts = urlsplit(f"{scheme}://{server}")
    host = _check_host(parts.hostname)
    try:
        port = parts.port
    except ValueError:
        raise ValueError("has a port that is not a number from 1 to 65535") from None
    if port is None:
        raise ValueError("needs the port number, for example http://proxy.example:8080")
    return f"{scheme.lower()}://{credentials}{at}{host}:{port}"


def build_proxy_address(server: str, *, username: str = "", password: str = "") -> str:
    """Return the proxy's address with percent-encoded credentials, ready for an HTTP client.

    Args:
        server: What ``as_proxy_server`` returned.
        username: The user; wins over one inside ``server``.
        password: That user's password, as typed.
    """
    scheme, _, rest = server.partition("://")
    credentials, _, host_and_port = rest.rpartition("@")
    if username:
        credentials = f"{quote(username, safe='')}:{quote(password, safe='')}"
    elif credentials:
        user, _, word = credentials.partition(":")
        credentials = f"{quote(user, safe='%')}:{quote(word, safe='%')}"
    return f"{scheme}://{credentials}@{host_and_port}" if credentials else f"{scheme}://{host_and_port}"


def _check_host(name: str | None) -> str:
    if not name:
        raise ValueError("names no host, for example https://rally1.rallydev.com")
    if re.search(r"\s", name):
        raise ValueError("has a blank in the host name")
    if ":" not in name and (match := re.search(r"[^\w.-]", name)):
        raise ValueError(f"has a character in the host name that none has: {match[0]!r}")
    return f"[{name}]" if ":" in name else name


def as_word(value: Any) -> Any:
    """Return a word in lower case, for settings with a few choices."""
    return value.strip().lower() if isinstance(value, str) else value


def as_json_value(value: Any) -> Any:
    """Return a JSON value, or the value of a JSON text; None if it is empty."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return parse_json(value).data
    except JsonDecodeError as error:
        place = f"line {error.line}, column {error.column}"
        raise ValueError(f"is not valid JSON: {error.reason} at {place}") from None


def as_removed_status(value: Any) -> Any:
    """Return the status of deleted items and of those that left the scope; or ``keep``."""
    form = 'must be like "Deleted, Moved out", or keep'
    words = _parse_words(value, form)
    if len(words) > 2:  # noqa: PLR2004 - deleted, moved out
        raise ValueError(form)
    return words or ("Deleted", "Moved out")


def _parse_words(value: Any, form: str) -> tuple[str, ...]:
    words = as_list(value)
    if not isinstance(words, tuple):
        raise ValueError(form)  # noqa: TRY004 - the model collects errors of values
    return words


def as_cap(value: Any) -> Any:
    """Return the removal limit: a count and a share in percent, or one of them, as in ``5 %, 50``."""
    if isinstance(value, tuple):
        return value
    items, share = 0, 0.0
    for word in _parse_words(value, 'must be like "5%, 50"') or ("5%", "50"):
        match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,12})?)\s*(%?)", word)
        if match is None:
            raise ValueError('must be like "5%, 50", with numbers of at most 12 digits')
        if match[2]:
            share = float(match[1]) / 100
        else:
            items = int(float(match[1]))
    return (items, share)


def as_instant(value: Any) -> Any:
    """Return an instant from an ISO date or from milliseconds since 1970; None if it is empty."""
    match value:
        case None | "" | -1 | "-1":
            return None
        case datetime():
            return value
        case int() | float():
            return _from_milliseconds(value)
        case str() if re.fullmatch(r"\d{9,}", value.strip()):
            return _from_milliseconds(float(value))
        case str():
            try:
                moment = datetime.fromisoformat(value.strip())
            except ValueError:
                raise ValueError("must be a date like 2026-01-31 or 2026-01-31T08:00:00Z") from None
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        case _:
            raise ValueError("must be a date like 2026-01-31 or 2026-01-31T08:00:00Z")


def _from_milliseconds(value: float) -> datetime:
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        raise ValueError("is not a time in milliseconds since 1970") from None
