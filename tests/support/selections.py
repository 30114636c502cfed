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


def selection(of: GraphQLNamedType, *, inside: tuple[str, ...] = ()) -> str:
    """Every scalar of a type, and of the objects in it that it does not stand in itself; empty for a scalar."""
    if is_leaf_type(of):
        return ""
    if isinstance(of, GraphQLUnionType):
        parts = [f"... on {each.name} {selection(each, inside=inside)}" for each in of.types]
        return "{ __typename " + " ".join(parts) + " }"
    assert isinstance(of, GraphQLObjectType)
    parts = []
    for name, field in of.fields.items():
        its_type = get_named_type(field.type)
        if needs_arguments(field) or its_type.name in (*inside, of.name):
            continue
        parts.append(f"{name} {selection(its_type, inside=(*inside, of.name))}".strip())
    return "{ " + " ".join(parts) + " }"


def scalars(of: GraphQLObjectType) -> list[str]:
    """The fields that a client of the vendor's kind asks for when its caller names none."""
    return [
        name
        for name, field in of.fields.items()
        if is_leaf_type(get_named_type(field.type)) and not needs_arguments(field)
    ]


def needs_arguments(field: GraphQLField) -> bool:
    """Whether it cannot be asked for by its name alone."""
    return any(is_required_argument(each) for each in field.args.values())


def operation(name: str, field: GraphQLField, given: dict[str, Any], *, kind: str = "query") -> str:
    """A question for one operation with variables for the arguments that are given, and everything selected."""
    declared = ", ".join(f"${each}: {field.args[each].type}" for each in given)
    passed = ", ".join(f"{each}: ${each}" for each in given)
    head = f"{kind}({declared})" if given else kind
    call = f"{name}({passed})" if given else name
    return f"{head} {{ {call} {selection(get_named_type(field.type))} }}"
