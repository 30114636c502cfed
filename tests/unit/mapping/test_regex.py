"""Regular expressions in rules: linear time, Python's meaning, and a clear error for what needs backtracking."""

import contextlib
import itertools
import json
import re
import subprocess
import sys
import time
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rally_accelerate.mapping import regex
from rally_accelerate.mapping.rule_parser import (
    MAX_LISTED_FAULTS,
    MAXIMUM_ENTRIES,
    MAXIMUM_EXPRESSIONS,
    MAXIMUM_PATTERNS,
    MAXIMUM_PROGRAMS,
    MAXIMUM_VALUES,
    Pattern,
    parse_matcher,
    parse_rules,
)

FREEZING = [
    ("(a+)+$", "a" * 5000 + "!"),
    (r"(\w+\s?)+$", "ab " * 5000 + "!"),
    ("(a|a)*b", "a" * 5000),
    ("(a|ab)*c", "ab" * 5000),
    ("(.*a){20}b", "a" * 500),
    ("(a?){60}a{60}b", "a" * 60),
    (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 5000),
    ("(x+x+)+y", "x" * 5000),
    (r"(?i)(\b\w+\b\s*)+#", "Größe " * 1000),
]


@pytest.mark.parametrize(("expression", "text"), FREEZING, ids=[expression for expression, _ in FREEZING])
def test_nested_repetitions_end(expression: str, text: str) -> None:
    # In a process of its own: an engine that backtracks would never come back, and nothing could interrupt it.
    code = "import json,sys; from rally_accelerate.mapping.rule_parser import parse_matcher; e,t=json.load(sys.stdin); print(int(parse_matcher(f'/{e}/').grade(t)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([expression, text]),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("0", "")


EXPRESSIONS = [
    *["a$", "a$|b", "^a$", r"a\Z", r"\Aa", "(?m)^b$", "(?m)a$", "a\n$", "^$", "$", "^", "(?s)a.b", "a.b", "(?s:a.)b"],
    *[r"\d", r"\D", r"\w+\Z", r"\W", r"\s", r"\S", r"(?a)\w", r"(?a)\d", r"(?a)\s", r"(?a:\w)\w", r"(?u)\w"],
    *[
        r"[\d]",
        r"[^\d]",
        r"[^\W\d_]",
        r"[\W_]",
        r"[\s\S]",
        r"[^\s]",
        r"[]a]",
        r"[^]a]",
        "[a-]",
        "[[a]",
        r"[\]]",
        r"[\b]",
    ],
    *[
        r"\bgr",
        r"\bGr",
        r"e\b",
        r"\Br",
        r"\bß",
        r"ö\b",
        r"ö\B",
        r"\b\b\w",
        r"(\bG|\ba)",
        r"\ba$",
        r"^\ba",
        r"\b[^x]+\b$",
    ],
    *[
        r"(?P<word>a)b",
        r"(a)(b)",
        "(?:a|b)c",
        "(|a)b",
        "()",
        "a{2}",
        "a{,2}b",
        "a{2,}",
        "a{1,2}",
        "a{",
        "a{}",
        "a{x",
        "a{,}b",
    ],
    *[
        "a*?b",
        "a+?",
        "a??b",
        "a{1,2}?b",
        r"a\.b",
        r"\x41",
        r"\u00f6",
        r"\U0001F600",
        r"\N{LATIN SMALL LETTER O WITH DIAERESIS}",
    ],
    *[
        r"\n",
        r"\t",
        r"\101",
        r"\0",
        r"[\0-\x20]",
        r"\/",
        r"\-",
        r"\ ",
        "(?x) a b # c\n",
        "(?x)a\\ b",
        "(?#note)a",
        "(?i)ÖS",
        "(?i:A)b",
    ],
    *[
        "(?i)(?-i:A)b",
        "ß",
        "ö",
        "😀",
        ".",
        "..",
        "[ä-ü]",
        "[^a]",
        "(?i)[^a]",
        "(?i)[a-z]+$",
        r"\\",
        r"[\\]",
        "-",
        "#",
        "~",
        "&&",
        "[&&]",
    ],
]
TEXTS = [
    *[
        "",
        "a",
        "b",
        "ab",
        "a\n",
        "a\n\n",
        "b\na",
        "a\nb",
        "a\rb",
        "aab",
        "aaab",
        "A",
        "Ab",
        "a b",
        "a.b",
        "a{",
        "a{}",
        "a{x",
        "]",
        "[",
        "-",
    ],
    *[
        "Größe",
        "größer",
        "öse",
        "ÖSE",
        "aö",
        "öa",
        "ßa",
        "ß",
        "straße",
        "٣",
        "²",
        "_",
        "\u00a0",
        "\u2028",
        "\x1c",
        "\x08",
        "😀",
        "a😀b",
        "é",
    ],
    *[
        "e\u0301",
        "日本",
        "\ufdd0",
        "a\ufdd0b",
        "\x00",
        "\t",
        "/",
        "\\",
        "#",
        "abc",
        "ABC",
        "3",
        "x3",
        "word",
        "\ud83d",
        "&&",
        "~",
        "\ufffd",
    ],
]


