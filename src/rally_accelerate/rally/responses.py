"""Every answer of Rally becomes data or exactly the right error here; pure.

A status alone means little: errors come with 200, maintenance and login pages too (rally-api-notes.md#http-failures).
So the body decides wherever it can, and the status where it cannot. What an operator should do is in each error's
hint. No message holds a whole body or a secret: at most a short excerpt of the service's own words.
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
    blocked,
    certificate_page,
    page_instead,
    portal,
    proxy_login,
    redirected,
    refused_login,
    wants_https,
)
from rally_accelerate.model.lenient_json import JsonDecodeError, Place, decode_json, decode_text
from rally_accelerate.rally.records import Record
from rally_accelerate.rally.wsapi import http_date, object_id, ref_id

#: Longer texts of the service are cut for messages.
EXCERPT_LENGTH = 200


#: States of subscriptions and accounts. Rally's own words for them are not public; these are assumed.
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
    """Return what to do about the state of a subscription or an account that a text speaks of; empty for none."""
    return next((hint for pattern, hint in _ACCOUNTS if re.search(pattern, text, re.IGNORECASE)), "")


def error_of(text: str, asked: str) -> RallyAccelerateError:
    """The error that a text of ``Errors[]`` stands for.

    See rally-api-notes.md#errors-in-answers and rally-api-notes.md#access-to-snapshots.
    """
    for pattern, kind, hint in _ERROR_TEXTS:
        if re.search(pattern, text, re.IGNORECASE):
            return kind(f'Rally says about {asked}: "{excerpt(text)}".', hint=hint)
    if hint := account_hint(text):
        return AccessDeniedError(f'Rally refuses {asked}: "{excerpt(text)}".', hint=hint)
    return RejectedError(
        f'Rally refuses {asked}: "{excerpt(text)}".',
        hint="Check the extra filter (query), types and projects.",
    )


_ERROR_TEXTS: tuple[tuple[str, type[RallyAccelerateError], str], ...] = (
    (
        r"Cannot find object to read|Could not read: Could not read",
        NotFoundError,
        "The object was deleted, or this user may not see it: check workspace, projects and rights.",
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
    """A short piece of the service's own words, fit for a message: no markup, no blanks in rows, no keys."""
    plain = re.sub(r"(?is)<(script|style|title)\b.*?(</\1>|$)|<!--.*?(-->|$)", " ", text)
    plain = html.unescape(re.sub(r"<[^>]*(>|$)", " ", plain))
    # Control and direction characters could rewrite a terminal's line.
    plain = "".join(char if char.isprintable() else " " for char in plain)
    plain = _SECRETS.sub(lambda found: f"{found[1]}=***" if found[1] else "***", " ".join(plain.split()))
    return plain if len(plain) <= EXCERPT_LENGTH else f"{plain[: EXCERPT_LENGTH - 1]}…"


#: So many items are named in a notice.
MOST_NAMED = 50

#: Whose text it is, where the row is not the item itself: a post's, a revision's (rally-api-notes.md#discussions,
#: rally-api-notes.md#reading-revisions).
_OWNERS = ("Artifact", "RevisionHistory")


