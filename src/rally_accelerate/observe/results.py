"""What people read of a run's result in each project."""

from collections.abc import Iterator, Sequence

from rally_accelerate.model.report import ProjectResult

#: So many projects are named on a terminal and in a log; the JSON report and the pages name all of them.
MOST_NAMED = 20

UNNAMED = "without a project"


def project_lines(projects: Sequence[ProjectResult], *, uploaded: str = "uploaded") -> Iterator[str]:
    """Yield one line for each project, those with the most items first.

    Args:
        projects: The results of the projects.
        uploaded: What became of changed items: a dry run only would have uploaded them.
    """
    order = sorted(projects, key=lambda each: (-each.skipped, -each.read, each.name.casefold(), each.id))
    for each in order[:MOST_NAMED]:
        parts = [f"{each.read:,} read", f"{each.uploaded:,} {uploaded}", f"{each.skipped:,} skipped"]
        parts += [f"{each.removed:,} marked as removed"] if each.removed else []
        parts += [f"{each.incomplete:,} with an incomplete history"] if each.incomplete else []
        yield f"{f'project {each.name}' if each.id else UNNAMED}: {', '.join(parts)}"
    if rest := order[MOST_NAMED:]:
        read, sent = sum(each.read for each in rest), sum(each.uploaded for each in rest)
        yield f"{len(rest):,} more projects: {read:,} read, {sent:,} {uploaded}"
