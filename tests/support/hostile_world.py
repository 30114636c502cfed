"""A first sync of a company whose texts break every rule, held against the simulator's own records."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from rally_sandbox.clock import Clock
from rally_sandbox.server import serve
from rally_sandbox.world import World
from support.first_sync import run_first_sync
from support.ground_truth import build_expected_history, read_uploaded_history

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def strip_value(value: Any) -> Any:
    """A value without the white space at its ends, which is no part of a name."""
    return sorted(map(strip_value, value)) if isinstance(value, list) else value.strip()


def sync_and_compare(items: int, share: float) -> int:
    """Sync a world by both sources and compare what arrives with its own records; how many items arrived.

    Args:
        items: How many work items of all types it has.
        share: How much of all texts is hostile.
    """
    world = World.create(7, items, clock=Clock.frozen(BEGIN), hostile_share=share)
    world.clock.advance(timedelta(minutes=10))
    home = world.company.workspaces[0].object_id
    rows = [row for kind in ("story", "defect") for row in world.items(kind)]
    visible = {str(row["object_id"]): row for row in rows if row["visible"] and row["workspace"] == home}
    happened = {
        key: [(at, field, strip_value(old), strip_value(new)) for at, field, old, new in build_expected_history(row)]
        for key, row in visible.items()
    }
    with serve(world) as rally:
        for source in ("lookback", "revisions"):
            report, issues = asyncio.run(run_first_sync(rally.url, historySource=source))
            assert issues.keys() == visible.keys()
            missing = 0
            for key, issue in issues.items():
                remaining = list(happened[key])
                for at, field, old, new in read_uploaded_history(issue):
                    remaining.remove((at, field, strip_value(old), strip_value(new)))
                missing += bool(remaining)
            # Lookback tells everything; of revisions, what cannot be read is counted.
            assert missing <= report.tally.incomplete + report.tally.unverifiable
            assert source == "revisions" or not missing
            assert report.tally.complete > 0.5 * len(issues)
            assert any("unreadable characters" in notice for notice in report.notices)
    return len(visible)
