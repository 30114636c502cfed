"""Documents as clients of Accelerate send them, generated from a server's published types.

Such a client declares variables with the vendor's type names and, when its caller names no fields, selects the scalar
and enum fields of the answered type (accelerate-api-notes.md#default-selection).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_enum_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
)

from rally_accelerate.accelerate.published_schemas import Server
from support.published_schemas import load_schema as of_label

SCALARS: dict[str, Any] = {"Int": 1, "Float": 1.5, "Boolean": True, "JSON": {}, "Date": 0, "SemVer": "latest"}


@dataclass(frozen=True)
class Form:
    """How much a client asks for."""

    title: str
    #: How many levels of objects are selected below the answer.
    depth: int
    #: Whether arguments that may be left out are given.
    all_arguments: bool = False


DEFAULT = Form("default selection", 0)
FORMS = (DEFAULT, Form("all arguments", 0, all_arguments=True), Form("three levels deep", 3))


@dataclass(frozen=True)
class Document:
    """One operation in one form."""

    kind: str
    name: str
    form: Form
    text: str
    #: The types of the variables.
    types: dict[str, Any]

    def variables(self, value: Callable[[str, Any], Any]) -> dict[str, Any]:
        """A value for each variable, from its name and type."""
        return {name: value(name, of) for name, of in self.types.items()}


def load_server_schema(server: Server) -> GraphQLSchema:
    """The schema of a server."""
    return of_label(server.name)


def iter_documents(schema: GraphQLSchema, forms: tuple[Form, ...] = FORMS) -> Iterator[Document]:
    """Every operation in every form."""
    for kind, root in (("query", schema.query_type), ("mutation", schema.mutation_type)):
        assert root is not None
        for name, field in root.fields.items():
            for form in forms:
                yield build_document(kind, name, field, form)


def build_single_document(
    schema: GraphQLSchema, kind: str, name: str, *, select: str = "", only: set[str] | None = None
) -> Document:
    """One operation with its default selection or another one, and with its required arguments or others."""
    root = schema.query_type if kind == "query" else schema.mutation_type
    assert root is not None
    return build_document(kind, name, root.fields[name], DEFAULT, select=select, only=only)


def build_document(
    kind: str, name: str, field: GraphQLField, form: Form, *, select: str = "", only: set[str] | None = None
) -> Document:
    """One operation in one form."""
    types = {
        argument_name: argument.type
        for argument_name, argument in field.args.items()
        if (argument_name in only if only is not None else form.all_arguments or is_required_argument(argument))
    }
    declared = ", ".join(f"${argument_name}: {of}" for argument_name, of in types.items())
    passed = ", ".join(f"{argument_name}: ${argument_name}" for argument_name in types)
    answered = get_named_type(field.type)
    # Of a type without scalars, whatever lies inside is selected: a selection must not be empty.
    selected = select or next(
        (fields for depth in (form.depth, 1, 2) if (fields := _select_fields(answered, depth))), ""
    )
    head, call = (f"{kind} {name}({declared})", f"{name}({passed})") if types else (f"{kind} {name}", name)
    return Document(kind, name, form, f"{head} {{ {call} {selected} }}", types)


def make_sample(of: Any, *, depth: int = 0) -> Any:
    """Some value of an input type."""
    if is_non_null_type(of):
        return make_sample(of.of_type, depth=depth)
    if is_list_type(of):
        return [make_sample(of.of_type, depth=depth + 1)]
    if is_enum_type(of):
        return next(iter(of.values))
    if is_input_object_type(of):
        return {
            name: make_sample(field.type, depth=depth + 1)
            for name, field in of.fields.items()
            if is_non_null_type(field.type)
        }
    return SCALARS.get(of.name, "x")


def _select_fields(of: GraphQLNamedType, depth: int, inside: tuple[str, ...] = (), *, alias: str = "") -> str:
    if is_leaf_type(of):
        return ""
    if isinstance(of, GraphQLUnionType):
        # Members may have a field of one name with different types: each is asked for under a name of its own.
        parts = [
            f"... on {part.name} {_select_fields(part, depth, inside, alias=f'{part.name}_')}" for part in of.types
        ]
        return f"{{ __typename {' '.join(parts)} }}"
    assert isinstance(of, GraphQLObjectType)
    parts = []
    for name, field in of.fields.items():
        field_type = get_named_type(field.type)
        if any(is_required_argument(part) for part in field.args.values()):
            continue
        called = f"{alias}{name}: {name}" if alias else name
        if is_leaf_type(field_type):
            parts.append(called)
        elif (
            depth > 0
            and field_type.name not in (*inside, of.name)
            and (inner := _select_fields(field_type, depth - 1, (*inside, of.name)))
        ):
            parts.append(f"{called} {inner}")
    return f"{{ {' '.join(parts)} }}" if parts else ("{ __typename }" if alias else "")
