"""Operations on integrations and their executions."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from ariadne import MutationType, ObjectType, QueryType
from graphql import GraphQLError

from rally_accelerate import __version__
from rally_accelerate.config.load import normalize_properties, validate_integration
from rally_accelerate.config.model import EVENT, PLUGIN_ID
from rally_accelerate.config.secret_recipients import find_exposed_secrets
from rally_accelerate.errors import ConfigError
from rally_accelerate.mapping.rules import find_rule_problems
from rally_accelerate.server.graphql.execution import check_length
from rally_accelerate.server.graphql.schema import LAST_MS
from rally_accelerate.server.integrations import IntegrationService
from rally_accelerate.server.runner import NO_RESYNC
from rally_accelerate.server.scheduler import Scheduler
from rally_accelerate.server.store.encryption import MASK, mask_secrets
from rally_accelerate.server.store.executions import COMPLETE, OUTCOMES, Execution
from rally_accelerate.server.store.integrations import StoredIntegration
from rally_accelerate.server.store.repositories import Stores

#: Tells an integration in the vendor's shape.
IntegrationFormatter = Callable[[StoredIntegration | None], Awaitable[dict[str, Any] | None]]


#: The words of ``LOGGING_LEVEL``; a file may hold others, which mean INFO (accelerate-api-notes.md#logging-levels).
LEVELS = frozenset({"ALL", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF", "TRACE"})


@dataclass(frozen=True, slots=True)
class _LastRuns:
    """The last runs of an integration: that began, that ended, that succeeded."""

    latest: Execution | None
    ended: Execution | None
    succeeded: Execution | None


def make_formatter(stores: Stores, schedule: Scheduler) -> IntegrationFormatter:
    """Return a function that formats integrations with their last runs."""

    async def format_integration(integration: StoredIntegration | None) -> dict[str, Any] | None:
        if integration is None:
            return None
        latest = next(iter(await stores.executions.list_latest(integration.id, limit=1)), None)
        # While a run continues, the one before it is the last that ended.
        goes_on = latest is not None and latest.completed is None
        ended = await stores.executions.find_last(integration.id, OUTCOMES) if goes_on else latest
        failed = ended is not None and ended.outcome != COMPLETE
        good = await stores.executions.find_last(integration.id, (COMPLETE,)) if failed else ended
        return _to_integration(integration, _LastRuns(latest, ended, good), running=schedule.is_running(integration.id))

    return format_integration


def bind(  # noqa: C901, PLR0915 - one resolver for each operation of the vendor's list
    query: QueryType,
    mutation: MutationType,
    stores: Stores,
    administration: IntegrationService,
    *,
    format_integration: IntegrationFormatter,
) -> list[ObjectType]:
    """Attach the resolvers to a store and to what changes integrations."""
    integration_type = ObjectType("Integration")
    execution_type = ObjectType("IntegrationExecution")

    @query.field("integrationById")
    async def by_id(_: Any, __: Any, id: str) -> dict[str, Any] | None:
        return await format_integration(await stores.integrations.by_id(id))

    @query.field("integrationByName")
    async def by_name(_: Any, __: Any, name: str, tenantId: str) -> dict[str, Any] | None:
        return await format_integration(await stores.integrations.by_name(name, tenantId))

    @query.field("integrationExecutionById")
    async def execution(_: Any, __: Any, _id: str) -> dict[str, Any] | None:
        execution = await stores.executions.get(_id)
        return None if execution is None else _to_execution(execution)

    @integration_type.field("executions")
    async def executions(parent: Mapping[str, Any], _: Any, limit: int | None = None) -> list[dict[str, Any]]:
        if "executions" in parent:
            result: list[dict[str, Any]] = parent["executions"]
            return result
        most = 10 if limit is None else min(max(limit, 1), 500)
        return [_to_execution(one) for one in await stores.executions.list_latest(parent["_id"], limit=most)]

    @execution_type.field("log")
    async def execution_log(parent: Mapping[str, Any], _: Any) -> str:
        return await stores.lines.read_text(parent["_id"])

    @mutation.field("addIntegration")
    async def add(_: Any, info: Any, input: dict[str, Any]) -> dict[str, Any] | None:
        raw = {
            "name": input["name"],
            "type": input["type"],
            "tenant_id": input["tenantId"],
            "displayName": input["displayName"],
            "loggingLevel": input["loggingLevel"],
            "showHidden": input["showHidden"],
            "disabled": input["enabled"] is False,
            "properties": {
                **_read_start_date(input),
                **normalize_properties(_require_object(input.get("properties"))),
                **_read_access_key(input),
            },
        }
        _validate(raw)
        try:
            integration_id = await administration.add(info.context["actor"], raw)
        except ConfigError as error:
            raise GraphQLError(str(error)) from None
        return await format_integration(await stores.integrations.by_id(integration_id))

    @mutation.field("editIntegration")
    async def edit(_: Any, info: Any, _id: str, input: dict[str, Any]) -> dict[str, Any] | None:
        known = await require_integration(_id)
        names = {
            "name": "name",
            "loggingLevel": "logging_level",
            "showHidden": "show_hidden",
            "displayName": "display_name",
        }
        changes: dict[str, Any] = {column: input[name] for name, column in names.items() if input.get(name) is not None}
        if input.get("properties") is not None or _read_access_key(input):
            properties = _require_object(input.get("properties")) or mask_secrets(known.properties)
            values = {**normalize_properties(properties), **_read_access_key(input)}
            clear = {name: known.properties.get(name) if value == MASK else value for name, value in values.items()}
            _check_secret_recipients(
                known.properties, clear, unchanged=[name for name, value in values.items() if value == MASK]
            )
            _validate({**known.raw, "name": changes.get("name", known.name), "properties": clear})
            # The very secrets that were looked at: a user may enter another one for another address in the meantime.
            changes["properties"] = clear
        try:
            return await format_integration(await administration.edit(info.context["actor"], _id, changes))
        except ConfigError as error:
            raise GraphQLError(str(error)) from None

    @mutation.field("removeIntegration")
    async def remove(_: Any, info: Any, _id: str, deleteLinkedData: bool | None = None) -> dict[str, Any] | None:
        removed = await format_integration(await require_integration(_id))
        if not await administration.remove(info.context["actor"], _id, with_issues=bool(deleteLinkedData)):
            raise GraphQLError(f"there is no integration {_id}")
        # Its executions went with it.
        return {**(removed or {}), "delete": True, "executions": []}

    @mutation.field("updateIntegrationDisabledFlag")
    async def disable(_: Any, info: Any, _id: str, disabled: bool | None = None) -> dict[str, Any] | None:
        known = await require_integration(_id)
        if disabled is None:
            # The argument may be left out; nothing says what that does, so it does nothing.
            return await format_integration(known)
        return await format_integration(await administration.set_enabled(info.context["actor"], _id, on=not disabled))

    @mutation.field("resyncIntegration")
    async def resync(_: Any, info: Any, integrationId: str) -> dict[str, Any] | None:
        await require_integration(integrationId)
        await administration.resync(info.context["actor"], integrationId)
        return await format_integration(await stores.integrations.by_id(integrationId))

    @mutation.field("updateScheduledEventStates")
    async def event_states(
        _: Any, info: Any, integrationId: str, scheduledEventStates: Sequence[Mapping[str, Any] | None]
    ) -> dict[str, Any] | None:
        await require_integration(integrationId)
        check_length(scheduledEventStates, "scheduledEventStates")
        states: dict[str, dict[str, Any]] = {}
        for scheduled_event_state in filter(None, scheduledEventStates):
            value = {
                name: scheduled_event_state[name]
                for name in ("deltaTime", "lastStartTime")
                if scheduled_event_state.get(name) is not None
            }
            if not NO_RESYNC <= value.get("deltaTime", NO_RESYNC) <= LAST_MS:
                raise GraphQLError("deltaTime must be -1, 0, or epoch milliseconds up to the year 9999")
            states.setdefault(scheduled_event_state["eventName"], {}).update(value)
        await administration.write_event_states(info.context["actor"], integrationId, states)
        return await format_integration(await stores.integrations.by_id(integrationId))

    @mutation.field("updateIntegrationState")
    async def state(
        _: Any, info: Any, integrationId: str, eventName: str, properties: Any = None
    ) -> dict[str, Any] | None:
        await require_integration(integrationId)
        actor = info.context["actor"]
        return await format_integration(await administration.write_state(actor, integrationId, eventName, properties))

    @mutation.field("bulkDataRemovalByIntegration")
    async def bulk_removal(_: Any, info: Any, integrationId: str) -> bool:
        await administration.remove_issues(info.context["actor"], integrationId)
        return True

    async def require_integration(integration_id: str) -> StoredIntegration:
        integration = await stores.integrations.by_id(integration_id)
        if integration is None:
            raise GraphQLError(f"there is no integration {integration_id}")
        return integration

    return [integration_type, execution_type]


def _require_object(properties: Any) -> dict[str, Any]:
    if not isinstance(properties, dict | None):
        raise GraphQLError("properties must be an object")
    return properties or {}


def _read_access_key(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"ucvAccessKey": fields["userAccessKey"]} if fields.get("userAccessKey") else {}


def _read_start_date(fields: Mapping[str, Any]) -> dict[str, Any]:
    # "Initial Sync Date" of the form (accelerate-api-notes.md#resync), under the name that our own runs know it by.
    return {"initialSyncDate": fields["deltaTime"]} if fields.get("deltaTime") else {}


def _check_secret_recipients(known: Mapping[str, Any], changed: Mapping[str, Any], *, unchanged: Sequence[str]) -> None:
    """Refuse to send a secret that the caller cannot read to an address that the caller chose."""
    for exposed_secret in find_exposed_secrets(known, changed):
        if exposed_secret.secret in unchanged and known.get(exposed_secret.secret):
            raise GraphQLError(
                f"{exposed_secret.secret} must be entered again, because the change of {exposed_secret.because} lets "
                "another party read it"
            )


def _validate(raw: Mapping[str, Any]) -> None:
    try:
        validate_integration(raw)
    except ConfigError as error:
        raise GraphQLError("; ".join(str(problem) for problem in error.problems)) from None
    if problems := find_rule_problems(raw["properties"]):
        raise GraphQLError("; ".join(map(str, problems)))


def _to_integration(integration: StoredIntegration, lasts: _LastRuns, *, running: bool) -> dict[str, Any]:
    good = lasts.ended.outcome == COMPLETE if lasts.ended else None
    status = (
        "Disabled"
        if integration.disabled
        else "Sync in progress"
        if running
        else "Failed"
        if good is False
        else "Online"
    )
    return {
        "_id": integration.id,
        "type": integration.type,
        "tenant_id": integration.tenant_id,
        "name": integration.name,
        "loggingLevel": level if (level := integration.logging_level.upper()) in LEVELS else "INFO",
        "showHidden": integration.show_hidden,
        "userAccessKey": None,
        "displayName": integration.display_name,
        "status": status,
        "pluginId": integration.type,
        "last_run_successful": good,
        "disabled": integration.disabled,
        "delete": False,
        "upgradeAvailable": False,
        "cleanupOnDelete": False,
        "last_run_completion_time": lasts.ended.completed if lasts.ended else None,
        "last_successful_execution_time": lasts.succeeded.completed if lasts.succeeded else None,
        "startTime": integration.created,
        "current_time": datetime.now(UTC).timestamp() * 1000,
        "properties": mask_secrets(integration.properties),
        "state": integration.state,
        "scheduledEventStates": _to_event_states(integration, lasts.latest),
    }


def _to_event_states(integration: StoredIntegration, latest: Execution | None) -> list[dict[str, Any]]:
    states = {name: dict(state) for name, state in integration.event_states.items()}
    if latest is not None:
        states.setdefault(EVENT, {})["lastStartTime"] = latest.started
    return [
        {
            "_id": f"{integration.id}:{name}",
            "eventName": name,
            "lastStartTime": state.get("lastStartTime") or integration.created,
            "deltaTime": state.get("deltaTime"),
        }
        for name, state in states.items()
    ]


def _to_execution(execution: Execution) -> dict[str, Any]:
    return {
        "_id": execution.id,
        "integrationId": execution.integration_id,
        "jobName": execution.job_name,
        "jobType": "scheduledEvent",
        "startTime": execution.started,
        # Non-null in the vendor's schema: a run that continues has not got further than now.
        "completionTime": execution.completed or datetime.now(UTC),
        "success": execution.outcome == COMPLETE,
    }


#: What the container prints (plugin/manifest.py); the server may not import the plug-in, but tells the same of it.
MANIFEST = Path(__file__).parents[2] / "plugin" / "manifest.json"

#: Of every version: there is never more than one.
PLUGIN_RECORD_ID = "000000000000000000000001"


@cache
def load_plugin() -> Mapping[str, Any]:
    """Return the built-in plug-in in the vendor's shape."""
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return {
        "_id": PLUGIN_RECORD_ID,
        "pluginId": manifest["pluginId"],
        "displayName": manifest["displayName"],
        "description": manifest["description"],
        "docUrl": manifest.get("docUrl"),
        "properties": {
            "name": manifest["pluginId"],
            "displayName": manifest["displayName"],
            "fields": manifest["properties"],
        },
        "qualityHandlers": manifest["qualityHandlers"],
        "scheduledEvents": manifest["scheduledEvents"],
        "automationTasks": manifest["automationTasks"],
        "endpoints": manifest["endpoints"],
        "pipelineDefinition": None,
        "image": make_image_name(),
        "releaseDate": datetime.fromtimestamp(MANIFEST.stat().st_mtime, UTC).date().isoformat(),
        # Which key of the manifest it is made of is strongly suggested, not seen
        # (accelerate-api-notes.md#link-patterns).
        "vsmLinkRuleDefaultRegex": manifest["idRegExp"],
        "categories": manifest["categories"],
        "features": manifest["features"],
        "version": __version__,
    }


