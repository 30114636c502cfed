"""Rally's rich text becomes text that reads as its author structured it; broken markup never fails."""

import re
import time
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.mapping.rich_text import convert_html_to_text

SITE = "https://rally.example"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("", ""),
        ("just words", "just words"),
        ("plain\nlines\n\n\n\nkept", "plain\nlines\n\nkept"),
        ("a < b\r\nc &amp; d", "a < b\nc & d"),
        ("1 < 2 and <b>bold</b>", "1 < 2 and bold"),
        ("A &amp; B&nbsp;C", "A & B C"),
        ("<p>&lt;b&gt; &#65;&#x42; &copy &#11; &#xD800;</p>", "<b> AB © \ufffd"),
        ("<p>&#" + "1" * 5000 + "; &#0000065;</p>", "\ufffd A"),
    ],
)
def test_plain_text_and_characters(html: str, expected: str) -> None:
    assert convert_html_to_text(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ('<p style="margin: 0">One</p>\n  <p>Two</p>\n', "One\n\nTwo"),
        ("<div>one</div><div><br></div><div>two</div><div>three</div>", "one\n\ntwo\nthree"),
        ("<div>one<br></div><div>two</div>", "one\ntwo"),
        ("line<br>next<br/>third<BR />fourth</br>fifth", "line\nnext\nthird\nfourth\nfifth"),
        ("a<br><br><br><br>b", "a\n\nb"),
        ("<p>a</p><p>&nbsp;</p><p>b</p><p>&nbsp;&nbsp;in</p>", "a\n\nb\n\n  in"),
        ("<p>a <b>b</b> c</p>", "a b c"),
        ("<p>  many \n  blanks </p>", "many blanks"),
        ("<h1>Title</h1>text<h2>More</h2><p>text</p>", "Title\n\ntext\n\nMore\n\ntext"),
        ("<p>above</p><hr><p>below</p>", "above\n\n---\n\nbelow"),
        ("<p>unclosed <b>here", "unclosed here"),
        ("<p>x<o:p></o:p><![if !supportLists]>y<![endif]><!-- z --></p>", "xy"),
    ],
)
def test_paragraphs_and_lines(html: str, expected: str) -> None:
    assert convert_html_to_text(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<ul><li>a</li><li>b</li></ul>after", "- a\n- b\n\nafter"),
        ("before<ul><li>a</ul>", "before\n\n- a"),
        ("<ol><li>a<ul><li>deep</li></ul></li><li>b</li></ol>", "1. a\n  - deep\n2. b"),
        # Editors nest lists without an item around them, or in an item of their own.
        ("<ul><li>a</li><ul><li>b</li></ul><li>c</li></ul>", "- a\n  - b\n- c"),
        ("<ul><li>a</li><li><ul><li>b</li></ul></li></ul>", "- a\n  - b"),
        ("<ul><li><p>a</p><p>b</p></li><li><div>c</div></li></ul>", "- a\n  b\n- c"),
        ("<ul><li><br>a</li><li>&nbsp;</li><li></li></ul>x", "- a\n-\n-\n\nx"),
        ('<ol start="3"><li>c</li><li value="9">i</li><li>j</li></ol>', "3. c\n9. i\n10. j"),
        ("<li>a<li>b", "- a\n- b"),
        ("<dl><dt>Term</dt><dd>What it is</dd><dt>Next<dd>More</dl>end", "Term\n  What it is\nNext\n  More\n\nend"),
        ("<blockquote>said<br>this</blockquote>answer", "> said\n> this\n\nanswer"),
        ('<blockquote style="margin: 0 0 0 40px; border: none">in</blockquote>out', "  in\n\nout"),
        ("<ul><li>a<blockquote>b</blockquote></li></ul>", "- a\n  > b"),
        ('<input type="checkbox" checked> done<br><input type=checkbox>to do', "[x] done\n[ ] to do"),
    ],
)
def test_lists_and_quotations(html: str, expected: str) -> None:
    assert convert_html_to_text(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (
            "<table><thead><tr><th>Name</th><th>Who</th></tr></thead><tr><td>a<br>b</td><td><p>c</p></td></tr></table>end",
            "Name | Who\na / b | c\n\nend",
        ),
        ("<table><tr><td>a<td>b<tr><td>c<td>d", "a | b\nc | d"),
        ("<table><tr><td><p>only</p><ul><li>one</li></ul></td></tr></table>", "only\n\n- one"),
        ("<table><tr><td>a</td><td><table><tr><td>b</td><td>c</td></tr></table></td></tr></table>", "a | b | c"),
        ("<ul><li><table><tr><td>a</td><td>b</td></tr></table></li></ul>", "- a | b"),
        ("a</td><td>b</tr></table>", "a\nb"),
    ],
)
def test_tables(html: str, expected: str) -> None:
    assert convert_html_to_text(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<pre>\n  if x:\n\n\n    y\t&lt; 3\n</pre>after", "  if x:\n\n\n    y\t< 3\n\nafter"),
        ("<p>a</p><pre><code>one<br>  two\r\nthree</code></pre>", "a\n\none\n  two\nthree"),
        ("use <code>a  b</code> here", "use a  b here"),
        ("<pre>a</code>\n b</pre><p> c  d", "a\n b\n\nc d"),
        ("<textarea>a &lt;b>\n c</textarea>", "a <b>\n c"),
        ("<xmp><b>&amp;</b></xmp>", "<b>&amp;</b>"),
    ],
)
def test_preformatted_text(html: str, expected: str) -> None:
    assert convert_html_to_text(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<a href="https://x.example/1">the page</a>', "the page (https://x.example/1)"),
        ('<a href="https://x.example/">https://x.example</a>', "https://x.example"),
        ('<a href="mailto:a@x.example">a@x.example</a>', "a@x.example"),
        ('<a href="mailto:a@x.example">Ann</a>', "Ann (mailto:a@x.example)"),
        ("<a href='https://x.example/?a=1&copy=2&amp;b=3'>go</a>", "go (https://x.example/?a=1&copy=2&b=3)"),
        ('<a href="/slm/attachment/1/a.pdf">file</a>', f"file ({SITE}/slm/attachment/1/a.pdf)"),
        ('<a href="#/detail/task/1">TA1</a> <a href="#top">up</a>', f"TA1 ({SITE}/#/detail/task/1) up"),
        ('<a href="//x.example">x</a>', "x (https://x.example)"),
        ('<a href="https://x.example/1"><div>a</div></a><div>b</div>', "a (https://x.example/1)\nb"),
        (
            '<a href="https://x.example/1">a<a href="https://x.example/2">b',
            "a (https://x.example/1)b (https://x.example/2)",
        ),
        ('<a name="here"></a><a href="https://x.example"></a>x', "x"),
        ('<a href="java\nscript:alert(1)">go</a><a href="data:text/html,x">!</a>', "go!"),
    ],
)
def test_links(html: str, expected: str) -> None:
    assert convert_html_to_text(html, site=f"{SITE}/") == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<img src="/slm/attachment/1/a%20plan.png?x=1">', "[image: a plan.png]"),
        ('<img src="x.png" alt="a chart">', "[image: a chart]"),
        ('<img src="data:image/png;base64,AAAA" alt="">', "[image]"),
        ('<img src="data:image/png;base64,AAAA" alt="data:image/png;base64,AAAA" title="plan">', "[image: plan]"),
        ('<img src="cid:image001.png@01D9"/>', "[image: image001.png]"),
        (f'<img alt="{"x" * 300}">', f"[image: {'x' * 99}…]"),
        ('<a href="https://x.example"><img src="a.png"></a>', "[image: a.png] (https://x.example)"),
        ('see<video src="demo.mp4">Your browser is old</video>!', "see[video: demo.mp4]!"),
        ('<iframe src="https://x.example/board">old</iframe>', "[iframe: board]"),
        ('<object data="a.swf"></object>', "[object: a.swf]"),
    ],
)
def test_images(html: str, expected: str) -> None:
    assert convert_html_to_text(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("10<sup>6</sup>, m<sup>-1</sup>, 1<sup>st</sup>, H<sub>2</sub>O", "10^6, m^-1, 1st, H2O"),
        ("<s>do not</s> <del></del>deploy</s>", "~~do not~~ deploy"),
        ("he said <q>yes</q>", 'he said "yes"'),
        ("<b>a</b><i>b</i><u>c</u><font color=red>d</font><x-y>e</x-y>", "abcde"),
    ],
)
def test_emphasis(html: str, expected: str) -> None:
    assert convert_html_to_text(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<script>a('</p>')</script>seen<style>p{}</STYLE >", "seen"),
        ("<title>a</title><template><p>b</p></template>seen", "seen"),
        ("<!-- a --!>seen<!-->this<!-- > <p>never ends", "seenthis"),
        ("seen<script>never ends", "seen"),
        ("<template>never ends", "never ends"),
        ('seen<a href="cut in the midd', "seen"),
        ('<p title="a > b">seen</p>', "seen"),
        ("<p title=it's>seen</p>", "seen"),
    ],
)
def test_what_browsers_do_not_show(html: str, expected: str) -> None:
    assert convert_html_to_text(html) == expected