@dataclass(slots=True, eq=False)
class Oddities:
    """Items with unreadable texts, and listings that brought less than they announced."""

    #: FormattedIDs, or other names, in the order in which they were met.
    _named: dict[str, None] = field(default_factory=dict)
    #: ObjectIDs of items, or of their revision histories, whose FormattedID is not known yet.
    _unnamed: dict[int, None] = field(default_factory=dict)
    #: By kind of row, how many were announced and did not come.
    _lacking: dict[str, int] = field(default_factory=dict)
    #: By kind of row, how many were left out of pages that had others.
    _skipped: dict[str, int] = field(default_factory=dict)

    def unreadable(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note rows in which texts had to be repaired."""
        for row in rows:
            if key := row.get("FormattedID"):
                self._named[str(key)] = None
                continue
            owner = next((found for name in _OWNERS if (found := ref_id(row.get(name))) is not None), None)
            # A snapshot bears the ObjectID of its item (rally-api-notes.md#snapshots).
            snapshot = object_id(row.get("ObjectID")) if "_ValidFrom" in row else None
            if (found := owner if owner is not None else snapshot) is not None:
                self._unnamed[found] = None
            else:
                self._named[_description(row)] = None

    def lacking(self, kind: str, count: int) -> None:
        """Note that rows were announced and did not come."""
        self._lacking[kind] = max(count, self._lacking.get(kind, 0))

    def skipped(self, kind: str, count: int) -> None:
        """Note that rows were announced and left out of a page, also when it was read again."""
        self._skipped[kind] = self._skipped.get(kind, 0) + count

    def name(self, records: Iterable[Record]) -> None:
        """Find the display ids of items that are only known by ObjectID."""
        if not self._unnamed:
            return
        for record in records:
            for each in (record.object_id, ref_id(record.fields.get("RevisionHistory"))):
                if each in self._unnamed:
                    del self._unnamed[each]
                    self._named[record.key] = None

    def take(self) -> tuple[str, ...]:
        """Return what is worth telling, once."""
        keys = [*self._named, *(f"ObjectID {each}" for each in self._unnamed)]
        sentences = [
            f"Rally announced {count:,} more rows of {kind} but returned an empty page, three times. They may be "
            "hidden from this user; if items are missing, run a full resync."
            for kind, count in self._lacking.items()
        ]
        sentences += [
            f"Rally announced {count:,} more rows of {kind} than it returned. They may be hidden from this user; if "
            "items are missing, run a full resync."
            for kind, count in self._skipped.items()
        ]
        if keys:
            items = "1 item" if len(keys) == 1 else f"{len(keys):,} items"
            more = f" and {len(keys) - MOST_NAMED:,} more" if len(keys) > MOST_NAMED else ""
            sentences.append(
                f"{items} had unreadable characters: {', '.join(keys[:MOST_NAMED])}{more}. "
                "What could not be read is shown as \ufffd; correct the texts in Rally."
            )
        self._named, self._unnamed, self._lacking, self._skipped = {}, {}, {}, {}
        return tuple(sentences)


def _description(row: Mapping[str, Any]) -> str:
    """What a row that belongs to no item is called."""
    name = str(row.get("Name") or row.get("_refObjectName") or row.get("ObjectID") or "").strip()
    return " ".join(part for part in (str(row.get("_type") or "").strip(), f'"{name}"' if name else "") if part) or "?"


#: Rally cuts requests at 4 to 5 minutes with 502 or 524 (rally-api-notes.md#limits); a 502 that comes sooner than this
#: is a gateway without a server behind it, and asking for less would not help.
SOON_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a read brought."""

    #: The inside of the envelope: ``QueryResult``'s members, or those of a single object.
    data: Mapping[str, Any]
    #: The service's ``Warnings[]``, without repeats.
    warnings: tuple[str, ...] = ()
    #: The service's clock when it answered; None when it did not say.
    date: datetime | None = None
    #: The rows in which texts had to be repaired.
    unreadable: tuple[Mapping[str, Any], ...] = ()


def decipher(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    asked: str,
    seconds: float | None = None,
    route: Route = Route(),  # noqa: B008 - a frozen value
) -> Answer:
    """The data of an answer.

    Args:
        status: The HTTP status.
        headers: The HTTP headers; names in lower case, or a mapping that ignores case.
        body: The whole body after decompression.
        asked: What was asked for, for the error's sentence, for example ``/slm/webservice/v2.0/defect``.
        seconds: How long the answer took, if known.
        route: How the request was sent.

    Raises:
        AccessDeniedError: Login, rights, single sign-on or address list.
        NotFoundError, RejectedError, RequestTooLargeError, UnexpectedResponseError: Other lasting refusals.
        RateLimitedError, UnavailableError, ServiceTimeoutError, TruncatedResponseError: What may pass.
    """
    context = _Context(status, headers, body, asked, seconds, route)
    if status in _BY_STATUS:
        raise _BY_STATUS[status](context)
    if 300 <= status < 400:  # noqa: PLR2004 - the class of redirects
        raise redirected(context.reply, route)
    if 400 <= status < 500:  # noqa: PLR2004 - the class of refusals
        raise _refusal(context)
    if status >= 500:  # noqa: PLR2004 - the class of failures
        raise _failure(context)
    if context.is_html:
        raise _page_instead_of_data(context)
    if "FindProxyForURL" in context.text and (error := page_instead(context.reply, route)):
        raise error
    return _read(context)


@dataclass(frozen=True, slots=True)
class _Context:
    status: int
    headers: Mapping[str, str]
    body: bytes
    asked: str
    seconds: float | None
    route: Route

    @property
    def reply(self) -> Reply:
        """The answer for the question who gave it."""
        marked = self.start == "{" or bool(_MARKS.search(self.text)) or any(map(_MARK_NAMES.match, self.headers))
        return Reply(asked=self.asked, status=self.status, headers=self.headers, text=self.text, marked=marked)

    @property
    def is_html(self) -> bool:
        return self.start == "<"

    @property
    def start(self) -> str:
        """The first character that is no white space; empty when there is none."""
        return decode_text(self.body[:1_000]).strip()[:1]

    @property
    def text(self) -> str:
        """The beginning of the body as text; enough to recognise any page."""
        return decode_text(self.body[:20_000])

    @property
    def words(self) -> str:
        said = self.errors or ([excerpt(self.text)] if self.is_html or self.text.strip() else [])
        return f' It says: "{excerpt("; ".join(said))}".' if any(said) else ""

    @property
    def errors(self) -> list[str]:
        """``Errors[]`` of a JSON body, or nothing."""
        try:
            data = decode_json(self.body).data
        except JsonDecodeError:
            return []
        return list(_texts(data, "Errors"))

    @property
    def date(self) -> datetime | None:
        return http_date(self.headers.get("date"))

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait: given as such, or as a date, which is relative to the service's own clock."""
        value = (self.headers.get("retry-after") or "").strip()
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value, re.ASCII):
            return float(value)
        until, now = http_date(value), self.date
        return max(0.0, (until - now).total_seconds()) if until and now else None


