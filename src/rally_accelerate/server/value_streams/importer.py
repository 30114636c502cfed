"""Import of value stream files: planned first, then applied in one transaction."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.config.form import find_problems
from rally_accelerate.config.load import LEVEL_KEYS, MASKED, find_variable, normalize_integration, validate_integration
from rally_accelerate.config.model import DEFAULT_TENANT, PLUGIN_ID
from rally_accelerate.config.property_suggestions import resembles_plugin
from rally_accelerate.config.secret_recipients import find_exposed_secrets
from rally_accelerate.dql.ast import Query
from rally_accelerate.errors import ConfigError, NotFoundError, OutdatedError, Problem
from rally_accelerate.mapping.rules import find_rule_problems
from rally_accelerate.model.lenient_json import REPLACEMENT
from rally_accelerate.model.text_folding import fold
from rally_accelerate.server.integrations import IntegrationService, make_audit_entry
from rally_accelerate.server.permissions import Actor
from rally_accelerate.server.query_diagnostics import find_misspelled_fields
from rally_accelerate.server.store.encryption import MASK, select_unknown_keys
from rally_accelerate.server.store.integrations import StoredIntegration
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.store.tables import make_id
from rally_accelerate.server.store.value_streams import StoredValueStream
from rally_accelerate.server.value_streams.diff import Difference, differences
from rally_accelerate.server.value_streams.document import (
    can_check_integrations,
    describe_unsupported,
    examine,
    integrations_of,
    invalid_document,
    plain_names,
    suggest_names,
)
from rally_accelerate.server.value_streams.document_text import find_unreadable
from rally_accelerate.server.value_streams.integration_filter import MapEffect, map_effect, means_all, with_others
from rally_accelerate.server.value_streams.layout import other_item_types, parse_layout

#: Keys that the server fills in at each download (accelerate-api-notes.md#integrations-in-the-file).
INTEGRATION_SERVER_KEYS = frozenset(
    {"_id", "status", "startTime", "latest", "properties", "type", "tenant_id", "tenantId", "disabled"}
)


#: What stands for the API key in the sample of the Integrations page.
PLACEHOLDER = "YOUR-API-KEY"


@dataclass(frozen=True, slots=True)
class IntegrationChange:
    """An integration that is to be added or changed."""

    name: str
    #: Empty for one that is to be added.
    id: str
    #: For one that is added in the form of the JSON file, for one that is changed by column; secrets are in clear.
    values: Mapping[str, Any]
    #: The names of what changes.
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IntegrationPlan:
    """What the integrations of a file come to."""

    #: What the value stream's document keeps of each: no settings of those that this host runs.
    entries: tuple[dict[str, Any], ...]
    writes: tuple[IntegrationChange, ...]
    problems: tuple[Problem, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of the file, read."""

    path: str
    raw: Mapping[str, Any]
    name: str
    tenant_id: str
    type: str
    values: Mapping[str, Any]
    properties: dict[str, Any]

    @property
    def is_reference(self) -> bool:
        """Whether it only names an integration."""
        return self.raw.get("properties") is None

    @property
    def document_entry(self) -> dict[str, Any]:
        """What the document keeps of it: its name, and what the host does not fill in itself."""
        mine = {
            key: value
            for key, value in self.raw.items()
            if key not in INTEGRATION_SERVER_KEYS and key.lower() not in LEVEL_KEYS
        }
        return {**mine, "name": self.name}


