"""Download of a value stream's file, without secrets and with the status of its integrations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rally_accelerate.server.scheduler import Scheduler
from rally_accelerate.server.store.encryption import mask_secrets, select_unknown_keys
from rally_accelerate.server.store.executions import Execution
from rally_accelerate.server.store.integrations import StoredIntegration
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.store.tables import to_ms
from rally_accelerate.server.store.value_streams import StoredValueStream
from rally_accelerate.server.value_streams.integration_filter import integration_entries, shows_all


@dataclass(frozen=True, slots=True)
class Known:
    """One integration of the host, and what people read of how it does."""

    integration: StoredIntegration
    status: str


def export_document(
    stream: StoredValueStream, known: Mapping[str, Known], *, document: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the document of a value stream as downloaded; importing it unchanged changes nothing.

    Args:
        stream: Whose.
        known: The integrations of the host by their ids.
        document: Of an older version; the valid one when None.
    """
    source = stream.document if document is None else document
    document_copy = {"_id": stream.id, "pipelineId": stream.pipeline_id, "tenantId": stream.tenant_id, **source}
    mine = [
        integration.integration
        for integration in known.values()
        if integration.integration.tenant_id == stream.tenant_id
    ]
    if shows_all(source):
        if document is None:
            # Written out, so that adding one to the file does not hide the others.
            document_copy["integrations"] = integration_entries(source, mine)
    else:
        document_copy["integrations"] = [_entry(entry, known) for entry in source["integrations"]]
    if source.get("linkRules"):
        document_copy["linkRules"] = [_rule(rule, known) for rule in source["linkRules"]]
    return document_copy


def file_name(name: str) -> str:
    """Return the file name of a value stream (accelerate-api-notes.md#value-stream-files)."""
    plain = "".join(character if character.isalnum() or character in "-_. " else "_" for character in name)
    return f"{plain.strip().replace(' ', '_') or 'value_stream'}-vsm.json"


def _entry(entry: Mapping[str, Any], known: Mapping[str, Known]) -> dict[str, Any]:
    entry = {**entry, **mask_secrets(select_unknown_keys(entry))}
    if "properties" in entry:
        # Another tool's: every setting that is not known to be harmless is a secret.
        return {**entry, "properties": mask_secrets(entry["properties"])}
    found = known.get(entry.get("_id") or "")
    if found is None:
        # It was removed since: the name alone says what is missing.
        return dict(entry)
    integration = found.integration
    return {
        "_id": integration.id,
        "type": integration.type,
        "tenant_id": integration.tenant_id,
        "tenantId": integration.tenant_id,
        **entry,
        "name": integration.name,
        "loggingLevel": integration.logging_level,
        "disabled": integration.disabled,
        "status": found.status,
        "startTime": to_ms(integration.created),
        "latest": "image" not in entry,
        "properties": mask_secrets(integration.properties),
    }


def _rule(rule: Mapping[str, Any], known: Mapping[str, Known]) -> dict[str, Any]:
    # An integration may have been renamed since; its id stays.
    names = {
        f"{end}IntegrationName": known[integration_id].integration.name
        for end in ("from", "to")
        if (integration_id := rule.get(f"{end}IntegrationId") or "") in known
    }
    return {**rule, **names}


async def load_integrations(stores: Stores, schedule: Scheduler) -> dict[str, Known]:
    """Return all integrations by ID."""
    integrations = {}
    for one in await stores.integrations.all():
        latest = next(iter(await stores.executions.list_latest(one.id, limit=1)), None)
        integrations[one.id] = Known(one, _word(one, latest, running=schedule.is_running(one.id)))
    return integrations


def _word(one: StoredIntegration, latest: Execution | None, *, running: bool) -> str:
    """Return the status in the vendor's words (accelerate-api-notes.md#integration-status)."""
    if one.disabled:
        return "Disabled"
    if running:
        return "Sync in progress"
    good = latest is None or latest.outcome in {"", "complete"}
    return "Online" if good else "Failed"
