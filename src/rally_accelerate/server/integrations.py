"""Changes to integrations. Each is recorded in the audit log and takes effect at once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rally_accelerate.config.form import format_value
from rally_accelerate.config.model import Integration
from rally_accelerate.errors import ConfigError, NotFoundError
from rally_accelerate.server.permissions import Actor
from rally_accelerate.server.runner import add_removal_approval, add_resync_request
from rally_accelerate.server.scheduler import Scheduler
from rally_accelerate.server.store import issue_writer
from rally_accelerate.server.store.audit_log import AuditFilter
from rally_accelerate.server.store.integrations import StoredIntegration
from rally_accelerate.server.store.repositories import Stores

KIND = "integration"

#: What connectors do in every run is noted again after so long.
STATE_AUDIT_INTERVAL = timedelta(days=1)


class IntegrationService:
    """Changes the integrations of a server."""

    def __init__(self, stores: Stores, schedule: Scheduler) -> None:
        self._stores = stores
        self._scheduler = schedule

    async def add(self, actor: Actor, raw: Mapping[str, Any]) -> str:
        """Add an integration in the form of the JSON file, already validated; it is due at once. Return its ID.

        Raises:
            ConfigError: The name is taken.
        """
        integration_id = await self._stores.integrations.add(raw)
        await self.record_and_restart(
            actor, "added", integration_id, name=raw["name"], settings=sorted(raw["properties"])
        )
        return integration_id

    async def put(self, actor: Actor, integration: Integration) -> str:
        """Add an integration, or change the one of its tenant and name where it differs. Return its ID."""
        raw = to_raw(integration)
        known = await self._stores.integrations.by_name(integration.name, integration.tenant_id)
        if known is None:
            return await self.add(actor, raw)
        changes: dict[str, Any] = {"properties": raw["properties"], "logging_level": raw["loggingLevel"]}
        if "disabled" in integration.model_fields_set:
            changes["disabled"] = raw["disabled"]
        if any(getattr(known, name) != value for name, value in changes.items()):
            await self.edit(actor, known.id, changes)
        return known.id

    async def edit(self, actor: Actor, integration_id: str, changes: Mapping[str, Any]) -> StoredIntegration:
        """Change columns of an integration, already validated; it is due at once.

        Raises:
            NotFoundError: There is no such integration.
            ConfigError: The name is taken.
        """
        known = await self.get(integration_id)
        result = await self._stores.integrations.change(integration_id, changes)
        await self.record_and_restart(
            actor, "edited", integration_id, name=result.name, settings=list_changed_settings(known, result)
        )
        return result

    async def record_and_restart(
        self, actor: Actor, action: str, integration_id: str, *, name: str, settings: Sequence[str]
    ) -> None:
        """Record that settings were written, and restart the integration with them.

        Args:
            actor: Who did it.
            action: ``added`` or ``edited``.
            integration_id: The integration.
            name: Its name.
            settings: The names of what was written.
        """
        await self.restart(integration_id)
        await self._record(actor, action, integration_id, name, {"settings": list(settings)})

    async def restart(self, integration_id: str) -> None:
        """Have an integration run with the settings that were just written."""
        # A run that continues still has the old settings. It is stopped only now: stopped before they were written, the
        # schedule could start another one with them.
        await self._scheduler.stop(integration_id)
        self._scheduler.make_due(integration_id)

    async def write_event_states(
        self, actor: Actor, integration_id: str, states: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Write into the states of scheduled events what a connector, or who asks for a resync there, writes.

        Raises:
            NotFoundError: There is no such integration.
        """

        def merge_states(known: StoredIntegration) -> dict[str, Any]:
            after = {name: dict(state) for name, state in known.event_states.items()}
            for name, state in states.items():
                after[name] = {**after.get(name, {}), **state}
            return {"event_states": after} if after != known.event_states else {}

        before, after = await self._stores.integrations.rewrite(integration_id, merge_states)
        if after.event_states != before.event_states:
            await self._record(actor, "wrote event states of", integration_id, after.name, {"events": dict(states)})

    async def write_state(self, actor: Actor, integration_id: str, event: str, state: Any) -> StoredIntegration:
        """Store the state that a connector keeps between its runs.

        Connectors do so in every run: of what one actor writes for one integration, one entry a day is enough.

        Raises:
            NotFoundError: There is no such integration.
        """
        _, result = await self._stores.integrations.rewrite(
            integration_id, lambda known: {"state": {**(known.state or {}), event: state}}
        )
        action = "wrote the state of"
        filters = AuditFilter(
            actor=actor.name, action=action, object_id=integration_id, since=datetime.now(UTC) - STATE_AUDIT_INTERVAL
        )
        if not await self._stores.audit.list_entries(filters, limit=1):
            await self._record(actor, action, integration_id, result.name, {"event": event})
        return result

    async def remove(self, actor: Actor, integration_id: str, *, with_issues: bool) -> bool:
        """Remove an integration, and what it brought if asked to; return whether there was one."""
        async with self._scheduler.pause(integration_id):
            known = await self._stores.integrations.by_id(integration_id)
            done = await write_removal(
                self._stores, actor, integration_id, name=known.name if known else None, with_issues=with_issues
            )
            self._scheduler.forget(integration_id)
            if with_issues:
                await issue_writer.finish_removal(self._stores.database, integration_id)
        return done

    async def remove_issues(self, actor: Actor, integration_id: str) -> None:
        """Remove the issues of an integration, or those that another connector uploaded under an ID."""
        stores = self._stores
        async with self._scheduler.pause(integration_id):
            known = await stores.integrations.by_id(integration_id)
            async with stores.database.writing() as connection:
                await connection.run_sync(issue_writer.request_removal, integration_id)
                # Before the first of them is gone: what is missing must not pass for sent.
                await stores.integrations.reset_progress(connection, integration_id)
                entry = make_audit_entry("removed the issues of", integration_id, known.name if known else "")
                await stores.audit.add(connection, actor, **entry)
            await issue_writer.finish_removal(stores.database, integration_id)

    async def set_enabled(self, actor: Actor, integration_id: str, *, on: bool) -> StoredIntegration:
        """Enable an integration, which runs it at once, or disable it, which stops its run.

        Raises:
            NotFoundError: There is no such integration.
        """
        known = await self.get(integration_id)
        await write_enabled(self._stores, actor, known, on=on)
        if on:
            # Toggling an integration on starts a run at once (accelerate-api-notes.md#integration-status).
            self._scheduler.start_run(integration_id)
        else:
            await self._scheduler.stop(integration_id)
        return replace(known, disabled=not on)

    async def run(self, actor: Actor, integration_id: str) -> None:
        """Run an integration now.

        Raises:
            NotFoundError: There is no such integration.
            ConfigError: It is disabled.
        """
        known = await self._get_enabled(integration_id)
        self._scheduler.start_run(integration_id)
        await self._record(actor, "ran", integration_id, known.name)

    async def stop(self, actor: Actor, integration_id: str) -> None:
        """Stop the current run; the next scheduled run continues where it ended.

        Raises:
            NotFoundError: There is no such integration.
        """
        known = await self.get(integration_id)
        # A run longer than the interval is overdue already: the schedule would start the next one in its place.
        self._scheduler.postpone(integration_id)
        await self._scheduler.stop(integration_id)
        await self._record(actor, "stopped", integration_id, known.name)

    async def resync(self, actor: Actor, integration_id: str, *, since: datetime | None = None) -> None:
        """Request a full resync, or one of changes since an instant; a disabled integration does it once enabled.

        Raises:
            NotFoundError: There is no such integration.
        """
        _, known = await self._stores.integrations.rewrite(
            integration_id, lambda now: {"event_states": add_resync_request(now.event_states, since)}
        )
        await self._restart_run(integration_id)
        await self._record(
            actor, "resynced", integration_id, known.name, {"since": since.isoformat() if since else "full"}
        )

    async def approve_removals(self, actor: Actor, integration_id: str) -> None:
        """Approve the removals that the last run withheld, and run.

        Raises:
            NotFoundError: There is no such integration.
            ConfigError: It is disabled.
        """
        known = await self._get_enabled(integration_id)
        await self._stores.integrations.rewrite(
            integration_id, lambda now: {"event_states": add_removal_approval(now.event_states)}
        )
        await self._restart_run(integration_id)
        await self._record(actor, "approved removals", integration_id, known.name)

    async def get(self, integration_id: str) -> StoredIntegration:
        """Return one integration.

        Raises:
            NotFoundError: There is no integration with this ID.
        """
        integration = await self._stores.integrations.by_id(integration_id)
        if integration is None:
            raise NotFoundError(f"there is no integration {integration_id}")
        return integration

    async def _get_enabled(self, integration_id: str) -> StoredIntegration:
        known = await self.get(integration_id)
        if known.disabled:
            raise ConfigError(f"{known.name} is disabled, so it does not run", hint="Enable it first.")
        if self._scheduler.is_excluded(integration_id):
            raise ConfigError(
                f"the server was started with --without {known.name}, so it does not run",
                hint="Restart the server without that option.",
            )
        return known

    async def _restart_run(self, integration_id: str) -> None:
        """Restart the run so that it uses what was just written."""
        await self._scheduler.stop(integration_id)
        self._scheduler.start_run(integration_id)

    async def _record(
        self, actor: Actor, action: str, integration_id: str, name: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        await self._stores.audit.record(actor, **make_audit_entry(action, integration_id, name, detail))


async def write_enabled(
    stores: Stores, actor: Actor, known: StoredIntegration, *, on: bool, detail: Mapping[str, Any] | None = None
) -> None:
    """Store that an integration is enabled or disabled, with an entry in the audit log.

    Raises:
        NotFoundError: There is no such integration any more.
    """
    async with stores.database.writing() as connection:
        # In one transaction: apart, a full disk could have it done and reported as a failure.
        if not await stores.integrations.update(connection, known.id, {"disabled": not on}):
            raise NotFoundError(f"there is no integration {known.id}")
        entry = make_audit_entry("enabled" if on else "disabled", known.id, known.name, detail)
        await stores.audit.add(connection, actor, **entry)


async def write_removal(
    stores: Stores,
    actor: Actor,
    integration_id: str,
    *,
    name: str | None,
    with_issues: bool,
    detail: Mapping[str, Any] | None = None,
) -> bool:
    """Delete an integration, with an entry in the audit log, and note that its issues must be deleted if asked to.

    Args:
        stores: The stores of the database.
        actor: Who does it.
        integration_id: The integration.
        name: Its name for the audit log; None makes no entry.
        with_issues: Whether ``removals.finish`` deletes its issues afterwards.
        detail: More for the audit log.

    Returns:
        Whether there was such an integration.
    """
    async with stores.database.writing() as connection:
        done = await stores.integrations.delete(connection, integration_id)
        if with_issues:
            await connection.run_sync(issue_writer.request_removal, integration_id)
        if name is not None:
            entry = make_audit_entry("removed", integration_id, name, {"with issues": with_issues, **(detail or {})})
            await stores.audit.add(connection, actor, **entry)
    return done


def make_audit_entry(
    action: str, integration_id: str, name: str, detail: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the fields of an audit log entry for an integration."""
    return {"action": action, "kind": KIND, "object_id": integration_id, "name": name, "detail": detail}


def list_changed_settings(before: StoredIntegration, after: StoredIntegration) -> list[str]:
    """Return the names of the settings that differ; never their values."""
    envelope = [name for name in before.raw if name != "properties" and before.raw[name] != after.raw[name]]
    properties = [
        name
        for name in sorted({*before.properties, *after.properties})
        if before.properties.get(name) != after.properties.get(name)
    ]
    return envelope + properties


def to_raw(integration: Integration) -> dict[str, Any]:
    """Return validated settings in the form of the JSON file: secrets in clear, defaults left out."""
    dumped = integration.properties.model_dump(by_alias=True, exclude_defaults=True)
    return {
        "name": integration.name,
        "type": integration.type,
        "tenant_id": integration.tenant_id,
        "loggingLevel": integration.logging_level,
        "disabled": integration.disabled,
        "properties": {name: _to_plain(name, value) for name, value in dumped.items()},
    }


def _to_plain(name: str, value: Any) -> Any:
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    if isinstance(value, datetime) or name == "removalCap":
        return format_value(name, value)
    return list(value) if isinstance(value, tuple) else value
