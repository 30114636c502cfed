"""Conversion of Rally's rich text to plain text that keeps its structure.

What Accelerate makes of markup in a description or a comment is not documented (accelerate-api-notes.md#issue-fields
says "text"), so no markup is sent: structure becomes line ends, bullets, numbers and indentation.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from html import unescape
from urllib.parse import unquote

#: Line ends.
LINE, PARAGRAPH = 1, 2

LISTS = frozenset({"ul", "ol", "menu", "dir"})

#: The maximum indentation of lists and quotations, which limits the growth of the text.
_MAX_INDENT_DEPTH = 8

_EXPONENTS = ("+", "-", *"0123456789")
_BLANK_ENDS = re.compile(r"(?<![ \t\xa0])[ \t\xa0]++(?=\n|\Z)")


@dataclass(slots=True)
class Container:
    """An open list, quotation or definition."""

    tag: str
    indent: str
    #: The number of the next item.
    number: int = 1


@dataclass(slots=True)
class Block:
    """Text as it grows: a page, or one cell of a table."""

    parts: list[str] = field(default_factory=list)
    #: Line ends that are due before the next words.
    due: int = 0
    blank_due: bool = False
    #: Blanks that do not break, at the beginning of a line.
    lead: str = ""
    #: The bullet or number of an item that has no words yet.
    bullet: str | None = None
    #: How many characters of the indentation are before the bullet.
    bullet_at: int = 0
    containers: list[Container] = field(default_factory=list)
    #: How many containers of each tag are open.
    open_tags: dict[str, int] = field(default_factory=dict)
    #: The open lists, each with the number of characters of indentation before it.
    lists: list[tuple[Container, int]] = field(default_factory=list)
    indent: str = ""
    #: Where the open link's text begins, and its address.
    link: tuple[int, str] | None = None
    #: The opening marks that are due before the next words, and how many were written.
    marks: list[str] = field(default_factory=list)
    marked: int = 0
    superscript: bool = False

    def write(self, words: str) -> None:
        """Add words after the line ends, the bullet and the marks that are due."""
        if self.due and self.parts:
            self.parts.append("\n" * self.due)
        if self.due or not self.parts:
            self._begin_line()
        elif self.blank_due and not self.parts[-1].endswith((" ", "\n", "\t")):
            self.parts.append(" ")
        elif self.superscript and words.startswith(_EXPONENTS) and self.parts[-1][-1:].isalnum():
            # Otherwise ten to the power of six would read as one hundred and six.
            self.parts.append("^")
        self.due, self.blank_due, self.superscript = 0, False, False
        if self.marks:
            self.parts += self.marks
            self.marked += len(self.marks)
            self.marks.clear()
        self.parts.append(words)

    def _begin_line(self) -> None:
        if self.bullet is not None:
            self.parts.append(f"{self.indent[: self.bullet_at]}{self.bullet} {self.indent[self.bullet_at + 2 :]}")
            self.bullet = None
        elif self.indent:
            self.parts.append(self.indent)
        if self.lead:
            self.parts.append(self.lead)
            self.lead = ""

    def break_line(self) -> None:
        """End the line; twice makes an empty one."""
        # What is to be on the line of a bullet is not broken off from it.
        if self.bullet is None:
            self.due = min(self.due + LINE, PARAGRAPH)
        self.lead = ""

    def end_line(self, ends: int) -> None:
        """Begin or end an element that starts on a new line."""
        self.blank_due = False
        if self.bullet is not None:
            return
        if self.lead:
            self.break_line()
        self.due = max(self.due, LINE if self.lists else ends)

    def is_at_line_start(self) -> bool:
        """Return whether the next words begin a line."""
        return bool(self.due) or not self.parts

    def finish_item(self) -> None:
        """Write the bullet of an item that has no words."""
        if self.bullet is not None:
            self.due = self.due or (LINE if self.parts else 0)
            self.write("")

    def open(self, container: Container) -> None:
        """Indent what follows."""
        if container.tag in LISTS:
            self.lists.append((container, len(self.indent)))
        if len(self.containers) < _MAX_INDENT_DEPTH:
            self.indent += container.indent
        self.containers.append(container)
        self.open_tags[container.tag] = self.open_tags.get(container.tag, 0) + 1

    def close(self, tag: str) -> bool:
        """Close a container and those within it; return False if none of that kind is open."""
        if not self.open_tags.get(tag):
            return False
        closed = ""
        while closed != tag:
            closed = self.containers.pop().tag
            self.open_tags[closed] -= 1
            if closed in LISTS:
                self.lists.pop()
        self.indent = "".join(container.indent for container in self.containers[:_MAX_INDENT_DEPTH])
        return True

    def end_link(self) -> None:
        """Write the address of the open link after its text, unless the text says it."""
        if self.link is None:
            return
        begin, address = self.link
        self.link = None
        text = "".join(self.parts[begin:]).strip()
        if address and text and _strip_scheme(address) not in text:
            self.parts.append(f" ({address})")

    def get_text(self) -> str:
        """Return everything that was written."""
        self.finish_item()
        self.end_link()
        return _BLANK_ENDS.sub("", "".join(self.parts)).replace("\xa0", " ").strip("\n")


def _strip_scheme(address: str) -> str:
    """Return an address without the scheme and the trailing slash."""
    return re.sub(r"^(?:https?://|mailto:|tel:)", "", address, flags=re.IGNORECASE).rstrip("/")


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
_OPAQUE = _RAW | _HIDDEN
#: Character references are read in these only.
_ESCAPABLE = frozenset({"textarea"})

_LONG_NUMBER = re.compile(r"&#(?:[xX]0*+[0-9a-fA-F]{7,}|0*+[0-9]{8,});?")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{0,31});")


def tokenize(html: str) -> Iterator[tuple[int, str, str]]:
    """Yield the tokens in order: a text with its references decoded, or a tag with its unparsed attributes.

    Comments, declarations, and elements whose content is not shown are left out, apart from the tags of the latter.
    """
    position = 0
    #: Names of elements that do not end any more: looking for the end of each again would take quadratic time.
    endless: set[str] = set()
    while markup := _MARKUP.search(html, position):
        begin, after = markup.span()
        if begin > position:
            yield TEXT, decode_references(html[position:begin]), ""
        position = after
        ends, name, written = markup.groups()
        if name is None:
            continue
        name = name.lower()
        if ends:
            yield END, name, ""
            continue
        yield START, name, written
        if name not in _OPAQUE:
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
            yield TEXT, decode_references(text) if name in _ESCAPABLE else text, ""
        position = until
    if position < len(html):
        yield TEXT, decode_references(html[position:]), ""


def parse_attributes(written: str) -> Mapping[str, str]:
    """Return the attributes of a tag by name in lower case; of several with one name the first counts."""
    values: dict[str, str] = {}
    for attribute in _ATTRIBUTE.finditer(written):
        value = attribute["double"] or attribute["single"] or attribute["bare"] or ""
        # References without a semicolon stay: "?a=1&copy=2" is an address.
        values.setdefault(attribute["name"].lower(), _ENTITY.sub(lambda entity: unescape(entity[0]), value))
    return values


def decode_references(text: str) -> str:
    """Return a text with its character references replaced, those of no character by U+FFFD."""
    if "&" not in text:
        return text
    # The standard library reads no numbers of more than 4,300 digits.
    return unescape(_LONG_NUMBER.sub("\N{REPLACEMENT CHARACTER}", text) if "&#" in text else text)


#: The maximum depth of table layout; deeper tables become plain lines.
_MAX_TABLE_DEPTH = 4
_MAX_NAME_LENGTH = 100

_SPACES = re.compile(r"[ \t\r\n\f]+")
_NUMBER = re.compile(r"[ ]*(-?[0-9]{1,9})\b")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
#: Addresses that cannot be opened from a plain text.
_USELESS = ("javascript:", "vbscript:", "data:", "blob:", "about:", "cid:")
_TAG = re.compile(r"<(?:/?[A-Za-z]|!--|[!?][A-Za-z\[])")


def convert_html_to_text(html: str, *, site: str = "") -> str:
    """Return an HTML fragment as plain text: its paragraphs, lists, tables, links, images and preformatted parts.

    Broken markup never fails: it is read as browsers read it. A text without any tag keeps its line ends.

    Args:
        html: The text as Rally has it.
        site: The address of the Rally server for people, which relative links are completed with.
    """
    if "<" not in html or not _TAG.search(html):
        plain = decode_references(html).replace("\r\n", "\n").replace("\xa0", " ")
        return re.sub(r"\n{3,}", "\n\n", plain).strip()
    page = _Page(site.rstrip("/"))
    for token, text, written in tokenize(html):
        if token == TEXT:
            page.write_text(text)
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

    def write_text(self, data: str) -> None:
        if not data:
            return
        block = self.block
        if self.verbatim:
            self._write_verbatim(data.replace("\r\n", "\n").replace("\r", "\n"))
            return
        words = _SPACES.sub(" ", data)
        if words[0] == " ":
            block.blank_due = True
            words = words[1:]
        if words.startswith("\xa0") and block.is_at_line_start():
            text = words.lstrip("\xa0 ")
            block.lead += words[: len(words) - len(text)] if block.parts else ""
            words = text
        if stripped := words.rstrip(" "):
            block.write(stripped)
            block.blank_due = stripped != words

    def _write_verbatim(self, data: str) -> None:
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
        if remaining := self.verbatim.pop(tag, 1) - 1:
            self.verbatim[tag] = remaining
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
        self.block.open(Container(tag, "  ", _read_number(written, "start", 1)))

    def start_item(self, written: str) -> None:
        block = self.block
        block.finish_item()
        block.end_line(LINE)
        bullet, block.bullet_at = "-", len(block.indent)
        if block.lists:
            open_list, block.bullet_at = block.lists[-1]
            if open_list.tag == "ol":
                number = _read_number(written, "value", open_list.number)
                bullet, open_list.number = f"{number}.", number + 1
        block.bullet = bullet

    def end_item(self) -> None:
        self.block.finish_item()
        self.block.end_line(LINE)

    def start_quotation(self, written: str) -> None:
        self.block.end_line(PARAGRAPH)
        # Editors indent paragraphs with quotations that have no border.
        style = parse_attributes(written).get("style", "").replace(" ", "").lower() if written else ""
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
        self.tables.append(_Table(len(self.tables) < _MAX_TABLE_DEPTH, self.block))

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
            table.cells.append(self.block.get_text())
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
        self.block.link = (
            len(self.block.parts),
            _resolve_address(parse_attributes(written).get("href", ""), self.site),
        )

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
        attributes = parse_attributes(written)
        if attributes.get("type", "").lower() == "checkbox":
            self.block.write("[x]" if "checked" in attributes else "[ ]")
            self.block.blank_due = True

    def embed(self, written: str, *, what: str, source: str = "src") -> None:
        attributes = parse_attributes(written)
        names = (attributes.get("alt", ""), attributes.get("title", ""), _get_file_name(attributes.get(source, "")))
        usable = (_SPACES.sub(" ", name.replace("\xa0", " ")).strip() for name in names)
        name = next((candidate for candidate in usable if candidate and not candidate.lower().startswith(_USELESS)), "")
        if len(name) > _MAX_NAME_LENGTH:
            name = f"{name[: _MAX_NAME_LENGTH - 1]}…"
        self.block.write(f"[{what}: {name}]" if name else f"[{what}]")

    def finish(self) -> str:
        while self.tables:
            self.end_table()
        return self.block.get_text()


def _read_number(written: str, name: str, otherwise: int) -> int:
    match = _NUMBER.match(parse_attributes(written).get(name, "")) if written else None
    return int(match[1]) if match is not None else otherwise


def _resolve_address(written: str, site: str) -> str:
    """Return an absolute address; empty for one that only works inside its page."""
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


def _get_file_name(address: str) -> str:
    """Return the name of the file at an address; empty if the address contains the file."""
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
