"""What one question may cost; looked at before it is validated, as validation itself takes time."""

from collections.abc import Mapping, Sequence, Sized
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    parse,
)

#: A question's own text; an upload's issues belong into the variables.
MOST_CHARACTERS = 500_000
MOST_TOKENS = 30_000

#: Selections inside each other, fragments counted as well: the question for a server's whole schema needs 18.
DEEPEST = 25

#: Fields with every fragment put in; the largest question that vendor clients generate has some two hundred.
MOST_FIELDS = 800

#: Operations under one request: each may read a thousand issues.
MOST_ROOTS = 20

#: Elements of a list argument.
MOST_ELEMENTS = 1000

#: Values in one request, counted by the commas between them. Each is looked at several times while nobody else is
#: answered. An upload of ten megabytes has some 400,000 of them: a change of the past is seven in 110 bytes.
MOST_VALUES = 600_000

#: Mistakes that are told of one request; each repeats what stands there, and may look through all of it.
MOST_ERRORS = 10

#: How long one request is answered.
SECONDS = 60.0


class _Size(NamedTuple):
    #: Fields that stand in a selection itself, and in all selections below it, and how deep those go.
    own: int
    all: int
    height: int


def read(text: str) -> DocumentNode:
    """The document of a question.

    Raises:
        GraphQLError: It cannot be read, or asks for too much.
    """
    document = parse(text, max_lexical_tokens=MOST_TOKENS, max_comments=MOST_TOKENS, max_source_length=MOST_CHARACTERS)
    check(document)
    return document


def check(document: DocumentNode) -> None:
    """Refuse a document that asks for too much.

    Raises:
        GraphQLError: It does.
    """
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    known: dict[str, _Size] = {}
    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode):
            size = _measured(each.selection_set.selections, fragments, known, level=1)
            if size.all > MOST_FIELDS:
                raise _too_much(
                    f"the question has more than {MOST_FIELDS} fields: ask for less, or in several requests"
                )
            if size.own > MOST_ROOTS:
                raise _too_much(f"the question has more than {MOST_ROOTS} operations: ask in several requests")


def crowded(content: bytes) -> bool:
    """Whether a request holds so many values that nobody should look at each."""
    return content.count(b",") > MOST_VALUES


def counted(given: Sized | None, name: str) -> None:
    """Refuse a list argument that is too long.

    Raises:
        GraphQLError: It is.
    """
    if given is not None and len(given) > MOST_ELEMENTS:
        raise GraphQLError(f"{name} may have at most {MOST_ELEMENTS} elements: ask in several requests")


def _measured(
    selections: Sequence[SelectionNode],
    fragments: Mapping[str, FragmentDefinitionNode],
    known: dict[str, _Size],
    *,
    level: int,
) -> _Size:
    own = everything = height = 0
    for each in selections:
        inside = _inside(each, fragments, known, level=level + 1)
        if level + inside.height > DEEPEST:
            raise _too_much(f"the question is nested deeper than {DEEPEST} levels")
        everything += inside.all
        height = max(height, inside.height + 1)
        if isinstance(each, FieldNode):
            own, everything = own + 1, everything + 1
        else:
            own += inside.own
    return _Size(own, everything, height)


def _inside(
    node: SelectionNode, fragments: Mapping[str, FragmentDefinitionNode], known: dict[str, _Size], *, level: int
) -> _Size:
    if level > DEEPEST + 1:
        raise _too_much(f"the question is nested deeper than {DEEPEST} levels")
    match node:
        case FragmentSpreadNode():
            name = node.name.value
            if name not in known:
                # Until it is measured; a fragment inside itself, or one that is not there, is told by validation.
                known[name] = _Size(0, 0, 0)
                if name in fragments:
                    inner = fragments[name].selection_set.selections
                    known[name] = _measured(inner, fragments, known, level=level)
            return known[name]
        case FieldNode() | InlineFragmentNode() if node.selection_set is not None:
            return _measured(node.selection_set.selections, fragments, known, level=level)
        case _:
            return _Size(0, 0, 0)


def _too_much(text: str) -> GraphQLError:
    return GraphQLError(text, extensions={"code": "TOO_COMPLEX"})
