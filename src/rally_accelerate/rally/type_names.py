"""Which type of work item a name means: by what people see in their workspace; pure (rally-api-notes.md#type-names)."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rally_accelerate.config.value_parsers import KIND_ALIASES
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.model.suggestions import MOST_EXPLAINED, suggestion
from rally_accelerate.model.text_folding import fold
from rally_accelerate.rally.scope import listing, quoted

PORTFOLIO = "portfolioitem"
#: So many types are listed where a name means none.
MOST_TYPES_TOLD = 25
_LEVEL = f"{PORTFOLIO}/"

#: Work items whatever a workspace says of their parents, by the lower case of their TypePaths.
_WORK_ITEMS = frozenset(
    {"hierarchicalrequirement", "defect", "defectsuite", "task", "testcase", "testset", "risk", PORTFOLIO}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeDefinition:
    """One type as its workspace defines it."""

    object_id: int
    #: TypePath: the identity. Two types can share an ElementName (rally-api-notes.md#type-names).
    path: str
    element_name: str
    display_name: str
    name: str
    #: TypePath or name of the type above; empty for none.
    parent: str = ""
    abstract: bool = False

    @property
    def kind(self) -> str:
        """The wire name, lower case."""
        return self.path.lower()

    @property
    def is_level(self) -> bool:
        """Whether it is a level of the portfolio."""
        return self.kind.startswith(_LEVEL)

    @property
    def shown(self) -> str:
        """What people see, with the TypePath where that says more."""
        seen = self.display_name or self.name or self.path
        return f"{seen} ({self.path})" if self.is_level else seen


#: What a type is called, from what people see to what programs see.
_READINGS: tuple[Callable[[TypeDefinition], str], ...] = (
    lambda each: each.display_name,
    lambda each: each.name,
    lambda each: each.element_name,
    lambda each: each.path,
)


class TypeNames:
    """The types of a workspace by their names.

    Args:
        definitions: Every type that the workspace has.
    """

    def __init__(self, definitions: Iterable[TypeDefinition]) -> None:
        self.definitions: Sequence[TypeDefinition] = tuple(definitions)
        self._by_name = {
            _word(name): each for each in reversed(self.definitions) for name in (each.name, each.path) if name
        }
        concrete = [each for each in self.definitions if not each.is_level and self._is_work_item(each)]
        self._levels = [each for each in self.definitions if each.is_level]
        self._others = [each for each in concrete if not each.abstract or each.kind == PORTFOLIO]
        chosen = [*self._others, *self._levels]
        self._rest = [each for each in self.definitions if each not in chosen]

    def kinds(self, written: Iterable[str], *, path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the wire names that names mean, each once, and what is worth telling about the choice.

        Args:
            written: Names as people write them.
            path: The setting that they are in, for messages.

        Raises:
            ConfigError: With every name that means no type of work item, or several.
        """
        found: dict[str, None] = {}
        notices: list[str] = []
        problems: list[Problem] = []
        for name in written:
            try:
                kind = self.kind(name)
            except ValueError as error:
                problems.append(Problem(path, str(error)))
                if len(problems) == MOST_EXPLAINED:
                    break
                continue
            found[kind] = None
            notices.extend(self._doubt(name, kind))
        if problems:
            raise ConfigError(
                "; ".join(map(str, problems)),
                problems=problems,
                hint="Write types as Rally shows them, or portfolio levels as PortfolioItem/<level>.",
            )
        return tuple(found), tuple(notices)

    def kind(self, written: str) -> str:
        """Return the wire name of the type that a name means.

        Levels of the portfolio come first: their names are the workspace's own. Case, spaces and typographic
        characters do not count; a plural is understood where nothing is called so.

        Raises:
            ValueError: It means no type of work item, or several; the message is a sentence.
        """
        word = _word(written)
        family, slash, level = word.partition("/")
        if slash:
            named = (*reversed(_READINGS[:3]),)
            found = _called(level, self._levels, named) if family in {PORTFOLIO, f"{PORTFOLIO}s"} else []
        else:
            found = next((some for each in _forms(word) if (some := self._named(each))), [])
        match found:
            case [only]:
                return only.kind
            case []:
                raise ValueError(self._unknown(written, word))
            case several:
                paths = " or ".join(each.path for each in several)
                raise ValueError(f"{len(several)} types are called {quoted(written)}; write {paths}")

    def _named(self, word: str) -> list[TypeDefinition]:
        return _called(word, self._levels, _READINGS) or self._built_in(word)

    def _built_in(self, word: str) -> list[TypeDefinition]:
        alias = KIND_ALIASES.get(word, "")
        by_alias = [each for each in self._others if each.kind == alias]
        return by_alias or _called(word, self._others, _READINGS)

    def _doubt(self, written: str, kind: str) -> Iterator[str]:
        """Yield a notice when a portfolio level hides another type of the same name."""
        word = _word(written)
        hidden = self._built_in(word) if kind.startswith(_LEVEL) and "/" not in word else []
        for each in hidden[:1]:
            names = [each.path, *(alias for alias, means in KIND_ALIASES.items() if means == each.kind)]
            other = next((name for name in names if not _called(_word(name), self._levels, _READINGS)), "")
            hint = f"; for the other type of this name, write {other}" if other else ""
            path = next(level.path for level in self._levels if level.kind == kind)
            yield f"The type {quoted(written)} means the portfolio level {path}{hint}."

    def _unknown(self, written: str, word: str) -> str:
        there = listing(sorted(each.shown for each in (*self._others, *self._levels)), most=MOST_TYPES_TOLD)
        others = next((some for each in _forms(word) if (some := _called(each, self._rest, _READINGS))), [])
        if others:
            return f"{quoted(written)} is a type of Rally, but not one of work items; there are {there}"
        names = ["Story", *(name for each in (*self._others, *self._levels) for name in (each.display_name, each.path))]
        close = suggestion(written, [name for name in dict.fromkeys(names) if name])
        return f"{quoted(written)} is no type of work item in this workspace{close}; there are {there}"

    def _is_work_item(self, definition: TypeDefinition) -> bool:
        seen: set[int] = set()
        while definition.object_id not in seen:
            if definition.kind in _WORK_ITEMS:
                return True
            seen.add(definition.object_id)
            if _word(definition.parent) == "artifact":
                return True
            above = self._by_name.get(_word(definition.parent))
            if above is None:
                return False
            definition = above
        return False


def _called(
    word: str, types: Sequence[TypeDefinition], readings: Iterable[Callable[[TypeDefinition], str]]
) -> list[TypeDefinition]:
    """The types of a name at the first reading that finds any."""
    for reading in readings:
        if found := [each for each in types if word and _word(reading(each)) == word]:
            return found
    return []


def _word(name: str) -> str:
    return re.sub(r"[\s_]+", "", fold(name)).strip("/")


def _forms(word: str) -> Iterator[str]:
    """Yield a word, then what it may be the plural of."""
    yield word
    if word.endswith("ies"):
        yield f"{word[:-3]}y"
    if word.endswith("s"):
        yield word[:-1]
