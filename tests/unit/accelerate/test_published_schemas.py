"""The tables of Accelerate's published types are complete schemas, and are read without a GraphQL library."""

import subprocess
import sys
from typing import Any

import pytest
from graphql import build_schema, parse, print_schema, validate

from rally_accelerate.accelerate.published_schemas import Server, load_table, merge, sdl


@pytest.mark.parametrize("server", Server)
def test_a_table_is_a_valid_schema(server: Server) -> None:
    schema = build_schema(sdl(load_table(server)))
    assert schema.query_type is not None
    assert schema.mutation_type is not None
    assert {"issuesForProjectKey", "issue", "particlesByStage"} <= set(schema.query_type.fields)
    assert "uploadIssueData" in schema.mutation_type.fields


def test_arguments_defaults_unions_and_lists_are_written() -> None:
    text = sdl({
        "Query": {"kind": "object", "fields": {"one": {"type": "[Either]", "args": {
            "first": {"type": "Int!", "default": "10"}, "filter": "Filter"}}, "plain": "String!"}},
        "Filter": {"kind": "input", "fields": {"level": {"type": "Level!", "default": "INFO"}, "id": "ID"}},
        "Level": {"kind": "enum", "values": ["INFO", "WARN"]},
        "Either": {"kind": "union", "types": ["One", "Other"]},
        "One": {"kind": "object", "fields": {"at": "Date"}},
        "Other": {"kind": "object", "fields": {"at": "Date"}},
        "Date": {"kind": "scalar"},
    })  # fmt: skip
    schema = build_schema(text)
    assert validate(schema, parse("query($f: Filter) { one(filter: $f) { ... on One { at } } plain }")) == []
    # The first argument may be left out although it must not be null: it has a default value.
    printed = print_schema(schema)
    assert "one(first: Int! = 10, filter: Filter): [Either]" in printed
    assert "level: Level! = INFO" in printed


def test_the_two_servers_differ_where_they_are_known_to() -> None:
    older, newer = (load_table(server) for server in Server)
    assert "issues" not in older["Query"]["fields"]
    assert "issues" in newer["Query"]["fields"]
    assert older["IssueUploadOutput"]["fields"] == {"result": "Boolean"}
    assert newer["IssueUploadOutput"]["fields"] == {"result": "Boolean", "issueIds": "[ID]"}


def test_the_tables_are_read_without_a_graphql_library() -> None:
    program = (
        "import sys\n"
        "from rally_accelerate.accelerate.published_schemas import Server, load_table, sdl\n"
        "assert all(sdl(load_table(server)) for server in Server)\n"
        "assert 'graphql' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def kind(fields: dict[str, Any], *, of: str = "object") -> dict[str, Any]:
    return {"kind": of, "fields": fields}


def test_a_merged_table_has_everything_and_the_preferred_one_decides() -> None:
    preferred = {
        "Query": kind({"both": {"type": "[Int]", "args": {"page": "Page!"}}, "plain": "String!"}),
        "Page": kind({"limit": "Int!", "list": "[[ID]!]!"}, of="input"),
        "Level": {"kind": "enum", "values": ["A", "B"]},
        "Either": {"kind": "union", "types": ["Query"]},
    }
    other = {
        "Query": kind({
            "both": {"type": "[Int!]", "args": {"page": "OtherPage", "more": "ID!", "usual": {"type": "Int!", "default": "1"}}},
            "plain": {"type": "String", "args": {"of": "ID!"}},
            "own": "Boolean!",
        }),
        "Page": kind({"limit": "Int", "list": "[[ID!]]!", "after": "String!"}, of="input"),
        "OtherPage": kind({"limit": "Int!"}, of="input"),
        "Level": {"kind": "enum", "values": ["B", "C"]},
        "Either": kind({"a": "Int"}),
    }  # fmt: skip
    assert merge(preferred, other) == {
        "Query": kind({
            "both": {"type": "[Int]", "args": {"page": "Page!", "more": "ID", "usual": {"type": "Int!", "default": "1"}}},
            "plain": {"type": "String!", "args": {"of": "ID"}},
            "own": "Boolean!",
        }),
        "Page": kind({"limit": "Int", "list": "[[ID]]!", "after": "String"}, of="input"),
        "OtherPage": kind({"limit": "Int!"}, of="input"),
        "Level": {"kind": "enum", "values": ["A", "B", "C"]},
        "Either": {"kind": "union", "types": ["Query"]},
    }  # fmt: skip


def test_merging_changes_neither_table() -> None:
    older, newer = (load_table(server) for server in Server)
    merge(older, newer)
    assert (older, newer) == tuple(load_table(server) for server in Server)
