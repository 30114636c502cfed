"""The documents that the client sends fit the contract that it is written against."""

from pathlib import Path

import orjson
import pytest
from graphql import build_schema, parse, validate
from graphql.execution.values import get_variable_values

from rally_accelerate.accelerate import documents
from rally_accelerate.accelerate.payload import Address, body, pack
from support.models import issue

CONTRACT = Path(documents.__file__).parent / "contract.graphql"
SCHEMA = build_schema(CONTRACT.read_text())


@pytest.mark.parametrize("name", documents.ALL)
def test_documents(name: str) -> None:
    assert validate(SCHEMA, parse(documents.ALL[name])) == []


def test_an_upload_has_only_fields_that_every_server_knows() -> None:
    address = Address(source="RALLY", tracker_id="t", tenant_id="n", base_url="")
    request = orjson.loads(body([pack(issue())], address=address))
    definitions = parse(request["query"]).definitions[0].variable_definitions  # type: ignore[attr-defined]
    values = get_variable_values(SCHEMA, definitions, request["variables"])
    assert not isinstance(values, list), values
