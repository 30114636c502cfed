"""Dots as the vendor's clients read them: particles with their issue and their alerts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rally_accelerate.dql.tree import EVERYTHING
from rally_accelerate.host.graphql.issues import issue_data
from rally_accelerate.host.store.issues import StoredIssue
from rally_accelerate.host.store.search import Row, Sort
from rally_accelerate.host.store.streams import StoredStream
from rally_accelerate.host.store.summary import status_since
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.streams.alerts import NO_ALERTS, alerts_of
from rally_accelerate.host.streams.board import Asked, Boards, trackers_of, wanted_of
from rally_accelerate.host.streams.layout import Layout, layout_of
from rally_accelerate.host.streams.past import stage_of

#: Pages are walked to skip; so many items at once.
AT_ONCE = 500


class Particles:
    """Finds particles."""

    def __init__(self, stores: Stores, boards: Boards) -> None:
        self._stores = stores
        self._boards = boards

    async def of_stage(
        self, stream: StoredStream, stage_name: str, *, skip: int, limit: int, only: Sequence[str] | None
    ) -> list[dict[str, Any]]:
        """The dots of a stage, the newest in it first; none where there is no such stage.

        Args:
            stream: The value stream.
            stage_name: The name of the stage.
            skip: How many to pass over.
            limit: How many at most.
            only: Only those of these ids.
        """
        layout = layout_of(stream.document)
        stage = next((one for one in layout.stages if one.name == stage_name.strip()), None)
        if stage is None:
            return []
        if only is not None:
            keys = [
                (tracker, key) for tracker, _, key in (its_id.rpartition(":") for its_id in only[skip : skip + limit])
            ]
            here = [one for one in await self._stores.issues.several(keys) if _is_of(stream, one)]
            return [one for one in (_particle(each, layout) for each in here) if one["_stage"] == stage.name]
        now, after = datetime.now(UTC), ""
        rows: list[Row] = []
        while len(rows) < skip + limit:
            size = min(AT_ONCE, skip + limit - len(rows))
            found = await self._boards.page(stream, stage, Asked(), now=now, after=after, limit=size)
            rows += found.rows
            after = found.after
            if not after:
                break
        return await self._whole(rows[skip : skip + limit], layout)

    async def one(self, particle_id: str, stream: StoredStream | None) -> dict[str, Any] | None:
        """One dot by its id, or None."""
        tracker, _, key = particle_id.rpartition(":")
        found = await self._stores.issues.one(tracker, key)
        if found is None:
            return None
        if stream is None:
            return _particle(found, None)
        return _particle(found, layout_of(stream.document)) if _is_of(stream, found) else None

    async def matching(
        self, stream: StoredStream, asked: Asked, *, with_stream_query: bool, limit: int
    ) -> list[dict[str, Any]]:
        """The dots that a query matches, the latest update first.

        Args:
            stream: The value stream.
            asked: The query and the text.
            with_stream_query: Whether the value stream's own query must be matched too.
            limit: How many at most.
        """
        layout = layout_of(stream.document)
        scope = layout if with_stream_query else layout.of_everything
        wanted = wanted_of(stream, scope, asked, also=EVERYTHING)
        found = await self._stores.search.page(wanted, now=datetime.now(UTC), sort=Sort.UPDATED, limit=limit)
        return await self._whole(found.rows, layout)

    async def _whole(self, rows: Sequence[Row], layout: Layout) -> list[dict[str, Any]]:
        found = await self._stores.issues.several([(row.tracker_id, row.external_id) for row in rows])
        return [_particle(one, layout) for one in found]


def id_of(entry: Mapping[str, Any]) -> str:
    """The id of an integration's entry; empty where it has none."""
    return str(entry.get("_id") or "")


def _is_of(stream: StoredStream, found: StoredIssue) -> bool:
    trackers = trackers_of(stream.document)
    return found.tenant_id == stream.tenant_id and (not trackers or found.tracker_id in trackers)


def _particle(found: StoredIssue, layout: Layout | None) -> dict[str, Any]:
    now, issue = datetime.now(UTC), found.content
    since = status_since(issue, issue.get("history") or ())
    stage = stage_of(layout, issue, now=now) if layout else None
    alerts = alerts_of(layout, stage, owner=issue.get("owner"), since=since, now=now) if layout else NO_ALERTS
    return {
        "_stage": stage.name if stage else "",
        "particleId": f"{found.tracker_id}:{issue['_id']}",
        "issue": issue_data(found)["issue"],
        **{name: [] for name in ("commit", "pullRequest", "build", "version", "deploy")},
        "metricsData": None,
        "lastVSMUpdate": found.uploaded,
        "lastVSMEvent": since,
        "alerts": {
            "failedBuildIds": [],
            "failedDeployIds": [],
            "isUnassigned": alerts.is_unassigned,
            "isPastAgeThreshold": alerts.is_past_age_threshold,
        },
    }
