"""Conversion of Rally's responses to data or to specific errors. No I/O.

A status alone means little: errors, maintenance and login pages can have status 200
(rally-api-notes.md#http-failures). So the body decides where it can, and the status otherwise. Each error's hint says
what to do. No message contains a complete body or a secret: at most a short excerpt of the response.
"""

import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rally_accelerate.errors import (
    AccessDeniedError,
    NotFoundError,
    RallyAccelerateError,
    RateLimitedError,
    RejectedError,
    RequestTooLargeError,
    ServiceTimeoutError,
    TruncatedResponseError,
    UnavailableError,
    UnexpectedResponseError,
)
from rally_accelerate.model.foreign_responses import (
    Reply,
    Route,
    explain_block,
    explain_certificate_page,
    explain_https_only,
    explain_login_refusal,
    explain_page,
    explain_portal,
    explain_proxy_login,
    explain_redirect,
)
from rally_accelerate.model.lenient_json import JsonDecodeError, Place, decode_json, decode_text
from rally_accelerate.rally.records import Record
from rally_accelerate.rally.wsapi import object_id, parse_http_date, ref_id

#: Longer texts of the service are cut for messages.
EXCERPT_LENGTH = 200


#: States of subscriptions and accounts. Rally's wording is not public; these patterns are assumed.
_ACCOUNTS: tuple[tuple[str, str], ...] = (
    (
        r"subscription[^.]{0,60}\b(disabled|(not |in)active|suspended|expired|deactivated|terminated|closed)\b",
        (
            "Have the subscription activated by its administrator or Rally's support, and check that the key is of the "
            "right subscription. No setting here helps."
        ),
    ),
    (
        r"password[^.]{0,40}\b(expired|must be (changed|reset)|needs to be (changed|reset))\b",
        "Sign in to Rally in a browser with this user and choose a new password, or use an apiKey.",
    ),
    (
        r"\b(account|user|login)\b[^.]{0,60}\b(disabled|locked|(not |in)active|deactivated|suspended)\b",
        "Ask a subscription administrator to enable or unlock this user, or use a key of another one.",
    ),
)


def account_hint(text: str) -> str:
    """Return a hint about the state of a subscription or account that a text mentions; empty for none."""
    return next((hint for pattern, hint in _ACCOUNTS if re.search(pattern, text, re.IGNORECASE)), "")


def error_of(text: str, resource: str) -> RallyAccelerateError:
    """Return the error for a text of ``Errors[]``.

    See rally-api-notes.md#errors-in-answers and rally-api-notes.md#access-to-snapshots.
    """
    for pattern, kind, hint in _ERROR_TEXTS:
        if re.search(pattern, text, re.IGNORECASE):
            return kind(f'Rally says about {resource}: "{excerpt(text)}".', hint=hint)
    if hint := account_hint(text):
        return AccessDeniedError(f'Rally refuses {resource}: "{excerpt(text)}".', hint=hint)
    return RejectedError(
        f'Rally refuses {resource}: "{excerpt(text)}".',
        hint="Check the extra filter (query), types and projects.",
    )


_ERROR_TEXTS: tuple[tuple[str, type[RallyAccelerateError], str], ...] = (
    (
        r"Cannot find object to read|Could not read: Could not read",
        NotFoundError,
        "The object was deleted, or this user cannot see it: check workspace, projects and permissions.",
    ),
    (
        r"Could not find (the )?attribute",
        RejectedError,
        "The extra filter (query) names a field that this type does not have; custom fields begin with c_.",
    ),
    (
        r"Could not parse|Error parsing expression|Unknown operator",
        RejectedError,
        "Check the extra filter (query): every condition in parentheses, and each AND or OR joining exactly two.",
    ),
    (
        r"Invalid key",
        AccessDeniedError,
        (
            "Something on the way adds cookies or caches answers (a proxy), or the key is not allowed here: use an "
            "apiKey and bypass caching proxies."
        ),
    ),
    (
        r"type name .* is unknown",
        NotFoundError,
        "Check types: this workspace has no such type. Portfolio levels are written PortfolioItem/<level>.",
    ),
    (
        r"Unauthorized for projects|Not authorized",
        AccessDeniedError,
        "Give the user of this key or login at least viewer rights in the workspace and its projects.",
    ),
    (
        r"Concurrency ?conflict|Modified since read",
        UnavailableError,
        "The data was changed at the same moment.",
    ),
)

