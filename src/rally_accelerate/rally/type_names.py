"""Resolution of type names as users see them in their workspace. No I/O (rally-api-notes.md#type-names)."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rally_accelerate.config.value_parsers import KIND_ALIASES
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.model.suggestions import MAX_EXPLAINED, suggest_names
from rally_accelerate.model.text_folding import fold
from rally_accelerate.rally.scope import join_limited, quote

PORTFOLIO = "portfolioitem"
#: Maximum number of types in the message about an unknown name.
MAX_TYPES_LISTED = 25
_LEVEL = f"{PORTFOLIO}/"

#: Types that are always work items, regardless of their parents, by lower-case TypePath.
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
    def label(self) -> str:
        """The display name, with the TypePath for portfolio levels."""
        seen = self.display_name or self.name or self.path
        return f"{seen} ({self.path})" if self.is_level else seen


#: Names of a type, from the display name to the TypePath.
_NAME_READERS: tuple[Callable[[TypeDefinition], str], ...] = (
    lambda definition: definition.display_name,
    lambda definition: definition.name,
    lambda definition: definition.element_name,
    lambda definition: definition.path,
)


class TypeNames:
    """The types of a workspace by their names.

    Args:
        definitions: Every type that the workspace has.
    """

    def __init__(self, definitions: Iterable[TypeDefinition]) -> None:
        self.definitions: Sequence[TypeDefinition] = tuple(definitions)
        self._by_name = {
            _normalize(name): definition
            for definition in reversed(self.definitions)
            for name in (definition.name, definition.path)
            if name
        }
        concrete = [
            definition for definition in self.definitions if not definition.is_level and self._is_work_item(definition)
        ]
        self._levels = [definition for definition in self.definitions if definition.is_level]
        self._others = [
            definition for definition in concrete if not definition.abstract or definition.kind == PORTFOLIO
        ]
        chosen = [*self._others, *self._levels]
        self._rest = [definition for definition in self.definitions if definition not in chosen]

    def resolve_all(self, written: Iterable[str], *, path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the wire names of types, without repeats, and notices about ambiguous names.

        Args:
            written: Names as people write them.
            path: The setting that they are in, for messages.

        Raises:
            ConfigError: With every name that means no type of work item, or several.
        """
        kinds: dict[str, None] = {}
        notices: list[str] = []
        problems: list[Problem] = []
        for name in written:
            try:
                kind = self.resolve(name)
            except ValueError as error:
                problems.append(Problem(path, str(error)))
                if len(problems) == MAX_EXPLAINED:
                    break
                continue
            kinds[kind] = None
            notices.extend(self._ambiguity_notices(name, kind))
        if problems:
            raise ConfigError(
                "; ".join(map(str, problems)),
                problems=problems,
                hint="Write types as Rally shows them, or portfolio levels as PortfolioItem/<level>.",
            )
        return tuple(kinds), tuple(notices)

    def resolve(self, written: str) -> str:
        """Return the wire name of the type with a name.

        Levels of the portfolio come first: their names are the workspace's own. Case, spaces and typographic
        characters do not count; a plural is understood where nothing is called so.

        Raises:
            ValueError: It means no type of work item, or several; the message is a sentence.
        """
        word = _normalize(written)
        family, slash, level = word.partition("/")
        if slash:
            named = (*reversed(_NAME_READERS[:3]),)
            matches = _find_called(level, self._levels, named) if family in {PORTFOLIO, f"{PORTFOLIO}s"} else []
        else:
            matches = next((some for form in _singular_forms(word) if (some := self._find(form))), [])
        match matches:
            case [only]:
                return only.kind
            case []:
                raise ValueError(self._unknown_message(written, word))
            case several:
                paths = " or ".join(definition.path for definition in several)
                raise ValueError(f"{len(several)} types are called {quote(written)}; write {paths}")

    def _find(self, word: str) -> list[TypeDefinition]:
        return _find_called(word, self._levels, _NAME_READERS) or self._find_built_in(word)

    def _find_built_in(self, word: str) -> list[TypeDefinition]:
        alias = KIND_ALIASES.get(word, "")
        by_alias = [definition for definition in self._others if definition.kind == alias]
        return by_alias or _find_called(word, self._others, _NAME_READERS)

    def _ambiguity_notices(self, written: str, kind: str) -> Iterator[str]:
        """Yield a notice when a portfolio level hides another type of the same name."""
        word = _normalize(written)
        hidden = self._find_built_in(word) if kind.startswith(_LEVEL) and "/" not in word else []
        for definition in hidden[:1]:
            names = [definition.path, *(alias for alias, means in KIND_ALIASES.items() if means == definition.kind)]
            other = next(
                (name for name in names if not _find_called(_normalize(name), self._levels, _NAME_READERS)), ""
            )
            hint = f"; for the other type of this name, write {other}" if other else ""
            path = next(level.path for level in self._levels if level.kind == kind)
            yield f"The type {quote(written)} means the portfolio level {path}{hint}."

    def _unknown_message(self, written: str, word: str) -> str:
        there = join_limited(
            sorted(definition.label for definition in (*self._others, *self._levels)), most=MAX_TYPES_LISTED
        )
        others = next(
            (some for form in _singular_forms(word) if (some := _find_called(form, self._rest, _NAME_READERS))), []
        )
        if others:
            return f"{quote(written)} is a type of Rally, but not one of work items; there are {there}"
        names = [
            "Story",
            *(
                name
                for definition in (*self._others, *self._levels)
                for name in (definition.display_name, definition.path)
            ),
        ]
        close = suggest_names(written, [name for name in dict.fromkeys(names) if name])
        return f"{quote(written)} is no type of work item in this workspace{close}; there are {there}"

    def _is_work_item(self, definition: TypeDefinition) -> bool:
        seen: set[int] = set()
        while definition.object_id not in seen:
            if definition.kind in _WORK_ITEMS:
                return True
            seen.add(definition.object_id)
            if _normalize(definition.parent) == "artifact":
                return True
            above = self._by_name.get(_normalize(definition.parent))
            if above is None:
                return False
            definition = above
        return False


def _find_called(
    word: str, types: Sequence[TypeDefinition], readings: Iterable[Callable[[TypeDefinition], str]]
) -> list[TypeDefinition]:
    """Return the types with a name, from the first kind of name that has any."""
    for reading in readings:
        if matches := [definition for definition in types if word and _normalize(reading(definition)) == word]:
            return matches
    return []


def _normalize(name: str) -> str:
    return re.sub(r"[\s_]+", "", fold(name)).strip("/")


def _singular_forms(word: str) -> Iterator[str]:
    """Yield a word, then its possible singular forms."""
    yield word
    if word.endswith("ies"):
        yield f"{word[:-3]}y"
    if word.endswith("s"):
        yield word[:-1]
