"""One integration against the simulator, run after run, with its state in memory."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rally_accelerate.accelerate.payload import item_in
from rally_accelerate.config.load import validate_integration
from rally_accelerate.mapping.rules import build_rules
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.report import Acknowledgement, SyncReport
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.dry_run import PreviewSink
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.state import MemoryState
from rally_accelerate.sync.wiring import plans_of
from rally_sandbox.server import SANDBOX_API_KEY


class Killed(BaseException):
    """The process dies here: no error of the product, it travels through everything."""


class MortalSink(PreviewSink):
    """Takes some uploads, and then the process dies."""

    def __init__(self, *, uploads: int | None) -> None:
        super().__init__(keep=10**6)
        self._remaining_uploads = uploads

    async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
        """Take the issues, or die before anything is taken."""
        if issues and self._remaining_uploads is not None:
            if not self._remaining_uploads:
                raise Killed
            self._remaining_uploads -= 1
        async for receipt in super().deliver(issues):
            yield receipt


@dataclass
class Connector:
    """One integration: what it remembers, and what it has sent."""

    url: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    state: MemoryState = field(default_factory=MemoryState)
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: The ids that the last run uploaded, in order.
    uploaded: list[str] = field(default_factory=list)

    def run(self) -> SyncReport:
        """Run once, without a failure."""
        report = asyncio.run(self._run(None))
        assert report is not None
        assert report.failure is None, report.failure
        return report

    def run_until_killed(self, *, uploads: int) -> None:
        """Run until some uploads were acknowledged and another one begins."""
        assert asyncio.run(self._run(uploads)) is None

    async def _run(self, uploads: int | None) -> SyncReport | None:
        integration = validate_integration(
            {"name": "x", "properties": {"baseUrl": self.url, "apiKey": SANDBOX_API_KEY, **self.properties}}
        )
        sink, report = MortalSink(uploads=uploads), None
        async with RallyClient(integration.properties, limiters=LimiterPool()) as client:
            with suppress(*([] if uploads is None else [BaseExceptionGroup])):
                report = await sync_once(
                    client,
                    sink,
                    self.state,
                    build_rules(integration.properties),
                    lambda: datetime.now(UTC),
                    plans=plans_of(integration.properties),
                )
        self.uploaded = [issue.external_id for issue in sink.issues]
        self.sent |= {issue.external_id: item_in(issue) for issue in sink.issues}
        return report

    def find_most_used_timebox(self, field_name: str) -> int:
        """Return the ObjectID of the timebox that the most issues tell of."""
        counts = Counter(timebox["id"] for item in self.sent.values() for timebox in item[field_name])
        return int(counts.most_common(1)[0][0])

    def timeboxes(self, field_name: str, timebox_id: int) -> list[dict[str, Any]]:
        """Return what the issues tell of one timebox, each once."""
        return [
            timebox for item in self.sent.values() for timebox in item[field_name] if timebox["id"] == str(timebox_id)
        ]
