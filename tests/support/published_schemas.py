"""The vendor's published schemas, ready to validate documents and their variables."""

from datetime import datetime
from functools import cache
from typing import Any

from graphql import GraphQLError, GraphQLScalarType, GraphQLSchema, build_schema

from rally_accelerate.accelerate.published_schemas import Server, load_table, sdl


@cache
def load_schema(label: str) -> GraphQLSchema:
    """Return the schema of an older server (``A``) or of a newer one (``B``).

    Which forms of ``Date`` a server version reads is not public: a number, a text of digits and an ISO text are in use
    (accelerate-api-notes.md#dates-in-uploads), anything else is refused here.
    """
    schema = build_schema(sdl(load_table(Server(label.lower()))))
    date = schema.type_map["Date"]
    assert isinstance(date, GraphQLScalarType)
    # Versions of graphql-core before and since 3.3 call it by different names.
    for name in ("parse_value", "coerce_input_value"):
        setattr(date, name, _date)
    return schema


def _date(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        if not value.strip().lstrip("-").isdecimal():
            try:
                datetime.fromisoformat(value)
            except ValueError:
                raise GraphQLError(f"Date cannot represent value: {value!r}") from None
        return value
    raise GraphQLError(f"Date cannot represent value: {value!r}")
