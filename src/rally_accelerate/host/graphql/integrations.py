"""Operations on integrations and their executions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ariadne import MutationType, ObjectType, QueryType
from graphql import GraphQLError

from rally_accelerate.config.load import normalised, validated
from rally_accelerate.errors import ConfigError
from rally_accelerate.host.schedule import EVENT, Schedule
from rally_accelerate.host.store.executions import Execution
from rally_accelerate.host.store.integrations import StoredIntegration
from rally_accelerate.host.store.vault import MASK, masked
from rally_accelerate.host.stores import Stores

#: Which secrets are sent to which address.
RECEIVERS = {
    "baseUrl": ("apiKey", "password"),
    "proxyServer": ("proxyPassword",),
    "accelerateUrl": ("ucvAccessKey",),
}


def bind(query: QueryType, mutation: MutationType, stores: Stores, schedule: Schedule) -> list[ObjectType]:  # noqa: C901, PLR0915 - one resolver for each operation of the vendor's list
    """Attach the resolvers to a store and a schedule."""
    integration_type = ObjectType("Integration")

    async def shown(found: StoredIntegration | None) -> dict[str, Any] | None:
        if found is None:
            return None
        latest = next(iter(await stores.executions.of(found.id, limit=1)), None)
        return _integration(found, latest, running=schedule.running(found.id))

    @query.field("integrationById")
    async def by_id(_: Any, __: Any, id: str) -> dict[str, Any] | None:
        return await shown(await stores.integrations.by_id(id))

    @query.field("integrationByName")
    async def by_name(_: Any, __: Any, name: str, tenantId: str) -> dict[str, Any] | None:
        return await shown(await stores.integrations.by_name(name, tenantId))

    @query.field("integrationsByTenant")
    async def by_tenant(_: Any, __: Any, tenantId: str) -> list[dict[str, Any] | None]:
        return [await shown(one) for one in await stores.integrations.all() if one.tenant_id == tenantId]

    @query.field("integrationExecutionById")
    async def execution(_: Any, __: Any, _id: str) -> dict[str, Any] | None:
        found = await stores.executions.one(_id)
        return None if found is None else _execution(found)

    @integration_type.field("executions")
    async def executions(parent: Mapping[str, Any], _: Any, limit: int) -> list[dict[str, Any]]:
        return [_execution(one) for one in await stores.executions.of(parent["_id"], limit=min(max(limit, 1), 500))]

    @mutation.field("addIntegration")
    async def add(_: Any, __: Any, input: dict[str, Any]) -> dict[str, Any] | None:
        raw = {
            "name": input["name"],
            "type": input["type"],
            "tenant_id": input["tenantId"],
            "displayName": input["displayName"],
            "loggingLevel": input["loggingLevel"],
            "showHidden": input["showHidden"],
            "disabled": not input["enabled"],
            "properties": {**_since(input), **normalised(input.get("properties") or {}), **_key(input)},
        }
        _checked(raw)
        try:
            its_id = await stores.integrations.add(raw)
        except ConfigError as error:
            raise GraphQLError(str(error)) from None
        return await shown(await stores.integrations.by_id(its_id))

    @mutation.field("editIntegration")
    async def edit(_: Any, __: Any, _id: str, input: dict[str, Any]) -> dict[str, Any] | None:
        known = await _known(_id)
        names = {
            "name": "name",
            "loggingLevel": "logging_level",
            "showHidden": "show_hidden",
            "displayName": "display_name",
        }
        changes: dict[str, Any] = {column: input[name] for name, column in names.items() if input.get(name) is not None}
        if input.get("properties") is not None or _key(input):
            given = {**normalised(input.get("properties") or masked(known.properties)), **_key(input)}
            _same_receivers(known.properties, given)
            changes["properties"] = given
            clear = {name: known.properties.get(name) if value == MASK else value for name, value in given.items()}
            _checked({**known.raw, "name": changes.get("name", known.name), "properties": clear})
        return await shown(await stores.integrations.change(_id, changes))

    @mutation.field("removeIntegration")
    async def remove(_: Any, __: Any, _id: str, deleteLinkedData: bool | None = None) -> bool:
        await schedule.stop(_id)
        return await stores.integrations.remove(_id, with_issues=bool(deleteLinkedData))

    @mutation.field("updateIntegrationDisabledFlag")
    async def disable(_: Any, __: Any, _id: str, disabled: bool) -> dict[str, Any] | None:
        await _known(_id)
        found = await stores.integrations.change(_id, {"disabled": disabled})
        if disabled:
            await schedule.stop(_id)
        else:
            # Toggling an integration on starts a run at once (accelerate-host.md 5.1).
            schedule.run_soon(_id)
        return await shown(found)

    @mutation.field("resyncIntegration")
    async def resync(_: Any, __: Any, integrationId: str) -> bool:
        await _known(integrationId)
        # A run that goes on would write down its own progress over this.
        await schedule.stop(integrationId)
        await stores.integrations.forget(integrationId)
        schedule.run_soon(integrationId)
        return True

    @mutation.field("updateScheduledEventStates")
    async def event_states(_: Any, __: Any, integrationId: str, scheduledEventStates: Any) -> bool:
        known = await _known(integrationId)
        states = {name: dict(state) for name, state in known.event_states.items()}
        for each in scheduledEventStates:
            given = {name: each[name] for name in ("deltaTime", "lastStartTime") if each.get(name) is not None}
            states[each["eventName"]] = {**states.get(each["eventName"], {}), **given}
        await stores.integrations.change(integrationId, {"event_states": states})
        return True

    @mutation.field("updateIntegrationState")
    async def state(
        _: Any, __: Any, integrationId: str, eventName: str, properties: Any = None
    ) -> dict[str, Any] | None:
        known = await _known(integrationId)
        return await shown(
            await stores.integrations.change(integrationId, {"state": {**(known.state or {}), eventName: properties}})
        )

    @mutation.field("bulkDataRemovalByIntegration")
    async def bulk_removal(_: Any, __: Any, integrationId: str) -> bool:
        await schedule.stop(integrationId)
        await stores.issues.remove(integrationId)
        if await stores.integrations.by_id(integrationId):
            await stores.integrations.forget(integrationId)
        return True

    async def _known(its_id: str) -> StoredIntegration:
        found = await stores.integrations.by_id(its_id)
        if found is None:
            raise GraphQLError(f"there is no integration {its_id}")
        return found

    return [integration_type]


def _key(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"ucvAccessKey": given["userAccessKey"]} if given.get("userAccessKey") else {}


def _since(given: Mapping[str, Any]) -> dict[str, Any]:
    # "Initial Sync Date" of the form (accelerate-host.md 1.8), under the name that our own runs know it by.
    return {"initialSyncDate": given["deltaTime"]} if given.get("deltaTime") else {}


def _same_receivers(known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse to send a secret that the caller cannot read to an address that the caller chose."""
    for address, secrets in RECEIVERS.items():
        if str(given.get(address) or "") == str(known.get(address) or ""):
            continue
        if masked_ones := [name for name in secrets if given.get(name) == MASK and known.get(name)]:
            raise GraphQLError(f"{address} changes: enter {' and '.join(masked_ones)} anew")


