"""After signing in one comes back to a page of this host, wherever a link wanted to lead."""

import pytest

from rally_accelerate.server.web.account import browser
from rally_accelerate.server.web.routing import local_path


@pytest.mark.parametrize("wanted", ["/issues", "/issues?text=a%20b&after=1", "/issues/t/US%252F1", "/users/x#keys"])
def test_pages_of_this_host_are_taken(wanted: str) -> None:
    assert local_path(wanted) == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "issues",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/",
        "https:evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        "/issues\r\nSet-Cookie: a=b",
        "http://[",
        "/sign-in?once=x",
        "/sign-out",
    ],
)
def test_everything_else_leads_to_the_first_page(wanted: str) -> None:
    assert local_path(wanted) == "/"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox"),
        ("Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", "Chrome"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0", "Edge"),
        ("Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18 Safari/605.1.15", "Safari"),
        ("curl/8.9", "curl"),
        ("", "unknown"),
    ],
)
def test_browsers_are_named_as_people_know_them(agent: str, name: str) -> None:
    assert browser(agent) == name


def test_what_is_no_page_of_this_host_gives_way_to_another() -> None:
    assert local_path("//evil.example", otherwise="/issues") == "/issues"
    assert local_path("/users", otherwise="/issues") == "/users"