def plan_integrations(
    document: Mapping[str, Any],
    *,
    tenant_id: str,
    known: Sequence[StoredIntegration],
    before: Mapping[str, Any] | None,
) -> IntegrationPlan:
    """Plan the changes to the integrations of a valid document.

    Args:
        document: From a file.
        tenant_id: The value stream's, for entries without one.
        known: Every integration of the host.
        before: The document that is to be replaced, for what only it holds.
    """
    mine = {(integration.tenant_id, integration.name): integration for integration in known}
    by_id = {integration.id: integration for integration in known}
    by_fold = {(integration.tenant_id, fold(integration.name)): integration for integration in known}
    former = {(entry["name"].strip(), entry.get("_id")) for _, entry in integrations_of(before or {})}
    # Integrations of other tools live in the document alone.
    by_key = {
        key: entry for _, entry in integrations_of(before or {}) for key in (entry["name"], entry.get("_id")) if key
    }
    others = {entry["name"]: entry for _, entry in integrations_of(before or {}) if "properties" in entry}
    entries: list[dict[str, Any]] = []
    writes: list[IntegrationChange] = []
    problems: list[Problem] = []
    notices: list[str] = []
    for path, raw in integrations_of(document):
        values, properties, hints = normalize_integration(raw)
        entry = _Entry(
            path=path,
            raw=raw,
            name=raw["name"].strip(),
            tenant_id=str(values.get("tenant_id") or tenant_id),
            type=str(values.get("type") or ""),
            values=values,
            properties=properties,
        )
        stored = mine.get((entry.tenant_id, entry.name))
        if stored is None and entry.is_reference:
            stored = by_fold.get((entry.tenant_id, fold(entry.name)))
        if stored is None and entry.is_reference:
            # It was renamed since; a document that is restored names it as it was.
            stored = by_id.get(str(raw.get("_id") or ""))
        other = others.get(entry.name)
        try:
            if (stored is None and other is not None) or entry.type not in {"", PLUGIN_ID}:
                (document_entry, missing), write = _plan_foreign(entry, other), None
                meant = f"; did you mean {PLUGIN_ID}?" if resembles_plugin(document_entry["type"]) else ""
                notices.append(
                    f"{path}: {entry.name} has type {document_entry['type']}, which this server doesn't run; "
                    f"it is preserved in the file{meant}"
                )
                if missing:
                    text = _describe_masked(missing)
                    notices.append(f"{path}: {text}; enter the actual values on the server that runs {entry.name}")
            elif stored is None and entry.is_reference and raw.get("_id") and (entry.name, raw["_id"]) in former:
                document_entry, write = {**entry.document_entry, "_id": raw["_id"]}, None
                notices.append(f"{path}: {entry.name} was deleted and no longer provides items")
            elif entry.is_reference:
                document_entry, write = _plan_reference(entry, stored, names=[*(name for _, name in mine), *others])
            else:
                document_entry, write = _plan_definition(entry, stored)
        except ConfigError as error:
            problems += error.problems
            continue
        stray, lacking = _stray_settings(entry, document_entry, by_key)
        document_entry |= stray
        if lacking:
            notices.append(
                f"{path}: {_describe_masked(lacking)}; enter the actual values on the server that runs {entry.name}"
            )
        entries.append(document_entry)
        if "properties" not in document_entry:
            notices += [f"{path}: {text}" for text in hints]
        writes += [write] if write else []
    return IntegrationPlan(tuple(entries), tuple(writes), tuple(problems), tuple(notices))


def _plan_reference(
    entry: _Entry, stored: StoredIntegration | None, *, names: list[str]
) -> tuple[dict[str, Any], IntegrationChange | None]:
    if stored is None:
        text = f"no integration is named {entry.name!r}{suggest_names(entry.name, names)}"
        if entry.type:
            text = f"{text.partition(';')[0]}; provide its properties to add it"
        elif not names:
            text = (
                f"{text.partition(';')[0]}; add it on the Integrations page first, or provide its type and properties"
            )
        raise _invalid(f"{entry.path}.name", text)
    overrides = {key: entry.values[key] for key in ("disabled", "loggingLevel") if key in entry.values}
    candidate = {**stored.raw, **overrides}
    integration = validate_integration(candidate, path=f"{entry.path}.") if candidate != stored.raw else None
    changes: dict[str, Any] = {}
    if integration is not None and integration.disabled != stored.disabled:
        changes["disabled"] = integration.disabled
    if integration is not None and integration.logging_level != stored.logging_level:
        changes["logging_level"] = integration.logging_level
    return {**entry.document_entry, "_id": stored.id}, _change(stored, changes)


