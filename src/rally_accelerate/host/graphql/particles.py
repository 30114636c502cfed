"""Dots as the vendor's clients read them: particles with their issue and their alerts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rally_accelerate.dql.matches import matches
from rally_accelerate.dql.tree import EVERYTHING
from rally_accelerate.host.graphql.history import events
from rally_accelerate.host.graphql.issues import issue_data
from rally_accelerate.host.graphql.uploads import issue_id
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

#: So many of the latest issues are looked at for what timeboxes hold besides their names.
LOOKED_AT = 200


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

    async def one(
        self, particle_id: str, stream: StoredStream, *, stage_name: str | None = None, in_query: bool = False
    ) -> dict[str, Any] | None:
        """Return one dot of a value stream by its id, or None.

        Args:
            particle_id: Its id.
            stream: The value stream.
            stage_name: Only if it matches this stage's query; None for any or none.
            in_query: Only if it matches the query of the value stream.
        """
        found = await self.issue(particle_id, stream)
        if found is None:
            return None
        layout, now = layout_of(stream.document), datetime.now(UTC)
        if in_query and not matches(layout.query, found.content, now=now):
            return None
        if stage_name is not None:
            stage = next((one for one in layout.stages if one.name == stage_name.strip()), None)
            if stage is None or stage.query is None or not matches(stage.query, found.content, now=now):
                return None
        return _particle(found, layout)

    async def issue(self, particle_id: str, stream: StoredStream) -> StoredIssue | None:
        """Return the issue of a dot, or None where the value stream has no such dot."""
        tracker, _, key = particle_id.rpartition(":")
        found = await self._stores.issues.one(tracker, key)
        return found if found is not None and _is_of(stream, found) else None

    async def positions(self, tenant_id: str, its_id: str) -> list[dict[str, Any]]:
        """Return the stage of each value stream in which the issues of an id are.

        Args:
            tenant_id: The tenant.
            its_id: Any id of an issue.
        """
        found = await self._stores.issues.all_by_any_id(tenant_id, its_id)
        if not found:
            return []
        now = datetime.now(UTC)
        positions = []
        for stream in await self._stores.streams.all(tenant_id):
            layout = layout_of(stream.document)
            for one in found:
                stage = stage_of(layout, one.content, now=now) if _is_of(stream, one) else None
                if stage is not None:
                    positions.append({
                        "workflowId": stream.id,
                        "workflowName": stream.name,
                        "stageName": stage.name,
                        "particleId": issue_id(one.tracker_id, one.content["_id"]),
                    })  # fmt: skip
        return positions

    async def summaries(self, stream: StoredStream, stage_name: str, *, limit: int) -> list[dict[str, Any]]:
        """Return the newest dots of a stage as the map itself lists them."""
        found = await self.of_stage(stream, stage_name, skip=0, limit=limit, only=None)
        return [_summary(each) for each in found]

    async def matching(self, stream: StoredStream, asked: Asked, *, with_stream_query: bool, limit: int) -> list[str]:
        """Return the ids of the dots that a query matches, the latest update first.

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
        return [issue_id(row.tracker_id, row.external_id) for row in found.rows]

    async def timeboxes(self, stream: StoredStream, field: str) -> dict[str, Mapping[str, Any]]:
        """Return the ``sprints`` or ``releases`` of the latest issues of a value stream, whole, by their names."""
        layout = layout_of(stream.document)
        wanted = wanted_of(stream, layout, Asked(), also=EVERYTHING)
        page = await self._stores.search.page(wanted, now=datetime.now(UTC), sort=Sort.UPDATED, limit=LOOKED_AT)
        keys = [(row.tracker_id, row.external_id) for row in page.rows if getattr(row, field)]
        found: dict[str, Mapping[str, Any]] = {}
        for one in await self._stores.issues.several(keys):
            for timebox in one.content.get(field) or ():
                if timebox.get("name"):
                    found.setdefault(timebox["name"], timebox)
        return found

    async def _whole(self, rows: Sequence[Row], layout: Layout) -> list[dict[str, Any]]:
        found = await self._stores.issues.several([(row.tracker_id, row.external_id) for row in rows])
        return [_particle(one, layout) for one in found]


def id_of(entry: Mapping[str, Any]) -> str:
    """The id of an integration's entry; empty where it has none."""
    return str(entry.get("_id") or "")


def _is_of(stream: StoredStream, found: StoredIssue) -> bool:
    trackers = trackers_of(stream.document)
    return found.tenant_id == stream.tenant_id and (not trackers or found.tracker_id in trackers)


def _particle(found: StoredIssue, layout: Layout) -> dict[str, Any]:
    now, issue = datetime.now(UTC), found.content
    since = status_since(issue, issue.get("history") or ())
    stage = stage_of(layout, issue, now=now)
    alerts = alerts_of(layout, stage, owner=issue.get("owner"), since=since, now=now) if stage else NO_ALERTS
    return {
        "_stage": stage.name if stage else "",
        "_since": since,
        "particleId": issue_id(found.tracker_id, issue["_id"]),
        "issue": issue_data(found)["issue"],
        **{name: [] for name in ("commit", "pullRequest", "build", "version", "deploy", "metricsData")},
        "metricsDataCount": 0,
        "lastVSMUpdate": found.uploaded,
        "lastVSMEvent": next(reversed(events(found)), None),
        "alerts": {
            "failedBuildIds": [],
            "failedDeployIds": [],
            "isUnassigned": alerts.is_unassigned,
            "isPastAgeThreshold": alerts.is_past_age_threshold,
        },
    }


def _summary(particle: Mapping[str, Any]) -> dict[str, Any]:
    issue = particle["issue"]
    releases, sprints = ([each["name"] for each in issue[name] if each.get("name")] for name in ("releases", "sprints"))
    return {
        "particleId": particle["particleId"],
        "type": "issue",
        "normalizedType": issue["normalizedType"],
        "colorAttribute": {
            "release": next(iter(releases), None),
            "releases": releases,
            "sprint": next(iter(sprints), None),
            "sprints": sprints,
            "type": issue["type"],
            "priority": issue.get("priority"),
        },
        "alert": any(particle["alerts"][name] for name in ("isUnassigned", "isPastAgeThreshold")),
        "owner": issue.get("owner"),
        "name": issue["name"],
        "id": issue["id"],
        "labels": [label for label in issue["labels"] if label],
        "features": [],
        # Since when it has its status [assumed to be what a stage counts a dot's age from].
        "startTime": particle["_since"],
    }