def _checked(raw: Mapping[str, Any]) -> None:
    try:
        validated(raw)
    except ConfigError as error:
        raise GraphQLError("; ".join(str(problem) for problem in error.problems)) from None


def _integration(found: StoredIntegration, latest: Execution | None, *, running: bool) -> dict[str, Any]:
    done = latest.completed if latest else None
    good = latest.outcome == "complete" if latest and latest.outcome else None
    status = (
        "Disabled" if found.disabled else "Sync in progress" if running else "Failed" if good is False else "Online"
    )
    return {
        "_id": found.id,
        "type": found.type,
        "tenant_id": found.tenant_id,
        "name": found.name,
        "loggingLevel": found.logging_level,
        "showHidden": found.show_hidden,
        "userAccessKey": None,
        "displayName": found.display_name,
        "status": status,
        "pluginId": found.type,
        "last_run_successful": good,
        "disabled": found.disabled,
        "delete": False,
        "upgradeAvailable": False,
        "cleanupOnDelete": False,
        "last_run_completion_time": done,
        "last_successful_execution_time": done if good else None,
        "startTime": found.created,
        "current_time": datetime.now(UTC).timestamp() * 1000,
        "properties": masked(found.properties),
        "state": found.state,
        "scheduledEventStates": _event_states(found, latest),
    }


def _event_states(found: StoredIntegration, latest: Execution | None) -> list[dict[str, Any]]:
    states = {name: dict(state) for name, state in found.event_states.items()}
    if latest is not None:
        states.setdefault(EVENT, {})["lastStartTime"] = latest.started
    return [
        {
            "_id": f"{found.id}:{name}",
            "eventName": name,
            "lastStartTime": state.get("lastStartTime") or found.created,
            "deltaTime": state.get("deltaTime"),
        }
        for name, state in states.items()
    ]


def _execution(found: Execution) -> dict[str, Any]:
    return {
        "_id": found.id,
        "integrationId": found.integration_id,
        "jobName": found.job_name,
        "jobType": "scheduledEvent",
        "log": found.log,
        "startTime": found.started,
        # Non-null in the vendor's schema: a run that goes on has not got further than now.
        "completionTime": found.completed or datetime.now(UTC),
        "success": found.outcome == "complete",
    }
