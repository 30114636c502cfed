"""A first sync of a simulated company, in this process."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rally_accelerate.accelerate.payload import item_in
from rally_accelerate.config.load import validate_integration
from rally_accelerate.mapping.rules import build_rules
from rally_accelerate.model.report import SyncReport
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.dry_run import PreviewSink
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.state import MemoryState
from rally_sandbox.server import SANDBOX_API_KEY, serve
from rally_sandbox.world import World


async def run_first_sync(
    url: str, key: str = SANDBOX_API_KEY, **properties: Any
) -> tuple[SyncReport, Mapping[str, dict[str, Any]]]:
    """A first sync's report, and what it uploads by external id."""
    integration = validate_integration({"name": "x", "properties": {"baseUrl": url, "apiKey": key, **properties}})
    sink = PreviewSink(keep=10**6)
    async with RallyClient(integration.properties, limiters=LimiterPool()) as client:
        rules = build_rules(integration.properties)
        report = await sync_once(client, sink, MemoryState(), rules, lambda: datetime.now(UTC))
    assert report.failure is None, report.failure
    return report, {issue.external_id: item_in(issue) for issue in sink.issues}


def upload_world(world: World, source: str, **properties: Any) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """Sync a world an hour later; return what is uploaded by external id, and how often each resource was requested."""
    world.clock.advance(timedelta(hours=1))
    with serve(world) as rally:
        _, issues = asyncio.run(run_first_sync(rally.url, historySource=source, **properties))
        return dict(issues), dict(rally.stats.requests)
