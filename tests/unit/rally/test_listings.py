"""What a walk asks for."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.model.progress import Walk, Window
from rally_accelerate.rally.fetch_fields import build_fetch
from rally_accelerate.rally.keyset_paging import build_listing, build_listings
from rally_accelerate.rally.records import Scope, Workspace
from rally_accelerate.rally.wsapi import MAX_ADDRESS_LENGTH

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def scope(query: Any = "") -> Any:
    return Scope(workspace=Workspace(object_id=7, name="W"), projects=(), kinds=("defect",), query=query, now=NOW)


def walk(**more: Any) -> Any:
    return Walk(kind="defect", started_at=NOW, **more)


def query_of(listing: Any, after: Any = 0) -> Any:
    return listing.request(after=after, size=100).params.get("query")


def test_the_whole_workspace_at_first() -> None:
    listing = build_listing(scope(), walk())
    assert query_of(listing) is None
    assert query_of(listing, after=9) == "(ObjectID > 9)"
    assert listing.project is None
    assert listing.workspace == 7


def test_one_project_is_a_parameter_and_several_are_a_condition() -> None:
    assert build_listing(scope(), walk(projects=(3,))).project == 3
    listing = build_listing(scope(), walk(projects=(3, 4)))
    assert listing.project is None
    assert query_of(listing) == "((Project.ObjectID = 3) OR (Project.ObjectID = 4))"


def test_window_projects_and_the_users_filter_are_joined() -> None:
    listing = build_listing(scope("(Owner = null) OR (Ready = true)"), walk(projects=(3, 4), window=Window(NOW)))
    assert query_of(listing, after=9) == (
        '(((ObjectID > 9) AND (LastUpdateDate >= "2026-01-01T00:00:00.000Z")) AND '
        "(((Project.ObjectID = 3) OR (Project.ObjectID = 4)) AND ((Owner = null) OR (Ready = true))))"
    )


def test_owed_items_are_asked_for_in_short_addresses() -> None:
    only = tuple(range(10**12, 10**12 + 300))
    listings = build_listings(scope("(Ready = true)"), walk(only=only, projects=(3, 4)), page_size=2000)
    assert sum(items for _, items in listings) == 300
    for listing, _ in listings:
        assert len(listing.request(after=10**12 + 300, size=2000).target) < MAX_ADDRESS_LENGTH
    assert len(listings) < 12


def test_owed_items_behind_the_resumption_point_only() -> None:
    assert build_listings(scope(), walk(only=(1, 2), after=2), page_size=10) == []


@pytest.mark.parametrize(
    "kind", ["hierarchicalrequirement", "defect", "task", "testcase", "portfolioitem/feature", "x"]
)
def test_every_list_of_names_is_lean_and_sufficient(kind: Any) -> None:
    names = build_fetch(kind)
    assert len(names) == len(set(names)) <= 45
    assert {"ObjectID", "FormattedID", "LastUpdateDate", "VersionId", "RevisionHistory", "DisplayName"} <= set(names)
