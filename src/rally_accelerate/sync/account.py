"""What a run has done so far: counts for all of it, counts for each project, and what was left out."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rally_accelerate.model.issue import Project
from rally_accelerate.model.report import NAMED_SKIPS, PER_PROJECT, ProjectResult, Skipped, Tally
from rally_accelerate.sync.ports import Watch

#: Stands for the project of an item that names none.
NO_PROJECT = Project(id="", name="")


class Account:
    """The account of one run.

    Args:
        watch: Called with the counts whenever they change.
    """

    def __init__(self, watch: Watch | None = None) -> None:
        self._watch = watch
        self.tally = Tally()
        #: At most ``NAMED_SKIPS`` of them; the tally has the whole number.
        self.skipped: list[Skipped] = []
        self._names: dict[str, str] = {}
        self._counts: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(PER_PROJECT, 0))

    def count(self, **more: int | Sequence[Project | None]) -> None:
        """Add to the counts of the tally.

        Args:
            more: By the count's name: how many items, or their projects where the count is kept per project.
        """
        sums: dict[str, int] = {}
        for name, added in more.items():
            sums[name] = getattr(self.tally, name) + (added if isinstance(added, int) else len(added))
            for project in () if isinstance(added, int) else added:
                its = project or NO_PROJECT
                # A project that was renamed has two names in one run: the last one counts.
                self._names[its.id] = its.name
                self._counts[its.id][name] += 1
        self.tally = replace(self.tally, **sums)
        if self._watch is not None:
            self._watch(self.tally)

    def skip(self, skips: Iterable[tuple[Project | None, Skipped]]) -> None:
        """Count items that are left out, with their projects, and name the first ones."""
        for project, skip in skips:
            self.count(skipped=[project])
            if len(self.skipped) < NAMED_SKIPS:
                self.skipped.append(skip)

    def projects(self) -> tuple[ProjectResult, ...]:
        """Return the result of every project in which anything was read or done, by name."""
        order = sorted(self._counts, key=lambda its_id: (self._names[its_id].casefold(), its_id))
        return tuple(ProjectResult(id=each, name=self._names[each], **self._counts[each]) for each in order)
