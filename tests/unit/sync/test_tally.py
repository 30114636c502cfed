"""What a run tells of each project: the same counts as of the whole, and every item in one project only."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from rally_accelerate.mapping.rules import Rules
from rally_accelerate.model.issue import Project
from rally_accelerate.model.report import PROJECT_COUNTS, ProjectResult, Skipped, SyncReport
from rally_accelerate.observe.run_summary import MOST_NAMED, project_lines
from rally_accelerate.sync.engine import Account, Plans, sync_once
from rally_accelerate.sync.removals import Removal
from support.small_world import Item, PickySink, SmallSource, SmallState, World


def by_name(report: SyncReport) -> dict[str, dict[str, Any]]:
    """Return the results by project, without counts of zero."""
    return {
        each.name: {key: value for key, value in asdict(each).items() if value and key not in {"id", "name"}}
        for each in report.projects
    }


def adds_up(report: SyncReport) -> bool:
    """Return whether every count is the sum of the projects' counts."""
    return all(
        sum(getattr(each, name) for each in report.projects) == getattr(report.tally, name) for name in PROJECT_COUNTS
    )


async def test_a_run_tells_of_each_project_what_became_of_its_items() -> None:
    world = World(items={1: Item(), 2: Item(project=2), 3: Item(project=2), 4: Item(project=3)})
    source, state = SmallSource(world), SmallState(world)
    sink = PickySink(world, {"3"})

    async def run() -> SyncReport:
        plans = Plans(removal=Removal(every=timedelta(0)))
        rules = Rules(web_url="https://rally.example")
        return await sync_once(source, sink, state, rules, lambda: world.now, plans=plans)

    first = await run()
    assert by_name(first)["P2"] == {"read": 2, "uploaded": 1, "skipped": 1}
    assert by_name(first)["P1"] == by_name(first)["P3"] == {"read": 1, "uploaded": 1}
    assert adds_up(first)
    sink.refused.clear()
    world.delete(1)
    await run()
    third = await run()
    assert by_name(third)["P1"] == {"removed": 1}
    assert adds_up(third)
    assert {"id": "1", "name": "P1", "removed": 1}.items() <= third.as_dict()["projects"][0].items()


def test_a_renamed_project_is_one_project_and_no_project_is_one_too() -> None:
    its = Account()
    its.count(read=[Project(id="7", name="Old"), Project(id="7", name="New"), None], expected=3)
    its.skip([(None, Skipped("US1", "odd"))])
    assert its.projects() == (
        ProjectResult(id="", name="", read=1, skipped=1),
        ProjectResult(id="7", name="New", read=2),
    )
    assert (its.tally.read, its.tally.expected, its.tally.skipped) == (3, 3, 1)


def test_lines_for_people_name_the_projects_that_matter_and_count_the_rest() -> None:
    many = [ProjectResult(id=str(number), name=f"P{number}", read=number, uploaded=1) for number in range(30)]
    odd = ProjectResult(id="", name="", read=0, skipped=2, removed=1, incomplete=3)
    lines = list(project_lines([*many, odd]))
    assert lines[0] == (
        "without a project: 0 read, 0 uploaded, 2 skipped, 1 marked as removed, 3 with an incomplete history"
    )
    assert lines[1] == "project P29: 29 read, 1 uploaded, 0 skipped"
    assert lines[-1] == f"{31 - MOST_NAMED} more projects: {sum(range(11)):,} read, 11 uploaded"
    assert len(lines) == MOST_NAMED + 1


def test_projects_of_one_name_are_told_apart() -> None:
    same = [ProjectResult(id="1", name="Support", read=2), ProjectResult(id="2", name="Support", read=1)]
    other = ProjectResult(id="3", name="Other")
    assert [line.partition(":")[0] for line in project_lines([*same, other])] == [
        "project Support (1)",
        "project Support (2)",
        "project Other",
    ]
