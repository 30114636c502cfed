"""Addresses of Accelerate, and conversion of its responses to data or to specific errors. No I/O."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from rally_accelerate.accelerate import documents
from rally_accelerate.errors import (
    AccessDeniedError,
    ConfigError,
    InternalServerError,
    NotFoundError,
    Problem,
    RallyAccelerateError,
    RateLimitedError,
    RejectedError,
    RequestTooLargeError,
    ServiceTimeoutError,
    TruncatedResponseError,
    UnavailableError,
    UnexpectedResponseError,
)
from rally_accelerate.model.addresses import clean_address, is_host
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
from rally_accelerate.model.lenient_json import JsonDecodeError, decode_json, decode_text
from rally_accelerate.model.text_folding import normalize_typography, strip_quotes

API = "/release-events-api"

#: How much of a service's own words is repeated.
EXCERPT = 300

_REFUSAL_CODES = {"UNAUTHENTICATED", "FORBIDDEN"}
#: Only at the beginning: a message about an item may quote any word from the item.
_REFUSAL_WORDS = re.compile(
    r"(?i)(error:\s*)?(not authori[sz]ed|unauthori[sz]ed|unauthenticated|forbidden|access denied|permission denied"
    r"|(user )?access key|you do not have)"
)


def graphql_address(server: str) -> str:
    """Return the GraphQL URL for any form of server URL.

    ``https://host``, ``https://host/release-events-api`` (what the platform hands to plug-ins,
    accelerate-api-notes.md#run-arguments) and the full address are all understood.

    Raises:
        ConfigError: It is no address.
    """
    text = clean_address(normalize_typography(strip_quotes(server)))
    if not text:
        raise ConfigError(
            "the URL of the Accelerate server is not set",
            problems=[Problem("properties.accelerateUrl", "is missing")],
            hint="Set accelerateUrl in the properties, --accelerate-url or ACCELERATE_URL.",
        )
    if "://" not in text:
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        readable = parts.scheme in {"http", "https"} and is_host(parts.hostname or "") and parts.port != 0
    except ValueError:
        # An unclosed bracket, or a port that is no number up to 65535.
        readable = False
    if not readable:
        raise _unusable("must be like https://accelerate.example")
    if parts.username is not None or parts.password is not None:
        raise _unusable("must not hold a user or password; give the access key as ucvAccessKey")
    path = parts.path.rstrip("/").removesuffix("/graphql")
    if not path.endswith(API):
        path += API
    return f"{parts.scheme}://{parts.netloc.lower()}{path}/graphql"


def authorization(key: str) -> str:
    """Return the header that carries an access key (accelerate-api-notes.md#endpoint).

    Raises:
        ConfigError: The key holds what no header can carry.
    """
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            "the access key cannot be sent",
            problems=[Problem("properties.ucvAccessKey", "contains invalid characters; copy it again")],
        )
    return f"UserAccessKey {key}"


def _unusable(text: str) -> ConfigError:
    return ConfigError(
        "the address of the Accelerate server cannot be used",
        problems=[Problem("properties.accelerateUrl", text)],
        hint="Check accelerateUrl: enter the URL of the server only.",
    )


def parse_response(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    *,
    route: Route = Route(service="Accelerate", setting="accelerateUrl"),  # noqa: B008 - a frozen value
) -> Mapping[str, Any]:
    """Return the ``data`` of a response, or raise the error that it means.

    Args:
        status: The HTTP status.
        headers: The headers, by lower-case name.
        content: The whole body.
        route: How the request was sent.

    Raises:
        PermanentError: Trying again does not help.
        TransientError: Trying again can help.
    """
    text = decode_text(content[:20_000])
    marked = text.strip()[:1] == "{"
    reply = Reply(request="GraphQL", status=status, headers=headers, text=text, is_from_service=marked)
    if not marked and (foreign := _foreign(reply, route)):
        raise foreign
    match status:
        case 401 | 403:
            raise _access_denied(f"Accelerate refuses the access key (HTTP {status})", route)
        case 404 | 405:
            raise NotFoundError(
                f"there is no Accelerate GraphQL endpoint at this address (HTTP {status})",
                hint="Check accelerateUrl; the endpoint is <server>/release-events-api/graphql.",
            )
        case 407:
            raise explain_proxy_login(status, headers, route)
        case 413:
            raise RequestTooLargeError("Accelerate rejected the upload as too large (HTTP 413)")
        case 429:
            raise RateLimitedError("Accelerate is limiting requests (HTTP 429)", retry_after=_seconds(headers))
        case 408 | 504 | 524:
            raise ServiceTimeoutError(f"Accelerate did not answer in time (HTTP {status})")
        case 502 | 503:
            raise UnavailableError(f"Accelerate is not available (HTTP {status})", retry_after=_seconds(headers))
    answer = _read(status, content)
    if errors := answer.get("errors"):
        raise _graphql_error(errors)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise InternalServerError(f"Accelerate failed (HTTP {status})")
    data = answer.get("data")
    if data is None and "data" in answer:
        raise UnexpectedResponseError(
            f"Accelerate's answer (HTTP {status}) has no data and no error",
            hint="See the log of Accelerate's release-events-api for the reason. The next run sends it again.",
        )
    if status >= HTTPStatus.MULTIPLE_CHOICES or not isinstance(data, dict):
        raise UnexpectedResponseError(f"Accelerate's answer (HTTP {status}) is no GraphQL answer")
    return data


def check_acknowledgement(data: Mapping[str, Any]) -> None:
    """Check that the ``data`` of an upload's answer acknowledges it.

    Only ``result: true`` of an answer that is there does; ``uploadIssueData`` and ``result`` are both nullable, and a
    null without errors says nothing about what became of the upload (accelerate-api-notes.md#acknowledgements).

    Raises:
        RejectedError: The server says that it did not take the upload.
        InternalServerError: The server does not say whether it took the upload; trying again is safe, as issues are
            replaced.
    """
    answer = data.get("uploadIssueData")
    result = answer.get("result") if isinstance(answer, Mapping) else None
    if result is False:
        raise RejectedError("Accelerate returned result: false")
    if result is not True:
        detail = "uploadIssueData: null" if answer is None else "no result"
        raise InternalServerError(
            f"Accelerate did not acknowledge the upload ({detail})",
            hint="See the log of Accelerate's release-events-api for the reason. The next run sends it again.",
        )


# A table of statuses reads better than one exit.
def _foreign(reply: Reply, route: Route) -> RallyAccelerateError | None:  # noqa: PLR0911
    """Return the error for a response that does not come from Accelerate."""
    match reply.status:
        case 401:
            return explain_login_refusal(reply, route)
        case 400:
            return explain_certificate_page(reply, route) or explain_https_only(reply, route)
        case 511:
            return explain_portal(reply, route)
        case 403:
            return explain_certificate_page(reply, route) or explain_block(reply, route)
        case status if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            return explain_redirect(reply, route)
        case HTTPStatus.OK if reply.is_page:
            return explain_page(reply, route)
        case HTTPStatus.BAD_GATEWAY | HTTPStatus.SERVICE_UNAVAILABLE if reply.is_from_proxy():
            return UnavailableError(
                f"a proxy gets no answer from Accelerate (HTTP {reply.status})",
                hint=f"Check that the proxy may reach {route.host}, or pass it by with noProxy.",
            )
    return None


def _read(status: int, content: bytes) -> dict[str, Any]:
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and not content.strip():
        raise UnexpectedResponseError(
            f"Accelerate's answer (HTTP {status}) is empty",
            hint="Check accelerateUrl: a gateway or another server responds instead of Accelerate.",
        )
    try:
        answer = decode_json(content).data
    except JsonDecodeError as error:
        start = decode_text(content[:1_000]).strip()[:1]
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise InternalServerError(f"Accelerate failed (HTTP {status})") from None
        if start == "<":
            if status == HTTPStatus.OK:
                raise UnexpectedResponseError(
                    "a web page came instead of Accelerate's GraphQL answer",
                    hint="Check accelerateUrl: a portal, a sign-in page or a proxy responds instead.",
                ) from None
            raise UnexpectedResponseError(
                f"a web page (HTTP {status}) came instead of Accelerate's GraphQL answer"
            ) from None
        if start == "{":
            how = "ended in the middle" if error.is_truncated else f"is damaged: {error.reason} at line {error.line}"
            raise TruncatedResponseError(f"Accelerate's answer {how}") from None
        raise UnexpectedResponseError(f"Accelerate's answer (HTTP {status}) is no JSON") from None
    if not isinstance(answer, dict):
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise InternalServerError(f"Accelerate failed (HTTP {status})")
        raise UnexpectedResponseError(f"Accelerate's answer (HTTP {status}) is no GraphQL answer")
    return answer


def _graphql_error(errors: Any) -> RejectedError | AccessDeniedError:
    """Return the error for GraphQL errors, also with HTTP status 200 (accelerate-api-notes.md#graphql-errors)."""
    listed = errors if isinstance(errors, list) else [errors]
    texts = []
    for error in listed:
        text = error.get("message") if isinstance(error, dict) else str(error)
        extensions = error.get("extensions") if isinstance(error, dict) else None
        code = extensions.get("code") if isinstance(extensions, dict) else None
        if isinstance(code, str) and code in _REFUSAL_CODES:
            return _access_denied(f"Accelerate refuses: {_excerpt(text)}")
        texts.append(_excerpt(text))
    message = "; ".join(dict.fromkeys(texts)) or "without a reason"
    if _REFUSAL_WORDS.match(message):
        return _access_denied(f"Accelerate refuses: {message}")
    return RejectedError(f"Accelerate rejects the request: {message}")


def _access_denied(message: str, route: Route | None = None) -> AccessDeniedError:
    path = urlsplit(route.server).path.removesuffix("/graphql").removesuffix(API) if route else ""
    others = f" Check accelerateUrl as well: give the server's address without {path}." if path else ""
    return AccessDeniedError(
        message, hint=f"Check ucvAccessKey. Its user needs a role that can write issues, not only Viewer.{others}"
    )


def _excerpt(text: Any) -> str:
    words = " ".join(str(text or "no message").split())
    return words if len(words) <= EXCERPT else f"{words[:EXCERPT]}…"


def _seconds(headers: Mapping[str, str]) -> float | None:
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return None


def own_issue(value: Any, *, tracker_id: str, external_id: str = "") -> Mapping[str, Any] | None:
    """Return the issue in an ``IssueData``, or None when it belongs to another integration or is another issue.

    Which id ``issue(issueId)`` looks for is not public: it can answer an issue of another integration.

    Args:
        value: An ``IssueData`` of a response.
        tracker_id: The integration whose issue it must be.
        external_id: The ``_id`` that the issue must have; empty accepts any.
    """
    if not isinstance(value, Mapping) or value.get("trackerId") != tracker_id:
        return None
    issue = value.get("issue")
    if not isinstance(issue, Mapping) or (external_id and str(issue.get("_id")) != external_id):
        return None
    return issue


def page_of(value: Any) -> tuple[list[Mapping[str, Any]], str | None]:
    """Return the issues of an ``IssueDataQueryResponse`` and the cursor of its next page, None after the last page.

    Raises:
        UnexpectedResponseError: It has another form, or there are more pages and no cursor.
    """
    nodes = value.get("nodes") if isinstance(value, Mapping) else None
    info = value.get("pageInfo") if isinstance(value, Mapping) else None
    if not isinstance(nodes, list) or not isinstance(info, Mapping):
        raise UnexpectedResponseError("Accelerate's list of a project's issues does not have the published form")
    issues = [entry for entry in nodes if isinstance(entry, Mapping)]
    if not info.get("hasMore"):
        return issues, None
    cursor = info.get("cursor")
    if not isinstance(cursor, str) or not cursor:
        raise UnexpectedResponseError("Accelerate reports more issues in a project but returned no cursor")
    return issues, cursor


def field_names(described: Any) -> set[str]:
    """Return the fields of an issue that can be selected, from what introspection says of ``IssueData``.

    The field ``issue`` is non-null in the published schemas, so its type is wrapped in another one.
    """
    for entry in _dicts_in(described, "fields"):
        if entry.get("name") == "issue":
            kind = entry.get("type")
            inner = kind.get("ofType") if isinstance(kind, Mapping) else None
            fields = _dicts_in(inner, "fields") or _dicts_in(kind, "fields")
            return {str(field.get("name")) for field in fields} & documents.SELECTABLE.keys()
    return set()


def _dicts_in(container: Any, name: str) -> list[Mapping[str, Any]]:
    value = container.get(name) if isinstance(container, Mapping) else None
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
