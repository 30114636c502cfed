"""Connects the settings of one integration with the engine's three ports."""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import httpx2
from pydantic import SecretStr

from rally_accelerate.accelerate.client import AccelerateClient, Account, Connection
from rally_accelerate.accelerate.payload import Limits
from rally_accelerate.accelerate.responses import graphql_address
from rally_accelerate.config.model import Integration, Properties
from rally_accelerate.config.no_proxy import bypasses_proxy
from rally_accelerate.mapping.attributes import AttributeDefinition
from rally_accelerate.mapping.rules import (
    Rules,
    build_rules,
    complete_rules,
    get_history_field,
    list_needed_fields,
    needs_definitions,
    resolve_rule_types,
)
from rally_accelerate.model.progress import Learned, Window
from rally_accelerate.model.time_budget import RetryBudget
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.history_fields import TrackedField
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.rally.records import Scope
from rally_accelerate.rally.transport import ACCELERATE_UNVERIFIED, UNVERIFIED, accelerate_context, tls_context
from rally_accelerate.sync.engine import Plans
from rally_accelerate.sync.ports import State
from rally_accelerate.sync.removals import removal_settings

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
async def connect(
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
        direct=bypasses_proxy(graphql_address(target.url), properties.no_proxy),
    )
    limits = Limits(items=properties.upload_max_items, size=properties.upload_max_bytes)
    async with AsyncExitStack() as stack:
        client = RallyClient(properties, limiters=limiters, context=context, budget=budget)
        source = await stack.enter_async_context(client)
        sink = await stack.enter_async_context(AccelerateClient(account, limits=limits, connection=connection))
        yield Links(source, sink)


def plans_of(properties: Properties, *, again: Window | None = None) -> Plans:
    """Return what a sync does in addition to syncing changes.

    Args:
        properties: The validated settings.
        again: What is to be sent again, whether it is news or not.
    """
    return Plans(since=properties.initial_sync_date, removal=removal_settings(properties), again=again)


#: A field that was relabelled, made or hidden is noticed after so long.
LEARNED_FOR = timedelta(days=1)


async def rules_with_cache(source: RallyClient, properties: Properties, state: State) -> Rules:
    """Return the rules of a sync, using and updating the stored metadata.

    Args:
        source: Connected.
        properties: The validated settings.
        state: Of the integration.

    Raises:
        ConfigError: With every label that means nothing or too much.
    """
    progress = await state.load()
    rules, learned = await load_rules(source, properties, progress.learned)
    if learned != progress.learned:
        await state.commit(replace(progress, learned=learned), {})
    return rules


async def load_rules(
    source: RallyClient, properties: Properties, learned: Learned | None = None
) -> tuple[Rules, Learned | None]:
    """Return the rules and the workspace metadata that they use.

    Args:
        source: Connected; it carries the fields that the rules need from now on.
        properties: The validated settings.
        learned: What an earlier run knew; None asks Rally.

    Raises:
        ConfigError: With every label that means nothing or too much.
    """
    rules = build_rules(properties)
    if not needs_definitions(properties):
        return rules, learned
    scope = await source.open_early()
    key = _key(properties, scope)
    if learned is None or learned.key != key or abs(scope.now - learned.at) > LEARNED_FOR:
        learned = None
        read = await source.definitions(scope)
        types = resolve_rule_types(properties, (await source.types(scope.workspace.object_id)).resolve)
        definitions = {
            kind: [
                AttributeDefinition(
                    entry.element_name, entry.display_name, entry.attribute_type, entry.custom, entry.target
                )
                for entry in attributes
            ]
            for kind, attributes in read.items()
        }
    else:
        types = learned.types
        definitions = {
            kind: [AttributeDefinition(*entry) for entry in its] for kind, its in learned.definitions.items()
        }
    # In a thread: thousands of labels may be looked up among the fields of every type.
    rules = await asyncio.to_thread(complete_rules, rules, properties, definitions, types)
    carried = [entry.name for entry in rules.custom]
    source.add_fields(
        {kind: (*list_needed_fields(rules.compiled, kind), *carried) for kind in scope.kinds},
        [past for entry in rules.custom if (past := entry.history_field) is not None],
        removed_item_fields=_mapped_fields(rules),
    )
    for notice in rules.compiled.notices:
        log.warning("%s", notice)
    return rules, learned or Learned(key=key, at=scope.now, definitions=_used(rules, definitions), types=types)


def _mapped_fields(rules: Rules) -> list[TrackedField]:
    """Return the fields that rules read, as far as what is left of a removed item can tell them."""
    every = [get_history_field(path) for paths in rules.compiled.paths.values() for path in paths.values()]
    return list({field.name: field for field in every if field is not None}.values())


def _key(properties: Properties, scope: Scope) -> str:
    named = [
        scope.workspace.object_id,
        scope.kinds,
        properties.field_mapping,
        properties.custom_fields,
        properties.type_names,
    ]
    return hashlib.sha256(json.dumps(named, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _used(
    rules: Rules, definitions: Mapping[str, Sequence[AttributeDefinition]]
) -> Mapping[str, tuple[tuple[str, str, str, bool, str], ...]]:
    """Return the definitions that the settings' labels resolved to."""
    custom = {entry.name for entry in rules.custom}
    values = {}
    for kind, every in definitions.items():
        names = custom | {path.names[0] for path in rules.compiled.paths.get(kind, {}).values()}
        values[kind] = tuple(
            (entry.element_name, entry.display_name, entry.attribute_type, entry.custom, entry.target)
            for entry in every
            if entry.element_name in names
        )
    return values
