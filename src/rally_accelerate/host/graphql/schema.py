"""The schema: the vendor's types and ours, and the question for the role before every operation."""

from pathlib import Path
from typing import Any

from ariadne import MutationType, QueryType, SchemaBindable, load_schema_from_path, make_executable_schema
from graphql import GraphQLError, GraphQLField, GraphQLSchema, default_field_resolver

from rally_accelerate.host.access import Actor, Role
from rally_accelerate.host.graphql.answering import FORBIDDEN
from rally_accelerate.host.graphql.roles import needed
from rally_accelerate.host.graphql.scalars import DATE, JSON, PLUGIN_PROP_VALUE

CONTRACT = Path(__file__).parents[2] / "accelerate" / "contract.graphql"
#: What only hosts know: fields of newer servers, and operations that the connector does not ask for.
MORE = tuple(Path(__file__).parent / f"{name}.graphql" for name in ("newer", "plugins", "keys", "streams"))


def made(query: QueryType, mutation: MutationType, *bound: SchemaBindable) -> GraphQLSchema:
    """The whole schema, with the resolvers that were attached."""
    definitions = [load_schema_from_path(str(path)) for path in (CONTRACT, *MORE)]
    schema = make_executable_schema(definitions, query, mutation, DATE, JSON, PLUGIN_PROP_VALUE, *bound)
    _check_roles(schema)
    return schema


def _check_roles(schema: GraphQLSchema) -> None:
    """Put the question for the role before every operation: a resolver cannot forget it."""
    for root in (schema.query_type, schema.mutation_type):
        for name, field in root.fields.items() if root else ():
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
