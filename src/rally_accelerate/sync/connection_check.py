"""Connection test: every step from here to Rally and Accelerate, in order, with what to do if one fails."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum

from pydantic import SecretStr

from rally_accelerate.config.model import Integration
from rally_accelerate.config.no_proxy import get_proxy_server
from rally_accelerate.errors import (
    AccessDeniedError,
    CertificateVerificationError,
    ConfigError,
    RallyAccelerateError,
    UnreachableError,
)
from rally_accelerate.mapping.coverage import describe_unknown_values, find_compared_values
from rally_accelerate.mapping.issue import DEFAULT_SOURCES
from rally_accelerate.mapping.item_types import get_kind
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.rally.records import Scope, Workspace
from rally_accelerate.sync.empty_sync import find_cause
from rally_accelerate.sync.removals import removal_settings
from rally_accelerate.sync.wiring import Links, Target, connect, load_rules

#: How many project names a finding lists.
MAX_NAMES = 10

#: For how long a check tries a failing request again.
RETRY_SECONDS = 5.0


class Link(StrEnum):
    """The links in the order in which a request meets them."""

    PROXY = "proxy"
    ADDRESS = "address"
    TLS = "TLS"
    SERVICE = "service"
    LOGIN = "login"
    WORKSPACE = "workspace"
    PROJECTS = "projects"
    TYPES = "types"
    ITEMS = "items"
    HISTORY = "history"
    REMOVALS = "removed items"
    ACCELERATE = "Accelerate"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one step."""

    link: Link
    text: str
    error: RallyAccelerateError | None = None
    #: True when the link holds but something about it deserves attention.
    doubtful: bool = False


async def run_checks(
    integration: Integration,
    *,
    target: Target | None,
    limiters: LimiterPool,
    begins: Callable[[Link], None] = lambda _: None,
) -> AsyncIterator[Finding]:
    """Test each step and yield its finding; the first failure on the way to Rally ends that part.

    Args:
        integration: The validated settings.
        target: Where the issues would go; None when it is not known.
        limiters: Shared by everything in this process that asks Rally.
        begins: Told of each link before it is waited for.
    """
    # Somebody is waiting for the answer: what is broken now is told now.
    patience = min(integration.properties.retry_seconds, RETRY_SECONDS)
    properties = integration.properties.model_copy(update={"retry_seconds": patience})
    integration = integration.model_copy(update={"properties": properties})
    nowhere = Target("https://accelerate.invalid", SecretStr(""))
    try:
        async with connect(integration, target=target or nowhere, limiters=limiters) as connected:
            async for finding in _check_rally(integration, connected, begins):
                yield finding
            begins(Link.ACCELERATE)
            yield await _check_accelerate(integration, connected, target)
    except RallyAccelerateError as error:
        yield Finding(_broken_link(error, integration), str(error), error)


async def _check_rally(
    integration: Integration, connected: Links, begins: Callable[[Link], None]
) -> AsyncIterator[Finding]:
    # The first answer tells of several links at once: what does not come is waited for at the first of them.
    begins(Link.PROXY if _proxy(integration) else Link.ADDRESS)
    try:
        scope = await connected.source.open_early()
    except RallyAccelerateError as error:
        broken = _broken_link(error, integration)
        for link in _links_before(broken, integration):
            if link is Link.WORKSPACE:
                yield await _check_workspace(integration, connected)
            else:
                yield Finding(link, _success_text(link, integration))
        yield Finding(broken, str(error), error)
        return
    for link in _links_before(Link.WORKSPACE, integration):
        yield Finding(link, _success_text(link, integration))
    yield Finding(Link.WORKSPACE, _workspace_text(scope.workspace))
    yield Finding(Link.PROJECTS, _projects_text(scope))
    for notice in scope.notices:
        yield Finding(Link.PROJECTS, notice, doubtful=True)
    begins(Link.ITEMS)
    try:
        rules, _ = await load_rules(connected.source, integration.properties)
    except RallyAccelerateError as error:
        # Without rules it is not known which fields to ask items for.
        yield Finding(Link.ITEMS, str(error), error)
        return
    for text in await _check_mapped_values(connected, scope, rules):
        yield Finding(Link.ITEMS, text, doubtful=True)
    empty = True
    for kind in scope.kinds:
        finding, count = await _check_items(integration, connected, scope, kind)
        empty = empty and count == 0
        yield finding
    if empty:
        yield await _explain_empty(integration, connected, scope)
    begins(Link.HISTORY)
    yield await _check_history(integration, connected, scope)
    if removal_settings(integration.properties).statuses is not None:
        begins(Link.REMOVALS)
        yield await _check_removals(connected, scope)


