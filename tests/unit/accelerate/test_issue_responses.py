"""What introspection says of an issue's fields is read whether or not the issue is non-null."""

from typing import Any

import pytest
from graphql import get_introspection_query, graphql_sync

from rally_accelerate.accelerate import documents
from rally_accelerate.accelerate.responses import field_names
from support.published_schemas import load_schema

ITEM = {"fields": [{"name": "_id"}, {"name": "history"}, {"name": "somethingNew"}]}


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ({"fields": [{"name": "issue", "type": {"fields": None, "ofType": ITEM}}]}, {"_id", "history"}),
        (
            {"fields": [{"name": "_id", "type": {}}, {"name": "issue", "type": {**ITEM, "ofType": None}}]},
            {"_id", "history"},
        ),
        ({"fields": [{"name": "_id"}]}, set()),
        ({"fields": None}, set()),
        (None, set()),
        ("a text", set()),
    ],
)
def test_forms_of_the_answer(described: Any, expected: set[str]) -> None:
    assert field_names(described) == expected


@pytest.mark.parametrize(
    ("label", "expected"), [("A", documents.EVERYWHERE), ("B", {**documents.EVERYWHERE, **documents.NEWER})]
)
def test_the_published_schemas_answer_it(label: str, expected: Any) -> None:
    data = graphql_sync(load_schema(label), documents.READABLE_FIELDS).data
    assert data is not None
    assert field_names(data["__type"]) == expected.keys()
    assert graphql_sync(load_schema(label), get_introspection_query()).errors is None
