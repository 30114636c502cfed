"""Rally's rich text as plain text that reads as its author structured it.

What Accelerate makes of markup in a description or a comment is not documented (accelerate-api-notes.md#issue-fields
says "text"), so no markup is sent: structure becomes line ends, bullets, numbers and indentation.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import unquote

from rally_accelerate.mapping.blocks import LINE, LISTS, PARAGRAPH, Block, Container
from rally_accelerate.mapping.markup import START, TEXT, attributes, decoded, tokens

#: Tables are laid out to such a depth; of deeper ones only the lines are kept.
_MOST_TABLES = 4
_LONGEST_NAME = 100

_SPACES = re.compile(r"[ \t\r\n\f]+")
_NUMBER = re.compile(r"[ ]*(-?[0-9]{1,9})\b")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
#: Addresses that cannot be opened from a plain text.
_USELESS = ("javascript:", "vbscript:", "data:", "blob:", "about:", "cid:")
_TAG = re.compile(r"<(?:/?[A-Za-z]|!--|[!?][A-Za-z\[])")


def readable(html: str, *, site: str = "") -> str:
    """Return an HTML fragment as plain text: its paragraphs, lists, tables, links, images and preformatted parts.

    Broken markup never fails: it is read as browsers read it. A text without any tag keeps its line ends.

    Args:
        html: The text as Rally has it.
        site: The address of the Rally server for people, which relative links are completed with.
    """
    if "<" not in html or not _TAG.search(html):
        plain = decoded(html).replace("\r\n", "\n").replace("\xa0", " ")
        return re.sub(r"\n{3,}", "\n\n", plain).strip()
    page = _Page(site.rstrip("/"))
    for token, text, written in tokens(html):
        if token == TEXT:
            page.say(text)
        elif token == START:
            if starts := _STARTS.get(text):
                starts(page, written)
        elif ends := _ENDS.get(text):
            ends(page)
    return page.finish()


@dataclass(slots=True)
class _Table:
    """An open table."""

    laid_out: bool
    #: The block that the table is in.
    around: Block
    cells: list[str] = field(default_factory=list)
    in_cell: bool = False


@dataclass(slots=True)
class _Page:
    """A text on its way from tokens to lines."""

    site: str
    block: Block = field(default_factory=Block)
    tables: list[_Table] = field(default_factory=list)
    #: The open elements whose white space is kept.
    verbatim: dict[str, int] = field(default_factory=dict)
    #: Whether a line end comes first in a preformatted text: then it is not shown.
    verbatim_begins: bool = False

    def say(self, data: str) -> None:
        if not data:
            return
        block = self.block
        if self.verbatim:
            self._say_verbatim(data.replace("\r\n", "\n").replace("\r", "\n"))
            return
        words = _SPACES.sub(" ", data)
        if words[0] == " ":
            block.blank_due = True
            words = words[1:]
        if words.startswith("\xa0") and block.at_line_start():
            text = words.lstrip("\xa0 ")
            block.lead += words[: len(words) - len(text)] if block.parts else ""
            words = text
        if stripped := words.rstrip(" "):
            block.write(stripped)
            block.blank_due = stripped != words

    def _say_verbatim(self, data: str) -> None:
        if self.verbatim_begins:
            data = data.removeprefix("\n")
            self.verbatim_begins = False
        self._write_lines(data.split("\n"))

    def _write_lines(self, lines: list[str]) -> None:
        for number, line in enumerate(lines):
            if number:
                self.block.due += LINE
            if line:
                self.block.write(line)

    def start_verbatim(self, _written: str, *, tag: str, paragraph: bool) -> None:
        if paragraph:
            self.block.end_line(PARAGRAPH)
            self.verbatim_begins = True
        self.verbatim[tag] = self.verbatim.get(tag, 0) + 1

    def end_verbatim(self, *, tag: str, paragraph: bool) -> None:
        if left := self.verbatim.pop(tag, 1) - 1:
            self.verbatim[tag] = left
        if paragraph:
            # Line ends at the end of a preformatted text are not shown.
            self.block.due = min(self.block.due, PARAGRAPH)
            self.block.end_line(PARAGRAPH)

    def line_break(self) -> None:
        if self.verbatim:
            self.block.due += LINE
        else:
            self.block.break_line()

    def rule(self) -> None:
        self.block.end_line(PARAGRAPH)
        self.block.write("---")
        self.block.end_line(PARAGRAPH)

    def start_list(self, written: str, *, tag: str) -> None:
        # An item that only holds a list has no line of its own.
        self.block.bullet = None
        self.block.end_line(PARAGRAPH)
        self.block.open(Container(tag, "  ", _number(written, "start", 1)))

    def start_item(self, written: str) -> None:
        block = self.block
        block.finish_item()
        block.end_line(LINE)
        bullet, block.bullet_at = "-", len(block.indent)
        if block.lists:
            its_list, block.bullet_at = block.lists[-1]
            if its_list.tag == "ol":
                number = _number(written, "value", its_list.number)
                bullet, its_list.number = f"{number}.", number + 1
        block.bullet = bullet

    def end_item(self) -> None:
        self.block.finish_item()
        self.block.end_line(LINE)

    def start_quotation(self, written: str) -> None:
        self.block.end_line(PARAGRAPH)
        # Editors indent paragraphs with quotations that have no border.
        style = attributes(written).get("style", "").replace(" ", "").lower() if written else ""
        self.block.open(Container("blockquote", "  " if "border:none" in style or "border:0" in style else "> "))

    def start_definitions(self) -> None:
        self.block.end_line(PARAGRAPH)
        self.block.open(Container("dl", ""))

    def start_term(self) -> None:
        self.block.close("dd")
        self.block.end_line(LINE)

    def start_definition(self) -> None:
        self.start_term()
        self.block.open(Container("dd", "  "))

    def end_container(self, *, tag: str, ends: int) -> None:
        if tag in LISTS:
            self.block.finish_item()
        if self.block.close(tag):
            self.block.end_line(ends)

    def start_table(self) -> None:
        self.block.end_line(PARAGRAPH)
        self.tables.append(_Table(len(self.tables) < _MOST_TABLES, self.block))

    def start_cell(self) -> None:
        table = self.tables[-1] if self.tables else None
        if table is None or not table.laid_out:
            self.block.end_line(LINE)
            return
        self.end_cell()
        table.in_cell = True
        self.block = Block()

    def end_cell(self) -> None:
        table = self.tables[-1] if self.tables else None
        if table is not None and table.in_cell:
            table.cells.append(self.block.text())
            table.in_cell = False
            self.block = table.around
        elif table is None or not table.laid_out:
            self.block.end_line(LINE)

    def end_row(self) -> None:
        self.end_cell()
        self.block.end_line(LINE)
        table = self.tables[-1] if self.tables else None
        cells: list[str] = []
        if table is not None:
            cells, table.cells = table.cells, cells
        if not any(cells):
            return
        if len(cells) == 1:
            # A table of one column is a frame around paragraphs.
            self._write_lines(cells[0].split("\n"))
        else:
            self.block.write(" | ".join(" / ".join(filter(None, map(str.strip, cell.split("\n")))) for cell in cells))
        self.block.end_line(LINE)

    def end_table(self) -> None:
        if not self.tables:
            return
        self.end_row()
        self.block = self.tables.pop().around
        self.block.end_line(PARAGRAPH)

    def start_link(self, written: str) -> None:
        self.block.end_link()
        self.block.link = (len(self.block.parts), _address(attributes(written).get("href", ""), self.site))

    def start_mark(self, _written: str, *, mark: str) -> None:
        self.block.marks.append(mark)

    def end_mark(self, *, mark: str) -> None:
        block = self.block
        if block.marks:
            block.marks.pop()
        elif block.marked:
            block.marked -= 1
            block.parts.append(mark)

    def superscript(self, *, begins: bool) -> None:
        self.block.superscript = begins

    def input(self, written: str) -> None:
        found = attributes(written)
        if found.get("type", "").lower() == "checkbox":
            self.block.write("[x]" if "checked" in found else "[ ]")
            self.block.blank_due = True

    def embed(self, written: str, *, what: str, source: str = "src") -> None:
        found = attributes(written)
        names = (found.get("alt", ""), found.get("title", ""), _file_name(found.get(source, "")))
        usable = (_SPACES.sub(" ", name.replace("\xa0", " ")).strip() for name in names)
        name = next((each for each in usable if each and not each.lower().startswith(_USELESS)), "")
        if len(name) > _LONGEST_NAME:
            name = f"{name[: _LONGEST_NAME - 1]}…"
        self.block.write(f"[{what}: {name}]" if name else f"[{what}]")

    def finish(self) -> str:
        while self.tables:
            self.end_table()
        return self.block.text()


def _number(written: str, name: str, otherwise: int) -> int:
    found = _NUMBER.match(attributes(written).get(name, "")) if written else None
    return int(found[1]) if found is not None else otherwise


def _address(written: str, site: str) -> str:
    """An address as people can use it; nothing for one that only works within its page."""
    address = re.sub(r"[\t\r\n]", "", written).strip()
    if address.lower().startswith(_USELESS):
        return ""
    if _SCHEME.match(address):
        return address
    if address.startswith("//"):
        return f"https:{address}"
    if address.startswith("#"):
        # Rally's own pages are behind this (rally-api-notes.md#pages-for-people); other fragments lead nowhere else.
        return f"{site}/{address}" if address.startswith("#/") else ""
    return f"{site}{address}" if address.startswith("/") else address


def _file_name(address: str) -> str:
    """The name of the file at an address; nothing when the address is the file."""
    address = address.strip()
    if address.lower().startswith("cid:"):
        return address[4:].partition("@")[0]
    if address.lower().startswith(_USELESS):
        return ""
    path = re.split(r"[?#]", address, maxsplit=1)[0].rstrip("/")
    return unquote(re.split(r"[/\\]", path)[-1])


_LINES = (
    *("address", "article", "aside", "body", "caption", "center", "details", "dialog", "div", "fieldset", "figcaption"),
    *("footer", "form", "header", "hgroup", "html", "legend", "main", "nav", "optgroup", "option", "search", "section"),
    *("summary", "tbody", "tfoot", "thead"),
)
_PARAGRAPHS = ("p", "h1", "h2", "h3", "h4", "h5", "h6", "figure")
_PREFORMATTED = ("pre", "listing", "xmp")
_CODE = ("textarea", "code", "kbd", "samp", "tt")
#: What surrounds a text whose meaning depends on how it is shown.
_MARKS = {"s": "~~", "strike": "~~", "del": "~~", "q": '"'}

#: What to do when an element begins, with its attributes as they are written.
_STARTS: dict[str, Callable[[_Page, str], None]] = {
    **dict.fromkeys(_LINES, lambda page, _: page.block.end_line(LINE)),
    **dict.fromkeys(_PARAGRAPHS, lambda page, _: page.block.end_line(PARAGRAPH)),
    **{tag: partial(_Page.start_verbatim, tag=tag, paragraph=True) for tag in _PREFORMATTED},
    **{tag: partial(_Page.start_verbatim, tag=tag, paragraph=False) for tag in _CODE},
    **{tag: partial(_Page.start_mark, mark=mark) for tag, mark in _MARKS.items()},
    **{tag: partial(_Page.start_list, tag=tag) for tag in LISTS},
    **{tag: partial(_Page.embed, what=tag) for tag in ("video", "audio", "iframe", "embed")},
    "object": partial(_Page.embed, what="object", source="data"),
    "img": partial(_Page.embed, what="image"),
    "li": _Page.start_item,
    "blockquote": _Page.start_quotation,
    "dl": lambda page, _: page.start_definitions(),
    "dt": lambda page, _: page.start_term(),
    "dd": lambda page, _: page.start_definition(),
    "table": lambda page, _: page.start_table(),
    "tr": lambda page, _: page.end_row(),
    "td": lambda page, _: page.start_cell(),
    "th": lambda page, _: page.start_cell(),
    "a": _Page.start_link,
    "sup": lambda page, _: page.superscript(begins=True),
    "input": _Page.input,
    "br": lambda page, _: page.line_break(),
    "hr": lambda page, _: page.rule(),
}

#: What to do when an element ends.
_ENDS: dict[str, Callable[[_Page], None]] = {
    **dict.fromkeys(_LINES, lambda page: page.block.end_line(LINE)),
    **dict.fromkeys(_PARAGRAPHS, lambda page: page.block.end_line(PARAGRAPH)),
    **{tag: partial(_Page.end_verbatim, tag=tag, paragraph=True) for tag in _PREFORMATTED},
    **{tag: partial(_Page.end_verbatim, tag=tag, paragraph=False) for tag in _CODE},
    **{tag: partial(_Page.end_mark, mark=mark) for tag, mark in _MARKS.items()},
    **{tag: partial(_Page.end_container, tag=tag, ends=PARAGRAPH) for tag in (*LISTS, "blockquote", "dl")},
    "dd": partial(_Page.end_container, tag="dd", ends=LINE),
    "dt": lambda page: page.block.end_line(LINE),
    "li": _Page.end_item,
    "table": _Page.end_table,
    "tr": _Page.end_row,
    "td": _Page.end_cell,
    "th": _Page.end_cell,
    "a": lambda page: page.block.end_link(),
    "sup": lambda page: page.superscript(begins=False),
    # Browsers take this for <br>.
    "br": _Page.line_break,
}