#: API keys and session ids: a long run of key characters behind an underscore, or a named one.
_SECRETS = re.compile(r"(?<![A-Za-z0-9])_[A-Za-z0-9]{20,}|(?i:\b(key|token|zsessionid|password)=)[^\s&\"'<]+")


def excerpt(text: str) -> str:
    """Return a short excerpt of a response for a message, without markup, repeated spaces and keys."""
    plain = re.sub(r"(?is)<(script|style|title)\b.*?(</\1>|$)|<!--.*?(-->|$)", " ", text)
    plain = html.unescape(re.sub(r"<[^>]*(>|$)", " ", plain))
    # Control and direction characters could rewrite a terminal's line.
    plain = "".join(char if char.isprintable() else " " for char in plain)
    plain = _SECRETS.sub(lambda match_: f"{match_[1]}=***" if match_[1] else "***", " ".join(plain.split()))
    return plain if len(plain) <= EXCERPT_LENGTH else f"{plain[: EXCERPT_LENGTH - 1]}…"


#: So many items are named in a notice.
MAX_LISTED = 50

#: Whose text it is, where the row is not the item itself: a post's, a revision's (rally-api-notes.md#discussions,
#: rally-api-notes.md#reading-revisions).
_OWNER_FIELDS = ("Artifact", "RevisionHistory")


