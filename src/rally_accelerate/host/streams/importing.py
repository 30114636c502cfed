"""Importing a value stream's file: what it comes to is known before anything changes, and then all of it changes."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.config.model import DEFAULT_TENANT
from rally_accelerate.dql.tree import Query
from rally_accelerate.errors import ConfigError, NotFound, Outdated
from rally_accelerate.host.access import Actor
from rally_accelerate.host.administration import Administration, entry_of
from rally_accelerate.host.store.streams import StoredStream
from rally_accelerate.host.store.values import new_id
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.streams.difference import Difference, differences
from rally_accelerate.host.streams.document import allows_sources, examined, integrations_of, plain_names, refused
from rally_accelerate.host.streams.jsontext import unreadable
from rally_accelerate.host.streams.layout import asks_for_others, layout_of
from rally_accelerate.host.streams.showing import Effect, effect, means_all, with_others
from rally_accelerate.host.streams.sources import Sources, Write, sources_of
from rally_accelerate.host.streams.undrawn import undrawn
from rally_accelerate.host.unheard import slips
from rally_accelerate.model.decoding import REPLACEMENT

#: Made by the host: a file may say otherwise, as it may come from another one.
MADE = ("_id", "pipelineId", "tenantId")


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

    def __init__(self, stores: Stores, administration: Administration) -> None:
        self._stores = stores
        self._administration = administration

    async def plan(self, document: Any, *, stream: StoredStream | None = None, keeps_others: bool = False) -> Plan:
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
            f"{path} holds characters that cannot be read ({REPLACEMENT}); enter it again and save the file as UTF-8"
            for path in unreadable(document)
        ]
        only_kept = [f"kept and given back, but not drawn here: {those}"] if (those := undrawn(document)) else []
        slipped = await slips(self._stores.database, _queries(document))
        notices = (*found.notices, *lost, *sources.notices, *slipped, *_doubts(document, tenant_id), *only_kept)
        counts = await self._stores.issues.counts(tenant_id=tenant_id)
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
    ) -> StoredStream:
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
    ) -> StoredStream:
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
            NotFound: There is no such value stream.
            Outdated: It has another version by now.
                In each case nothing was changed.
        """
        stream = await self._stores.streams.by_id(its_id)
        if stream is None:
            raise NotFound(f"there is no value stream {its_id}")
        if stream.version != based_on:
            raise Outdated(f"the value stream has version {stream.version} by now; this was made from {based_on}")
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
        stream: StoredStream,
        *,
        name: str | None,
        description: str | None,
        actor: Actor,
        team: Mapping[str, Any] | None = None,
    ) -> StoredStream:
        """Give a value stream another name, description and team, each if it is given and differs.

        Raises:
            ConfigError: The name is taken, or none.
            NotFound: There is no such value stream.
            Outdated: It has another version by now.
        """
        if name is not None and " ".join(name.split()) != stream.name:
            await self._stores.streams.rename(stream.id, name)
            detail = {"from": stream.name, "to": " ".join(name.split())}
            note = self._stores.audit.note
            await note(actor, "renamed", kind="value stream", object_id=stream.id, name=detail["to"], detail=detail)
        if team is not None and dict(team) != dict(stream.team or {}):
            await self._stores.streams.set_team(stream.id, team)
            detail = {"team": str(team.get("name") or "")}
            note = self._stores.audit.note
            await note(actor, "edited", kind="value stream", object_id=stream.id, name=stream.name, detail=detail)
        if description is not None and description != (stream.document.get("description") or ""):
            document = {**stream.document, "description": description}
            await self.replace(stream.id, document, based_on=stream.version, actor=actor, why="described anew")
        return await self._stores.streams.by_id(stream.id) or stream

    async def remove(self, stream: StoredStream, *, actor: Actor) -> bool:
        """Remove a value stream with its versions; its integrations and issues stay. Whether there was one."""
        done = await self._stores.streams.remove(stream.id)
        if done:
            note = self._stores.audit.note
            await note(actor, "removed", kind="value stream", object_id=stream.id, name=stream.name)
        return done

    async def _written(self, connection: AsyncConnection, plan: Plan) -> tuple[dict[str, Any], dict[str, str]]:
        """Write the integrations; the document with their ids, and the ids of the new ones by name."""
        added: dict[str, str] = {}
        for write in plan.writes:
            if write.id:
                if not await self._stores.integrations.update(connection, write.id, write.values):
                    raise Outdated(f"the integration {write.name!r} was removed meanwhile")
                continue
            added[write.name] = new_id()
            try:
                await self._stores.integrations.insert(connection, added[write.name], write.values)
            except ConfigError:
                # Made from what was there, like a version: imported once more, it changes that integration.
                raise Outdated(f"an integration {write.name!r} was added meanwhile") from None
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
            entry = entry_of(
                "edited" if write.id else "added",
                write.id or added[write.name],
                write.name,
                {"settings": settings, "by": f"the value stream {told.name}"},
            )
            await audit.add(connection, told.actor, **entry)

    async def _done(self, its_id: str, plan: Plan, added: Mapping[str, str]) -> StoredStream:
        for write in plan.writes:
            await self._administration.restart(write.id or added[write.name])
        stream = await self._stores.streams.by_id(its_id)
        if stream is None:
            raise NotFound(f"the value stream {its_id} was removed meanwhile")
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
    kept = {name: value for name, value in document.items() if name not in MADE}
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
    return {**found, "_id": rule.get("_id") or new_id()}


def _queries(document: Mapping[str, Any]) -> dict[str, Query]:
    """What decides on the map, by the words for where it stands."""
    layout = layout_of(document)
    stages = {f"the stage {stage.name}": stage.query for stage in layout.stages if stage.query is not None}
    return {"the query of all stages": layout.query} | stages


def _doubts(document: Mapping[str, Any], tenant_id: str) -> Sequence[str]:
    layout = layout_of(document)
    found = [
        f"the stage {stage.name} asks for {' and '.join(sorted(others))}: only issues are held here, so that is missing"
        for stage in layout.stages
        if stage.query is not None and (others := asks_for_others(stage.query))
    ]
    found += [
        f"{path}: its tenant {given} is not the value stream's: its issues do not show on the map"
        for path, entry in integrations_of(document)
        if (given := entry.get("tenant_id") or entry.get("tenantId")) and given != tenant_id
    ]
    if not layout.stages:
        found.append("it has no stages yet")
    return found
