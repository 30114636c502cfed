"""Parser for submitted forms with fields and files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from urllib.parse import parse_qsl

from starlette.requests import Request

from rally_accelerate.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class Most:
    """Limits of a form; a larger request is rejected."""

    size: int
    fields: int


SMALL = Most(100_000, 200)

#: Settings hold mapping rules and certificates, and a tree of projects has a box for each.
LARGE = Most(4_000_000, 20_000)

#: Larger than any value stream that is taken.
FILES = Most(10_000_000, 2_000)


@dataclass(frozen=True, slots=True)
class _Sent:
    """One field or file, as it came."""

    name: str
    content: bytes
    #: None for a field; empty where no file was chosen.
    file_name: str | None = None


class Form(dict[str, str]):
    """The fields of a form by name; a missing one is empty, of several with one name the last one counts."""

    def __init__(self, sent: Sequence[_Sent] = ()) -> None:
        self._sent = sent
        self._pairs = [(item.name, _text(item.content)) for item in sent if item.file_name is None]
        super().__init__(self._pairs)

    def __missing__(self, name: str) -> str:
        return ""

    def all(self, name: str) -> list[str]:
        """Return all values of a field, in order."""
        return [value for key, value in self._pairs if key == name]

    def has_file(self, name: str) -> bool:
        """Return whether a file was chosen, even if it is empty."""
        return any(item.file_name or item.content for item in self._sent if item.name == name)

    def content(self, name: str) -> bytes:
        """Return the raw content of a file; empty if none was chosen."""
        return next((item.content for item in self._sent if item.name == name and item.content), b"")


async def read_form(request: Request, *, most: Most = SMALL) -> Form:
    """Return the fields of a request; none if it is too large or not a form."""
    try:
        return await parse_form(request, most=most)
    except ConfigError:
        return Form()


async def read_large_form(request: Request) -> Form:
    """Return the fields of a form that can be large, for users who can change settings."""
    return await read_form(request, most=LARGE)


async def parse_form(request: Request, *, most: Most = FILES) -> Form:
    """Parse a submitted form, including files.

    Raises:
        ConfigError: It is too large, or no form.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most.size:
            raise _invalid_request(f"is larger than {most.size:,} bytes")
    kind = Message()
    kind["Content-Type"] = request.headers.get("content-type", "")
    match kind.get_content_type():
        case "multipart/form-data":
            boundary = kind.get_boundary()
            if not boundary:
                raise _invalid_request("has no multipart boundary")
            return Form(list(_parts(bytes(body), boundary.encode(), most)))
        case "application/x-www-form-urlencoded":
            try:
                pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=most.fields)
            except ValueError:
                raise _invalid_request(f"is not a valid form of at most {most.fields} fields") from None
            return Form([_Sent(name, value.encode("utf-8", "replace")) for name, value in pairs])
        case _:
            # A button without a form sends nothing.
            return Form()


def _parts(body: bytes, boundary: bytes, most: Most) -> Iterator[_Sent]:
    sections = (b"\r\n" + body).split(b"\r\n--" + boundary, most.fields + 1)
    if len(sections) > most.fields:
        raise _invalid_request(f"has more than {most.fields} fields")
    # The first one is what stands before the first boundary; the last one begins with the two closing dashes.
    for section in sections[1:]:
        if section.startswith(b"--"):
            return
        head, _, content = section.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, _, value = line.partition(":")
            if name.strip().lower() == "content-disposition":
                message = Message()
                message["Content-Disposition"] = value.strip()
                field = message.get_param("name", header="content-disposition")
                if isinstance(field, str):
                    yield _Sent(field, content, message.get_filename())


def _text(content: bytes) -> str:
    # Browsers send the line ends of text areas as typewriters had them (HTML, "constructing the entry list").
    return content.decode("utf-8", "replace").replace("\r\n", "\n")


def _invalid_request(text: str) -> ConfigError:
    return ConfigError(f"the request {text}", problems=[Problem("", f"the request {text}")])
