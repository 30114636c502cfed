"""Which of the kept work items changed rules are to map again."""

from collections.abc import AsyncIterator, Sequence

from rally_accelerate.mapping.rules import Rules
from rally_accelerate.model.progress import GONE, Progress
from rally_accelerate.rally.records import Scope, WorkItem
from rally_accelerate.sync.ports import Originals, State


def serves(progress: Progress, scope: Scope, rules: Rules) -> bool:
    """Whether the rules have changed since, but what was read for the old ones is enough for the new ones."""
    same = progress.scope == scope.signature and progress.rules_version != rules.version
    return same and bool(progress.read_with) and rules.reads <= progress.read_with


async def outdated(originals: Originals, state: State, rules: Rules) -> AsyncIterator[Sequence[WorkItem]]:
    """The kept items whose issues were made by other rules, some at a time.

    An issue that is marked as gone keeps its last status: its item is no longer what it was when it was kept.
    """
    async for items in originals.kept():
        ledger = await state.known([str(item.record.object_id) for item in items])
        marks = {key: sent.rules_version for key, sent in ledger.items()}
        some = [item for item in items if _is_outdated(marks.get(str(item.record.object_id)), rules)]
        if some:
            yield some


async def remain(state: State, progress: Progress, rules: Rules) -> bool:
    """Whether issues made by other rules are left: nothing was kept of them, and Rally has to be asked."""
    owed = {str(item) for _, item in progress.owed}
    marks = await state.held()
    return any(_is_outdated(mark, rules) and key not in owed for key, mark in marks.items())


def _is_outdated(mark: str | None, rules: Rules) -> bool:
    return mark is not None and not mark.startswith(rules.version) and not mark.endswith(GONE)