def _plan_definition(
    entry: _Entry, stored: StoredIntegration | None
) -> tuple[dict[str, Any], IntegrationChange | None]:
    known = stored.properties if stored else {}
    problems = list(_check_values(entry, known))
    properties = {name: MASK if _is_masked(value) else value for name, value in entry.properties.items()}
    clear = {name: known.get(name) if value == MASK else value for name, value in properties.items()}
    problems += [
        Problem(
            f"{entry.path}.properties.{one.secret}",
            f"is masked and must be entered again, because changing {one.because} gives another party access to it",
        )
        for one in find_exposed_secrets(known, clear)
        if properties.get(one.secret) == MASK and known.get(one.secret)
    ]
    raw = {**entry.values, "name": entry.name, "type": entry.type or PLUGIN_ID, "tenant_id": entry.tenant_id}
    try:
        integration = validate_integration({**raw, "properties": clear}, path=f"{entry.path}.")
    except ConfigError as error:
        known_paths, known_texts = {problem.path for problem in problems}, {problem.text for problem in error.problems}
        # The model stops at its first errors, but people who correct a file need all of them.
        further = [
            Problem(f"{entry.path}.{field}", text)
            for field, texts in find_problems({**raw, "properties": clear}).items()
            for text in texts
            if text not in known_texts
        ]
        problems += [problem for problem in (*error.problems, *further) if problem.path not in known_paths]
    problems += [
        Problem(f"{entry.path}.{rule_problem.path}", rule_problem.text) for rule_problem in find_rule_problems(clear)
    ]
    if problems:
        raise ConfigError("", problems=problems)
    raw |= {"loggingLevel": integration.logging_level, "disabled": integration.disabled, "properties": clear}
    if stored is None:
        return entry.document_entry, IntegrationChange(entry.name, "", raw)
    changes: dict[str, Any] = {}
    if clear != dict(known):
        changes["properties"] = clear
    if "loggingLevel" in entry.values and integration.logging_level != stored.logging_level:
        changes["logging_level"] = integration.logging_level
    if "disabled" in entry.values and integration.disabled != stored.disabled:
        changes["disabled"] = integration.disabled
    return {**entry.document_entry, "_id": stored.id}, _change(stored, changes)


def _change(stored: StoredIntegration, changes: Mapping[str, Any]) -> IntegrationChange | None:
    if not changes:
        return None
    names = [name for name in changes if name != "properties"]
    after = changes.get("properties")
    if after is not None:
        both = {**stored.properties, **after}
        names += [name for name in both if stored.properties.get(name) != after.get(name)]
    words = {"logging_level": "loggingLevel"}
    return IntegrationChange(stored.name, stored.id, changes, tuple(words.get(name, name) for name in names))


def _plan_foreign(entry: _Entry, before: Mapping[str, Any] | None) -> tuple[dict[str, Any], list[str]]:
    """Return an integration of another tool, and its settings that are masked and not stored.

    It is kept as it came. A masked secret is what it was before; an unknown one is missing, which stops nothing
    here.
    """
    before = before or {}
    if entry.is_reference and before:
        return {**before, **entry.raw}, []
    known = before.get("properties") or {} if entry.type in {"", before.get("type")} else {}
    properties = (entry.raw["properties"] or {}) if not entry.is_reference else {}
    clear = {name: _restore_masked(value, known.get(name)) for name, value in properties.items()}
    missing = [name for name, value in properties.items() if _lacks(value, known.get(name))]
    other_keys = {key: value for key, value in entry.raw.items() if key not in {"status", "latest", "startTime"}}
    return {**other_keys, "name": entry.name, "type": entry.type or before["type"], "properties": clear}, missing