async def _check_mapped_values(connected: Links, scope: Scope, rules: Rules) -> list[str]:
    """Return what is to be said of mapped values that their fields do not have: misspelled, former or future ones."""

    def default(kind: str, target: str) -> str:
        if target == "status":
            return get_kind(kind, {}, defect_status=rules.defect_status).status
        return DEFAULT_SOURCES.get(target, "")

    every = list(find_compared_values(rules.compiled, scope.kinds, default))
    fields: dict[str, set[str]] = {}
    for kind, name in dict.fromkeys(pair for value in every for pair in value.fields.items()):
        fields.setdefault(kind, set()).add(name)
    if not fields:
        return []
    try:
        allowed = await connected.source.values(scope, fields)
    except RallyAccelerateError as error:
        return [f"the values in fieldMapping could not be compared with Rally: {error}"]
    return list(describe_unknown_values(every, allowed))


async def _check_workspace(integration: Integration, connected: Links) -> Finding:
    """Return which workspace is used, to help if its projects are wrong."""
    try:
        workspace, _ = await connected.source.projects()
    except RallyAccelerateError:
        return Finding(Link.WORKSPACE, integration.properties.workspace or "the user's default workspace")
    return Finding(Link.WORKSPACE, _workspace_text(workspace))


async def _check_history(integration: Integration, connected: Links, scope: Scope) -> Finding:
    source = integration.properties.history_source
    if source in {"none", "revisions"}:
        return Finding(Link.HISTORY, f"historySource is {source}, so Lookback is not used")
    try:
        fed_until = await connected.source.read_feed_time(scope)
    except RallyAccelerateError as error:
        if source == "lookback":
            return Finding(Link.HISTORY, str(error), error)
        return Finding(
            Link.HISTORY, f"Lookback is not available, so revisions are read instead: {error}", doubtful=True
        )
    if fed_until is None:
        return Finding(Link.HISTORY, "Lookback is available")
    behind = max(0.0, (scope.now - fed_until).total_seconds())
    return Finding(Link.HISTORY, f"Lookback is available, {behind:,.0f} s behind")


async def _check_removals(connected: Links, scope: Scope) -> Finding:
    try:
        # What was deleted within the last moments: one request that reads next to nothing.
        await connected.source.read_recycle_bin(scope, scope.now)
    except RallyAccelerateError as error:
        text = f"the recycle bin cannot be read, so deletions are detected by the daily scan: {error}"
        return Finding(Link.REMOVALS, text, doubtful=True)
    return Finding(Link.REMOVALS, "the recycle bin can be read")


async def _check_items(
    integration: Integration, connected: Links, scope: Scope, kind: str
) -> tuple[Finding, int | None]:
    """Return what to report about a type, and how many items it has; None when they cannot be counted."""
    since = integration.properties.initial_sync_date
    changed = f" that changed since {since:%Y-%m-%d}" if since else ""
    try:
        count = await connected.source.count(scope, kind, since=since)
    except RallyAccelerateError as error:
        return Finding(Link.ITEMS, f"{kind}: {error}", error), None
    if count:
        return Finding(Link.ITEMS, f"{count:,} of type {kind}{changed} would be synced"), count
    return Finding(Link.ITEMS, f"no item of type {kind}{changed}", doubtful=True), 0