def agrees(expression: str, text: str, flags: int = 0) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs = re.search(expression, text, flags) is not None
    assert regex.compile_expression(expression, flags).occurs_in(text) == theirs, (expression, text, flags)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_meaning_is_that_of_python(expression: str) -> None:
    for text, flags in itertools.product(TEXTS, [0, re.IGNORECASE, re.MULTILINE, re.DOTALL]):
        agrees(expression, text, flags)


def _grouped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeat = st.sampled_from(["*", "+", "?", "{2}", "{,2}", "{1,}", "*?", "+?"])
    return st.one_of(
        st.lists(inner, max_size=4).map("".join),
        st.tuples(inner, inner).map("(?:{0[0]}|{0[1]})".format),
        st.tuples(st.sampled_from(["(", "(?:", "(?i:", "(?-i:", "(?s:", "(?m:"]), inner, repeat).map(
            "{0[0]}{0[1]}){0[2]}".format
        ),
    )


PIECES = st.sampled_from(
    [
        *[
            "a",
            "b",
            "ö",
            "Ö",
            "_",
            " ",
            "1",
            r"\n",
            ".",
            r"\w",
            r"\W",
            r"\d",
            r"\s",
            r"\S",
            "[ab]",
            "[^a]",
            r"[^\W\d]",
            "[a-ö]",
            r"[\s1]",
        ],
        *[
            r"\b",
            r"\B",
            "k",
            "S",
            "[ks]",
            "[^k]",
            "[K-s]",
            r"[\W_]",
            r"[^\w]",
            r"[\D]",
            r"[^\S_]",
            r"[\x00-\x7f]",
            "\x01",
            "²",
        ],
        *[r"\ba", r"a\b", r"ö\b", r"\bÖ", r"\Bb", r"b\B", r"\b.", "^", "$", r"\A", r"\Z"],
    ]
)
RANDOM_EXPRESSIONS = st.recursive(PIECES, _grouped, max_leaves=8)


@settings(derandomize=True, max_examples=600, deadline=None)
@given(
    RANDOM_EXPRESSIONS,
    st.text("aböÖ_ 1\nABk\u212a\u017f²٣—\x01\ufdd0\u2028", min_size=1, max_size=8),
    st.sampled_from([0, re.IGNORECASE, re.MULTILINE, re.DOTALL, re.ASCII]),
)
def test_any_combination_means_what_it_means_to_python(expression: str, text: str, flags: int) -> None:
    agrees(expression, text, flags)


