"""Importing a value stream's file: what it comes to is known before anything changes, and then all of it changes."""

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
    allows_sources,
    examined,
    integrations_of,
    near,
    plain_names,
    refused,
    undrawn,
)
from rally_accelerate.server.value_streams.document_text import unreadable
from rally_accelerate.server.value_streams.integration_filter import Effect, effect, means_all, with_others
from rally_accelerate.server.value_streams.layout import asks_for_others, layout_of

#: What the host fills in anew in each download (accelerate-api-notes.md#integrations-in-the-file).
INTEGRATION_SERVER_KEYS = frozenset(
    {"_id", "status", "startTime", "latest", "properties", "type", "tenant_id", "tenantId", "disabled"}
)


#: What stands for the API key in the sample of the Integrations page.
PLACEHOLDER = "YOUR-API-KEY"


@dataclass(frozen=True, slots=True)
class Write:
    """An integration that is to be added or changed."""

    name: str
    #: Empty for one that is to be added.
    id: str
    #: For one that is added in the form of the JSON file, for one that is changed by column; secrets are in clear.
    values: Mapping[str, Any]
    #: The names of what changes.
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """What the integrations of a file come to."""

    #: What the value stream's document keeps of each: no settings of those that this host runs.
    entries: tuple[dict[str, Any], ...]
    writes: tuple[Write, ...]
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
    def kept(self) -> dict[str, Any]:
        """What the document keeps of it: its name, and what the host does not fill in itself."""
        mine = {
            key: value
            for key, value in self.raw.items()
            if key not in INTEGRATION_SERVER_KEYS and key.lower() not in LEVEL_KEYS
        }
        return {**mine, "name": self.name}


def sources_of(
    document: Mapping[str, Any],
    *,
    tenant_id: str,
    known: Sequence[StoredIntegration],
    before: Mapping[str, Any] | None,
) -> Sources:
    """What the integrations of a checked document come to.

    Args:
        document: From a file.
        tenant_id: The value stream's, for entries without one.
        known: Every integration of the host.
        before: The document that is to be replaced, for what only it holds.
    """
    mine = {(each.tenant_id, each.name): each for each in known}
    by_id = {each.id: each for each in known}
    by_fold = {(each.tenant_id, fold(each.name)): each for each in known}
    former = {(entry["name"].strip(), entry.get("_id")) for _, entry in integrations_of(before or {})}
    # Integrations of other tools live in the document alone.
    by_key = {
        key: entry for _, entry in integrations_of(before or {}) for key in (entry["name"], entry.get("_id")) if key
    }
    others = {entry["name"]: entry for _, entry in integrations_of(before or {}) if "properties" in entry}
    entries: list[dict[str, Any]] = []
    writes: list[Write] = []
    problems: list[Problem] = []
    notices: list[str] = []
    for path, raw in integrations_of(document):
        values, properties, told = normalize_integration(raw)
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
                (kept, missing), write = _other(entry, other), None
                meant = f"; did you mean {PLUGIN_ID}?" if resembles_plugin(kept["type"]) else ""
                notices.append(
                    f"{path}: {entry.name} has type {kept['type']}, which this server doesn't run; "
                    f"it is preserved in the file{meant}"
                )
                if missing:
                    text = _masked_text(missing)
                    notices.append(f"{path}: {text}; enter the actual values on the server that runs {entry.name}")
            elif stored is None and entry.is_reference and raw.get("_id") and (entry.name, raw["_id"]) in former:
                kept, write = {**entry.kept, "_id": raw["_id"]}, None
                notices.append(f"{path}: {entry.name} was deleted and no longer provides items")
            elif entry.is_reference:
                kept, write = _reference(entry, stored, names=[*(name for _, name in mine), *others])
            else:
                kept, write = _whole(entry, stored)
        except ConfigError as error:
            problems += error.problems
            continue
        beside, lacking = _beside(entry, kept, by_key)
        kept |= beside
        if lacking:
            notices.append(
                f"{path}: {_masked_text(lacking)}; enter the actual values on the server that runs {entry.name}"
            )
        entries.append(kept)
        if "properties" not in kept:
            notices += [f"{path}: {text}" for text in told]
        writes += [write] if write else []
    return Sources(tuple(entries), tuple(writes), tuple(problems), tuple(notices))