def make_image_name() -> str:
    """Return the name that an image of this version has; none is needed here."""
    return f"{PLUGIN_ID}:{__version__}"


def bind_plugins(query: QueryType, mutation: MutationType, stores: Stores) -> list[ObjectType]:
    """Attach the resolvers."""
    integration_type = ObjectType("Integration")

    @integration_type.field("plugin")
    def resolve_plugin(parent: Mapping[str, Any], _: Any) -> Mapping[str, Any] | None:
        return load_plugin() if parent["pluginId"] == PLUGIN_ID else None

    @query.field("plugins")
    def plugins(_: Any, __: Any, configurable: bool | None = None) -> list[Mapping[str, Any]]:
        # Its integrations are made by filling in a form, so it is of the configurable ones.
        return [] if configurable is False else [load_plugin()]

    @query.field("availablePlugins")
    def available(_: Any, __: Any) -> list[Mapping[str, Any]]:
        return []

    @query.field("latestPluginByPluginId")
    def latest(_: Any, __: Any, pluginId: str) -> Mapping[str, Any] | None:
        return load_plugin() if pluginId == PLUGIN_ID else None

    @query.field("productBuild")
    def build(_: Any, __: Any) -> str:
        return __version__

    @mutation.field("installPlugin")
    def install(_: Any, __: Any, **___: Any) -> NoReturn:
        raise GraphQLError(
            f"this server runs its built-in plug-in {PLUGIN_ID} {__version__} alone: no image can be installed. "
            "Plug-ins that run elsewhere may upload to it with an access key"
        )

    @mutation.field("deletePlugin")
    def delete(_: Any, __: Any, _id: str) -> NoReturn:
        if _id not in {PLUGIN_RECORD_ID, PLUGIN_ID}:
            raise GraphQLError(f"there is no plug-in {_id}")
        raise GraphQLError(f"{PLUGIN_ID} is built into this server and cannot be deleted: disable its integrations")

    @mutation.field("updatePluginsIndex")
    def update_index(_: Any, __: Any) -> bool:
        return True

    @mutation.field("setIntegrationVersion")
    async def set_version(_: Any, __: Any, integrationId: str, version: str | None = None) -> str:
        integration = await stores.integrations.by_id(integrationId)
        if integration is None:
            raise GraphQLError(f"there is no integration {integrationId}")
        if version not in {None, "latest", __version__}:
            raise GraphQLError(f"there is no version {version}: this server runs {__version__}")
        return __version__

    return [integration_type]


