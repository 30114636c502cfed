"""What a form sent: fields and files, read without a library of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from urllib.parse import parse_qsl

from starlette.requests import Request

from rally_accelerate.errors import ConfigError, Problem

#: Larger than any file that is taken.
MOST_BYTES = 10_000_000
MOST_FIELDS = 2_000


@dataclass(frozen=True, slots=True)
class Submitted:
    """The fields of a form, in order; a file is its content."""

    fields: tuple[tuple[str, bytes], ...]

    def text(self, name: str) -> str:
        """The last value of a field, as text; empty where there is none."""
        found = [value for key, value in self.fields if key == name]
        return found[-1].decode("utf-8", "replace") if found else ""

    def texts(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value.decode("utf-8", "replace") for key, value in self.fields if key == name]

    def content(self, name: str) -> bytes:
        """The content of a file, as it came."""
        return next((value for key, value in self.fields if key == name and value), b"")


async def submitted(request: Request) -> Submitted:
    """What a form sent.

    Raises:
        ConfigError: It is too large, or no form.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise _refused(f"is larger than {MOST_BYTES:,} bytes")
    kind = Message()
    kind["Content-Type"] = request.headers.get("content-type", "")
    match kind.get_content_type():
        case "multipart/form-data":
            boundary = kind.get_boundary()
            if not boundary:
                raise _refused("has no boundary between its fields")
            return Submitted(tuple(_parts(bytes(body), boundary.encode())))
        case "application/x-www-form-urlencoded":
            try:
                pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
            except ValueError:
                raise _refused(f"is no form of at most {MOST_FIELDS} fields") from None
            return Submitted(tuple((name, value.encode("utf-8", "replace")) for name, value in pairs))
        case _:
            # A button without a form sends nothing.
            return Submitted(())


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[str, bytes]]:
    sections = (b"\r\n" + body).split(b"\r\n--" + boundary, MOST_FIELDS + 1)
    if len(sections) > MOST_FIELDS:
        raise _refused(f"has more than {MOST_FIELDS} fields")
    # The first one is what stands before the first boundary; the last one begins with the two closing dashes.
    for section in sections[1:]:
        if section.startswith(b"--"):
            return
        head, _, content = section.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, _, value = line.partition(":")
            if name.strip().lower() == "content-disposition":
                told = Message()
                told["Content-Disposition"] = value.strip()
                field = told.get_param("name", header="content-disposition")
                if isinstance(field, str):
                    yield field, content


def _refused(text: str) -> ConfigError:
    return ConfigError(f"what was sent {text}", problems=[Problem("", f"what was sent {text}")])
