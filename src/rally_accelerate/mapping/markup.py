"""Tokens of an HTML fragment, in one pass whose time grows with its length only.

Parsers that build a tree, and the standard library's before 3.13.6, need quadratic time for hostile markup: unclosed
formatting elements, deep nesting, comments that never end. A text needs no tree, so the tokens are enough.
"""

import re
from collections.abc import Iterator, Mapping
from html import unescape

#: What a token is.
TEXT, START, END = range(3)

#: A comment, a tag, or another declaration. What never ends reaches to the end of the text, as in browsers.
_MARKUP = re.compile(
    r"""<(?:
        !--(?:-?>|(?:[^-]++|-(?!-!?>))*+(?:--!?>|\Z))
        |(?P<end>/?)(?P<name>[A-Za-z][^\t\n\f\r />]*+)
         (?P<attributes>(?:[^>=]++|=[\t\n\f\r ]*+(?:"[^"]*+"|'[^']*+')|=)*+)(?:>|\Z)
        |[!?/][^>]*+(?:>|\Z)
    )""",
    re.VERBOSE,
)
_ATTRIBUTE = re.compile(
    r"""(?P<name>[^\t\n\f\r />=][^\t\n\f\r />=]*+)
        (?:[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:"(?P<double>[^"]*+)"|'(?P<single>[^']*+)'|(?P<bare>[^\t\n\f\r >]*+)))?""",
    re.VERBOSE,
)

#: Elements that hold text and no markup. Whether the text is shown is another question.
_RAW = frozenset({"iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp"})
#: Elements whose content is not shown. Those that hold markup are left out only when they end.
_HIDDEN = _RAW - {"textarea", "xmp"} | {"audio", "canvas", "datalist", "template", "video"}
_WHOLE = _RAW | _HIDDEN
#: Character references are read in these only.
_ESCAPABLE = frozenset({"textarea"})

_LONG_NUMBER = re.compile(r"&#(?:[xX]0*+[0-9a-fA-F]{7,}|0*+[0-9]{8,});?")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{0,31});")


def tokens(html: str) -> Iterator[tuple[int, str, str]]:
    """Yield the tokens in order: a text decoded, or a tag's name in lower case with its attributes as they are written.

    Comments, declarations, and elements whose content is not shown are left out, apart from the tags of the latter.
    """
    position = 0
    #: Names of elements that do not end any more: looking for the end of each again would take quadratic time.
    endless: set[str] = set()
    while found := _MARKUP.search(html, position):
        begin, after = found.span()
        if begin > position:
            yield TEXT, decoded(html[position:begin]), ""
        position = after
        ends, name, written = found.groups()
        if name is None:
            continue
        name = name.lower()
        if ends:
            yield END, name, ""
            continue
        yield START, name, written
        if name not in _WHOLE:
            continue
        end = None
        if name not in endless:
            end = re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE).search(html, position)
        if end is None:
            endless.add(name)
            if name not in _RAW:
                continue
        until = end.start() if end is not None else len(html)
        if name not in _HIDDEN:
            text = html[position:until]
            yield TEXT, decoded(text) if name in _ESCAPABLE else text, ""
        position = until
    if position < len(html):
        yield TEXT, decoded(html[position:]), ""


def attributes(written: str) -> Mapping[str, str]:
    """Return the attributes of a tag by name in lower case; of several with one name the first counts."""
    found: dict[str, str] = {}
    for each in _ATTRIBUTE.finditer(written):
        value = each["double"] or each["single"] or each["bare"] or ""
        # References without a semicolon stay: "?a=1&copy=2" is an address.
        found.setdefault(each["name"].lower(), _ENTITY.sub(lambda entity: unescape(entity[0]), value))
    return found


def decoded(text: str) -> str:
    """Return a text with its character references replaced, those of no character by U+FFFD."""
    if "&" not in text:
        return text
    # The standard library reads no numbers of more than 4,300 digits.
    return unescape(_LONG_NUMBER.sub("\N{REPLACEMENT CHARACTER}", text) if "&#" in text else text)
