"""Rally's rich text as readable plain text."""

import re
from collections.abc import Iterable, Iterator
from html import unescape

from selectolax.lexbor import LexborHTMLParser, LexborNode

_HIDDEN = {"script", "style", "head", "title", "template", "-comment"}
_LISTS = {"ul", "ol"}
_PARAGRAPHS = {"p", "div", "table", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6", *_LISTS}
_CELLS = {"td", "th"}
_BLANKS = re.compile(r"[ \t\r\n\xa0]+")

LINE, PARAGRAPH = 1, 2

#: Markup that every parser reads alike: paragraphs without attributes, with words, line ends and emphasis in them. Most
#: texts are no more, and a tree for each of them is dear. Rare characters that parsers change are left to the tree.
_WORDS = r"(?:[^<&\x00\f\ufeff\ud800-\udfff]|&(?:lt|gt|amp|quot|nbsp|#39|#x27);)"
_INSIDE = rf"(?:{_WORDS}|<br ?/?>|<(?P<tone>b|i|u|em|strong)>{_WORDS}*+</(?P=tone)>)"
_SIMPLE = re.compile(rf"(?:{_WORDS}|<(?P<block>p|div)>{_INSIDE}*+</(?P=block)>)*+")
_TAGS = re.compile(r"<(/?[a-z]+) ?/?>")


def readable(html: str) -> str:
    """Plain text of an HTML fragment: paragraphs, list items and table rows on lines of their own.

    Links keep their address behind the text when it says more than the text; pictures keep their description.
    Broken markup never fails: it is read as browsers read it.
    """
    if "<" not in html:
        text = unescape(html) if "&" in html else html
        return re.sub(r"\n{3,}", "\n\n", text.replace("\xa0", " ").replace("\r\n", "\n")).strip()
    page = _Page()
    if _SIMPLE.fullmatch(html):
        page.read(_TAGS.split(html))
        return "".join(page.parts).strip()
    body = LexborHTMLParser(html).body
    if body is None:
        return ""
    for node, entering in _walk(body):
        if entering:
            page.enter(node)
        else:
            page.leave(node)
    return "".join(page.parts).strip()


def _walk(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Every node below the root when it begins and when it ends; without recursion, markup may be nested deeply."""
    stack: list[tuple[LexborNode, bool]] = []
    if root.child is not None:
        stack.append((root.child, True))
    while stack:
        node, entering = stack.pop()
        if entering and node.tag in _HIDDEN:
            if node.next is not None:
                stack.append((node.next, True))
            continue
        yield node, entering
        if not entering:
            if node.next is not None:
                stack.append((node.next, True))
            continue
        stack.append((node, False))
        if node.child is not None:
            stack.append((node.child, True))


class _Page:
    """Text as it grows, with the line ends that are due before the next words."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._due = 0
        self._blank_due = False
        self._row_begins = False
        #: For each open list, the number of its last item; None where items are not numbered.
        self._lists: list[int | None] = []
        #: For each open link, where its text begins.
        self._links: list[int] = []

    def read(self, pieces: Iterable[str]) -> None:
        """Simple markup: texts, and the tag between each two of them."""
        for place, piece in enumerate(pieces):
            if place % 2 == 0:
                if piece:
                    self._say(unescape(piece) if "&" in piece else piece)
            elif piece == "br":
                self._break()
            elif piece.removeprefix("/") in _PARAGRAPHS:
                self._end(PARAGRAPH)

    def enter(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag == "-text":
            self._say(node.text_content or "")
        elif tag == "br":
            self._break()
        elif tag == "li":
            self._end(LINE)
            self._write(f"{self._bullet()} ")
        elif tag == "tr":
            self._end(LINE)
            self._row_begins = True
        elif tag in _CELLS:
            if not self._row_begins:
                self._write("\t")
            self._row_begins = False
        elif tag == "a":
            self._links.append(len(self.parts))
        elif tag == "img":
            self._say(node.attributes.get("alt") or "")
        elif tag in _PARAGRAPHS:
            self._end(LINE if self._lists else PARAGRAPH)
            if tag in _LISTS:
                self._lists.append(0 if tag == "ol" else None)

    def leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag == "a":
            shown = "".join(self.parts[self._links.pop() :]).strip()
            address = node.attributes.get("href") or ""
            if address.startswith(("http://", "https://")) and address not in shown:
                self._write(f" ({address})")
        elif tag in _PARAGRAPHS:
            if tag in _LISTS:
                self._lists.pop()
            self._end(LINE if self._lists else PARAGRAPH)

    def _say(self, data: str) -> None:
        words = _BLANKS.sub(" ", data)
        if words.startswith(" "):
            self._blank_due = True
        if stripped := words.strip(" "):
            self._write(stripped)
            self._blank_due = words.endswith(" ")

    def _break(self) -> None:
        self._due = min(self._due + LINE, PARAGRAPH)

    def _end(self, ends: int) -> None:
        self._due = max(self._due, ends)

    def _write(self, words: str) -> None:
        if self._due and self.parts:
            self.parts.append("\n" * self._due)
        elif self._blank_due and self.parts and not self.parts[-1].endswith((" ", "\n", "\t")):
            self.parts.append(" ")
        self._due = 0
        self._blank_due = False
        self.parts.append(words)

    def _bullet(self) -> str:
        indent = "  " * max(0, len(self._lists) - 1)
        last = self._lists[-1] if self._lists else None
        if last is None:
            return f"{indent}-"
        self._lists[-1] = last + 1
        return f"{indent}{last + 1}."
