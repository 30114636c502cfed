"""The parser of revision texts beside an oracle that tries every reading the grammar allows.

See rally-api-notes.md#revision-texts and rally-api-notes.md#ambiguous-texts.
"""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from rally_accelerate.rally.revision_text import Change, Clauses, Cut, Sentence, Unparsed, Verb, is_cut, parse

#: The labels that are written; values may imitate others.
LABELS = ("STATE", "FLOW STATE", "TAGS", "RANK")
#: Longer texts have too many readings to try.
LONGEST = 160


@lru_cache(maxsize=4096)
def readings(text: str) -> tuple[tuple[Change, ...], ...]:
    """Every way to cut a text into clauses, whatever their values hold."""
    found: list[tuple[Change, ...]] = []
    for clause, end in clauses_at(text):
        rest = text[end:]
        if not rest:
            found.append((clause,))
        elif rest.startswith(", "):
            found.extend((clause, *others) for others in readings(rest[2:]))
    return tuple(dict.fromkeys(found))


def clauses_at(text: str) -> Iterator[tuple[Change, int]]:
    """Every clause that a text may begin with, and where it ends."""
    for size in range(1, len(text)):
        label, rest = text[:size], text[size:]
        if not is_label(label):
            continue
        for value, end in values_behind(rest, " added ["):
            yield Change(label, None, value, Verb.ADDED), size + end
        for value, end in values_behind(rest, " removed ["):
            yield Change(label, value, None, Verb.REMOVED), size + end
        for value, end in values_behind(rest, " changed to ["):
            yield Change(label, None, value), size + end
        for before, middle in values_behind(rest, " changed from ["):
            for after, end in values_behind(rest[middle:], " to ["):
                yield Change(label, before, after), size + middle + end
        if rest.startswith(" changed"):
            yield Change(label, None, None), size + len(" changed")
        for where in ("up", "down"):
            if rest.startswith(f" moved {where}"):
                yield Change(label, None, where, Verb.MOVED), size + len(f" moved {where}")


def is_label(text: str) -> bool:
    """Upper-case words, perhaps with digits and punctuation (rally-api-notes.md#revision-texts)."""
    return text == text.strip() == text.upper() and not set(text) & set("[]\n") and any(map(str.isalnum, text))


def values_behind(text: str, words: str) -> Iterator[tuple[str, int]]:
    """Every value that begins behind words at the beginning of a text, and where its bracket ends."""
    if text.startswith(words):
        for end in range(len(words), len(text)):
            if text[end] == "]":
                yield text[len(words) : end], end + 1


def is_natural(reading: tuple[Change, ...]) -> bool:
    """Whether the brackets inside every value pair up."""
    return all(pairs_up(value) for clause in reading for value in (clause.before, clause.after) if value)


def pairs_up(value: str) -> bool:
    depth = 0
    for char in value:
        depth += (char == "[") - (char == "]")
        if depth < 0:
            return False
    return depth == 0


def render(clause: Change) -> str:
    match clause:
        case Change(label, _, where, Verb.MOVED):
            return f"{label} moved {where}"
        case Change(label, None, value, Verb.ADDED):
            return f"{label} added [{value}]"
        case Change(label, value, None, Verb.REMOVED):
            return f"{label} removed [{value}]"
        case Change(label, None, None):
            return f"{label} changed"
        case Change(label, None, value):
            return f"{label} changed to [{value}]"
        case Change(label, before, after):
            return f"{label} changed from [{before}] to [{after}]"


def judged(text: str) -> str:
    """Compare the parser with the oracle; which of their rules decided."""
    every = readings(text)
    natural = [each for each in every if is_natural(each)]
    found: Clauses | Unparsed = parse(text)
    if not every:
        assert isinstance(found, Unparsed | tuple)
        if isinstance(found, tuple) and isinstance(found[-1], Cut):
            # What is in front of the last clause is read, and that is not.
            assert is_cut(text)
            assert found[:-1] in readings(text.removesuffix(found[-1].text).removesuffix(", "))
            return "cut"
        assert isinstance(found, Unparsed) or all(isinstance(each, Sentence) for each in found)
        return "no reading"
    if len(every) == 1:
        # Nothing else can have been meant.
        assert found == every[0]
        return "one reading"
    if len(natural) != 1:
        # None of several is the natural one, or several are: whoever chose would guess.
        assert isinstance(found, Unparsed), (text, found, every)
        return "ambiguous"
    (only,) = natural
    assert isinstance(found, Unparsed) or found == only, (text, found, only)
    if len(only) == max(map(len, every)):
        # Every place that looks like a beginning is one, and every value is whole.
        assert found == only, (text, found)
        return "natural"
    # A value imitates whole clauses: it may be one, or the clauses may be there.
    assert isinstance(found, Unparsed), (text, found)
    return "imitation"


PIECES = (
    "[",
    "]",
    ", ",
    "] to [",
    "], ",
    "a",
    " ",
    "STATE",
    " changed from [",
    " changed",
    " added [",
    " moved up",
    ", STATE added [",
    "a], TAGS added [",
)
values = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
labels = st.sampled_from(LABELS)
written = st.lists(
    st.one_of(
        st.builds(Change, labels, values, values),
        st.builds(lambda label, value: Change(label, None, value), labels, values),
        st.builds(lambda label: Change(label, None, None), labels),
        st.builds(lambda label, value: Change(label, None, value, Verb.ADDED), labels, values),
        st.builds(lambda label, value: Change(label, value, None, Verb.REMOVED), labels, values),
        st.just(Change("RANK", None, "up", Verb.MOVED)),
    ),
    min_size=1,
    max_size=3,
)
patient = settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@patient
@given(written)
# Values behind "changed, " imitate a beginning that no reading can use.
@example([Change("STATE", None, " changed, STATE added []a"), Change("TAGS", None, "", Verb.ADDED)])
@example([Change("STATE", "", " changed, STATE added []"), Change("STATE", None, "")])
@example([Change("STATE", None, ""), Change("STATE", None, " changed, STATE added [")])
# One that only a reading with brackets that do not pair up can use.
@example([Change("STATE", None, ""), Change("STATE", "[a], TAGS added []", "")])
def test_a_generated_text_is_read_as_the_grammar_alone_allows(clauses: list[Change]) -> None:
    text = ", ".join(map(render, clauses))
    assume(len(text) <= LONGEST)
    assert tuple(clauses) in readings(text)
    judged(text)


@patient
@given(
    st.lists(st.sampled_from((*PIECES, *LABELS, " removed [", " to [", "TAGS added [", "[a]")), max_size=9).map("".join)
)
def test_no_text_at_all_is_guessed_at(text: str) -> None:
    assume("STATE" in text or "TAGS" in text)
    judged(text)


def test_every_rule_decides_some_text() -> None:
    texts = {
        "STATE added [a] b]": "one reading",
        "STATE changed from [a] to [b], TAGS added [c]": "natural",
        "TAGS added [[x], TAGS removed [y]]": "imitation",
        "TAGS added [smile :]], STATE changed from [a] to [b]": "ambiguous",
        "STATE changed from [a] to [b] to [c]": "ambiguous",
        "STATE is changed": "no reading",
        "STATE added [a], TAGS added [b": "cut",
    }
    assert {text: judged(text) for text in texts} == texts
    assert len(Counter(texts.values())) == 6