@dataclass(slots=True, eq=False)
class Oddities:
    """Items with unreadable texts, and lists with fewer rows than announced."""

    #: FormattedIDs, or other names, in the order in which they were met.
    _named: dict[str, None] = field(default_factory=dict)
    #: ObjectIDs of items, or of their revision histories, whose FormattedID is not known yet.
    _unnamed: dict[int, None] = field(default_factory=dict)
    #: By kind of row, how many announced rows were not returned.
    _missing: dict[str, int] = field(default_factory=dict)
    #: By kind of row, how many were left out of pages that had others.
    _skipped: dict[str, int] = field(default_factory=dict)

    def add_unreadable(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Record rows whose texts were repaired."""
        for row in rows:
            if key := row.get("FormattedID"):
                self._named[str(key)] = None
                continue
            owner = next((oid for name in _OWNER_FIELDS if (oid := ref_id(row.get(name))) is not None), None)
            # A snapshot bears the ObjectID of its item (rally-api-notes.md#snapshots).
            snapshot = object_id(row.get("ObjectID")) if "_ValidFrom" in row else None
            if (oid := owner if owner is not None else snapshot) is not None:
                self._unnamed[oid] = None
            else:
                self._named[_describe_row(row)] = None

    def add_missing(self, kind: str, count: int) -> None:
        """Record that announced rows were not returned."""
        self._missing[kind] = max(count, self._missing.get(kind, 0))

    def add_skipped(self, kind: str, count: int) -> None:
        """Record that announced rows were missing from a page, even when it was read again."""
        self._skipped[kind] = self._skipped.get(kind, 0) + count

    def resolve_names(self, records: Iterable[Record]) -> None:
        """Find the display ids of items that are only known by ObjectID."""
        if not self._unnamed:
            return
        for record in records:
            for oid in (record.object_id, ref_id(record.fields.get("RevisionHistory"))):
                if oid in self._unnamed:
                    del self._unnamed[oid]
                    self._named[record.key] = None

    def take_notices(self) -> tuple[str, ...]:
        """Return the notices that were not returned before."""
        keys = [*self._named, *(f"ObjectID {oid}" for oid in self._unnamed)]
        sentences = [
            f"Rally announced {count:,} more rows of {kind} but returned an empty page, three times. They may be "
            "hidden from this user; if items are missing, run a full resync."
            for kind, count in self._missing.items()
        ]
        sentences += [
            f"Rally announced {count:,} more rows of {kind} than it returned. They may be hidden from this user; if "
            "items are missing, run a full resync."
            for kind, count in self._skipped.items()
        ]
        if keys:
            items = "1 item" if len(keys) == 1 else f"{len(keys):,} items"
            more = f" and {len(keys) - MAX_LISTED:,} more" if len(keys) > MAX_LISTED else ""
            sentences.append(
                f"{items} had unreadable characters: {', '.join(keys[:MAX_LISTED])}{more}. "
                "What could not be read is shown as \ufffd; correct the texts in Rally."
            )
        self._named, self._unnamed, self._missing, self._skipped = {}, {}, {}, {}
        return tuple(sentences)


def _describe_row(row: Mapping[str, Any]) -> str:
    """Describe a row that belongs to no item."""
    name = str(row.get("Name") or row.get("_refObjectName") or row.get("ObjectID") or "").strip()
    return " ".join(part for part in (str(row.get("_type") or "").strip(), f'"{name}"' if name else "") if part) or "?"


#: Rally cuts requests at 4 to 5 minutes with 502 or 524 (rally-api-notes.md#limits); a 502 that comes sooner than this
#: is a gateway without a server behind it, and a smaller page would not help.
GATEWAY_ONLY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a read."""

    #: The inside of the envelope: ``QueryResult``'s members, or those of a single object.
    data: Mapping[str, Any]
    #: The service's ``Warnings[]``, without repeats.
    warnings: tuple[str, ...] = ()
    #: The service's clock when it answered; None when it did not say.
    date: datetime | None = None
    #: The rows in which texts had to be repaired.
    unreadable: tuple[Mapping[str, Any], ...] = ()


def parse_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    resource: str,
    seconds: float | None = None,
    route: Route = Route(),  # noqa: B008 - a frozen value
) -> Answer:
    """Parse a response of Rally.

    Args:
        status: The HTTP status.
        headers: The HTTP headers; names in lower case, or a mapping that ignores case.
        body: The complete body after decompression.
        resource: The requested path for error messages, for example ``/slm/webservice/v2.0/defect``.
        seconds: How long the answer took, if known.
        route: How the request was sent.

    Raises:
        AccessDeniedError: Login, rights, single sign-on or address list.
        NotFoundError, RejectedError, RequestTooLargeError, UnexpectedResponseError: Other lasting refusals.
        RateLimitedError, UnavailableError, ServiceTimeoutError, TruncatedResponseError: Temporary failures.
    """
    context = _Context(status, headers, body, resource, seconds, route)
    if status in _BY_STATUS:
        raise _BY_STATUS[status](context)
    if 300 <= status < 400:  # noqa: PLR2004 - the class of redirects
        raise explain_redirect(context.reply, route)
    if 400 <= status < 500:  # noqa: PLR2004 - the class of refusals
        raise _client_error(context)
    if status >= 500:  # noqa: PLR2004 - the class of failures
        raise _server_error(context)
    if context.is_html:
        raise _page_error(context)
    if "FindProxyForURL" in context.text and (error := explain_page(context.reply, route)):
        raise error
    return _parse_body(context)