def _stray_settings(
    entry: _Entry, entry_kept: Mapping[str, Any], former: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """Return the unknown keys next to the settings, with what is known in place of masks, and the names that lack it.

    Args:
        entry: Of the file.
        entry_kept: The entry as the document stores it.
        former: The entries of the document that is to be replaced, by name and by ID.
    """
    before = former.get(entry.name) or former.get(str(entry_kept.get("_id") or "")) or {}
    known = before if entry.type in {"", before.get("type", PLUGIN_ID)} else {}
    stray_values = {name: value for name, value in select_unknown_keys(entry.raw).items() if name in entry_kept}
    lacking = [name for name, value in stray_values.items() if _lacks(value, known.get(name))]
    return {name: _restore_masked(value, known.get(name)) for name, value in stray_values.items()}, lacking


def _describe_masked(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} masked in the file and treated as missing"


def _restore_masked(value: Any, known: Any) -> Any:
    """Replace masked values in a setting by the stored ones; null without one."""
    match value:
        case str() if _is_masked(value):
            return known
        case dict():
            former = known if isinstance(known, Mapping) else {}
            return {name: _restore_masked(inner, former.get(name)) for name, inner in value.items()}
        case list():
            former_list = known if isinstance(known, list) and len(known) == len(value) else [None] * len(value)
            return [_restore_masked(inner, former) for inner, former in zip(value, former_list, strict=True)]
        case _:
            return value


def _lacks(value: Any, known: Any) -> bool:
    """Return whether a setting holds a mask for an unknown value."""
    match value:
        case str():
            return _is_masked(value) and known is None
        case dict():
            former = known if isinstance(known, Mapping) else {}
            return any(_lacks(inner, former.get(name)) for name, inner in value.items())
        case list():
            same = isinstance(known, list) and len(known) == len(value)
            return any(_lacks(inner, known[place] if same else None) for place, inner in enumerate(value))
        case _:
            return False


def _check_values(entry: _Entry, known: Mapping[str, Any]) -> Iterator[Problem]:
    for name, value in entry.properties.items():
        path = f"{entry.path}.properties.{name}"
        if _is_masked(value) and not known.get(name):
            yield Problem(path, "is masked, and no stored value exists; enter the value")
        elif value == PLACEHOLDER:
            yield Problem(path, "is the placeholder from the sample; enter the API key you created in Rally")
        elif variable := find_variable(value):
            text = f"uses ${{{variable}}}, but only the command line expands variables; enter the value"
            yield Problem(path, text)


def _is_masked(value: Any) -> bool:
    return isinstance(value, str) and MASKED.match(value) is not None


def _invalid(path: str, text: str) -> ConfigError:
    return ConfigError("", problems=[Problem(path, text)])


#: Made by the host: a file may say otherwise, as it may come from another one.
SERVER_KEYS = ("_id", "pipelineId", "tenantId")


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import comes to."""

    #: As it would be kept; integrations that are to be added have no id yet.
    document: Mapping[str, Any]
    writes: tuple[IntegrationChange, ...]
    differences: tuple[Difference, ...]
    notices: tuple[str, ...]
    #: What it does to the items of the map.
    effect: MapEffect

    @property
    def changes_nothing(self) -> bool:
        """Whether everything is so already."""
        return not self.writes and not self.differences


class Importer:
    """Adds and replaces value streams, with the integrations that their files define.

    Args:
        stores: Where both are kept.
        administration: Takes over the integrations that were written.
    """

    def __init__(self, stores: Stores, administration: IntegrationService) -> None:
        self._stores = stores
        self._administration = administration

    async def plan(self, document: Any, *, stream: StoredValueStream | None = None, keeps_others: bool = False) -> Plan:
        """Return what an import of a document would change, without changing anything.

        Args:
            document: From ``jsontext.read``.
            stream: What it is to replace; None for a new value stream.
            keeps_others: Whether the map keeps showing the integrations that it shows now.

        Raises:
            ConfigError: With every problem and its path.
        """
        # In threads: both take seconds for the largest files.
        document = plain_names(document)
        examination = await asyncio.to_thread(examine, document)
        if not can_check_integrations(examination.problems):
            raise invalid_document(examination.problems)
        tenant_id = stream.tenant_id if stream else str(document.get("tenantId") or DEFAULT_TENANT)
        before = stream.document if stream else {}
        known = await self._stores.integrations.all()
        mine = [integration for integration in known if integration.tenant_id == tenant_id]
        if keeps_others and stream is not None:
            document = with_others(document, before, mine)
        sources = await asyncio.to_thread(plan_integrations, document, tenant_id=tenant_id, known=known, before=before)
        if problems := (*examination.problems, *sources.problems):
            raise invalid_document(problems)
        stored_document = _build_document(document, sources)
        if stream is not None and not sources.writes and means_all(before, sources.entries, mine):
            stored_document["integrations"] = before.get("integrations") or []
        lost = [
            f"{path} contains unreadable characters ({REPLACEMENT}); enter it again and save the file as UTF-8"
            for path in find_unreadable(document)
        ]
        preserved = [f"preserved but not displayed: {those}"] if (those := describe_unsupported(document)) else []
        slipped = await find_misspelled_fields(self._stores.database, _queries(document))
        notices = (
            *examination.notices,
            *lost,
            *sources.notices,
            *slipped,
            *_find_doubts(document, tenant_id),
            *preserved,
        )
        counts = await self._stores.issues.count_by_tracker(tenant_id=tenant_id)
        effect_on_map = map_effect(before if stream else None, stored_document, known=mine, counts=counts)
        return Plan(
            stored_document, sources.writes, tuple(differences(before, stored_document)), notices, effect_on_map
        )

    async def create(
        self,
        document: Any,
        *,
        actor: Actor,
        name: str = "",
        team: Mapping[str, Any] | None = None,
        why: str = "created",
    ) -> StoredValueStream:
        """Add a value stream.

        Args:
            document: From ``jsontext.read``.
            actor: Who does it.
            name: Its name; that of the document when empty.
            team: ``{id, name}``, as it is given.
            why: What is written beside its first version.

        Raises:
            ConfigError: With every problem and its path; nothing was changed.
        """
        plan = await self.plan(document)
        tenant_id = str(document.get("tenantId") or DEFAULT_TENANT)
        name = name.strip() or str(document.get("name") or "")
        async with self._stores.database.writing() as connection:
            stored_document, added = await self._write(connection, plan)
            stream_id = await self._stores.streams.insert(
                connection, name=name, tenant_id=tenant_id, team=team, document=stored_document, actor=actor, why=why
            )
            note = _AuditNote(actor, "created", stream_id, " ".join(name.split()), 1)
            await self._note(connection, note, plan, added)
        return await self._finish(stream_id, plan, added)

    async def replace(
        self,
        stream_id: str,
        document: Any,
        *,
        based_on: int,
        actor: Actor,
        why: str = "imported",
        keeps_others: bool = False,
    ) -> StoredValueStream:
        """Replace the document of a value stream.

        Args:
            stream_id: The value stream.
            document: From ``jsontext.read``.
            based_on: The version that the document was made from.
            actor: Who does it.
            why: What is written beside the version, a verb in the past.
            keeps_others: Whether the map keeps showing the integrations that it shows now.

        Raises:
            ConfigError: With every problem and its path.
            NotFoundError: There is no such value stream.
            OutdatedError: It has another version by now.
                In each case nothing was changed.
        """
        stream = await self._stores.streams.by_id(stream_id)
        if stream is None:
            raise NotFoundError(f"no value stream has the ID {stream_id}")
        if stream.version != based_on:
            raise OutdatedError(
                f"the value stream is now at version {stream.version}, but this change is based on version {based_on}"
            )
        plan = await self.plan(document, stream=stream, keeps_others=keeps_others)
        if plan.changes_nothing:
            return stream
        async with self._stores.database.writing() as connection:
            stored_document, added = await self._write(connection, plan)
            version = based_on
            if plan.differences:
                version = await self._stores.streams.replace(
                    connection, stream_id, based_on=based_on, document=stored_document, actor=actor, why=why
                )
            await self._note(connection, _AuditNote(actor, why, stream_id, stream.name, version), plan, added)
        return await self._finish(stream_id, plan, added)

    async def rename(
        self,
        stream: StoredValueStream,
        *,
        name: str | None,
        description: str | None,
        actor: Actor,
        team: Mapping[str, Any] | None = None,
    ) -> StoredValueStream:
        """Give a value stream another name, description and team, each if it is given and differs.

        Raises:
            ConfigError: The name is taken, or none.
            NotFoundError: There is no such value stream.
            OutdatedError: It has another version by now.
        """
        if name is not None and " ".join(name.split()) != stream.name:
            await self._stores.streams.rename(stream.id, name)
            detail = {"from": stream.name, "to": " ".join(name.split())}
            note = self._stores.audit.record
            await note(actor, "renamed", kind="value stream", object_id=stream.id, name=detail["to"], detail=detail)
        if team is not None and dict(team) != dict(stream.team or {}):
            await self._stores.streams.set_team(stream.id, team)
            detail = {"team": str(team.get("name") or "")}
            note = self._stores.audit.record
            await note(actor, "edited", kind="value stream", object_id=stream.id, name=stream.name, detail=detail)
        if description is not None and description != (stream.document.get("description") or ""):
            document = {**stream.document, "description": description}
            await self.replace(stream.id, document, based_on=stream.version, actor=actor, why="edited the description")
        return await self._stores.streams.by_id(stream.id) or stream

    async def remove(self, stream: StoredValueStream, *, actor: Actor) -> bool:
        """Remove a value stream with its versions; its integrations and issues stay. Whether there was one."""
        done = await self._stores.streams.remove(stream.id)
        if done:
            note = self._stores.audit.record
            await note(actor, "removed", kind="value stream", object_id=stream.id, name=stream.name)
        return done

    async def _write(self, connection: AsyncConnection, plan: Plan) -> tuple[dict[str, Any], dict[str, str]]:
        """Write the integrations; the document with their ids, and the ids of the new ones by name."""
        added: dict[str, str] = {}
        for write in plan.writes:
            if write.id:
                if not await self._stores.integrations.update(connection, write.id, write.values):
                    raise OutdatedError(f"the integration {write.name!r} was deleted in the meantime")
                continue
            added[write.name] = make_id()
            try:
                await self._stores.integrations.insert(connection, added[write.name], write.values)
            except ConfigError:
                # Made from what was there, like a version: imported once more, it changes that integration.
                raise OutdatedError(f"an integration {write.name!r} was added in the meantime") from None
        return _with_ids(plan.document, added), added

    async def _note(
        self, connection: AsyncConnection, note: "_AuditNote", plan: Plan, added: Mapping[str, str]
    ) -> None:
        """Note what was written in the transaction that writes it: neither is there without the other."""
        audit = self._stores.audit
        changed = [f"{difference.kind} {difference.what} {difference.name}".strip() for difference in plan.differences]
        await audit.add(
            connection,
            note.actor,
            note.action,
            kind="value stream",
            object_id=note.stream_id,
            name=note.name,
            detail={"version": note.version, "changed": changed[:50]},
        )
        for write in plan.writes:
            settings = list(write.changed or sorted(write.values["properties"]))
            entry = make_audit_entry(
                "edited" if write.id else "added",
                write.id or added[write.name],
                write.name,
                {"settings": settings, "by": f"the value stream {note.name}"},
            )
            await audit.add(connection, note.actor, **entry)

    async def _finish(self, stream_id: str, plan: Plan, added: Mapping[str, str]) -> StoredValueStream:
        for write in plan.writes:
            await self._administration.restart(write.id or added[write.name])
        stream = await self._stores.streams.by_id(stream_id)
        if stream is None:
            raise NotFoundError(f"the value stream {stream_id} was deleted in the meantime")
        return stream


@dataclass(frozen=True, slots=True)
class _AuditNote:
    """Who did what to which value stream, for the audit log."""

    actor: Actor
    action: str
    stream_id: str
    name: str
    version: int


def _build_document(document: Mapping[str, Any], sources: IntegrationPlan) -> dict[str, Any]:
    result = {name: value for name, value in document.items() if name not in SERVER_KEYS}
    if document.get("integrations") is not None:
        result["integrations"] = list(sources.entries)
    return _with_ids(result, {})


def _with_ids(document: Mapping[str, Any], added: Mapping[str, str]) -> dict[str, Any]:
    """Return a document with integration IDs in its integrations and link rules."""
    document_copy = dict(document)
    if document.get("integrations"):
        document_copy["integrations"] = [
            entry if entry.get("_id") or entry["name"] not in added else {**entry, "_id": added[entry["name"]]}
            for entry in document["integrations"]
        ]
    if document.get("linkRules"):
        ids = {entry["name"]: entry["_id"] for _, entry in integrations_of(document_copy) if entry.get("_id")}
        document_copy["linkRules"] = [_link_rule(rule, ids) for rule in document["linkRules"]]
    return document_copy


def _link_rule(rule: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    generated = {"_id", "fromIntegrationId", "toIntegrationId"}
    rule_copy = {name: value for name, value in rule.items() if name not in generated}
    rule_copy |= {
        f"{end}IntegrationId": ids[name]
        for end in ("from", "to")
        if (name := rule[f"{end}IntegrationName"].strip()) in ids
    }
    return {**rule_copy, "_id": rule.get("_id") or make_id()}


def _queries(document: Mapping[str, Any]) -> dict[str, Query]:
    """Return the queries of a document by their description."""
    layout = parse_layout(document)
    stages = {f"the stage {stage.name}": stage.query for stage in layout.stages if stage.query is not None}
    return {"the query of all stages": layout.query} | stages


def _find_doubts(document: Mapping[str, Any], tenant_id: str) -> Sequence[str]:
    layout = parse_layout(document)
    doubts = [
        f"the query of stage {stage.name} uses {' and '.join(sorted(others))}, but this server only stores issues"
        for stage in layout.stages
        if stage.query is not None and (others := other_item_types(stage.query))
    ]
    doubts += [
        f"{path}: its issues won't appear on the map because its tenant {tenant} differs from the value stream's"
        for path, entry in integrations_of(document)
        if (tenant := entry.get("tenant_id") or entry.get("tenantId")) and tenant != tenant_id
    ]
    if not layout.stages:
        doubts.append("the value stream has no stages yet")
    return doubts