def _reference(
    entry: _Entry, stored: StoredIntegration | None, *, names: list[str]
) -> tuple[dict[str, Any], Write | None]:
    if stored is None:
        text = f"no integration is named {entry.name!r}{near(entry.name, names)}"
        if entry.type:
            text = f"{text.partition(';')[0]}; provide its properties to add it"
        elif not names:
            text = (
                f"{text.partition(';')[0]}; add it on the Integrations page first, or provide its type and properties"
            )
        raise _wrong(f"{entry.path}.name", text)
    asked = {key: entry.values[key] for key in ("disabled", "loggingLevel") if key in entry.values}
    candidate = {**stored.raw, **asked}
    integration = validate_integration(candidate, path=f"{entry.path}.") if candidate != stored.raw else None
    changes: dict[str, Any] = {}
    if integration is not None and integration.disabled != stored.disabled:
        changes["disabled"] = integration.disabled
    if integration is not None and integration.logging_level != stored.logging_level:
        changes["logging_level"] = integration.logging_level
    return {**entry.kept, "_id": stored.id}, _change(stored, changes)


def _whole(entry: _Entry, stored: StoredIntegration | None) -> tuple[dict[str, Any], Write | None]:
    known = stored.properties if stored else {}
    problems = list(_unusable(entry, known))
    given = {name: MASK if _is_masked(value) else value for name, value in entry.properties.items()}
    clear = {name: known.get(name) if value == MASK else value for name, value in given.items()}
    problems += [
        Problem(
            f"{entry.path}.properties.{one.secret}",
            f"is masked and must be entered again, because changing {one.because} gives another party access to it",
        )
        for one in find_exposed_secrets(known, clear)
        if given.get(one.secret) == MASK and known.get(one.secret)
    ]
    raw = {**entry.values, "name": entry.name, "type": entry.type or PLUGIN_ID, "tenant_id": entry.tenant_id}
    try:
        integration = validate_integration({**raw, "properties": clear}, path=f"{entry.path}.")
    except ConfigError as error:
        said, told = {problem.path for problem in problems}, {problem.text for problem in error.problems}
        # The model stops at its first faults; whoever corrects a file wants to know them all.
        further = [
            Problem(f"{entry.path}.{field}", text)
            for field, texts in find_problems({**raw, "properties": clear}).items()
            for text in texts
            if text not in told
        ]
        problems += [problem for problem in (*error.problems, *further) if problem.path not in said]
    problems += [Problem(f"{entry.path}.{each.path}", each.text) for each in find_rule_problems(clear)]
    if problems:
        raise ConfigError("", problems=problems)
    raw |= {"loggingLevel": integration.logging_level, "disabled": integration.disabled, "properties": clear}
    if stored is None:
        return entry.kept, Write(entry.name, "", raw)
    changes: dict[str, Any] = {}
    if clear != dict(known):
        changes["properties"] = clear
    if "loggingLevel" in entry.values and integration.logging_level != stored.logging_level:
        changes["logging_level"] = integration.logging_level
    if "disabled" in entry.values and integration.disabled != stored.disabled:
        changes["disabled"] = integration.disabled
    return {**entry.kept, "_id": stored.id}, _change(stored, changes)


def _change(stored: StoredIntegration, changes: Mapping[str, Any]) -> Write | None:
    if not changes:
        return None
    names = [name for name in changes if name != "properties"]
    after = changes.get("properties")
    if after is not None:
        both = {**stored.properties, **after}
        names += [name for name in both if stored.properties.get(name) != after.get(name)]
    words = {"logging_level": "loggingLevel"}
    return Write(stored.name, stored.id, changes, tuple(words.get(name, name) for name in names))


def _other(entry: _Entry, before: Mapping[str, Any] | None) -> tuple[dict[str, Any], list[str]]:
    """An integration of another tool, and the names of its settings that are masked and unknown.

    It is kept as it came. A masked secret is what it was before; an unknown one is missing, which stops nothing
    here.
    """
    before = before or {}
    if entry.is_reference and before:
        return {**before, **entry.raw}, []
    known = before.get("properties") or {} if entry.type in {"", before.get("type")} else {}
    given = (entry.raw["properties"] or {}) if not entry.is_reference else {}
    clear = {name: _unmasked(value, known.get(name)) for name, value in given.items()}
    missing = [name for name, value in given.items() if _lacks(value, known.get(name))]
    kept = {key: value for key, value in entry.raw.items() if key not in {"status", "latest", "startTime"}}
    return {**kept, "name": entry.name, "type": entry.type or before["type"], "properties": clear}, missing


