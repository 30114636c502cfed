"""What people read of a run's result in each project."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rally_accelerate.model.report import ProjectResult

#: So many projects are named on a terminal and in a log; the JSON report and the pages name all of them.
MOST_NAMED = 20

UNNAMED = "without a project"


def labels(projects: Iterable[Mapping[str, Any]]) -> Mapping[str, str]:
    """Return what each project is called, by ``id``: its ``name``, with the id where several have the same name."""
    listed = list(projects)
    names = Counter(each["name"] for each in listed)
    return {
        each["id"]: (each["name"] if names[each["name"]] == 1 else f"{each['name']} ({each['id']})")
        if each["id"]
        else UNNAMED
        for each in listed
    }


def project_lines(projects: Sequence[ProjectResult], *, uploaded: str = "uploaded") -> Iterator[str]:
    """Yield one line for each project, those with the most items first.

    Args:
        projects: The results of the projects.
        uploaded: What became of changed items: a dry run only would have uploaded them.
    """
    order = sorted(projects, key=lambda each: (-each.skipped, -each.read, each.name.casefold(), each.id))
    names = labels([{"id": each.id, "name": each.name} for each in projects])
    for each in order[:MOST_NAMED]:
        parts = [f"{each.read:,} read", f"{each.uploaded:,} {uploaded}", f"{each.skipped:,} skipped"]
        parts += [f"{each.removed:,} marked as removed"] if each.removed else []
        parts += [f"{each.incomplete:,} with an incomplete history"] if each.incomplete else []
        yield f"{f'project {names[each.id]}' if each.id else names[each.id]}: {', '.join(parts)}"
    if rest := order[MOST_NAMED:]:
        read, sent = sum(each.read for each in rest), sum(each.uploaded for each in rest)
        yield f"{len(rest):,} more projects: {read:,} read, {sent:,} {uploaded}"
