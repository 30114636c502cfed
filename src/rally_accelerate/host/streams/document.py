"""The document of a value stream: what is wrong with it, told all at once with the path of each fault."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rally_accelerate.config.load import LEVEL_KEYS
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.host.streams import checks
from rally_accelerate.host.streams.checks import kind_of
from rally_accelerate.host.streams.jsontext import member, shortened
from rally_accelerate.host.streams.keys import TABLES
from rally_accelerate.model.folding import spaced
from rally_accelerate.model.likeness import MOST_EXPLAINED, alike

#: Keys that name stages.
SPANS = ("leadTime", "cycleTime", "leadTimeChange", "devCycleTime")

#: Keys that hold what has names, or are such names.
SHAPES = frozenset(
    {"", "phases", "stages", "name", "integrations", "linkRules", "fromIntegrationName", "toIntegrationName"}
    | {*SPANS, "start", "end"}
)

#: Keys whose values are names.
NAMES = frozenset({"name", "start", "end", "fromIntegrationName", "toIntegrationName"})

#: More than these are no value stream that fits a page.
MOST_STAGES = 200
#: Each query and each pattern takes milliseconds to check.
MOST_EXPRESSIONS = 1_000
#: So many keys that are only kept are compared with the known ones.
MOST_UNKNOWN = 1_000


@dataclass(frozen=True, slots=True)
class Examined:
    """What an examination of a document found."""

    problems: tuple[Problem, ...]
    #: What is right but may not be meant, such as a key that is only kept.
    notices: tuple[str, ...]


def checked(document: Any) -> Examined:
    """The findings on a document that is right.

    Raises:
        ConfigError: With every problem and its path.
    """
    found = examined(document)
    if found.problems:
        raise refused(found.problems)
    return found


def refused(problems: Sequence[Problem]) -> ConfigError:
    """That a document is wrong, with all there is to mend."""
    count = len(problems)
    text = "1 problem" if count == 1 else f"{count} problems"
    return ConfigError(f"the value stream has {text}", problems=shortened(problems))


def examined(document: Any) -> Examined:
    """Everything that is wrong or strange in a document, without looking beyond it."""
    if not isinstance(document, dict):
        text = f"must be an object with phases and integrations, not {kind_of(document)}"
        return Examined((Problem("", text),), ())
    if isinstance(document.get("data"), dict) and not TABLES[""].keys() & document.keys():
        text = "is an answer of an API; give what is inside data: the object with phases and integrations"
        return Examined((Problem("data", text),), ())
    if sum(1 for _ in islice(_expressions(document, ""), MOST_EXPRESSIONS + 1)) > MOST_EXPRESSIONS:
        text = f"has more than {MOST_EXPRESSIONS:,} queries and patterns; there are at most {MOST_STAGES} stages"
        return Examined((Problem("", text),), ())
    problems = [*_walked(document, "", "")]
    # What follows reads names: it must be able to rely on shapes, whatever is wrong with a query or a limit.
    if not any(map(_disturbs, problems)):
        problems += [*_doubles(document), *_spans(document), *_links(document)]
    return Examined(tuple(problems), tuple(_strange(document)))


def plain_names(document: Any) -> Any:
    """A document whose names hold plain spaces and no invisible characters: a web page may have put them there."""
    return _plain_names(document, "") if isinstance(document, dict) else document


def _plain_names(held: Mapping[str, Any], table: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in held.items():
        key = TABLES[table].get(name)
        inside = key.inside if key is not None else ""
        match value:
            case str() if name in NAMES:
                found[name] = spaced(value)
            case dict() if inside:
                found[name] = _plain_names(value, inside)
            case list() if inside:
                found[name] = [_plain_names(each, inside) if isinstance(each, dict) else each for each in value]
            case _:
                found[name] = value
    return found


def allows_sources(problems: Sequence[Problem]) -> bool:
    """Whether the integrations of a document can be looked at beside problems that were found in it."""
    return not any(problem.path in {"", "tenantId"} or problem.path.startswith("integrations") for problem in problems)


def _disturbs(problem: Problem) -> bool:
    last = problem.path.rpartition(".")[2]
    return last.endswith("]") or last in SHAPES


def phases_of(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each phase with its path."""
    for number, phase in enumerate(document.get("phases") or ()):
        yield f"phases[{number}]", phase