async def _explain_empty(integration: Integration, connected: Links, scope: Scope) -> Finding:
    try:
        text = await find_cause(connected.source, scope, since=integration.properties.initial_sync_date)
    except RallyAccelerateError as error:
        return Finding(Link.ITEMS, str(error), error)
    return Finding(Link.ITEMS, text or "items were just created", doubtful=True)


async def _check_accelerate(integration: Integration, connected: Links, target: Target | None) -> Finding:
    if target is None:
        properties = integration.properties
        given = {"accelerateUrl": properties.accelerate_url, "ucvAccessKey": properties.accelerate_key}
        missing = [name for name, value in given.items() if not value]
        verb = "is" if len(missing) == 1 else "are"
        return Finding(Link.ACCELERATE, f"not tested: {' and '.join(missing)} {verb} not set", doubtful=True)
    try:
        await connected.sink.open()
    except RallyAccelerateError as error:
        return Finding(Link.ACCELERATE, str(error), error)
    return Finding(Link.ACCELERATE, f"accepts the access key; issues belong to integration {connected.sink.tracker_id}")


# A table of errors and links reads better than one exit.
def _broken_link(error: RallyAccelerateError, integration: Integration) -> Link:  # noqa: PLR0911
    paths = " ".join(problem.path for problem in error.problems) if isinstance(error, ConfigError) else ""
    match error:
        case ConfigError() if "projects" in paths:
            return Link.PROJECTS
        case ConfigError() if "properties.query" in paths:
            return Link.ITEMS
        case ConfigError() if "properties.types" in paths:
            return Link.TYPES
        case ConfigError() if "workspace" in paths:
            return Link.WORKSPACE
        case ConfigError() if any(word in paths for word in ("caBundle", "client", "verify")):
            return Link.TLS
        case ConfigError() if "proxy" in paths:
            return Link.PROXY
        case CertificateVerificationError():
            return Link.TLS
        case AccessDeniedError() if "client certificate" in str(error):
            return Link.TLS
        case AccessDeniedError() if "proxy" in str(error).lower():
            return Link.PROXY
        case AccessDeniedError():
            return Link.LOGIN
        case UnreachableError():
            return Link.PROXY if _proxy(integration) else Link.ADDRESS
        case _:
            return Link.SERVICE


def _proxy(integration: Integration) -> str:
    return get_proxy_server(integration.properties, integration.properties.base_url)


def _links_before(broken: Link, integration: Integration) -> list[Link]:
    skipped = set()
    if not _proxy(integration):
        skipped.add(Link.PROXY)
    if not integration.properties.base_url.startswith("https"):
        skipped.add(Link.TLS)
    ordered = [link for link in Link if link not in skipped]
    return ordered[: ordered.index(broken)] if broken in ordered else []


# A table of links reads better than one exit.
def _success_text(link: Link, integration: Integration) -> str:  # noqa: PLR0911
    """Return the text for a step that succeeded."""
    properties = integration.properties
    match link:
        case Link.PROXY:
            # Its address may hold credentials.
            return f"{_proxy(integration).rpartition('@')[2]} is working"
        case Link.ADDRESS:
            return f"{properties.base_url} responds"
        case Link.TLS if not properties.verify_tls:
            return "certificate not verified (verifyTls is false)"
        case Link.TLS:
            return "certificate is valid"
        case Link.SERVICE:
            return "Rally's web services respond"
        case Link.PROJECTS:
            return ", ".join(properties.projects) or "the whole workspace"
        case Link.TYPES:
            return ", ".join(properties.types)
        case _:
            return f"accepted ({'API key' if properties.api_key else f'user {properties.username}'})"


def _workspace_text(workspace: Workspace) -> str:
    return f"{workspace.name} ({workspace.object_id})"


def _projects_text(scope: Scope) -> str:
    if not scope.projects:
        return "the whole workspace"
    names = [project.name for project in scope.projects]
    listed = ", ".join(names[:MAX_NAMES])
    if len(names) > MAX_NAMES:
        listed += f" and {len(names) - MAX_NAMES} more"
    return f"{len(names)}: {listed}"
