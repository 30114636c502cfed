"""The extra filter of each type, and explanations why Rally rejects it. No I/O."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rally_accelerate.config.item_queries import OTHERS, find_entity, list_fields, normalize_query
from rally_accelerate.errors import ConfigError, Problem, QueryError
from rally_accelerate.model.suggestions import suggest_names
from rally_accelerate.model.text_folding import fold
from rally_accelerate.rally.query import Raw
from rally_accelerate.rally.scope import quote
from rally_accelerate.rally.type_names import PORTFOLIO

if TYPE_CHECKING:
    from rally_accelerate.rally.type_definitions import Attribute

PATH = "properties.query"


@dataclass(frozen=True, slots=True)
class Filters:
    """Queries in Rally's syntax; an empty one excludes nothing."""

    #: For every type without a separate query.
    rest: str = ""
    #: By wire name.
    own: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def build_filters(queries: str | Mapping[str, str], *, kinds: Sequence[str], kind_of: Callable[[str], str]) -> Filters:
    """Build the filter of each type that is read.

    Args:
        queries: The setting: one query, or queries by type.
        kinds: The types that are read.
        kind_of: Gives the wire name of a type's name; raises ValueError with a sentence.

    Raises:
        ConfigError: A query is for no type, or for a part of one that is read only in full.
        QueryError: Parentheses or quotes do not pair up.
    """
    if isinstance(queries, str):
        return Filters(render_query(queries))
    own: dict[str, str] = {}
    family: str | None = None
    problems: list[Problem] = []
    notices: list[str] = []
    for name, query in queries.items():
        if name == OTHERS:
            continue
        try:
            kind = kind_of(name)
        except ValueError as error:
            problems.append(Problem(PATH, str(error)))
            continue
        text = render_query(query, name)
        if kind == PORTFOLIO and PORTFOLIO not in kinds:
            family = text
        elif kind in own:
            problems.append(Problem(PATH, f"there are two queries for the type {quote(name)}; join them with AND"))
        elif kind.startswith(f"{PORTFOLIO}/") and PORTFOLIO in kinds:
            text = f"types has all portfolio levels as one; list them one by one to filter {quote(name)} alone"
            problems.append(Problem(PATH, text))
        elif kind in kinds:
            own[kind] = text
        else:
            notices.append(f"The extra filter (query) has a query for {quote(name)}, which is not imported.")
    if problems:
        raise ConfigError("; ".join(map(str, problems)), problems=problems)
    if family is not None:
        own = {**{kind: family for kind in kinds if kind.startswith(f"{PORTFOLIO}/")}, **own}
    rest = queries.get(OTHERS, "")
    return Filters(render_query(rest) if rest else "", own, tuple(notices))


def render_query(query: str, name: str = "") -> str:
    """Render a query in Rally's syntax; empty for none.

    Args:
        query: As people type it.
        name: The type that it is for, for messages.

    Raises:
        QueryError: Parentheses or quotes do not pair up.
    """
    text = normalize_query(query)
    if not text.strip():
        return ""
    try:
        _require_no_entity(text)
        return Raw(text).render()
    except QueryError as error:
        message = f"{name}: {error.message}" if name else error.message
        raise QueryError(message, column=error.column, expected=error.expected) from None


def _require_no_entity(text: str) -> None:
    if entity := find_entity(text):
        raise QueryError(f"{entity[0]} is an HTML entity; write the character itself.", column=entity[1] + 1)


def require_parsable(queries: str | Mapping[str, str]) -> None:
    """Check the parentheses and quotes of every query before any request.

    Raises:
        QueryError: They do not pair up.
    """
    for name, query in ({"": queries} if isinstance(queries, str) else queries).items():
        render_query(query, name)


def find_errors(queries: str | Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the type and the error of each query that cannot be parsed, without a request."""
    for name, query in ({"": queries} if isinstance(queries, str) else queries).items():
        try:
            render_query(query)
        except QueryError as error:
            yield name, f"{error.message} (column {error.column})"


def explain_rejection(
    query: str, kind: str, attributes: "Mapping[str, Sequence[Attribute]]", labels: Mapping[str, str]
) -> ConfigError | None:
    """Explain which fields of a query a type lacks; return None when it has them all.

    Args:
        query: That Rally refused.
        kind: The type, by wire name.
        attributes: What each type has, by wire name.
        labels: What people call each type.
    """
    texts = [
        _describe_missing(name, kind, attributes, labels)
        for name in dict.fromkeys(path.partition(".")[0] for path in list_fields(query))
        if not _has_attribute(attributes[kind], name)
    ]
    if not texts:
        return None
    problems = [Problem(PATH, text) for text in texts]
    return ConfigError("; ".join(map(str, problems)), problems=problems, hint=_hint(query, attributes, labels))


def _describe_missing(
    name: str, kind: str, attributes: "Mapping[str, Sequence[Attribute]]", labels: Mapping[str, str]
) -> str:
    called = [
        attribute.element_name
        for attribute in attributes[kind]
        if fold(attribute.display_name).split() == fold(name).split()
    ]
    if called:
        return f"the field {quote(name)} of {labels[kind]} is called {called[0]} in queries"
    having = [
        labels[other]
        for other, attributes_of_kind in attributes.items()
        if other != kind and _has_attribute(attributes_of_kind, name)
    ]
    text = f"{labels[kind]} has no field {quote(name)}"
    if having:
        return f"{text}; {' and '.join(having)} {'has' if len(having) == 1 else 'have'} it"
    every = dict.fromkeys(
        attribute.element_name for attributes_of_kind in attributes.values() for attribute in attributes_of_kind
    )
    return f"{text}{suggest_names(name, every)}"


def _hint(query: str, attributes: "Mapping[str, Sequence[Attribute]]", labels: Mapping[str, str]) -> str:
    names = [path.partition(".")[0] for path in list_fields(query)]
    able = [
        kind
        for kind, attributes_of_kind in attributes.items()
        if all(_has_attribute(attributes_of_kind, name) for name in names)
    ]
    if not able:
        return "Correct the extra filter (query): it takes the names of fields in Rally's API."
    return f"Enter a separate query for each type, one per line, for example {labels[able[0]]}: {query}"


def _has_attribute(attributes: "Sequence[Attribute]", name: str) -> bool:
    return any(attribute.element_name == name for attribute in attributes)