def stages_of(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each stage with its path, from left to right."""
    for path, phase in phases_of(document):
        for number, stage in enumerate(phase.get("stages") or ()):
            yield f"{path}.stages[{number}]", stage


def integrations_of(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each integration with its path."""
    for number, integration in enumerate(document.get("integrations") or ()):
        yield f"integrations[{number}]", integration


def near(name: str, known: list[str]) -> str:
    """The end of a sentence: what there is that looks like a name, or all there is."""
    known = list(dict.fromkeys(known))
    folded = {each.casefold(): each for each in known}
    close = alike(name.casefold(), folded)
    if close:
        return f"; did you mean {' or '.join(repr(folded[each]) for each in close)}?"
    if not known:
        return "; there is none yet"
    return f"; there are {', '.join(map(repr, known[:10]))}{' and more' if len(known) > 10 else ''}"  # noqa: PLR2004 - a sentence, not a list


def _walked(held: Mapping[str, Any], path: str, table: str) -> Iterator[Problem]:
    keys = TABLES[table]
    for name, key in keys.items():
        if name not in held:
            if key.required:
                yield Problem(member(path, name), "is missing")
            continue
        value, where = held[name], member(path, name)
        wrong = list(key.check(value))
        yield from (Problem(where, text) for text in wrong)
        if wrong or not key.inside:
            continue
        if isinstance(value, list):
            for number, inner in enumerate(value):
                if isinstance(inner, dict):
                    yield from _walked(inner, f"{where}[{number}]", key.inside)
                else:
                    yield Problem(f"{where}[{number}]", f"must be an object, not {kind_of(inner)}")
        elif isinstance(value, dict):
            yield from _walked(value, where, key.inside)


def _expressions(held: Mapping[str, Any], table: str) -> Iterator[str]:
    """Yield every query and every pattern."""
    for name, key in TABLES[table].items():
        match held.get(name):
            case str(text) if key.check in {checks.query, checks.pattern}:
                yield text
            case dict(inner) if key.inside:
                yield from _expressions(inner, key.inside)
            case list(each) if key.inside:
                for inner in each:
                    if isinstance(inner, dict):
                        yield from _expressions(inner, key.inside)


def _doubles(document: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _doubled("phase", phases_of(document))
    yield from _doubled("stage", stages_of(document))
    yield from _doubled("integration", integrations_of(document))
    if sum(1 for _ in stages_of(document)) > MOST_STAGES:
        yield Problem("phases", f"hold more than {MOST_STAGES} stages")


def _doubled(what: str, named: Iterator[tuple[str, Mapping[str, Any]]]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for path, each in named:
        name = each["name"].strip().casefold()
        if name in first:
            yield Problem(f"{path}.name", f"the {what} {each['name']!r} is there already: {first[name]}")
        else:
            first[name] = path


def _spans(document: Mapping[str, Any]) -> Iterator[Problem]:
    names = [stage["name"] for _, stage in stages_of(document)]
    known = {name.strip() for name in names}
    told = 0
    for key in SPANS:
        given = document.get(key)
        for number, each in enumerate(given if isinstance(given, list) else [given] if given else []):
            path = f"{key}[{number}]" if isinstance(given, list) else key
            for end in ("start", "end"):
                name = each.get(end)
                if name and name.strip() not in known:
                    told += 1
                    close = near(name, names) if told <= MOST_EXPLAINED else ""
                    yield Problem(f"{path}.{end}", f"there is no stage {name!r}{close}")


def _links(document: Mapping[str, Any]) -> Iterator[Problem]:
    names = [each["name"].strip() for _, each in integrations_of(document)]
    known = set(names)
    told = 0
    for number, rule in enumerate(document.get("linkRules") or ()):
        for end in ("fromIntegrationName", "toIntegrationName"):
            if (name := rule[end].strip()) not in known:
                told += 1
                close = near(name, names) if told <= MOST_EXPLAINED else ""
                text = f"the value stream has no integration {name!r}{close}"
                yield Problem(f"linkRules[{number}].{end}", text)


def _strange(document: Mapping[str, Any]) -> Iterator[str]:
    """Keys that are only kept and look like a known one that was meant."""
    for where, name, table in islice(_unknown(document, "", ""), MOST_UNKNOWN):
        by_fold = {each.casefold(): each for each in TABLES[table]}
        meant = alike(name.casefold(), by_fold, n=1, cutoff=0.8)
        # Every spelling of the logging level is understood.
        if meant and not (table == "integrations[]" and name.casefold() in LEVEL_KEYS):
            yield f"{where} is not known and is only kept; did you mean {by_fold[meant[0]]}?"


def _unknown(held: Mapping[str, Any], path: str, table: str) -> Iterator[tuple[str, str, str]]:
    """Yield the path, the name and the table of each key that is only kept."""
    keys = TABLES[table]
    for name, value in held.items():
        where = member(path, name)
        key = keys.get(name)
        if key is None:
            yield where, name, table
        elif key.inside and isinstance(value, list):
            for number, inner in enumerate(value):
                if isinstance(inner, dict):
                    yield from _unknown(inner, f"{where}[{number}]", key.inside)
        elif key.inside and isinstance(value, dict):
            yield from _unknown(value, where, key.inside)