@dataclass(frozen=True, slots=True)
class _Context:
    status: int
    headers: Mapping[str, str]
    body: bytes
    resource: str
    seconds: float | None
    route: Route

    @property
    def reply(self) -> Reply:
        """The response, to determine which server sent it."""
        marked = (
            self.first_character == "{"
            or bool(_RALLY_TEXTS.search(self.text))
            or any(map(_RALLY_HEADERS.match, self.headers))
        )
        return Reply(
            request=self.resource, status=self.status, headers=self.headers, text=self.text, is_from_service=marked
        )

    @property
    def is_html(self) -> bool:
        return self.first_character == "<"

    @property
    def first_character(self) -> str:
        """The first character that is not white space; empty if all are."""
        return decode_text(self.body[:1_000]).strip()[:1]

    @property
    def text(self) -> str:
        """The beginning of the body as text; enough to recognise any page."""
        return decode_text(self.body[:20_000])

    @property
    def service_message(self) -> str:
        texts = self.errors or ([excerpt(self.text)] if self.is_html or self.text.strip() else [])
        return f' It says: "{excerpt("; ".join(texts))}".' if any(texts) else ""

    @property
    def errors(self) -> list[str]:
        """``Errors[]`` of a JSON body, or nothing."""
        try:
            data = decode_json(self.body).data
        except JsonDecodeError:
            return []
        return list(_iterate_texts(data, "Errors"))

    @property
    def date(self) -> datetime | None:
        return parse_http_date(self.headers.get("date"))

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait: given as such, or as a date, which is relative to the service's own clock."""
        value = (self.headers.get("retry-after") or "").strip()
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value, re.ASCII):
            return float(value)
        until, now = parse_http_date(value), self.date
        return max(0.0, (until - now).total_seconds()) if until and now else None


#: Every document of this format begins so (RFC 1952).
_GZIP = b"\x1f\x8b"

#: What Rally's own refusals say (rally-api-notes.md#login-failures, rally-api-notes.md#http-failures), and how its
#: headers are named.
_RALLY_TEXTS = re.compile(
    r"(?i)Problem accessing /slm/|Full authentication is required|Authentication object was not found|"
    r"username or password you entered|not within the allowed range|An unexpected error has occurred"
)
_RALLY_HEADERS = re.compile(r"(?i)(x-)?rally")


# --- by status -------------------------------------------------------------------------------------------------------


def _login_error(context: _Context) -> RallyAccelerateError:
    if error := explain_login_refusal(context.reply, context.route):
        return error
    for pattern, message, hint in _LOGIN_TEXTS:
        if re.search(pattern, context.text, re.IGNORECASE):
            if context.route.key and "user name and password" in message:
                return AccessDeniedError("Rally does not accept the API key (401).", hint=_KEY)
            return AccessDeniedError(message, hint=hint)
    return AccessDeniedError(
        f"Rally refuses the login (401) for {context.resource}.{context.service_message}",
        hint=account_hint(context.text) or _CREDENTIALS,
    )


_KEY = (
    "Check that apiKey is complete and has not been revoked. A key works only on the server that made it: "
    "compare baseUrl (rally1 or eu1). With single sign-on, user name and password work only for users on the "
    "subscription's exception list: use an apiKey."
)


_CREDENTIALS = (
    "Check apiKey, or username and password; keys are made and revoked on Rally's API Keys page. Check as well that "
    "baseUrl is Rally's address: other servers refuse Rally's keys too. With single sign-on, user name and password "
    "work only for users on the subscription's exception list; an apiKey works for all."
)

#: The three bodies of a 401 (rally-api-notes.md#login-failures).
_LOGIN_TEXTS: tuple[tuple[str, str, str], ...] = (
    (
        r"username or password you entered is incorrect",
        "Rally does not accept the user name and password (401).",
        (
            "Check username and password. A subscription with single sign-on takes an apiKey only, unless the user is "
            "on its exception list."
        ),
    ),
    (
        r"Full authentication is required",
        "Rally does not accept the API key or login (401).",
        _KEY,
    ),
    (
        r"Authentication object was not found",
        "Rally saw no login in the request (401).",
        ("Check that no proxy on the way removes the ZSESSIONID or Authorization header, and that apiKey is complete."),
    ),
)


