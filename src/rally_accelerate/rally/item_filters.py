"""The extra filter of each type: which query is whose, and why a type cannot be asked with it; pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rally_accelerate.config.item_queries import OTHERS, entity_in, fields_of, plain_query
from rally_accelerate.errors import ConfigError, Problem, QueryError
from rally_accelerate.model.suggestions import suggestion
from rally_accelerate.model.text_folding import fold
from rally_accelerate.rally.query import Raw
from rally_accelerate.rally.scope import quoted
from rally_accelerate.rally.type_names import PORTFOLIO

if TYPE_CHECKING:
    from rally_accelerate.rally.type_definitions import Attribute

PATH = "properties.query"


@dataclass(frozen=True, slots=True)
class Filters:
    """Queries in Rally's syntax; an empty one excludes nothing."""

    #: For every type without a query of its own.
    rest: str = ""
    #: By wire name.
    own: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def filters_of(queries: str | Mapping[str, str], *, kinds: Sequence[str], kind_of: Callable[[str], str]) -> Filters:
    """The filter of each type that is read.

    Args:
        queries: The setting: one query, or queries by type.
        kinds: The types that are read.
        kind_of: Gives the wire name of a type's name; raises ValueError with a sentence.

    Raises:
        ConfigError: A query is for no type, or for a part of one that is read as a whole.
        QueryError: Parentheses or quotes do not pair up.
    """
    if isinstance(queries, str):
        return Filters(rendered(queries))
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
        text = rendered(query, name)
        if kind == PORTFOLIO and PORTFOLIO not in kinds:
            family = text
        elif kind in own:
            problems.append(Problem(PATH, f"there are two queries for the type {quoted(name)}; join them with AND"))
        elif kind.startswith(f"{PORTFOLIO}/") and PORTFOLIO in kinds:
            text = f"types has all portfolio levels as one; list them one by one to filter {quoted(name)} alone"
            problems.append(Problem(PATH, text))
        elif kind in kinds:
            own[kind] = text
        else:
            notices.append(f"The extra filter (query) has a query for {quoted(name)}, which is not imported.")
    if problems:
        raise ConfigError("; ".join(map(str, problems)), problems=problems)
    if family is not None:
        own = {**{kind: family for kind in kinds if kind.startswith(f"{PORTFOLIO}/")}, **own}
    rest = queries.get(OTHERS, "")
    return Filters(rendered(rest) if rest else "", own, tuple(notices))


def rendered(query: str, name: str = "") -> str:
    """A query as Rally takes it; empty for none.

    Args:
        query: As people type it.
        name: The type that it is for, for messages.

    Raises:
        QueryError: Parentheses or quotes do not pair up.
    """
    text = plain_query(query)
    if not text.strip():
        return ""
    try:
        _require_no_entity(text)
        return Raw(text).render()
    except QueryError as error:
        message = f"{name}: {error.message}" if name else error.message
        raise QueryError(message, column=error.column, expected=error.expected) from None


def _require_no_entity(text: str) -> None:
    if entity := entity_in(text):
        raise QueryError(f"{entity[0]} is an HTML entity; write the character itself.", column=entity[1] + 1)


def require_parsable(queries: str | Mapping[str, str]) -> None:
    """Check the parentheses and quotes of every query, before anything is asked.

    Raises:
        QueryError: They do not pair up.
    """
    for name, query in ({"": queries} if isinstance(queries, str) else queries).items():
        rendered(query, name)


def faults(queries: str | Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the type and the fault of each query that cannot be parsed, without asking Rally."""
    for name, query in ({"": queries} if isinstance(queries, str) else queries).items():
        try:
            rendered(query)
        except QueryError as error:
            yield name, f"{error.message} (column {error.column})"


def explained(
    query: str, kind: str, attributes: "Mapping[str, Sequence[Attribute]]", shown: Mapping[str, str]
) -> ConfigError | None:
    """Why Rally cannot filter a type with a query: fields that it does not have; None when it has them all.

    Args:
        query: That Rally refused.
        kind: The type, by wire name.
        attributes: What each type has, by wire name.
        shown: What people call each type.
    """
    texts = [
        _lacking(name, kind, attributes, shown)
        for name in dict.fromkeys(path.partition(".")[0] for path in fields_of(query))
        if not _has(attributes[kind], name)
    ]
    if not texts:
        return None
    problems = [Problem(PATH, text) for text in texts]
    return ConfigError("; ".join(map(str, problems)), problems=problems, hint=_hint(query, attributes, shown))


def _lacking(name: str, kind: str, attributes: "Mapping[str, Sequence[Attribute]]", shown: Mapping[str, str]) -> str:
    called = [each.element_name for each in attributes[kind] if fold(each.display_name).split() == fold(name).split()]
    if called:
        return f"the field {quoted(name)} of {shown[kind]} is called {called[0]} in queries"
    having = [shown[other] for other, its in attributes.items() if other != kind and _has(its, name)]
    text = f"{shown[kind]} has no field {quoted(name)}"
    if having:
        return f"{text}; {' and '.join(having)} {'has' if len(having) == 1 else 'have'} it"
    every = dict.fromkeys(each.element_name for its in attributes.values() for each in its)
    return f"{text}{suggestion(name, every)}"


def _hint(query: str, attributes: "Mapping[str, Sequence[Attribute]]", shown: Mapping[str, str]) -> str:
    names = [path.partition(".")[0] for path in fields_of(query)]
    able = [kind for kind, its in attributes.items() if all(_has(its, name) for name in names)]
    if not able:
        return "Correct the extra filter (query): it takes the names of fields in Rally's API."
    return f"Give each type a query of its own, one on each line, for example {shown[able[0]]}: {query}"


def _has(attributes: "Sequence[Attribute]", name: str) -> bool:
    return any(each.element_name == name for each in attributes)
