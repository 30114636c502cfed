"""A run that sends and remembers nothing: what would be uploaded."""

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from rally_accelerate.accelerate.retire import READ_BACK, Retirement
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Progress, Sent
from rally_accelerate.model.report import Receipt, Usage
from rally_accelerate.sync.comparing import Expected, expected
from rally_accelerate.sync.ports import State


class PreviewSink:
    """A sink that only looks: it takes every issue and keeps the first ones.

    Args:
        keep: How many issues are kept for showing; all are counted.
    """

    def __init__(self, *, keep: int) -> None:
        self._keep = keep
        self.issues: list[Issue] = []
        self.retired: list[Retirement] = []
        #: What every issue is compared by, by external id.
        self.expected: dict[str, Expected] = {}

    @property
    def usage(self) -> Usage:
        """Nothing is ever sent."""
        return Usage()

    async def open(self) -> None:
        """Nothing to do."""

    async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Receipt]:
        """Take the issues without sending them."""
        self.issues.extend(issues[: max(0, self._keep - len(self.issues))])
        self.expected.update((issue.external_id, expected(issue)) for issue in issues)
        if issues:
            yield Receipt(delivered=tuple(issue.external_id for issue in issues))

    async def retire(self, retirements: Sequence[Retirement]) -> AsyncIterator[Receipt]:
        """Take note of issues that would be told as gone."""
        self.retired.extend(retirements)
        if retirements:
            yield Receipt(delivered=tuple(each.external_id for each in retirements))

    async def read_back(
        self, external_ids: Sequence[str], *, projects: Sequence[str]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return every issue with its id alone: a preview takes it for complete."""
        del projects
        return {key: dict.fromkeys(READ_BACK) | {"_id": key} for key in external_ids}


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

    async def held(self, ids: AbstractSet[int] | None = None) -> Mapping[str, str]:
        """The real ledger's marks, and over them what this preview would have sent."""
        return {**await self._real.held(ids), **{key: entry.rules_version for key, entry in self._ledger.items()}}

    async def documents(self, external_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the real last uploads."""
        return await self._real.documents(external_ids)

    async def comments(self, external_ids: Sequence[str]) -> Mapping[str, int]:
        """Return what is really known of comments."""
        return await self._real.comments(external_ids)

    async def commit(self, progress: Progress, sent: Mapping[str, Sent], uploaded: Sequence[Issue] = ()) -> None:
        """Keep the ledger for this run only."""
        del progress, uploaded
        self._ledger.update(sent)
