"""What a form sends."""

from urllib.parse import parse_qsl

from starlette.requests import Request

#: More than any form of ours sends; whoever sends more is no form.
MOST_BYTES, MOST_FIELDS = 100_000, 200


class Form(dict[str, str]):
    """The fields of a form by name; a missing one is empty, of several with one name the last one counts."""

    def __missing__(self, name: str) -> str:
        return ""


async def form(request: Request) -> Form:
    """The fields that a request sends; none when it is too large, or no form."""
    content, parts = 0, []
    async for part in request.stream():
        content += len(part)
        if content > MOST_BYTES:
            return Form()
        parts.append(part)
    try:
        pairs = parse_qsl(b"".join(parts).decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        return Form()
    return Form(pairs)