def _access_error(context: _Context) -> RallyAccelerateError:
    address = re.search(r"IP address,?\s*([0-9a-fA-F.:]*)", context.text)
    if re.search(r"not within the allowed range", context.text, re.IGNORECASE):
        address_text = f" {address[1].rstrip('.:')}" if address and address[1] else ""
        return AccessDeniedError(
            f"Rally refuses this machine's address{address_text} (403).",
            hint="Ask the Rally subscription administrator to add the address that this machine leaves your network "
            "with to the allowed range.",
        )
    if error := explain_certificate_page(context.reply, context.route) or explain_block(context.reply, context.route):
        return error
    others = (
        " If Rally has no such page, a proxy or gateway on the way gave it: ask its operators."
        if context.is_html and not context.reply.is_from_service
        else ""
    )
    return AccessDeniedError(
        f"Rally does not allow reading {context.resource} (403).{context.service_message}",
        hint=account_hint(context.text)
        or f"Give the user of this key or login at least viewer rights in the workspace and its projects.{others}",
    )


def _proxy_login_error(context: _Context) -> RallyAccelerateError:
    return explain_proxy_login(context.status, context.headers, context.route)


#: Built-in types of Rally that are queried (rally-api-notes.md#addresses).
# fmt: off
_BUILT_IN_TYPES = frozenset({
    "artifact", "conversationpost", "defect", "defectsuite", "hierarchicalrequirement", "iteration",
    "milestone", "portfolioitem", "project", "recyclebinentry", "release", "revision", "subscription", "tag",
    "task", "testcase", "testset", "typedefinition", "user", "users", "workspace",
})
# fmt: on


def _missing_error(context: _Context) -> RallyAccelerateError:
    _, _, kind = context.resource.partition("/webservice/v2.0/")
    if re.fullmatch(r"(portfolioitem/)?\w+", kind) and kind not in _BUILT_IN_TYPES:
        return NotFoundError(
            f'Rally has no type "{kind}" here (404).',
            hint="Correct types: stories are HierarchicalRequirement, a portfolio level is PortfolioItem/<its name>, "
            "and each workspace names its levels.",
        )
    return NotFoundError(
        f"There is nothing at {context.resource} (404).",
        hint="Check baseUrl: only the server's address, for example https://rally1.rallydev.com. If types names one "
        "of your own, check its spelling.",
    )


def _size_error(context: _Context) -> RallyAccelerateError:
    return RequestTooLargeError(
        f"The request for {context.resource} is too large for the server or a gateway ({context.status}).",
        hint="Shorten the extra filter (query) or name fewer projects; a proxy can have a lower limit than Rally.",
    )


def _rate_limit_error(context: _Context) -> RallyAccelerateError:
    # Rally is not known to send it; gateways in front of it can (rally-api-notes.md#http-failures).
    wait = context.retry_after
    until = f", and to wait {wait:,.0f} s" if wait else ""
    return RateLimitedError(f"Rally asks for fewer requests (429){until}.", retry_after=wait)


def _timeout_error(context: _Context) -> RallyAccelerateError:
    return ServiceTimeoutError(
        f"Rally did not finish {context.resource} within its time limit ({context.status}).",
        retry_after=context.retry_after,
    )


def _gateway_error(context: _Context) -> RallyAccelerateError:
    if context.reply.is_from_proxy():
        return _proxy_error(context)
    if context.seconds is not None and context.seconds < GATEWAY_ONLY_SECONDS:
        return UnavailableError(
            "The gateway before Rally gets no answer from it (502).", retry_after=context.retry_after
        )
    return _timeout_error(context)


def _unavailable_error(context: _Context) -> RallyAccelerateError:
    if context.reply.is_from_proxy():
        return _proxy_error(context)
    return UnavailableError(
        f"Rally is not available ({context.status}): maintenance or restart.", retry_after=context.retry_after
    )


def _proxy_error(context: _Context) -> RallyAccelerateError:
    proxy = context.route.proxy_name
    return UnavailableError(
        f"{proxy[:1].upper()}{proxy[1:]} gets no answer from Rally ({context.status}).{context.service_message}",
        hint=f"Check that the proxy may reach {context.route.host} and resolves its name, and that baseUrl is right.",
        retry_after=context.retry_after,
    )


