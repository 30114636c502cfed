"""The schemas: Accelerate's published types with our additions, and the role that every operation requires.

An older and a newer generation of servers name some input types differently, so no single schema accepts the documents
of both. Each schema here is one generation's table with whatever only the other one has, and with ``extras.graphql``;
``answering.py`` executes a document against the first schema that accepts it. The input types themselves are the same
in both: only which of them an argument takes differs.
"""

from functools import cache
from pathlib import Path
from typing import Any

from ariadne import MutationType, QueryType, SchemaBindable
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLField,
    GraphQLSchema,
    build_ast_schema,
    default_field_resolver,
    parse,
)

from rally_accelerate.accelerate.schema_tables import Server, load_table, merge, sdl
from rally_accelerate.host.access import Actor, Role
from rally_accelerate.host.graphql.answering import FORBIDDEN
from rally_accelerate.host.graphql.descriptions import DESCRIPTIONS
from rally_accelerate.host.graphql.roles import needed
from rally_accelerate.host.graphql.scalars import SCALARS

EXTRAS = Path(__file__).with_name("extras.graphql")

#: The newer generation first: introspection describes it, and most documents are valid for both.
ORDER = (Server.B, Server.A)


def made(query: QueryType, mutation: MutationType, *bound: SchemaBindable) -> tuple[GraphQLSchema, ...]:
    """Make the schemas, in the order in which they are tried, with the resolvers that were attached."""
    schemas = []
    for server in ORDER:
        # The types are part of the package, and the tests validate them: a start need not.
        schema = build_ast_schema(document(server), assume_valid=True, assume_valid_sdl=True)
        for each in (query, mutation, *SCALARS, *bound):
            each.bind_to_schema(schema)
        _prepare(schema)
        schemas.append(schema)
    return tuple(schemas)


@cache
def document(server: Server) -> DocumentNode:
    """Return the types of one server generation with ours, parsed once in a process."""
    (other,) = (each for each in ORDER if each is not server)
    types = sdl(merge(load_table(server), load_table(other)))
    return parse(f"{types}\n{EXTRAS.read_text(encoding='utf-8')}", no_location=True)


def _prepare(schema: GraphQLSchema) -> None:
    """Describe every operation, and make each check the caller's role: a resolver cannot forget it."""
    for root in (schema.query_type, schema.mutation_type):
        for name, field in root.fields.items() if root else ():
            field.description = DESCRIPTIONS.get(name)
            field.resolve = _checked(field, needed(name), name)


def _checked(field: GraphQLField, role: Role, operation: str) -> Any:
    resolve = field.resolve or default_field_resolver

    def checked(parent: Any, info: Any, **arguments: Any) -> Any:
        actor: Actor = info.context["actor"]
        if not actor.may(role):
            raise GraphQLError(
                f"{operation} needs the role {role.word}; {actor.name} is {actor.role.word}",
                extensions={"code": FORBIDDEN},
            )
        return resolve(parent, info, **arguments)

    return checked