def _beside(
    entry: _Entry, kept: Mapping[str, Any], former: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """Return the unknown keys next to the settings, with what is known in place of masks, and the names that lack it.

    Args:
        entry: Of the file.
        kept: What the document is to keep of it.
        former: The entries of the document that is to be replaced, by name and by ID.
    """
    before = former.get(entry.name) or former.get(str(kept.get("_id") or "")) or {}
    known = before if entry.type in {"", before.get("type", PLUGIN_ID)} else {}
    given = {name: value for name, value in select_unknown_keys(entry.raw).items() if name in kept}
    lacking = [name for name, value in given.items() if _lacks(value, known.get(name))]
    return {name: _unmasked(value, known.get(name)) for name, value in given.items()}, lacking


def _masked_text(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} masked in the file and treated as missing"


def _unmasked(value: Any, known: Any) -> Any:
    """A setting with what is known of it in place of what is masked in it; null where nothing is."""
    match value:
        case str() if _is_masked(value):
            return known
        case dict():
            former = known if isinstance(known, Mapping) else {}
            return {name: _unmasked(inner, former.get(name)) for name, inner in value.items()}
        case list():
            former_list = known if isinstance(known, list) and len(known) == len(value) else [None] * len(value)
            return [_unmasked(inner, former) for inner, former in zip(value, former_list, strict=True)]
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


def _unusable(entry: _Entry, known: Mapping[str, Any]) -> Iterator[Problem]:
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


def _wrong(path: str, text: str) -> ConfigError:
    return ConfigError("", problems=[Problem(path, text)])


#: Made by the host: a file may say otherwise, as it may come from another one.
SERVER_KEYS = ("_id", "pipelineId", "tenantId")


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import comes to."""

    #: As it would be kept; integrations that are to be added have no id yet.
    document: Mapping[str, Any]
    writes: tuple[Write, ...]
    differences: tuple[Difference, ...]
    notices: tuple[str, ...]
    #: What it does to the items of the map.
    effect: Effect

    @property
    def changes_nothing(self) -> bool:
        """Whether everything is so already."""
        return not self.writes and not self.differences


class Importing:
    """Adds and replaces value streams, with the integrations that their files define.

    Args:
        stores: Where both are kept.
        administration: Takes over the integrations that were written.
    """

    def __init__(self, stores: Stores, administration: IntegrationService) -> None:
        self._stores = stores
        self._administration = administration

    async def plan(self, document: Any, *, stream: StoredValueStream | None = None, keeps_others: bool = False) -> Plan:
        """What an import of a document would change; nothing is changed.

        Args:
            document: From ``jsontext.read``.
            stream: What it is to replace; None for a new value stream.
            keeps_others: Whether the map keeps showing the integrations that it shows now.

        Raises:
            ConfigError: With every problem and its path.
        """
        # In threads: both take seconds for the largest files.
        document = plain_names(document)
        found = await asyncio.to_thread(examined, document)
        if not allows_sources(found.problems):
            raise refused(found.problems)
        tenant_id = stream.tenant_id if stream else str(document.get("tenantId") or DEFAULT_TENANT)
        before = stream.document if stream else {}
        known = await self._stores.integrations.all()
        mine = [each for each in known if each.tenant_id == tenant_id]
        if keeps_others and stream is not None:
            document = with_others(document, before, mine)
        sources = await asyncio.to_thread(sources_of, document, tenant_id=tenant_id, known=known, before=before)
        if problems := (*found.problems, *sources.problems):
            raise refused(problems)
        kept = _kept(document, sources)
        if stream is not None and not sources.writes and means_all(before, sources.entries, mine):
            kept["integrations"] = before.get("integrations") or []
        lost = [
            f"{path} contains unreadable characters ({REPLACEMENT}); enter it again and save the file as UTF-8"
            for path in unreadable(document)
        ]
        only_kept = [f"preserved but not displayed: {those}"] if (those := undrawn(document)) else []
        slipped = await find_misspelled_fields(self._stores.database, _queries(document))
        notices = (*found.notices, *lost, *sources.notices, *slipped, *_doubts(document, tenant_id), *only_kept)
        counts = await self._stores.issues.count_by_tracker(tenant_id=tenant_id)
        found_effect = effect(before if stream else None, kept, known=mine, counts=counts)
        return Plan(kept, sources.writes, tuple(differences(before, kept)), notices, found_effect)

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
            kept, added = await self._written(connection, plan)
            its_id = await self._stores.streams.insert(
                connection, name=name, tenant_id=tenant_id, team=team, document=kept, actor=actor, why=why
            )
            told = _Told(actor, "created", its_id, " ".join(name.split()), 1)
            await self._note(connection, told, plan, added)
        return await self._done(its_id, plan, added)

    async def replace(
        self,
        its_id: str,
        document: Any,
        *,
        based_on: int,
        actor: Actor,
        why: str = "imported",
        keeps_others: bool = False,
    ) -> StoredValueStream:
        """Replace the document of a value stream.

        Args:
            its_id: Which.
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
        stream = await self._stores.streams.by_id(its_id)
        if stream is None:
            raise NotFoundError(f"no value stream has the ID {its_id}")
        if stream.version != based_on:
            raise OutdatedError(
                f"the value stream is now at version {stream.version}, but this change is based on version {based_on}"
            )
        plan = await self.plan(document, stream=stream, keeps_others=keeps_others)
        if plan.changes_nothing:
            return stream
        async with self._stores.database.writing() as connection:
            kept, added = await self._written(connection, plan)
            version = based_on
            if plan.differences:
                version = await self._stores.streams.replace(
                    connection, its_id, based_on=based_on, document=kept, actor=actor, why=why
                )
            await self._note(connection, _Told(actor, why, its_id, stream.name, version), plan, added)
        return await self._done(its_id, plan, added)

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

    async def _written(self, connection: AsyncConnection, plan: Plan) -> tuple[dict[str, Any], dict[str, str]]:
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

    async def _note(self, connection: AsyncConnection, told: "_Told", plan: Plan, added: Mapping[str, str]) -> None:
        """Note what was written in the transaction that writes it: neither is there without the other."""
        audit = self._stores.audit
        changed = [f"{each.kind} {each.what} {each.name}".strip() for each in plan.differences]
        await audit.add(
            connection,
            told.actor,
            told.action,
            kind="value stream",
            object_id=told.its_id,
            name=told.name,
            detail={"version": told.version, "changed": changed[:50]},
        )
        for write in plan.writes:
            settings = list(write.changed or sorted(write.values["properties"]))
            entry = make_audit_entry(
                "edited" if write.id else "added",
                write.id or added[write.name],
                write.name,
                {"settings": settings, "by": f"the value stream {told.name}"},
            )
            await audit.add(connection, told.actor, **entry)

    async def _done(self, its_id: str, plan: Plan, added: Mapping[str, str]) -> StoredValueStream:
        for write in plan.writes:
            await self._administration.restart(write.id or added[write.name])
        stream = await self._stores.streams.by_id(its_id)
        if stream is None:
            raise NotFoundError(f"the value stream {its_id} was deleted in the meantime")
        return stream


@dataclass(frozen=True, slots=True)
class _Told:
    """Who did what to which value stream, for the audit log."""

    actor: Actor
    action: str
    its_id: str
    name: str
    version: int


def _kept(document: Mapping[str, Any], sources: Sources) -> dict[str, Any]:
    kept = {name: value for name, value in document.items() if name not in SERVER_KEYS}
    if document.get("integrations") is not None:
        kept["integrations"] = list(sources.entries)
    return _with_ids(kept, {})


def _with_ids(document: Mapping[str, Any], added: Mapping[str, str]) -> dict[str, Any]:
    """A document whose integrations and link rules bear the ids of their integrations."""
    found = dict(document)
    if document.get("integrations"):
        found["integrations"] = [
            entry if entry.get("_id") or entry["name"] not in added else {**entry, "_id": added[entry["name"]]}
            for entry in document["integrations"]
        ]
    if document.get("linkRules"):
        ids = {entry["name"]: entry["_id"] for _, entry in integrations_of(found) if entry.get("_id")}
        found["linkRules"] = [_linked(rule, ids) for rule in document["linkRules"]]
    return found


def _linked(rule: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    made = {"_id", "fromIntegrationId", "toIntegrationId"}
    found = {name: value for name, value in rule.items() if name not in made}
    found |= {
        f"{end}IntegrationId": ids[name]
        for end in ("from", "to")
        if (name := rule[f"{end}IntegrationName"].strip()) in ids
    }
    return {**found, "_id": rule.get("_id") or make_id()}


def _queries(document: Mapping[str, Any]) -> dict[str, Query]:
    """What decides on the map, by the words for where it stands."""
    layout = layout_of(document)
    stages = {f"the stage {stage.name}": stage.query for stage in layout.stages if stage.query is not None}
    return {"the query of all stages": layout.query} | stages


def _doubts(document: Mapping[str, Any], tenant_id: str) -> Sequence[str]:
    layout = layout_of(document)
    found = [
        f"the query of stage {stage.name} uses {' and '.join(sorted(others))}, but this server only stores issues"
        for stage in layout.stages
        if stage.query is not None and (others := asks_for_others(stage.query))
    ]
    found += [
        f"{path}: its issues won't appear on the map because its tenant {given} differs from the value stream's"
        for path, entry in integrations_of(document)
        if (given := entry.get("tenant_id") or entry.get("tenantId")) and given != tenant_id
    ]
    if not layout.stages:
        found.append("the value stream has no stages yet")
    return found
