"""Names, patterns, ids and paths: nothing is chosen silently where two things could be meant."""

from typing import Any

import pytest

from rally_accelerate.errors import ConfigError
from rally_accelerate.rally.records import Project, Workspace
from rally_accelerate.rally.scope import MAX_PATTERNS, MAX_PROBLEMS, choose_projects, choose_workspace


def project(key: Any, name: Any, parent: Any = None, *, open: Any = True) -> Any:  # noqa: A002 - the field's name
    return Project(object_id=key, name=name, parent=parent, open=open)


COMPANY = [
    project(1, "Company"),
    project(2, "Web", 1),
    project(3, "Team A", 2),
    project(4, "Team B", 2),
    project(5, "Mobile", 1),
    project(6, "Team A", 5),
    project(7, "Old Team", 5, open=False),
    project(8, "Team *", 5),
    project(9, '[x] Größe, 100% & "more"', 1),
    project(10, "alpha", 1),
    project(11, "Alpha", 1),
    project(12, "Team Old", 2, open=False),
]


def ids(*wanted: Any, projects: Any = COMPANY, **more: Any) -> Any:
    return [each.object_id for each in choose_projects(wanted, projects, **more).projects]


def refused(*wanted: Any, projects: Any = COMPANY, **more: Any) -> Any:
    with pytest.raises(ConfigError) as caught:
        choose_projects(wanted, projects, **more)
    assert {problem.path for problem in caught.value.problems} == {"properties.projects"}
    assert caught.value.hint
    return [problem.text for problem in caught.value.problems]


def test_by_name_id_pattern_and_path() -> None:
    assert ids("Team B") == [4]
    assert ids("4") == [4]
    assert ids("Web // Team A") == [3]
    assert ids("Company // Mobile // Team A") == [6]
    assert ids("Mobile//Team A") == [6]
    assert ids("Team ?") == [3, 4, 6, 8]
    assert ids("*ob*") == [5]


def test_a_name_with_a_star_is_found_by_itself() -> None:
    assert ids("Team *") == [8]


def test_brackets_are_no_pattern() -> None:
    assert ids('[x] Größe, 100% & "more"') == [9]
    assert ids("[x] Gr*") == [9]
    assert refused("[Tt]eam B")


def test_letters_case_counts_first_and_then_not() -> None:
    assert ids("alpha") == [10]
    assert ids("Alpha") == [11]
    assert ids("team b") == [4]
    assert ids("TEAM B*") == [4]
    (text,) = refused("ALPHA")
    assert "10" in text
    assert "11" in text


def test_an_ambiguous_name_lists_its_candidates_with_ids_and_paths() -> None:
    (text,) = refused("Team A")
    assert "3 (Company // Web // Team A)" in text
    assert "6 (Company // Mobile // Team A)" in text


def test_everything_wrong_is_told_at_once_with_near_matches() -> None:
    unknown, number, pattern, ambiguous = refused("Teem B", "999", "Zz*", "Team A")
    assert '"Team B"' in unknown
    assert "999" in number
    assert "Zz*" in pattern
    assert "2 projects" in ambiguous


def test_repeats_are_one() -> None:
    assert ids("Team B", "4", "Web // Team B") == [4]


def test_a_closed_project_is_told_and_left_out() -> None:
    chosen = choose_projects(["Old Team", "Team B"], COMPANY)
    assert [each.object_id for each in chosen.projects] == [4]
    assert any("Old Team" in notice for notice in chosen.notices)


def test_nothing_but_closed_projects_is_an_error() -> None:
    (text,) = refused("Old Team")
    assert "closed" in text


def test_a_closed_namesake_is_no_rival() -> None:
    projects = [project(1, "A", open=False), project(2, "A")]
    assert ids("A", projects=projects) == [2]


def test_a_pattern_leaves_closed_projects_out() -> None:
    assert ids("Team O*", "Team B") == [4]


def test_children_come_with_their_parents_and_closed_ones_are_told() -> None:
    chosen = choose_projects(["Web"], COMPANY, children=True)
    assert [each.object_id for each in chosen.projects] == [2, 3, 4]
    assert any("Team Old" in notice for notice in chosen.notices)
    assert ids("Company", children=True) == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11]


def test_a_circle_of_parents_ends() -> None:
    assert ids("A", projects=[project(1, "A", 2), project(2, "B", 1)], children=True) == [1, 2]
    assert ids("B // A", projects=[project(1, "A", 2), project(2, "B", 1)]) == [1]


SPACES = [
    Workspace(object_id=10, name="Main"),
    Workspace(object_id=11, name="Side"),
    Workspace(object_id=12, name="Side"),
    Workspace(object_id=13, name="Gone", open=False),
]


def test_workspaces_by_name_or_id() -> None:
    assert choose_workspace("Main", SPACES).object_id == 10
    assert choose_workspace("main", SPACES).object_id == 10
    assert choose_workspace("12", SPACES).object_id == 12


@pytest.mark.parametrize(("wanted", "told"), [("Side", ["11", "12"]), ("Mian", ["Main", "10"]), ("Gone", ["closed"])])
def test_a_workspace_that_cannot_be_told_is_an_error_with_candidates(wanted: Any, told: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_workspace(wanted, SPACES)
    (problem,) = caught.value.problems
    assert problem.path == "properties.workspace"
    assert all(word in problem.text for word in told)


def test_a_pattern_that_no_engine_with_backtracking_ends_is_refused_at_once() -> None:
    assert refused("*?" * 40 + "#", projects=[project(1, "x" * 60)]) == [f'no project matches "{"*?" * 40}#"']


def test_the_first_faults_are_explained_and_the_rest_is_counted() -> None:
    texts = refused(*(f"Teem {number}" for number in range(60_000)))
    assert len(texts) == MAX_PROBLEMS + 1
    assert all("did you mean" in text for text in texts[:-1])
    assert texts[-1] == "and 59,980 more that mean no project, or several"
    # What is right among them is found all the same, and ambiguous names are counted as well.
    assert refused(*(f"x{number}" for number in range(MAX_PROBLEMS)), "Team B", "Team A")[-1].startswith("and 1 more")


def test_the_number_of_patterns_has_a_limit() -> None:
    fitting = [f"T*{'?' * number}" for number in range(MAX_PATTERNS)]
    assert 4 in ids(*["Team ?"] * MAX_PATTERNS)
    assert "more than 500 patterns" in refused(*fitting, "Team ?")[0]


def test_a_path_whose_names_hold_the_separator() -> None:
    odd = [project(1, "A"), project(2, "B // C", 1), project(3, "C")]
    assert ids("B // C", projects=odd) == [2]
    assert ids("a//b//c", projects=odd) == [2]


def test_a_name_of_any_length_is_shown_in_part() -> None:
    (text,) = refused("n" * 1_000_000)
    assert text == f'no project is called "{"n" * 300}…"'
