"""A run that sends and remembers nothing: what would be uploaded."""

from collections.abc import AsyncIterator, Mapping, Sequence

from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Progress, Sent
from rally_accelerate.model.report import Receipt, Usage
from rally_accelerate.sync.ports import State


class PreviewSink:
    """A sink that only looks: it takes every issue and keeps the first ones.

    Args:
        keep: How many issues are kept for showing; all are counted.
    """

    def __init__(self, *, keep: int) -> None:
        self._keep = keep
        self.issues: list[Issue] = []

    @property
    def usage(self) -> Usage:
        """Nothing is ever sent."""
        return Usage()

    async def open(self) -> None:
        """Nothing to do."""

    async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Receipt]:
        """Take the issues without sending them."""
        self.issues.extend(issues[: max(0, self._keep - len(self.issues))])
        if issues:
            yield Receipt(delivered=tuple(issue.external_id for issue in issues))


class UnwrittenState:
    """A state whose changes are forgotten: reads come from the real one, later ones from what was just done."""

    def __init__(self, real: State) -> None:
        self._real = real
        self._ledger: dict[str, Sent] = {}

    async def load(self) -> Progress:
        """The real progress."""
        return await self._real.load()

    async def known(self, external_ids: Sequence[str]) -> Mapping[str, Sent]:
        """The real ledger, and over it what this preview would have sent."""
        mine = {key: self._ledger[key] for key in external_ids if key in self._ledger}
        return {**await self._real.known(external_ids), **mine}

    async def commit(self, progress: Progress, sent: Mapping[str, Sent]) -> None:
        """Keep the ledger for this run only."""
        del progress
        self._ledger.update(sent)
