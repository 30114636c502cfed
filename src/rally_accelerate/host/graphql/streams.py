"""Operations on value streams, their versions and their dots."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ariadne import MutationType, ObjectType, QueryType, UnionType
from graphql import GraphQLError

from rally_accelerate.dql.parse import parse
from rally_accelerate.errors import ConfigError, NotFound, Outdated, QueryError
from rally_accelerate.host.access import Actor
from rally_accelerate.host.graphql.particles import Particles, id_of
from rally_accelerate.host.schedule import Schedule
from rally_accelerate.host.store.streams import StoredStream, Version
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.streams import beginning
from rally_accelerate.host.streams.board import Asked, Boards
from rally_accelerate.host.streams.document import phases_of
from rally_accelerate.host.streams.download import downloaded
from rally_accelerate.host.streams.importing import Importing
from rally_accelerate.host.streams.jsontext import checked_value, read
from rally_accelerate.host.streams.known import known_integrations

#: More versions, or dots, than these are asked for in several questions.
MOST = 500

#: So many dots of each stage come with the value stream itself.
WITH_STAGE = 100


def bind(  # noqa: C901, PLR0915 - one resolver for each operation of the vendor's list
    query: QueryType,
    mutation: MutationType,
    stores: Stores,
    schedule: Schedule,
    *,
    importing: Importing,
    boards: Boards,
) -> list[ObjectType | UnionType]:
    """Attach the resolvers to the stores."""
    workflow_type, stage_type = ObjectType("Workflow"), ObjectType("WorkflowStage")
    result_type = UnionType("WorkflowUploadResult", lambda held, *_: held["__typename"])
    particles = Particles(stores, boards)

    async def known(its_id: str) -> StoredStream:
        found = await stores.streams.by_id(its_id)
        if found is None:
            raise GraphQLError(f"there is no value stream {its_id}")
        return found

    async def told(stream: StoredStream, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return _workflow(stream, downloaded(stream, await known_integrations(stores, schedule), document=document))

    @query.field("workflow")
    async def workflow(_: Any, __: Any, workflowId: str, version: str | None = None) -> dict[str, Any] | None:
        found = await stores.streams.by_id(workflowId)
        if found is None or version is None:
            return None if found is None else await told(found)
        older = await stores.streams.version(workflowId, _number(version))
        return None if older is None else await told(found, older.document)

    @query.field("workflowsForTenant")
    async def for_tenant(_: Any, __: Any, tenantId: str) -> list[dict[str, Any]]:
        return [await told(one) for one in await stores.streams.all(tenantId)]

    @query.field("workflowIdByPipelineId")
    async def by_pipeline(_: Any, __: Any, pipelineId: str) -> str | None:
        found = await stores.streams.by_pipeline(pipelineId)
        return found.id if found else None

    @query.field("vsmVersions")
    async def versions(_: Any, __: Any, workflowId: str, skip: int, limit: int) -> list[dict[str, Any]]:
        stream = await known(workflowId)
        some = await stores.streams.versions(stream.id, skip=_from_zero(skip), limit=_bounded(limit))
        integrations = await known_integrations(stores, schedule)
        return [_version(stream, one, downloaded(stream, integrations, document=one.document)) for one in some]

    @query.field("particlesByStage")
    async def by_stage(
        _: Any,
        __: Any,
        workflowId: str,
        stageName: str,
        particleIds: list[str] | None = None,
        pagination: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        stream = await known(workflowId)
        skip = _from_zero((pagination or {}).get("skip") or 0)
        limit = _bounded((pagination or {}).get("limit") or WITH_STAGE)
        return await particles.of_stage(stream, stageName, skip=skip, limit=limit, only=particleIds)

    @query.field("particleById")
    async def by_id(_: Any, __: Any, particleId: str, workflowId: str | None = None) -> dict[str, Any] | None:
        return await particles.one(particleId, await known(workflowId) if workflowId else None)

    @query.field("particlesMatchingQuery")
    async def matching(
        _: Any,
        __: Any,
        pipelineId: str,
        includeTopLevelQuery: bool,
        query: str | None = None,
        text: str | None = None,
    ) -> list[dict[str, Any]]:
        stream = await stores.streams.by_pipeline(pipelineId)
        if stream is None:
            raise GraphQLError(f"there is no pipeline {pipelineId}")
        try:
            parse(query or "")
        except QueryError as error:
            place = {"line": error.line, "column": error.column, "expected": list(error.expected)}
            raise GraphQLError(f"{error} (line {error.line}, column {error.column})", extensions=place) from None
        asked = Asked(text=text or "", dql=(query or "").strip())
        return await particles.matching(stream, asked, with_stream_query=includeTopLevelQuery, limit=MOST)

    @stage_type.field("particles")
    async def stage_particles(parent: Mapping[str, Any], _: Any) -> list[dict[str, Any]]:
        return await particles.of_stage(parent["_stream"], parent["name"], skip=0, limit=WITH_STAGE, only=None)

    @stage_type.field("stat")
    async def stat(parent: Mapping[str, Any], _: Any) -> dict[str, Any] | None:
        board = await boards.board(parent["_stream"], Asked(), now=datetime.now(UTC))
        held = next((one for one in board.stages if one.stage.name == parent["name"].strip()), None)
        # How it changes over time is told by the metrics; it is not known here.
        return {"averageAge": held.average_age_ms, "trend": None, "count": held.count} if held else None

    async def facet(parent: Mapping[str, Any], name: str) -> list[dict[str, str]]:
        board = await boards.board(parent["_stream"], Asked(), now=datetime.now(UTC))
        return [{"name": value} for value, _ in board.facets.get(name, ())]

    @workflow_type.field("sprints")
    async def sprints(parent: Mapping[str, Any], _: Any) -> list[dict[str, str]]:
        return await facet(parent, "sprint")

    @workflow_type.field("releases")
    async def releases(parent: Mapping[str, Any], _: Any) -> list[dict[str, str]]:
        return await facet(parent, "release")

    @mutation.field("createValueStream")
    async def create(
        _: Any,
        info: Any,
        *,
        name: str,
        tenantId: str,
        description: str | None = None,
        team: Mapping[str, Any] | None = None,
        workflow: Any = None,
    ) -> dict[str, Any]:
        try:
            document = _document(workflow)
            if document is None:
                document = beginning.default(description=description or "", tenant_id=tenantId)
            if isinstance(document, dict):
                document = {**document, "tenantId": tenantId}
                if description is not None:
                    document["description"] = description
            stream = await importing.create(document, actor=_actor(info), name=name, team=team)
        except (ConfigError, Outdated) as error:
            return _refused(error)
        return await told(stream)

    @mutation.field("updateWorkflow")
    async def update(_: Any, info: Any, workflowId: str, workflow: Any) -> dict[str, Any]:
        stream = await known(workflowId)
        try:
            document = _document(workflow)
            done = await importing.replace(stream.id, document, based_on=stream.version, actor=_actor(info))
        except (ConfigError, NotFound, Outdated) as error:
            return _refused(error)
        return await told(done)

    @mutation.field("editValueStream")
    async def edit(
        _: Any, info: Any, workflowId: str, name: str | None = None, description: str | None = None
    ) -> dict[str, Any]:
        stream = await known(workflowId)
        try:
            done = await importing.rename(stream, name=name, description=description, actor=_actor(info))
        except (ConfigError, NotFound, Outdated) as error:
            raise GraphQLError("; ".join(_refused(error)["errors"])) from None
        return await told(done)

    @mutation.field("deleteValueStream")
    async def delete(_: Any, info: Any, workflowId: str) -> bool:
        stream = await known(workflowId)
        return await importing.remove(stream, actor=_actor(info))

    @mutation.field("updateMetricsBar")
    async def metrics_bar(_: Any, info: Any, workflowId: str, metricsBar: list[Any]) -> dict[str, Any]:
        stream = await known(workflowId)
        try:
            document = checked_value({**stream.document, "metricsBar": metricsBar})
            done = await importing.replace(
                stream.id, document, based_on=stream.version, actor=_actor(info), why="changed the metrics bar"
            )
        except (ConfigError, NotFound, Outdated) as error:
            raise GraphQLError("; ".join(_refused(error)["errors"])) from None
        return await told(done)

    return [workflow_type, stage_type, result_type]


def _document(given: Any) -> Any:
    """The document of an argument: an object, or its text as some clients send it.

    Raises:
        ConfigError: It cannot be read.
    """
    return read(given) if isinstance(given, str) else None if given is None else checked_value(given)


def _actor(info: Any) -> Actor:
    found: Actor = info.context["actor"]
    return found


def _refused(error: ConfigError | NotFound | Outdated) -> dict[str, Any]:
    problems = [str(problem) for problem in getattr(error, "problems", ())]
    return {"__typename": "WorkflowUploadError", "errors": problems or [str(error)]}


def _workflow(stream: StoredStream, document: Mapping[str, Any]) -> dict[str, Any]:
    integrations = document.get("integrations") or []
    ids = [id_of(entry) for entry in integrations]
    spans = {name: _first(document.get(name)) for name in ("leadTime", "cycleTime", "leadTimeChange", "devCycleTime")}
    return {
        "__typename": "Workflow",
        "_stream": stream,
        "_id": stream.id,
        "pipelineId": stream.pipeline_id,
        "tenantId": stream.tenant_id,
        "name": stream.name,
        "description": document.get("description"),
        "query": document.get("query"),
        "recalculating": False,
        "phases": [_phase(phase, stream) for _, phase in phases_of(document)],
        "environmentMap": [],
        "integrations": integrations,
        "integrationId": next(filter(None, ids), None),
        "integrationsCount": len(integrations),
        "created": stream.created,
        "lastUpdate": stream.last_update,
        "mappings": document.get("mappings"),
        **spans,
        "linkRules": document.get("linkRules") or [],
        "metrics": document.get("metrics") or [],
        "metricsBar": document.get("metricsBar") or [],
        "team": stream.team,
        "features": [],
        "particleTypes": ["issue"],
    }


def _phase(phase: Mapping[str, Any], stream: StoredStream) -> dict[str, Any]:
    stages = [{**stage, "_stream": stream} for stage in phase.get("stages") or ()]
    return {**phase, "stages": stages}


def _first(span: Any) -> Any:
    return (span[0] if span else None) if isinstance(span, list) else span


def _version(stream: StoredStream, version: Version, document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "_id": f"{stream.id}:{version.number}",
        "workflowId": stream.id,
        "version": version.number,
        "created": version.at,
        "createdBy": version.actor,
        "description": version.why,
        "workflow": document,
    }


def _number(given: str) -> int:
    # The vendor's form of a version is not public; here it is its number.
    digits = given.rpartition(":")[2]
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else 0  # noqa: PLR2004 - digits


def _bounded(limit: int) -> int:
    if not 0 < limit <= MOST:
        raise GraphQLError(f"limit must be from 1 to {MOST}")
    return limit


def _from_zero(skip: int) -> int:
    if skip < 0:
        raise GraphQLError("skip must be 0 or more")
    return skip
