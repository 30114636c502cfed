"""Following every link of a server's pages, as a browser resolves them."""

import re
from html import unescape
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx2

_ADDRESS = re.compile(r'\s(href|src|action|formaction)="([^"]*)"')


def list_addresses(answer: httpx2.Response) -> set[tuple[str, str]]:
    """Return the attribute and the absolute address of everything that a page leads to."""
    return {
        (name, urldefrag(urljoin(str(answer.url), unescape(value)))[0]) for name, value in _ADDRESS.findall(answer.text)
    }


def crawl(http: httpx2.Client, start: str, *, most: int = 120) -> dict[str, int]:
    """Get pages from one on, with what they load and what they link to; return the status of each address.

    Args:
        http: A client that is signed in.
        start: The first page.
        most: So many addresses at most.
    """
    statuses: dict[str, int] = {}
    queue = [start]
    while queue and len(statuses) < most:
        address = queue.pop(0)
        if address in statuses:
            continue
        response = http.get(address, follow_redirects=True)
        statuses[address] = response.status_code
        if not response.headers.get("content-type", "").startswith("text/html"):
            continue
        for name, target in sorted(list_addresses(response)):
            parts = urlsplit(target)
            if name in {"href", "src"} and parts.netloc == urlsplit(start).netloc and "sign-out" not in parts.path:
                queue.append(target)
    return statuses