#: Every document of this format begins so (RFC 1952).
_GZIP = b"\x1f\x8b"

#: What Rally's own refusals say (rally-api-notes.md#login-failures, rally-api-notes.md#http-failures), and how its
#: headers are named.
_MARKS = re.compile(
    r"(?i)Problem accessing /slm/|Full authentication is required|Authentication object was not found|"
    r"username or password you entered|not within the allowed range|An unexpected error has occurred"
)
_MARK_NAMES = re.compile(r"(?i)(x-)?rally")


# --- by status -------------------------------------------------------------------------------------------------------


def _unauthorized(context: _Context) -> RallyAccelerateError:
    if error := refused_login(context.reply, context.route):
        return error
    for pattern, message, hint in _LOGIN_TEXTS:
        if re.search(pattern, context.text, re.IGNORECASE):
            if context.route.key and "user name and password" in message:
                return AccessDeniedError("Rally does not accept the API key (401).", hint=_KEY)
            return AccessDeniedError(message, hint=hint)
    return AccessDeniedError(
        f"Rally refuses the login (401) for {context.asked}.{context.words}",
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


def _forbidden(context: _Context) -> RallyAccelerateError:
    address = re.search(r"IP address,?\s*([0-9a-fA-F.:]*)", context.text)
    if re.search(r"not within the allowed range", context.text, re.IGNORECASE):
        shown = f" {address[1].rstrip('.:')}" if address and address[1] else ""
        return AccessDeniedError(
            f"Rally refuses this machine's address{shown} (403).",
            hint="Ask the Rally subscription administrator to add the address that this machine leaves your network "
            "with to the allowed range.",
        )
    if error := certificate_page(context.reply, context.route) or blocked(context.reply, context.route):
        return error
    others = (
        " If Rally has no such page, a proxy or gateway on the way gave it: ask its operators."
        if context.is_html and not context.reply.marked
        else ""
    )
    return AccessDeniedError(
        f"Rally does not allow reading {context.asked} (403).{context.words}",
        hint=account_hint(context.text)
        or f"Give the user of this key or login at least viewer rights in the workspace and its projects.{others}",
    )


def _proxy_login(context: _Context) -> RallyAccelerateError:
    return proxy_login(context.status, context.headers, context.route)


#: Types that every Rally has (rally-api-notes.md#addresses), as far as they are asked for.
# fmt: off
_EVERYWHERE = frozenset({
    "artifact", "conversationpost", "defect", "defectsuite", "hierarchicalrequirement", "iteration",
    "milestone", "portfolioitem", "project", "recyclebinentry", "release", "revision", "subscription", "tag",
    "task", "testcase", "testset", "typedefinition", "user", "users", "workspace",
})
# fmt: on


def _not_found(context: _Context) -> RallyAccelerateError:
    _, _, kind = context.asked.partition("/webservice/v2.0/")
    if re.fullmatch(r"(portfolioitem/)?\w+", kind) and kind not in _EVERYWHERE:
        return NotFoundError(
            f'Rally has no type "{kind}" here (404).',
            hint="Correct types: stories are HierarchicalRequirement, a portfolio level is PortfolioItem/<its name>, "
            "and levels have names of the workspace's own.",
        )
    return NotFoundError(
        f"There is nothing at {context.asked} (404).",
        hint="Check baseUrl: only the server's address, for example https://rally1.rallydev.com. If types names one "
        "of your own, check its spelling.",
    )


def _too_large(context: _Context) -> RallyAccelerateError:
    return RequestTooLargeError(
        f"The request for {context.asked} is too large for the server or a gateway ({context.status}).",
        hint="Shorten the extra filter (query) or name fewer projects; a proxy on the way may have a limit of its own.",
    )


def _throttled(context: _Context) -> RallyAccelerateError:
    # Rally is not known to send it; gateways before it may (rally-api-notes.md#http-failures).
    wait = context.retry_after
    until = f", and to wait {wait:,.0f} s" if wait else ""
    return RateLimitedError(f"Rally asks for fewer requests (429){until}.", retry_after=wait)


def _worked_too_long(context: _Context) -> RallyAccelerateError:
    return ServiceTimeoutError(
        f"Rally did not finish {context.asked} within its time limit ({context.status}).",
        retry_after=context.retry_after,
    )


def _bad_gateway(context: _Context) -> RallyAccelerateError:
    if context.reply.is_of_a_proxy():
        return _proxy_failed(context)
    if context.seconds is not None and context.seconds < SOON_SECONDS:
        return UnavailableError(
            "The gateway before Rally gets no answer from it (502).", retry_after=context.retry_after
        )
    return _worked_too_long(context)


def _maintenance(context: _Context) -> RallyAccelerateError:
    if context.reply.is_of_a_proxy():
        return _proxy_failed(context)
    return UnavailableError(
        f"Rally is not available ({context.status}): maintenance or restart.", retry_after=context.retry_after
    )


def _proxy_failed(context: _Context) -> RallyAccelerateError:
    the_proxy = context.route.the_proxy
    return UnavailableError(
        f"{the_proxy[:1].upper()}{the_proxy[1:]} gets no answer from Rally ({context.status}).{context.words}",
        hint=f"Check that the proxy may reach {context.route.host} and resolves its name, and that baseUrl is right.",
        retry_after=context.retry_after,
    )


def _gateway_failed(context: _Context) -> RallyAccelerateError:
    """Cloudflare's own statuses: it does not reach the server behind it, or cannot use what it says."""
    return UnavailableError(
        f"The gateway before Rally gets no usable answer from it ({context.status}).",
        hint="Wait: it usually passes, and the next run continues. If it does not, ask Rally's support.",
        retry_after=context.retry_after,
    )


def _portal(context: _Context) -> RallyAccelerateError:
    return portal(context.reply, context.route)


def _conflict(context: _Context) -> RallyAccelerateError:
    # Live-tested clients try again on a conflict (rally-api-notes.md#http-failures); for a reader it means a moment of
    # change.
    return UnavailableError(f"Rally reports a conflict for {context.asked} (409).", retry_after=context.retry_after)


_BY_STATUS: Mapping[int, Callable[[_Context], RallyAccelerateError]] = {
    401: _unauthorized,
    403: _forbidden,
    404: _not_found,
    407: _proxy_login,
    408: _worked_too_long,
    409: _conflict,
    413: _too_large,
    414: _too_large,
    429: _throttled,
    431: _too_large,
    502: _bad_gateway,
    503: _maintenance,
    504: _worked_too_long,
    511: _portal,
    **dict.fromkeys((520, 521, 522, 523, 525, 526, 527, 530), _gateway_failed),
    524: _worked_too_long,
}


def _refusal(context: _Context) -> RallyAccelerateError:
    for text in context.errors:
        return error_of(text, context.asked)
    reply, route = context.reply, context.route
    if error := certificate_page(reply, route) or wants_https(reply, route) or blocked(reply, route):
        return error
    others = "" if reply.marked else " If it is not Rally that answers so, a proxy or gateway does."
    page = f", with a page{reply.title}" if reply.title else ""
    return RejectedError(
        f"The server refuses the request for {context.asked} ({context.status}){page}.{context.words}",
        hint=f"Check baseUrl and the extra filter (query).{others}",
    )


def _failure(context: _Context) -> RallyAccelerateError:
    return UnavailableError(
        f"Rally fails on {context.asked} ({context.status}).{context.words}",
        hint="If it does not pass by itself, try without the extra filter (query) and ask Rally's support.",
        retry_after=context.retry_after,
    )


_FORM = re.compile(r"(?i)type=['\"]?password|SAMLRe(quest|sponse)|j_username")
_MAINTENANCE = re.compile(r"(?i)maintenance|unavailable|offline|be back|upgrad")


def _page_instead_of_data(context: _Context) -> RallyAccelerateError:
    """HTML with a good status: a login page, maintenance, or somebody else's page.

    See rally-api-notes.md#http-failures and rally-api-notes.md#login-failures.
    """
    # Login and filter pages ask to upgrade the browser, or call the page unavailable.
    asks_to_sign_in = _FORM.search(context.text)
    if not asks_to_sign_in and re.search(_MAINTENANCE, context.text):
        return UnavailableError(f"Rally shows a maintenance page.{context.words}", retry_after=context.retry_after)
    if error := page_instead(context.reply, context.route):
        return error
    return UnavailableError(
        f"A web page came instead of data for {context.asked}.{context.words}",
        hint="If it does not pass by itself: check that baseUrl is a Rally server and that no proxy or portal of your "
        "network answers in its place.",
        retry_after=context.retry_after,
    )


# --- the body of a good status ---------------------------------------------------------------------------------------


def _read(context: _Context) -> Answer:
    length = context.headers.get("content-length") or ""
    compressed = (context.headers.get("content-encoding") or "identity").lower() != "identity"
    if length.isdecimal() and not compressed and int(length) > len(context.body):
        raise TruncatedResponseError(
            f"The answer for {context.asked} ended after {len(context.body)} of {length} bytes."
        )
    try:
        decoded = decode_json(context.body)
    except JsonDecodeError as error:
        raise _undecodable(context, error) from None
    data = decoded.data
    inside = _unwrapped(data)
    if inside is None:
        # Errors may stand beside the envelope too (rally-api-notes.md#envelopes): look there before giving up.
        for text in _texts(data, "Errors"):
            raise error_of(text, context.asked)
        raise UnexpectedResponseError(f"The answer for {context.asked} is not Rally's.{context.words}")
    for text in _texts(data, "Errors"):
        raise error_of(text, context.asked)
    if "OperationResult" in data:
        # Only failures and writes answer so (rally-api-notes.md#envelopes), and nothing here writes.
        raise UnexpectedResponseError(f"Rally answers the read of {context.asked} with an empty operation result.")
    warnings = tuple(dict.fromkeys(excerpt(text) for text in _texts(data, "Warnings")))
    return Answer(inside, warnings, context.date, _repaired_rows(data, decoded.repaired))


def _undecodable(context: _Context, error: JsonDecodeError) -> RallyAccelerateError:
    if context.body.startswith(_GZIP):
        return UnexpectedResponseError(
            f"The answer for {context.asked} is compressed (gzip) and does not say so, or is compressed twice.",
            hint="A proxy or gateway on the way to Rally changes answers: have it pass the header Content-Encoding on, "
            "and compress nothing again.",
        )
    if not context.body:
        return TruncatedResponseError(f"The answer for {context.asked} is empty.")
    if context.start not in {"{", ""}:
        return UnexpectedResponseError(f"The answer for {context.asked} is not JSON.{context.words}")
    if error.ended:
        return TruncatedResponseError(
            f"The answer for {context.asked} ended in the middle, after {len(context.body)} bytes."
        )
    # A piece is missing, or something else was put in between: it may come whole the next time.
    return TruncatedResponseError(
        f"The answer for {context.asked} is damaged: {error.reason} at line {error.line}, column {error.column}."
    )


def _repaired_rows(data: Any, places: Iterable[Place]) -> tuple[Mapping[str, Any], ...]:
    """The rows, or the single object, around the places of repaired texts, each once."""
    rows: dict[int, Mapping[str, Any]] = {}
    for place in places:
        inner = data
        row: Mapping[str, Any] = {}
        for step in place:
            # Rows are the elements of the outermost list; what is nested in one belongs to it.
            inner = inner[step]
            row = inner if isinstance(inner, dict) else row
            if isinstance(step, int):
                break
        # The envelope's own texts keep their kind: errors or warnings.
        if row and "Results" not in row:
            rows[id(row)] = row
    return tuple(rows.values())


def _unwrapped(data: Any) -> Mapping[str, Any] | None:
    """The members of the envelope: ``QueryResult``, ``OperationResult``, a single object, or Lookback's bare one."""
    if not isinstance(data, dict):
        return None
    for name in ("QueryResult", "OperationResult"):
        if isinstance(data.get(name), dict):
            return data[name]  # type: ignore[no-any-return]  # JSON is Any until it is read
    if isinstance(data.get("Results"), list):
        return data
    objects = [value for key, value in data.items() if isinstance(value, dict) and key not in {"Errors", "Warnings"}]
    # An object's wrapper is its ElementName (rally-api-notes.md#envelopes), which cannot be told beforehand.
    if len(objects) == 1 and any(key.startswith("_") or key in {"ObjectID", "Errors"} for key in objects[0]):
        return objects[0]
    return None


def _texts(data: Any, name: str) -> Iterable[str]:
    """The members of ``Errors[]`` or ``Warnings[]``, inside the envelope and beside it.

    See rally-api-notes.md#envelopes.
    """
    if not isinstance(data, dict):
        return
    places = [data, *(value for value in data.values() if isinstance(value, dict))]
    for place in places:
        texts = place.get(name)
        for text in texts if isinstance(texts, list) else []:
            yield text if isinstance(text, str) else str(text)