WORDS = st.text(alphabet="abcé<>&\"'\u2028 \n", min_size=1, max_size=12)
INLINE = ("b", "i", "u", "em", "span", "font", "code", "a", "sub", "o:p")
BLOCKS = ("p", "div", "h1", "pre", "blockquote", "section", "ul", "ol", "table", "dl")
WITHIN = {"ul": ("li",), "ol": ("li",), "table": ("tr",), "tr": ("td", "th"), "dl": ("dt", "dd")}


@st.composite
def trees(draw: st.DrawFn, tag: str = "div", depth: int = 4) -> tuple[str, list[str]]:
    """A well-formed element, and the texts in it in order."""
    inner: list[str] = []
    texts: list[str] = []
    for _ in range(draw(st.integers(0, 3))):
        if tag not in WITHIN and (depth == 0 or draw(st.booleans())):
            words = draw(WORDS)
            inner.append(escape(words))
            texts.append(words)
        elif depth:
            markup, more = draw(trees(draw(st.sampled_from(WITHIN.get(tag, INLINE + BLOCKS))), depth - 1))
            inner.append(markup)
            texts += more
    return f"<{tag}>{''.join(inner)}</{tag}>", texts


@given(trees())
def test_every_text_of_a_well_formed_tree_is_kept_in_order_and_no_tag(tree: tuple[str, list[str]]) -> None:
    html, texts = tree
    added = r"[-|/ ]|\d+\.|>"
    kept = re.sub(rf"\s|{added}", "", convert_html_to_text(html))
    assert kept == re.sub(rf"\s|{added}", "", "".join(texts))


