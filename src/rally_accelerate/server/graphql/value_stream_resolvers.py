"""Operations on value streams, their versions and their dots."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ariadne import MutationType, ObjectType, QueryType, UnionType
from graphql import GraphQLError

from rally_accelerate.errors import ConfigError, NotFoundError, OutdatedError, QueryError
from rally_accelerate.server.graphql import value_stream_types
from rally_accelerate.server.graphql.execution import check_length
from rally_accelerate.server.graphql.value_stream_types import (
    Particles,
    list_metrics_bar,
    select_timeboxes,
    to_workflow,
)
from rally_accelerate.server.permissions import Actor
from rally_accelerate.server.scheduler import Scheduler
from rally_accelerate.server.store.query_evaluator import parse_limited
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.store.value_streams import StoredValueStream, ValueStreamVersion
from rally_accelerate.server.value_streams import defaults
from rally_accelerate.server.value_streams.board import BoardCache, MapFilter
from rally_accelerate.server.value_streams.diff import differences
from rally_accelerate.server.value_streams.document_text import parse_document, validate_value
from rally_accelerate.server.value_streams.export import export_document, load_integrations
from rally_accelerate.server.value_streams.importer import Importer

#: The most versions or dots in one response.
MAX_LIMIT = 500

#: So many versions come where nothing says how many.
DEFAULT_VERSIONS = 10

#: So many dots of each stage come with the value stream itself.
DOTS_PER_STAGE = 100


def bind(  # noqa: C901, PLR0915 - one resolver for each operation of the vendor's list
    query: QueryType,
    mutation: MutationType,
    stores: Stores,
    schedule: Scheduler,
    *,
    importing: Importer,
    boards: BoardCache,
) -> list[ObjectType | UnionType]:
    """Attach the resolvers to the stores."""
    workflow_type, stage_type = ObjectType("Workflow"), ObjectType("WorkflowStage")
    result_type = UnionType("WorkflowUploadResult", lambda value, *_: value["__typename"])
    particles = Particles(stores, boards)

    async def require_stream(stream_id: str) -> StoredValueStream:
        stream = await stores.streams.by_id(stream_id)
        if stream is None:
            raise GraphQLError(f"there is no value stream {stream_id}")
        return stream

    async def format_stream(stream: StoredValueStream, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return to_workflow(
            stream, export_document(stream, await load_integrations(stores, schedule), document=document)
        )

    async def find_by_pipeline(stream_id: str, tenant_id: str | None = None) -> StoredValueStream:
        stream = await stores.streams.by_pipeline(stream_id)
        if stream is None or tenant_id not in {None, stream.tenant_id}:
            raise GraphQLError(f"there is no pipeline {stream_id}")
        return stream

    @query.field("workflow")
    async def workflow_by_id(_: Any, __: Any, workflowId: str, version: int | None = None) -> dict[str, Any] | None:
        stream = await stores.streams.by_id(workflowId)
        if stream is None or version is None:
            return None if stream is None else await format_stream(stream)
        older = await stores.streams.get_version(workflowId, version)
        return None if older is None else await format_stream(stream, older.document)

    @query.field("workflowsForTenant")
    async def for_tenant(_: Any, __: Any, tenantId: str) -> list[dict[str, Any]]:
        return [await format_stream(one) for one in await stores.streams.all(tenantId)]

    @query.field("workflowIdByPipelineId")
    async def by_pipeline(_: Any, __: Any, pipelineId: str) -> str | None:
        stream = await stores.streams.by_pipeline(pipelineId)
        return stream.id if stream else None

    @query.field("vsmVersions")
    async def versions(
        _: Any, __: Any, workflowId: str, skip: int | None = None, limit: int | None = None
    ) -> dict[str, Any]:
        stream = await require_stream(workflowId)
        most = _check_limit(DEFAULT_VERSIONS if limit is None else limit)
        # One more: what a version changed is found by comparing it with the previous one.
        some = await stores.streams.list_versions(stream.id, skip=_check_skip(skip or 0), limit=most + 1)
        integrations = await load_integrations(stores, schedule)
        files = [export_document(stream, integrations, document=one.document) for one in some]
        before = [*files[1:], None]
        items = [_to_version(stream, *item) for item in zip(some, files, before, strict=True)]
        return {"items": items[:most], "count": await stores.streams.count_versions(stream.id)}

    @query.field("particlesByStage")
    async def by_stage(
        _: Any,
        __: Any,
        workflowId: str,
        stageName: str,
        particleIds: Sequence[str | None] | None = None,
        pagination: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        check_length(particleIds, "particleIds")
        stream = await require_stream(workflowId)
        skip = _check_skip((pagination or {}).get("skip") or 0)
        limit = _check_limit((pagination or {}).get("limit") or DOTS_PER_STAGE)
        only = None if particleIds is None else [stream_id for stream_id in particleIds if stream_id is not None]
        return await particles.list_by_stage(stream, stageName, skip=skip, limit=limit, only=only)

    @query.field("particlesByIssueId")
    async def by_issue(_: Any, __: Any, tenantId: str, issueId: str) -> list[dict[str, Any]]:
        return await particles.find_positions(tenantId, issueId)

    @query.field("particleById")
    async def by_id(
        _: Any,
        __: Any,
        workflowId: str,
        particleId: str,
        stageName: str | None = None,
        includeTopLevelQuery: bool | None = None,
    ) -> dict[str, Any] | None:
        stream = await require_stream(workflowId)
        return await particles.get(particleId, stream, stage_name=stageName, in_query=bool(includeTopLevelQuery))

    @query.field("particleHistory")
    async def history_of(_: Any, __: Any, workflowId: str, particleId: str) -> list[dict[str, Any]] | None:
        result = await particles.get_issue(particleId, await require_stream(workflowId))
        return None if result is None else value_stream_types.list_events(result)

    @query.field("particlesMatchingQuery")
    async def matching(
        _: Any,
        __: Any,
        pipelineId: str,
        includeTopLevelQuery: bool,
        query: str | None = None,
        text: str | None = None,
    ) -> list[str]:
        stream = await find_by_pipeline(pipelineId)
        try:
            parse_limited(query or "")
        except QueryError as error:
            place = {"line": error.line, "column": error.column, "expected": list(error.expected)}
            raise GraphQLError(f"{error} (line {error.line}, column {error.column})", extensions=place) from None
        request = MapFilter(text=text or "", dql=(query or "").strip())
        return await particles.find_matching_ids(
            stream, request, with_stream_query=includeTopLevelQuery, limit=MAX_LIMIT
        )

    @stage_type.field("particles")
    async def stage_particles(parent: Mapping[str, Any], _: Any) -> list[dict[str, Any]]:
        return await particles.list_summaries(parent["_stream"], parent["name"], limit=DOTS_PER_STAGE)

    @stage_type.field("stat")
    async def stat(parent: Mapping[str, Any], _: Any) -> dict[str, Any] | None:
        board = await boards.board(parent["_stream"], MapFilter(), now=datetime.now(UTC))
        texts = next((one for one in board.stages if one.stage.name == parent["name"].strip()), None)
        # Its changes over time belong to metrics and are not known here.
        return {"averageAge": texts.average_age_ms, "trend": None, "count": texts.count} if texts else None

    async def timeboxes(stream: StoredValueStream, facet: str) -> list[dict[str, Any]]:
        board = await boards.board(stream, MapFilter(), now=datetime.now(UTC))
        names = [name for name, _ in board.facets.get(facet, ())]
        complete = await particles.load_timeboxes(stream, f"{facet}s") if names else {}
        # Of one that only older issues have, the name is what is known; it serves as the id as well.
        return [{"id": name, **complete.get(name, {}), "name": name} for name in names]

    @workflow_type.field("sprints")
    async def sprints(
        parent: Mapping[str, Any], _: Any, criterion: str | None = None, count: int | None = None
    ) -> list[dict[str, Any]]:
        result = await timeboxes(parent["_stream"], "sprint")
        return select_timeboxes(result, "sprints", only=criterion is not None, count=count)

    @workflow_type.field("releases")
    async def releases(
        parent: Mapping[str, Any], _: Any, criterion: str | None = None, count: int | None = None
    ) -> list[dict[str, Any]]:
        result = await timeboxes(parent["_stream"], "release")
        return select_timeboxes(result, "releases", only=criterion is not None, count=count)

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
            document = await asyncio.to_thread(_read_document, workflow)
            if document is None:
                document = defaults.default(description=description or "", tenant_id=tenantId)
            if isinstance(document, dict):
                document = {**document, "tenantId": tenantId}
                if description is not None:
                    document["description"] = description
            stream = await importing.create(document, actor=_get_actor(info), name=name, team=team)
        except (ConfigError, OutdatedError) as error:
            return _to_upload_error(error)
        return await format_stream(stream)

    @mutation.field("updateWorkflow")
    async def update(_: Any, info: Any, workflowId: str, workflow: Any) -> dict[str, Any]:
        stream = await require_stream(workflowId)
        try:
            document = await asyncio.to_thread(_read_document, workflow)
            done = await importing.replace(stream.id, document, based_on=stream.version, actor=_get_actor(info))
        except (ConfigError, NotFoundError, OutdatedError) as error:
            return _to_upload_error(error)
        return await format_stream(done)

    @mutation.field("editValueStream")
    async def edit(
        _: Any,
        info: Any,
        pipelineId: str,
        pipelineName: str | None = None,
        pipelineDesc: str | None = None,
        team: Mapping[str, Any] | None = None,
    ) -> bool:
        stream = await find_by_pipeline(pipelineId)
        try:
            await importing.rename(
                stream, name=pipelineName, description=pipelineDesc, team=team, actor=_get_actor(info)
            )
        except (ConfigError, NotFoundError, OutdatedError) as error:
            raise GraphQLError("; ".join(_to_upload_error(error)["errors"])) from None
        return True

    @mutation.field("deleteValueStream")
    async def delete(_: Any, info: Any, tenantId: str, pipelineId: str) -> bool:
        return await importing.remove(await find_by_pipeline(pipelineId, tenantId), actor=_get_actor(info))

    @mutation.field("updateMetricsBar")
    async def change_bar(
        _: Any,
        info: Any,
        workflowId: str,
        metrics: Sequence[Mapping[str, Any] | None] | None = None,
        chartables: Sequence[Any] | None = None,
    ) -> list[dict[str, Any]]:
        check_length(metrics, "metrics")
        stream = await require_stream(workflowId)
        if chartables:
            raise GraphQLError("this server draws no charts: send metrics alone, or the charts to HCL Accelerate")
        if metrics is None:
            return list_metrics_bar(stream.document)
        try:
            document = validate_value(
                {**stream.document, "metricsBar": [metric for metric in metrics if metric is not None]}
            )
            done = await importing.replace(
                stream.id, document, based_on=stream.version, actor=_get_actor(info), why="changed the metrics bar"
            )
        except (ConfigError, NotFoundError, OutdatedError) as error:
            raise GraphQLError("; ".join(_to_upload_error(error)["errors"])) from None
        return list_metrics_bar(done.document)

    bar_type = UnionType("ChartableMetric", lambda value, *_: value["__typename"])
    return [workflow_type, stage_type, result_type, bar_type, *value_stream_types.bind()]


def _read_document(value: Any) -> Any:
    """Parse a document argument: an object, or JSON text as some clients send it.

    Raises:
        ConfigError: It cannot be read.
    """
    return parse_document(value) if isinstance(value, str) else None if value is None else validate_value(value)


def _get_actor(info: Any) -> Actor:
    result: Actor = info.context["actor"]
    return result


def _to_upload_error(error: ConfigError | NotFoundError | OutdatedError) -> dict[str, Any]:
    problems = [str(problem) for problem in getattr(error, "problems", ())]
    return {"__typename": "WorkflowUploadError", "errors": problems or [str(error)]}


def _to_version(
    stream: StoredValueStream,
    version: ValueStreamVersion,
    document: Mapping[str, Any],
    before: Mapping[str, Any] | None,
) -> dict[str, Any]:
    changes = [] if before is None else differences(before, document)
    return {
        "workflowId": stream.id,
        "version": version.number,
        "name": stream.name,
        "description": version.why,
        "user": version.actor,
        "timestamp": version.at,
        # The form of the changes is not public; here each is an object with the words of the page on versions.
        "changes": [{name: value for name, value in asdict(change).items() if value} for change in changes],
        "workflow": document,
    }


def _check_limit(limit: int) -> int:
    if not 0 < limit <= MAX_LIMIT:
        raise GraphQLError(f"limit must be from 1 to {MAX_LIMIT}")
    return limit


def _check_skip(skip: int) -> int:
    if skip < 0:
        raise GraphQLError("skip must be 0 or more")
    return skip