@pytest.mark.parametrize(
    ("expression", "construct"),
    [
        ("a(?=b)", "a look-ahead"),
        ("a(?!b)", "a look-ahead"),
        ("(?<=a)b", "a look-behind"),
        ("(?<!a)b", "a look-behind"),
        (r"(a)\1", "a back-reference"),
        ("(?P<x>a)(?P=x)", "a back-reference"),
        ("(a)?(?(1)b|c)", "a conditional group"),
        ("(?>a+)b", "an atomic group"),
        ("a++b", "a possessive repetition"),
        ("a{1001}", "more than 1000 times"),
        ("(?:a{100}){100}", "too large"),
        (r"\bx(?a:\b)", "with and without the flag a"),
        ("a" * (regex.MAXIMUM_SIZE + 1), "too large"),
        ("(?i)" + "é" * 1900, "too large"),
        (r"[^\w]" * 1900, "too large"),
        ("(?:$|^)*" * 1000 + "x", "too large"),
        ("(?:$|^)*" * 20_000 + "x", "is too long; a regular expression has at most 10,000 characters"),
        ("(|)" * 1001, "too large"),
        (r"(?:\A\b){1000}", "too large"),
        ("a" * 1_000_000, "too long"),
    ],
)
def test_what_needs_backtracking_is_refused_with_its_name(expression: str, construct: str) -> None:
    with pytest.raises(ValueError, match=re.escape(construct)) as refused:
        parse_matcher(f"/{expression}/")
    assert str(refused.value).startswith(f'"/{expression[:200]}')
    assert len(str(refused.value)) < 1000


def test_a_refused_construct_is_reported_with_its_place_in_the_rules() -> None:
    raw = {"valueMapping": {"status": {"Done": ["x", r"/(a)\1/"]}}}
    [(path, text)] = parse_rules(raw)[1]
    assert path == "fieldMapping[0].valueMapping.status.Done[1]"
    assert text == r'"/(a)\1/" uses a back-reference (\1) at position 3, which is not supported'


def test_the_same_characters_inside_a_set_or_escaped_are_accepted() -> None:
    for expression, text in [(r"[(?=a]", "?"), (r"\(\?=", "(?="), (r"a\++", "a++"), ("[+]+", "+"), (r"[\1]", "\x01")]:
        agrees(expression, text)


def nested(matchers: list[Any], *, condition: bool) -> Any:
    return {"valueMapping": {"status": {"Done": [{"Severity": matchers}] if condition else matchers}}}


@pytest.mark.parametrize("condition", [False, True])
def test_all_expressions_of_a_setting_share_a_limit(*, condition: bool) -> None:
    large = f"/{'a' * 2000}/"
    fitting = MAXIMUM_EXPRESSIONS // 2000
    assert not parse_rules(nested([large] * fitting, condition=condition))[1]
    [(path, text)] = parse_rules(nested([large] * fitting + ["/b/"], condition=condition))[1]
    assert (path, "too many regular expressions" in text) == ("fieldMapping", True)


def test_equal_expressions_are_equal() -> None:
    assert parse_matcher("/a/i") == parse_matcher("/a/i") != parse_matcher("/a/")
    assert isinstance(parse_matcher("/a/i"), Pattern)


@pytest.mark.parametrize(
    "expression",
    [
        r"(?:\b){3}é",
        r"\b\b\b\bé",
        r"(\b(\b(\b(é|x))))",
        r"(?:\b|x)*é\b\b\b$",
        r"\b^a",
        r"^\b\b\ba\Bé",
        r"\B\B\Bé",
        r"é\b\b\B",
        r"(?a)a\b\b\bé",
        r"(?a)\Bé",
        r"(?a)_\b\x01?é",
    ],
)
def test_any_number_of_conditions_can_ask_for_one_position(expression: str) -> None:
    for text in ("aé é", "é", "aé", "_é", "é_", "_\x01é", "a é\n", "—é—", "é\ufdd0é"):
        agrees(expression, text)


LARGE = [
    *[
        r"[\w\W\s\S\d\D]" * 580,
        r"[^\w]" * 1900,
        r"\d" * 1900,
        r"\D" * 1900,
        r"[\d\s]" * 1400,
        r"\w{1000}x",
        "(?:a*)*" * 600,
    ],
    *[
        "(?i)" + "[Ā-\uffff]" * 1600,
        "(?i)" + "[!-\uffff]" * 1600,
        "(" * 4000 + "a" + ")" * 4000,
        "|".join(["abcd"] * 1900),
    ],
    *[
        r"(?:.*\b){190}x",
        r"(?:.*\b){400}x",
        "(?:[Ā-\uffff]?){400}x",
        "(?:é|a).{400}#",
        "(?:(?:(?:a{0,10}){0,10}){0,10})",
    ],
]


