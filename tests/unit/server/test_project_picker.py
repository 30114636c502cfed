"""The tree of projects: drawn from any list of parents, narrowed by a search, and written into the setting."""

from typing import Any

from rally_accelerate.server.web.integration_preview import (
    build_rows,
    child_project_offers,
    open_descendants,
    selected_projects,
    setting_values,
)


def project(its_id: int, name: str, parent: int | None = None) -> dict[str, Any]:
    """A project as the tree knows it."""
    return {"id": its_id, "name": name, "parent": parent, "open": True}


COMPANY = [project(3, "Team B", 2), project(1, "Company"), project(2, "Division", 1), project(4, "Team A", 2)]


def drawn(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Names and depths."""
    return [(row["name"], row["depth"]) for row in rows]


def test_children_stand_below_their_parents_in_the_order_of_names() -> None:
    assert drawn(build_rows(COMPANY)) == [("Company", 0), ("Division", 1), ("Team A", 2), ("Team B", 2)]


def test_a_parent_that_is_not_seen_makes_a_root() -> None:
    assert drawn(build_rows([project(1, "Alone", 99)])) == [("Alone", 0)]


def test_a_search_shows_what_matches_and_what_leads_to_it() -> None:
    rows = build_rows(COMPANY, search="team b")
    assert drawn(rows) == [("Company", 0), ("Division", 1), ("Team B", 2)]
    assert [row["name"] for row in rows if row["match"]] == ["Team B"]


def test_a_ring_of_parents_and_a_deep_company_end() -> None:
    assert build_rows([project(1, "A", 2), project(2, "B", 1)]) == []
    deep = [project(number, f"P{number}", number - 1) for number in range(5000)]
    assert len(build_rows(deep, search="P4999")) == 5000


def test_names_are_written_where_they_mean_one_project_and_ids_elsewhere() -> None:
    projects = [project(1, "Team"), project(2, "team"), project(3, "Only"), project(4, "2026"), project(5, "A // B")]
    assert list(setting_values(projects, {1, 2, 3, 4, 5})) == ["1", "2", "Only", "4", "5"]


def test_what_was_written_is_found_again_and_the_rest_is_kept() -> None:
    projects = [project(1, "Team"), project(2, "Team"), project(3, "Only")]
    assert selected_projects(projects, ["1", "Only", "Team", "Te*"]) == ({1, 3}, ["Team", "Te*"])


def test_the_open_projects_below_one_are_found_at_any_depth_and_in_a_ring() -> None:
    closed = {**project(5, "Closed", 1), "open": False}
    assert open_descendants([*COMPANY, closed, project(6, "Below", 5)], 1) == {2, 3, 4, 6}
    assert open_descendants(COMPANY, 4) == set()
    assert open_descendants([project(1, "A", 2), project(2, "B", 1)], 1) == {2}


def test_a_chosen_parent_offers_the_children_that_are_not_chosen() -> None:
    counts = [{"id": 2, "own": 0, "children": 120}]
    assert child_project_offers(COMPANY, {2, 4}, counts) == {2: {"projects": 1, "below": 120, "own": 0}}
    assert child_project_offers(COMPANY, {1}, counts) == {1: {"projects": 3, "below": None, "own": None}}
    assert child_project_offers(COMPANY, {2, 3, 4}, counts) == {}
    assert child_project_offers(COMPANY, set(), counts) == {}