def _cloudflare_error(context: _Context) -> RallyAccelerateError:
    """Return the error for a status of Cloudflare: its server is unreachable or sends an invalid response."""
    return UnavailableError(
        f"The gateway before Rally gets no usable answer from it ({context.status}).",
        hint="Wait: it usually passes, and the next run continues. If it does not, ask Rally's support.",
        retry_after=context.retry_after,
    )


def _portal_error(context: _Context) -> RallyAccelerateError:
    return explain_portal(context.reply, context.route)


def _conflict_error(context: _Context) -> RallyAccelerateError:
    # Live-tested clients try again on a conflict (rally-api-notes.md#http-failures); for a reader it means a moment of
    # change.
    return UnavailableError(f"Rally reports a conflict for {context.resource} (409).", retry_after=context.retry_after)


_BY_STATUS: Mapping[int, Callable[[_Context], RallyAccelerateError]] = {
    401: _login_error,
    403: _access_error,
    404: _missing_error,
    407: _proxy_login_error,
    408: _timeout_error,
    409: _conflict_error,
    413: _size_error,
    414: _size_error,
    429: _rate_limit_error,
    431: _size_error,
    502: _gateway_error,
    503: _unavailable_error,
    504: _timeout_error,
    511: _portal_error,
    **dict.fromkeys((520, 521, 522, 523, 525, 526, 527, 530), _cloudflare_error),
    524: _timeout_error,
}


def _client_error(context: _Context) -> RallyAccelerateError:
    for text in context.errors:
        return error_of(text, context.resource)
    reply, route = context.reply, context.route
    if (
        error := explain_certificate_page(reply, route)
        or explain_https_only(reply, route)
        or explain_block(reply, route)
    ):
        return error
    others = "" if reply.is_from_service else " If it is not Rally that answers so, a proxy or gateway does."
    page = f", with a page{reply.title}" if reply.title else ""
    return RejectedError(
        f"The server refuses the request for {context.resource} ({context.status}){page}.{context.service_message}",
        hint=f"Check baseUrl and the extra filter (query).{others}",
    )


def _server_error(context: _Context) -> RallyAccelerateError:
    return UnavailableError(
        f"Rally fails on {context.resource} ({context.status}).{context.service_message}",
        hint="If the error persists, try without the extra filter (query) and ask Rally's support.",
        retry_after=context.retry_after,
    )


_FORM = re.compile(r"(?i)type=['\"]?password|SAMLRe(quest|sponse)|j_username")
_MAINTENANCE = re.compile(r"(?i)maintenance|unavailable|offline|be back|upgrad")


def _page_error(context: _Context) -> RallyAccelerateError:
    """Return the error for HTML with a good status: a login page, maintenance, or a page of another server.

    See rally-api-notes.md#http-failures and rally-api-notes.md#login-failures.
    """
    # Login and filter pages ask to upgrade the browser, or call the page unavailable.
    asks_to_sign_in = _FORM.search(context.text)
    if not asks_to_sign_in and re.search(_MAINTENANCE, context.text):
        return UnavailableError(
            f"Rally shows a maintenance page.{context.service_message}", retry_after=context.retry_after
        )
    if error := explain_page(context.reply, context.route):
        return error
    return UnavailableError(
        f"A web page came instead of data for {context.resource}.{context.service_message}",
        hint="If the error persists, check that baseUrl is a Rally server and that no proxy or portal of your "
        "network answers in its place.",
        retry_after=context.retry_after,
    )


# --- the body of a good status ---------------------------------------------------------------------------------------