@pytest.mark.parametrize("expression", LARGE, ids=range(len(LARGE)))
def test_the_instructions_of_an_expression_have_a_limit_for_texts_of_every_kind(expression: str) -> None:
    # What is refused takes no longer to compile than what is accepted: 0.3 s, where some took 5 to 10 s.
    begun = time.process_time()
    with contextlib.suppress(ValueError):
        found = regex.compile_expression(expression)
        assert max(found._plain.programsize, found._beyond.programsize) == found.program <= regex.MAXIMUM_PROGRAM
    assert time.process_time() - begun < 3


def test_a_class_is_as_small_beyond_ascii_as_in_it() -> None:
    assert regex.compile_expression(r"\w").program < 50
    assert regex.compile_expression(r"[\W\w]\W\S").program < 200


def test_as_much_of_a_text_is_searched_as_rally_keeps() -> None:
    expression = regex.compile_expression("x")
    assert expression.occurs_in("é" * (regex.MAXIMUM_TEXT - 1) + "x")
    assert not expression.occurs_in("é" * regex.MAXIMUM_TEXT + "x")


def one_by_one(*matchers: str) -> Any:
    return {"valueMapping": {"status": {"Done": list(matchers)}}}


def test_the_number_of_expressions_has_a_limit() -> None:
    assert not parse_rules(one_by_one(*["/a/"] * MAXIMUM_PATTERNS))[1]
    assert parse_rules(one_by_one(*["/a/"] * (MAXIMUM_PATTERNS + 1)))[1] == (
        ("fieldMapping", "has more than 1,000 regular expressions; use plain texts where you can"),
    )


def test_no_expression_is_compiled_after_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    compiled = regex.compile_expression

    def counted(source: str, flags: int = 0) -> regex.Expression:
        tried.append(source)
        return compiled(source, flags)

    monkeypatch.setattr(regex, "compile_expression", counted)
    parse_rules(one_by_one(*[f"/{'a' * 2000}/"] * 1000))
    assert len(tried) == MAXIMUM_EXPRESSIONS // 2000 + 1
    tried.clear()
    faults = parse_rules(one_by_one(*[f"/{'a' * 2001}/"] * 1000))[1]
    assert len(tried) == MAX_LISTED_FAULTS
    assert len(faults) == MAX_LISTED_FAULTS


def test_the_instructions_of_all_expressions_have_a_limit() -> None:
    wide = "/.{400}/"
    fitting = MAXIMUM_PROGRAMS // regex.compile_expression(".{400}").program
    assert not parse_rules(one_by_one(*[wide] * fitting))[1]
    [(_, text)] = parse_rules(one_by_one(*[wide] * (fitting + 1)))[1]
    assert "too large ones" in text


def test_the_number_of_values_and_entries_has_a_limit() -> None:
    assert not parse_rules(one_by_one(*map(str, range(MAXIMUM_VALUES))))[1]
    [(_, text)] = parse_rules(one_by_one(*map(str, range(MAXIMUM_VALUES + 1))))[1]
    assert text == "compares values with more than 20,000 texts and regular expressions"
    [(path, text)] = parse_rules([{}] * (MAXIMUM_ENTRIES + 1))[1]
    assert (path, text) == ("fieldMapping", "has 1,001 entries; there are at most 1,000")


def test_the_first_faults_are_told_and_the_rest_is_counted() -> None:
    faults = parse_rules({f"valuemaping{number}": 1 for number in range(60_000)})[1]
    assert len(faults) == MAX_LISTED_FAULTS + 1
    assert all("did you mean" in text for _, text in faults[:-1])
    assert faults[-1] == ("fieldMapping", "has 59,980 more problems")
    faults = parse_rules({"fieldMapping": {f"statuss{number}": "x" for number in range(60_000)}})[1]
    assert faults[-1] == ("fieldMapping", "has 59,980 more problems")
