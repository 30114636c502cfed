"""Plain text as it grows: lines with their indentation, bullets, and the empty lines between paragraphs."""

import re
from dataclasses import dataclass, field

#: Line ends.
LINE, PARAGRAPH = 1, 2

LISTS = frozenset({"ul", "ol", "menu", "dir"})

#: Lists and quotations are indented to such a depth: the text does not grow beyond a multiple of the markup.
_MOST_INDENTED = 8

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
        """Begin or end an element with lines of its own."""
        self.blank_due = False
        if self.bullet is not None:
            return
        if self.lead:
            self.break_line()
        self.due = max(self.due, LINE if self.lists else ends)

    def at_line_start(self) -> bool:
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
        if len(self.containers) < _MOST_INDENTED:
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
        self.indent = "".join(each.indent for each in self.containers[:_MOST_INDENTED])
        return True

    def end_link(self) -> None:
        """Write the address of the open link after its text, unless the text says it."""
        if self.link is None:
            return
        begin, address = self.link
        self.link = None
        shown = "".join(self.parts[begin:]).strip()
        if address and shown and _bare(address) not in shown:
            self.parts.append(f" ({address})")

    def text(self) -> str:
        """Return everything that was written."""
        self.finish_item()
        self.end_link()
        return _BLANK_ENDS.sub("", "".join(self.parts)).replace("\xa0", " ").strip("\n")


def _bare(address: str) -> str:
    """An address without what people leave out when they write it."""
    return re.sub(r"^(?:https?://|mailto:|tel:)", "", address, flags=re.IGNORECASE).rstrip("/")