@given(st.text(alphabet=st.sampled_from("<>/&;abp !-[]=\"' \n\t#x1"), max_size=80))
def test_anything_is_read_without_failing(html: str) -> None:
    convert_html_to_text(html)


TAGS = (
    "<ul> </ul> <ol> </ol> <li> </li> <table> </table> <tr> </tr> <td> </td> <a> </a> <pre> </pre> <code> </code> <p> "
    "</p> <blockquote> </blockquote> <dd> </dl> <s> </s> <sup> </sup> <br> <img> <template> </template> <script> "
    "</script> <!-- --> &nbsp; 1 word"
)


@given(st.lists(st.sampled_from([*TAGS.split(" "), " ", "\n"]), max_size=40))
def test_tags_in_any_order_are_read_without_failing(tags: list[str]) -> None:
    text = convert_html_to_text("".join(tags))
    assert not re.search(r"</?[a-z]", text)
    assert not re.search(r"[ \t]\n", text)


@given(st.text(max_size=80))
def test_words_without_markup_are_kept(text: str) -> None:
    if "<" not in text and "&" not in text:
        assert convert_html_to_text(text).split() == text.replace("\xa0", " ").split()


@pytest.mark.parametrize(
    "html",
    [
        "<" * 100_000,
        "<p>" + "<" * 100_000,
        "<b>" * 30_000 + "x",
        "".join(f"<font color={number}>" for number in range(10_000)) + "<p>x" * 10_000,
        "<div>" * 30_000 + "x",
        "<ul><li>x" * 20_000,
        "<ol>" * 30_000 + "</ul>" * 30_000,
        "<blockquote>" * 20_000 + "<li>x" * 20_000,
        "<table><tr><td>x" * 20_000,
        "<a href=x>x" * 20_000,
        "<a " * 60_000,
        '<a href="' * 30_001,
        "<a " + " ".join(f"name{number}=x" for number in range(20_000)) + ">x</a>",
        "<!--" * 50_000,
        "<![CDATA[" * 30_000,
        "<template>" * 40_000 + "<video>" * 40_000,
        "<p>" + "&" * 100_000 + "&#" * 50_000 + "&#x" + "1" * 100_000,
        "<pre>" + " " * 100_000 + "x",
        "<p>" + "&nbsp; " * 30_000 + "x",
    ],
    ids=lambda html: html[:20],
)
def test_time_and_size_grow_with_the_length_only(html: str) -> None:
    begun = time.process_time()
    text = convert_html_to_text(html)
    # Linear time is well below a second; quadratic time is minutes.
    assert time.process_time() - begun < 5
    assert len(text) <= 5 * len(html)
