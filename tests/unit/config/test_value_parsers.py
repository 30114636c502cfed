"""Single values are read as people and host versions write them."""

import pytest

from rally_accelerate.config import value_parsers


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ()),
        ("", ()),
        ("a,b , c,", ("a", "b", "c")),
        ('["a, with comma", "b"]', ("a, with comma", "b")),
        (["a", " b ", "", "a", None], ("a", "b")),
        (12345, ("12345",)),
        ("[US] Team, Other", ("[US] Team", "Other")),
        ("Команда ß & 100 %", ("Команда ß & 100 %",)),
    ],
)
def test_lists(given: object, expected: tuple[str, ...]) -> None:
    assert value_parsers.as_list(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [(True, True), ("TRUE", True), ("no", False), (0, False), ("", False), ("On", True)],
)
def test_booleans(given: object, expected: bool) -> None:
    assert value_parsers.as_boolean(given) is expected


def test_a_boolean_that_is_none_is_said() -> None:
    with pytest.raises(ValueError, match="true or false"):
        value_parsers.as_boolean("maybe")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "https://rally1.rallydev.com"),
        ("https://rally1.rallydev.com/", "https://rally1.rallydev.com"),
        ("rally1.rallydev.com", "https://rally1.rallydev.com"),
        ("https://eu1.rallydev.com/slm/webservice/v2.0/", "https://eu1.rallydev.com"),
        ("https://rally1.rallydev.com/slm/rally.sp#/123d/detail/userstory/4", "https://rally1.rallydev.com"),
        ("https://rally1.rallydev.com/#/123d/dashboard", "https://rally1.rallydev.com"),
        ("https://rally1.rallydev.com/login/", "https://rally1.rallydev.com"),
        ("http://127.0.0.1:8421", "http://127.0.0.1:8421"),
        ("HTTPS://Rally.Example/rally", "https://rally.example/rally"),
        ("https://[::1]:8443/slm", "https://[::1]:8443"),
        ("https://slmhost.example/slmx", "https://slmhost.example/slmx"),
        ("\ufeff\u200bhttps://rally.example\u00a0\u200e", "https://rally.example"),
        ("https://rally\u200b.example", "https://rally.example"),
        ("\u201chttps://rally.example\u201d", "https://rally.example"),
        ("<https://rally.example/>", "https://rally.example"),
        ("\u00abrally\u2010one.example\u00bb", "https://rally-one.example"),
    ],
)
def test_base_urls(given: str, expected: str) -> None:
    assert value_parsers.as_base_url(given) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("ftp://rally.example", "must begin with https"),
        ("https://", "names no host"),
        ("https://user:word@rally.example", "must not contain a user"),
        ("https://rally.example:99999", "port"),
        ("https://rally.exa\u201cmple", "has a character in the host name that none has: '\"'"),
        ("https://rally,example", "has a character in the host name that none has: ','"),
    ],
)
def test_wrong_base_urls_say_what_is_wrong(given: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        value_parsers.as_base_url(given)


@pytest.mark.parametrize(
    ("server", "user", "word", "expected"),
    [
        ("proxy.example:3128", "", "", "http://proxy.example:3128"),
        ("https://proxy.example:3128/", "", "", "https://proxy.example:3128"),
        ("proxy.example:3128", "u", "p@:/%", "http://u:p%40%3A%2F%25@proxy.example:3128"),
        ("http://u:p@ss@proxy.example:8080", "", "", "http://u:p%40ss@proxy.example:8080"),
        ("http://u:p%40ss@proxy.example:8080", "", "", "http://u:p%40ss@proxy.example:8080"),
        ("http://old:one@proxy.example:8080", "new", "two", "http://new:two@proxy.example:8080"),
    ],
)
def test_proxies(server: str, user: str, word: str, expected: str) -> None:
    read = value_parsers.as_proxy_server(server)
    assert value_parsers.build_proxy_address(read, username=user, password=word) == expected


def test_what_copying_puts_around_a_proxy_is_left_out_and_not_in_its_password() -> None:
    read = value_parsers.as_proxy_server("\u201c\u200bhttp://u:p\u00a0\u2019s@proxy\u200b.example:8080\u201d\ufeff")
    assert read == "http://u:p\u00a0\u2019s@proxy.example:8080"


@pytest.mark.parametrize("given", ["\ufeffabc\u200b", "\u00a0abc\r\n", "\u200eabc\u202c"])
def test_texts_and_lists_lose_invisible_ends(given: str) -> None:
    assert value_parsers.as_text(given) == "abc"
    assert value_parsers.as_list([given]) == ("abc",)


def test_a_proxy_needs_its_port() -> None:
    with pytest.raises(ValueError, match="port"):
        value_parsers.as_proxy_server("http://proxy.example")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Story", "hierarchicalrequirement"),
        ("User Story", "hierarchicalrequirement"),
        ("Defect", "defect"),
        ("defects", "defect"),
        ("Test Case", "testcase"),
        ("PortfolioItem/Große Idee", "portfolioitem/große idee"),
        ("Feature", "portfolioitem/feature"),
    ],
)
def test_kinds(given: str, expected: str) -> None:
    assert value_parsers.as_kind(given) == expected


@pytest.mark.parametrize("given", ["info", "INFO", " Info ", "verbose", None, 3])
def test_levels_fall_back_to_info(given: object) -> None:
    assert value_parsers.as_level(given) == "INFO"


def test_levels_in_any_case() -> None:
    assert [value_parsers.as_level(word) for word in ("all", "Trace", "warning", "off")] == [
        "ALL",
        "TRACE",
        "WARN",
        "OFF",
    ]


def test_name_maps() -> None:
    assert value_parsers.as_name_map('{"Story": "User Story"}') == {"Story": "User Story"}
    assert value_parsers.as_name_map("Story=User Story, Defect = Bug") == {"Story": "User Story", "Defect": "Bug"}
    with pytest.raises(ValueError, match="column"):
        value_parsers.as_name_map('{"Story": }')


@pytest.mark.parametrize(("given", "shown"), [("verbose", "'verbose'"), (3, "3"), ("x" * 500, "xxx...")])
def test_a_level_that_is_none_is_told(given: object, shown: str) -> None:
    told = value_parsers.explain_unknown_level(given)
    assert shown in told
    assert told.endswith("so info is used; there are all, trace, debug, info, warn, error, fatal and off")
    assert len(told) < 200


@pytest.mark.parametrize("given", ["info", " Info ", "warning", "critical", "", None])
def test_levels_that_are_known_need_no_word(given: object) -> None:
    assert value_parsers.explain_unknown_level(given) == ""
