"""A first sync of a simulated company, in this process."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rally_accelerate.accelerate.payload import item_in
from rally_accelerate.config.load import validated
from rally_accelerate.mapping.rules import rules_of
from rally_accelerate.model.report import SyncReport
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.preview import PreviewSink
from rally_accelerate.sync.state import MemoryState
from rally_sandbox.serving import SANDBOX_API_KEY


async def synced(url: str, key: str = SANDBOX_API_KEY, **given: Any) -> tuple[SyncReport, Mapping[str, dict[str, Any]]]:
    """A first sync's report, and what it uploads by external id."""
    integration = validated({"name": "x", "properties": {"baseUrl": url, "apiKey": key, **given}})
    sink = PreviewSink(keep=10**6)
    async with RallyClient(integration.properties, limiters=LimiterPool()) as client:
        rules = rules_of(integration.properties)
        report = await sync_once(client, sink, MemoryState(), rules, lambda: datetime.now(UTC))
    assert report.failure is None, report.failure
    return report, {issue.external_id: item_in(issue) for issue in sink.issues}
