"""Rally's rich text becomes text that reads well; broken markup never fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.mapping.text import readable


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("", ""),
        ("just words", "just words"),
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("A &amp; B&nbsp;C", "A & B C"),
        ("line<br>next<br/>third", "line\nnext\nthird"),
        ("<ul><li>a</li><li>b</li></ul>after", "- a\n- b\n\nafter"),
        ("<ol><li>a<ul><li>deep</li></ul></li><li>b</li></ol>", "1. a\n  - deep\n2. b"),
        ('<a href="https://x.example/1">the page</a>', "the page (https://x.example/1)"),
        ('<a href="https://x.example">https://x.example</a>', "https://x.example"),
        ('<a href="javascript:alert(1)">go</a>', "go"),
        ("<script>alert(1)</script>seen<style>p{}</style>", "seen"),
        ('<img src="x.png" alt="a chart">', "a chart"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>", "a\tb\nc\td"),
        ("<p>  many \n  blanks </p>", "many blanks"),
        ("1 < 2 and <b>bold</b>", "1 < 2 and bold"),
        ("<p>unclosed <b>here", "unclosed here"),
        ("plain\nlines\n\n\n\nkept", "plain\nlines\n\nkept"),
    ],
)
def test_readable(html: str, expected: str) -> None:
    assert readable(html) == expected


@given(st.text(alphabet=st.sampled_from("<>/&;abp !-[]=\"' \n\t#x1"), max_size=80))
def test_anything_is_read_without_failing(html: str) -> None:
    readable(html)


@given(st.text(max_size=80))
def test_words_without_markup_are_kept(text: str) -> None:
    if "<" not in text and "&" not in text:
        assert readable(text).split() == text.replace("\xa0", " ").split()


def test_deeply_nested_markup_is_read() -> None:
    assert readable("<b>" * 5000 + "deep" + "</b>" * 5000) == "deep"
