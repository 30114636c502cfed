"""Questions as generic clients make them: every field that a server's own description names, without arguments."""

from typing import Any

from graphql import (
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)


def select_all_fields(of: GraphQLNamedType, *, inside: tuple[str, ...] = ()) -> str:
    """Every scalar of a type, and of the objects in it that it does not stand in itself; empty for a scalar."""
    if is_leaf_type(of):
        return ""
    if isinstance(of, GraphQLUnionType):
        parts = [f"... on {member.name} {select_all_fields(member, inside=inside)}" for member in of.types]
        return "{ __typename " + " ".join(parts) + " }"
    assert isinstance(of, GraphQLObjectType)
    parts = []
    for name, field in of.fields.items():
        field_type = get_named_type(field.type)
        if needs_arguments(field) or field_type.name in (*inside, of.name):
            continue
        parts.append(f"{name} {select_all_fields(field_type, inside=(*inside, of.name))}".strip())
    return "{ " + " ".join(parts) + " }"


def list_scalar_fields(of: GraphQLObjectType) -> list[str]:
    """The fields that a client of the vendor's kind asks for when its caller names none."""
    return [
        name
        for name, field in of.fields.items()
        if is_leaf_type(get_named_type(field.type)) and not needs_arguments(field)
    ]


def needs_arguments(field: GraphQLField) -> bool:
    """Whether it cannot be asked for by its name alone."""
    return any(is_required_argument(argument) for argument in field.args.values())


def build_operation(name: str, field: GraphQLField, arguments: dict[str, Any], *, kind: str = "query") -> str:
    """A question for one operation with variables for the arguments that are given, and everything selected."""
    declared = ", ".join(f"${argument_name}: {field.args[argument_name].type}" for argument_name in arguments)
    passed = ", ".join(f"{argument_name}: ${argument_name}" for argument_name in arguments)
    head = f"{kind}({declared})" if arguments else kind
    call = f"{name}({passed})" if arguments else name
    return f"{head} {{ {call} {select_all_fields(get_named_type(field.type))} }}"
