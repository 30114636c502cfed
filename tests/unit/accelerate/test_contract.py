"""The documents and uploads of the client fit the vendor's published schemas: an older server's (A), a newer one's (B)."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from graphql import GraphQLError, GraphQLObjectType, get_named_type, is_leaf_type, parse, validate
from graphql.execution.values import get_variable_values

from rally_accelerate.accelerate import documents
from rally_accelerate.accelerate.payload import Address, body, pack
from support.models import issue
from support.published_schemas import load_schema

BOTH = ("A", "B")


@pytest.mark.parametrize("label", BOTH)
@pytest.mark.parametrize("name", documents.ALL)
def test_documents_are_valid_for_every_server(name: str, label: str) -> None:
    assert validate(load_schema(label), parse(documents.ALL[name])) == []


@pytest.mark.parametrize("name", documents.NEWER_ONLY)
def test_documents_for_newer_servers_are_valid_for_those(name: str) -> None:
    document = parse(documents.NEWER_ONLY[name])
    assert validate(load_schema("B"), document) == []
    assert validate(load_schema("A"), document) != [], "this document is valid for older servers too"


@pytest.mark.parametrize("label", BOTH)
def test_an_upload_is_valid_for_every_server(label: str) -> None:
    address = Address(source="RALLY", tracker_id="t", tenant_id="n", base_url="")
    request = orjson.loads(body([pack(issue())], address=address))
    definitions = parse(request["query"]).definitions[0].variable_definitions  # type: ignore[attr-defined]
    values = get_variable_values(load_schema(label), definitions, request["variables"])
    assert not isinstance(values, list), values


@pytest.mark.parametrize(
    ("label", "fields"), [("A", documents.EVERYWHERE), ("B", {**documents.EVERYWHERE, **documents.NEWER})]
)
def test_every_field_that_a_server_returns_is_read(label: str, fields: Mapping[str, str]) -> None:
    item = load_schema(label).type_map["IssueDataItem"]
    assert isinstance(item, GraphQLObjectType)
    assert item.fields.keys() == fields.keys()
    for name, selected in fields.items():
        inner = get_named_type(item.fields[name].type)
        if is_leaf_type(inner):
            assert not selected
        else:
            assert isinstance(inner, GraphQLObjectType)
            # Ids that the server makes, and a text whose meaning is not public.
            assert inner.fields.keys() - {"_id", "previous"} == set(selected.split())


def test_the_published_schemas_read_dates_in_the_forms_that_are_in_use() -> None:
    read = load_schema("A").type_map["Date"].parse_value  # type: ignore[attr-defined]
    forms: list[Any] = [1_700_000_000_000, "1700000000000", "2026-03-01T12:00:00.000Z", "2026-03-01"]
    assert [read(value) for value in forms] == forms
    wrong: list[Any] = [True, "soon", None, {}]
    for value in wrong:
        with pytest.raises(GraphQLError):
            read(value)
