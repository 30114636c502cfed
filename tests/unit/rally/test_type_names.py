"""Types by the names that people see: portfolio levels first, and nothing that is no work item."""

import pytest

from rally_accelerate.errors import ConfigError
from rally_accelerate.rally.type_names import TypeDefinition, TypeNames


def defined(
    path: str, display: str = "", *, name: str = "", parent: str = "Artifact", abstract: bool = False
) -> object:
    number = abs(hash(path)) % 10**9
    element = path.rpartition("/")[2]
    return TypeDefinition(
        object_id=number,
        path=path,
        element_name=element,
        display_name=display or element,
        name=name or display or element,
        parent=parent,
        abstract=abstract,
    )


def workspace(*more: object) -> TypeNames:
    usual = (
        defined("Artifact", parent="", abstract=True),
        defined("Requirement", abstract=True),
        defined("HierarchicalRequirement", "User Story", parent="Requirement"),
        defined("Defect", parent="SchedulableArtifact"),
        defined("Task"),
        defined("TestCase", "Test Case"),
        defined("TestFolder", "Test Folder"),
        defined("PortfolioItem", "Portfolio Item", abstract=True),
        defined("Project", parent="WorkspaceDomainObject"),
        defined("Iteration", parent=""),
    )
    return TypeNames([*usual, *more])  # type: ignore[list-item]


LEVELS = (
    defined("PortfolioItem/Feature", "Business Outcome", name="Outcome", parent="Portfolio Item"),
    defined("PortfolioItem/Epic", "Feature", parent="Portfolio Item"),
    defined("PortfolioItem/Größe", parent="Portfolio Item"),
)


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("Story", "hierarchicalrequirement"),
        ("user\u00a0story", "hierarchicalrequirement"),
        ("User Stories", "hierarchicalrequirement"),
        ("HIERARCHICALREQUIREMENT", "hierarchicalrequirement"),
        ("Defects", "defect"),
        ("test-case".replace("-", " "), "testcase"),
        ("Test\u200b Cases", "testcase"),
        ("TestFolder", "testfolder"),
        ("Portfolio Item", "portfolioitem"),
        ("Portfolio Items", "portfolioitem"),
        ("Business\u2003outcome", "portfolioitem/feature"),
        ("Business Outcomes", "portfolioitem/feature"),
        ("Outcome", "portfolioitem/feature"),
        # What people see goes before what programs see, and both before Rally's usual names.
        ("Feature", "portfolioitem/epic"),
        ("PortfolioItem/Feature", "portfolioitem/feature"),
        ("Portfolio Item / Business Outcome", "portfolioitem/feature"),
        ("epic", "portfolioitem/epic"),
        ("GRÖSSE", "portfolioitem/größe"),
    ],
)
def test_names_mean_what_people_see(written: str, kind: str) -> None:
    assert workspace(*LEVELS).resolve(written) == kind


def test_a_level_named_like_another_type_wins_and_the_other_one_can_be_written() -> None:
    names = workspace(defined("PortfolioItem/Story"), defined("PortfolioItem/Project"), defined("PortfolioItem/Defect"))
    kinds, notices = names.resolve_all(["Story", "Project", "defect", "User Story"], path="properties.types")
    levels = ("portfolioitem/story", "portfolioitem/project", "portfolioitem/defect")
    assert kinds == (*levels, "hierarchicalrequirement")
    said = 'The type "{}" means the portfolio level {}; for the other type of this name, write {}.'
    assert notices == (
        said.format("Story", "PortfolioItem/Story", "HierarchicalRequirement"),
        said.format("defect", "PortfolioItem/Defect", "defects"),
    )
    assert names.resolve_all(["HierarchicalRequirement", "Defects"], path="")[0] == (
        "hierarchicalrequirement",
        "defect",
    )


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("Storry", 'no type of work item in this workspace (did you mean "Story"'),
        ("Busines Outcome", 'did you mean "Business Outcome"'),
        ("PortfolioItem/Theme", "no type of work item"),
        ("Theme", "Business Outcome (PortfolioItem/Feature)"),
        ("Iteration", "a type of Rally, but not one of work items"),
        ("Projects", "a type of Rally, but not one of work items"),
        ("Artifact", "not one of work items"),
        ("Defect/Feature", "no type of work item"),
        ("/", "no type of work item"),
    ],
)
def test_what_is_no_type_of_work_item_is_refused_with_what_there_is(written: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        workspace(*LEVELS).resolve_all(["Defect", written], path="properties.types")
    (problem,) = refused.value.problems
    assert problem.path == "properties.types"
    assert told in problem.text
    assert "Task, Test Case, Test Folder, User Story" in problem.text


def test_a_name_of_several_levels_is_refused_with_their_paths() -> None:
    names = workspace(defined("PortfolioItem/A", "Epic"), defined("PortfolioItem/B", "Epic"))
    with pytest.raises(ValueError, match=r"2 types are called .Epic.; write PortfolioItem/A or PortfolioItem/B"):
        names.resolve("Epic")
    assert names.resolve("PortfolioItem/B") == "portfolioitem/b"


def test_parents_that_go_round_in_circles_end() -> None:
    names = workspace(defined("Odd", parent="Even"), defined("Even", parent="Odd"))
    with pytest.raises(ValueError, match="not one of work items"):
        names.resolve("Odd")
