"""Which revisions contain a word, told from the shapes of lives alone.

A text is made of constant beginnings of clauses, known per shape, and of values. A search for a piece of a beginning is
decided by the shape when no value can contain that piece; all words that values are made of are known.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rally_sandbox import lives, names
from rally_sandbox.conditions import number
from rally_sandbox.query import Both, Condition, Query
from rally_sandbox.ranges import comparison
from rally_sandbox.shapes import Shape

if TYPE_CHECKING:
    from rally_sandbox.world import World

#: Tells of one revision, by its number and the beginnings of its clauses, whether it is wanted.
Wanted = Callable[[int, Sequence[str]], bool]

#: What stands between two values; no beginning, but in every text.
_BETWEEN = "] to ["


def numbers_by_shape(world: "World", conditions: Sequence[Query]) -> Sequence[Sequence[int]] | None:
    """For each shape, which of its revisions fulfil all conditions; None when values would have to be read."""
    if world.hostile_share:
        # Values are made of anything, and texts say more than their shapes.
        return None
    tests: list[Wanted] = []
    for condition in conditions:
        test = _test(world, condition)
        if test is None:
            return None
        tests.append(test)
    return [_numbers(shape, tests) for shape in world.shapes.shapes]


def _numbers(shape: Shape, tests: Sequence[Wanted]) -> tuple[int, ...]:
    return tuple(
        position
        for position, beginnings in enumerate(shape.beginnings)
        if all(test(position, beginnings) for test in tests)
    )


def _test(world: "World", query: Query) -> Wanted | None:  # noqa: PLR0911 - one table
    match query:
        case Condition(path=("Description",), operator="contains" | "!contains" as operator, value=text):
            folded = text.casefold()
            if not _is_decidable(world, folded):
                return None
            wanted = operator == "contains"
            return lambda _, beginnings: any(folded in each.casefold() for each in beginnings) is wanted
        case Condition(path=("RevisionNumber",), operator=operator, value=text) if (
            operator != "in" and not query.is_null
        ):
            ranges = comparison(operator, number(text))
            if ranges is None:
                return None
            return lambda position, _: any(low <= position <= high for low, high in ranges)
        case Both(left, junction, right):
            one, other = _test(world, left), _test(world, right)
            if one is None or other is None:
                return None
            if junction == "AND":
                return lambda position, beginnings: one(position, beginnings) and other(position, beginnings)
            return lambda position, beginnings: one(position, beginnings) or other(position, beginnings)
        case _:
            return None


def _is_decidable(world: "World", text: str) -> bool:
    if not text or text in _BETWEEN:
        return False
    if not any(text in each.casefold() for shape in world.shapes.shapes for line in shape.beginnings for each in line):
        return False
    return text not in vocabulary(world)


def vocabulary(world: "World") -> str:
    """Every word that a value of the generated past is made of, case-folded."""
    if world.vocabulary is None:
        # Definitions bear the very names that labels are made of, but no item refers to them.
        words = [each.first_name for each in world.company.by_id.values() if not each.type.endswith("Definition")]
        for value in vars(names).values():
            words.extend(_texts(value))
        words.extend((*lives.ENDINGS, *lives.COLOURS, lives.SAMPLE_TEXT, "true", "false"))
        # A date, in which only the digits and the names of days and months vary.
        words.append("mon tue wed thu fri sat sun jan feb mar apr may jun jul aug sep oct nov dec mst mdt points")
        world.vocabulary = "\n".join(words).casefold()
    return world.vocabulary


def _texts(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case tuple():
            return [text for each in value for text in _texts(each)]
        case _:
            return []
