"""Connects the settings of one integration with the engine's three ports."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx2
from pydantic import SecretStr

from rally_accelerate.accelerate.client import AccelerateClient, Account, Connection
from rally_accelerate.accelerate.payload import Limits
from rally_accelerate.accelerate.wire import graphql_address
from rally_accelerate.config.model import Integration, Properties
from rally_accelerate.config.no_proxy import bypasses
from rally_accelerate.model.budget import RetryBudget
from rally_accelerate.model.progress import Window
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.rally.tls import ACCELERATE_UNVERIFIED, UNVERIFIED, accelerate_context, tls_context
from rally_accelerate.sync.engine import Plans
from rally_accelerate.sync.gone import removal_of

log = logging.getLogger(__name__)

#: For how many seconds a run that a person waits for tries an address that has never answered.
UNANSWERED_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """Which Accelerate, or host that answers like one, the issues go to."""

    url: str
    key: SecretStr
    #: Replaces the network, for a host inside this process.
    transport: httpx2.AsyncBaseTransport | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Links:
    """What a run of one integration needs, connected."""

    source: RallyClient
    sink: AccelerateClient


def budget_of(properties: Properties, *, by_hand: bool = False) -> RetryBudget:
    """Return the time that one run may lose to failing services, Rally and Accelerate together.

    Args:
        properties: The validated settings.
        by_hand: Whether a person waits for the run: then an address that never answers is given up sooner, unless
            ``retrySeconds`` is set.
    """
    if by_hand and "retry_seconds" not in properties.model_fields_set:
        return RetryBudget(properties.retry_seconds, unanswered_seconds=UNANSWERED_SECONDS)
    return RetryBudget(properties.retry_seconds)


@asynccontextmanager
async def links(
    integration: Integration, *, target: Target, limiters: LimiterPool, by_hand: bool = False
) -> AsyncIterator[Links]:
    """Open the connections of one integration; closed on leaving.

    Args:
        integration: The validated settings.
        target: Where the issues go.
        limiters: Shared by everything in this process that asks Rally.
        by_hand: Whether a person waits for the run.

    Raises:
        ConfigError: A setting that only shows its fault on use: an unreadable certificate, a bad address.
    """
    properties = integration.properties
    if not properties.verify_tls:
        # On every run, also on one that fails before it can tell its notices.
        log.warning("%s: %s", integration.name, UNVERIFIED)
    account = Account(
        url=target.url,
        key=target.key,
        tenant_id=integration.tenant_id,
        name=integration.name,
        tracker_id=properties.tracker_id or integration.id,
        source_url=properties.base_url,
    )
    context = await tls_context(properties)
    if properties.verify_tls and not properties.verify_accelerate_tls:
        log.warning("%s: %s", integration.name, ACCELERATE_UNVERIFIED)
    budget = budget_of(properties, by_hand=by_hand)
    connection = Connection(
        timeout_seconds=properties.request_timeout_seconds,
        retry_seconds=properties.retry_seconds,
        answer_max_bytes=properties.answer_max_bytes,
        budget=budget,
        verify=accelerate_context(properties, context),
        transport=target.transport,
        certificate=bool(properties.client_certificate),
        direct=bypasses(graphql_address(target.url), properties.no_proxy),
    )
    limits = Limits(items=properties.upload_max_items, size=properties.upload_max_bytes)
    async with AsyncExitStack() as stack:
        client = RallyClient(properties, limiters=limiters, context=context, budget=budget)
        source = await stack.enter_async_context(client)
        sink = await stack.enter_async_context(AccelerateClient(account, limits=limits, connection=connection))
        yield Links(source, sink)


def plans_of(properties: Properties, *, again: Window | None = None) -> Plans:
    """What a run of an integration is to do besides bringing over what changed.

    Args:
        properties: The validated settings.
        again: What is to be sent again, whether it is news or not.
    """
    return Plans(since=properties.initial_sync_date, removal=removal_of(properties), again=again)
