"""What is worth a ring around a dot (accelerate-api-notes.md#dots-and-alerts)."""

from dataclasses import dataclass
from datetime import datetime

from rally_accelerate.host.store.search import Row
from rally_accelerate.host.store.values import ms
from rally_accelerate.host.streams.layout import Layout, Stage

#: What stands for nobody where a source must name an owner (accelerate-api-notes.md#issue-fields).
NOBODY = {"", "unknown"}


@dataclass(frozen=True, slots=True)
class Alerts:
    """The alerts of one item."""

    is_unassigned: bool
    is_past_age_threshold: bool

    @property
    def words(self) -> list[str]:
        """As people read them."""
        pairs = ((self.is_unassigned, "unassigned"), (self.is_past_age_threshold, "too old"))
        return [word for holds, word in pairs if holds]


NO_ALERTS = Alerts(is_unassigned=False, is_past_age_threshold=False)


def alerts_of(layout: Layout, stage: Stage | None, *, owner: str | None, since: int, now: datetime) -> Alerts:
    """The alerts of an item that stands in a stage.

    Args:
        layout: Says when an item is too old.
        stage: Where it stands.
        owner: Its owner.
        since: Since when it has its status, in milliseconds.
        now: Ages are counted from here.
    """
    if stage is None or not stage.shows_alerts:
        return NO_ALERTS
    age = ms(now) - since
    limit = None if layout.too_old is None else layout.too_old.total_seconds() * 1000
    return Alerts(
        is_unassigned=(owner or "").strip().casefold() in NOBODY,
        is_past_age_threshold=limit is not None and age > limit,
    )


def alerts_of_row(layout: Layout, stage: Stage, row: Row, now: datetime) -> Alerts:
    """The alerts of a dot."""
    return alerts_of(layout, stage, owner=row.owner, since=row.status_since, now=now)