def bind_integration_lists(
    query: QueryType,
    mutation: MutationType,
    stores: Stores,
    *,
    administration: IntegrationService,
    format_integration: IntegrationFormatter,
) -> None:
    """Attach the resolvers."""

    async def select_integrations(is_selected: Callable[[StoredIntegration], bool]) -> list[Any]:
        return [
            await format_integration(integration)
            for integration in await stores.integrations.all()
            if is_selected(integration)
        ]

    @query.field("integrationsByIds")
    async def by_ids(_: Any, __: Any, ids: list[str]) -> list[Any]:
        check_length(ids, "ids")
        # In the order in which they were asked for; those that are not there are left out.
        known = {integration.id: integration for integration in await stores.integrations.all()}
        return [
            await format_integration(known[integration_id])
            for integration_id in dict.fromkeys(ids)
            if integration_id in known
        ]

    @query.field("integrationsByTenantId")
    @query.field("integrationsByTenant")
    async def by_tenant(_: Any, __: Any, tenantId: str) -> list[Any]:
        return await select_integrations(lambda item: item.tenant_id == tenantId)

    @query.field("integrationsByType")
    async def by_type(_: Any, __: Any, type: str) -> list[Any]:
        return await select_integrations(lambda item: item.type == type)

    @query.field("integrationsByCategory")
    async def by_category(_: Any, __: Any, category: str, tenantId: str) -> list[Any]:
        ours = load_plugin()
        return await select_integrations(
            lambda item: (item.type, item.tenant_id) == (ours["pluginId"], tenantId) and category in ours["categories"]
        )

    @query.field("integrationsByActiveState")
    async def by_state(_: Any, __: Any, tenantId: str, activeState: Mapping[str, bool] | None = None) -> list[Any]:
        # "Active" is taken to mean enabled [assumed]. Without the argument nothing is restricted [assumed]. Whether
        # archived ones are asked for does not matter: what is removed here is gone.
        requested = {True, False} if activeState is None else {activeState["active"]}
        return await select_integrations(lambda item: item.tenant_id == tenantId and (not item.disabled) in requested)

    @mutation.field("editIntegrations")
    async def edit(_: Any, info: Any, ids: list[str], operation: str, tenantId: str) -> list[Any]:
        check_length(ids, "ids")
        known = {
            integration.id: integration
            for integration in await stores.integrations.all()
            if integration.tenant_id == tenantId
        }
        requested = list(dict.fromkeys(ids))
        _require_known(requested, known)
        on = operation != "DISABLE"
        for integration_id in requested:
            if known[integration_id].disabled == on:
                await administration.set_enabled(info.context["actor"], integration_id, on=on)
        return [
            await format_integration(await stores.integrations.by_id(integration_id)) for integration_id in requested
        ]

    @mutation.field("setIntegrationResyncData")
    async def resync_data(_: Any, info: Any, _id: str) -> Any:
        integration = await stores.integrations.by_id(_id)
        _require_known([_id], [integration.id] if integration else [])
        await administration.resync(info.context["actor"], _id)
        return await format_integration(await stores.integrations.by_id(_id))

    @mutation.field("restoreIntegration")
    async def restore(_: Any, __: Any, _id: str, **___: Any) -> Any:
        integration = await stores.integrations.by_id(_id)
        if integration is not None:
            # It was never removed: what the caller wants is so.
            return await format_integration(integration)
        raise GraphQLError(f"there is no integration {_id}: what is removed here is gone; add it again")


def _require_known(ids: Iterable[str], known: Iterable[str]) -> None:
    if unknown := [integration_id for integration_id in ids if integration_id not in set(known)]:
        raise GraphQLError(f"there is no integration {', '.join(unknown[:5])}")
