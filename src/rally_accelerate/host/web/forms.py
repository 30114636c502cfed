"""What a form sends."""

from urllib.parse import parse_qsl

from starlette.requests import Request

#: More than a small form sends; whoever sends more is no form.
MOST_BYTES, MOST_FIELDS = 100_000, 200

#: Settings hold mapping rules and certificates, and a tree of projects has a box for each.
LARGE_BYTES, LARGE_FIELDS = 4_000_000, 20_000


class Form(dict[str, str]):
    """The fields of a form by name; a missing one is empty, of several with one name the last one counts."""

    def __init__(self, pairs: list[tuple[str, str]] | None = None) -> None:
        # Browsers send the line ends of text areas as typewriters had them (HTML, "constructing the entry list").
        self._pairs = [(name, value.replace("\r\n", "\n")) for name, value in pairs or ()]
        super().__init__(self._pairs)

    def __missing__(self, name: str) -> str:
        return ""

    def all(self, name: str) -> list[str]:
        """Every value of a name, in order."""
        return [value for its, value in self._pairs if its == name]


async def form(request: Request, *, most_bytes: int = MOST_BYTES, most_fields: int = MOST_FIELDS) -> Form:
    """The fields that a request sends; none when it is too large, or no form."""
    content, parts = 0, []
    async for part in request.stream():
        content += len(part)
        if content > most_bytes:
            return Form()
        parts.append(part)
    try:
        pairs = parse_qsl(b"".join(parts).decode(), keep_blank_values=True, max_num_fields=most_fields)
    except ValueError:
        return Form()
    return Form(pairs)


async def large_form(request: Request) -> Form:
    """The fields of a form that may be large, for people who may change settings."""
    return await form(request, most_bytes=LARGE_BYTES, most_fields=LARGE_FIELDS)