def _parse_body(context: _Context) -> Answer:
    length = context.headers.get("content-length") or ""
    compressed = (context.headers.get("content-encoding") or "identity").lower() != "identity"
    if length.isdecimal() and not compressed and int(length) > len(context.body):
        raise TruncatedResponseError(
            f"The answer for {context.resource} ended after {len(context.body)} of {length} bytes."
        )
    try:
        decoded = decode_json(context.body)
    except JsonDecodeError as error:
        raise _decoding_error(context, error) from None
    data = decoded.data
    inside = _unwrap(data)
    if inside is None:
        # Errors can also be next to the envelope (rally-api-notes.md#envelopes).
        for text in _iterate_texts(data, "Errors"):
            raise error_of(text, context.resource)
        raise UnexpectedResponseError(f"The answer for {context.resource} is not Rally's.{context.service_message}")
    for text in _iterate_texts(data, "Errors"):
        raise error_of(text, context.resource)
    if "OperationResult" in data:
        # Only failures and writes answer so (rally-api-notes.md#envelopes), and nothing here writes.
        raise UnexpectedResponseError(f"Rally returned an empty operation result for {context.resource}.")
    warnings = tuple(dict.fromkeys(excerpt(text) for text in _iterate_texts(data, "Warnings")))
    return Answer(inside, warnings, context.date, _find_repaired_rows(data, decoded.repaired))


def _decoding_error(context: _Context, error: JsonDecodeError) -> RallyAccelerateError:
    if context.body.startswith(_GZIP):
        return UnexpectedResponseError(
            f"The answer for {context.resource} is compressed (gzip) and does not say so, or is compressed twice.",
            hint="A proxy or gateway on the way to Rally changes answers: have it pass the header Content-Encoding on, "
            "and compress nothing again.",
        )
    if not context.body:
        return TruncatedResponseError(f"The answer for {context.resource} is empty.")
    if context.first_character not in {"{", ""}:
        return UnexpectedResponseError(f"The answer for {context.resource} is not JSON.{context.service_message}")
    if error.is_truncated:
        return TruncatedResponseError(
            f"The answer for {context.resource} ended in the middle, after {len(context.body)} bytes."
        )
    # A part is missing or was replaced; the next response can be complete.
    return TruncatedResponseError(
        f"The answer for {context.resource} is damaged: {error.reason} at line {error.line}, column {error.column}."
    )


def _find_repaired_rows(data: Any, paths: Iterable[Place]) -> tuple[Mapping[str, Any], ...]:
    """Return the rows, or the single object, that contain repaired texts, without repeats."""
    rows: dict[int, Mapping[str, Any]] = {}
    for path in paths:
        inner = data
        row: Mapping[str, Any] = {}
        for step in path:
            # Rows are the elements of the outermost list; what is nested in one belongs to it.
            inner = inner[step]
            row = inner if isinstance(inner, dict) else row
            if isinstance(step, int):
                break
        # The envelope's own texts keep their kind: errors or warnings.
        if row and "Results" not in row:
            rows[id(row)] = row
    return tuple(rows.values())


def _unwrap(data: Any) -> Mapping[str, Any] | None:
    """Return the content of the envelope: ``QueryResult``, ``OperationResult``, an object, or Lookback's bare one."""
    if not isinstance(data, dict):
        return None
    for name in ("QueryResult", "OperationResult"):
        if isinstance(data.get(name), dict):
            return data[name]  # type: ignore[no-any-return]  # JSON is Any until it is read
    if isinstance(data.get("Results"), list):
        return data
    objects = [value for key, value in data.items() if isinstance(value, dict) and key not in {"Errors", "Warnings"}]
    # An object's wrapper is its ElementName (rally-api-notes.md#envelopes), which is not known in advance.
    if len(objects) == 1 and any(key.startswith("_") or key in {"ObjectID", "Errors"} for key in objects[0]):
        return objects[0]
    return None


def _iterate_texts(data: Any, name: str) -> Iterable[str]:
    """Yield the members of ``Errors[]`` or ``Warnings[]``, inside the envelope and next to it.

    See rally-api-notes.md#envelopes.
    """
    if not isinstance(data, dict):
        return
    places = [data, *(value for value in data.values() if isinstance(value, dict))]
    for place in places:
        texts = place.get(name)
        for text in texts if isinstance(texts, list) else []:
            yield text if isinstance(text, str) else str(text)
