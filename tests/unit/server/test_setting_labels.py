"""Whoever fills a form in reads the names of its fields, not those of the JSON file."""

import pytest

from rally_accelerate.server.web.templating import replace_labels, replace_names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no credentials; give an apiKey", "no credentials; give an API Token"),
        ("compare baseUrl (rally1 or eu1).", "compare URL (rally1 or eu1)."),
        ('properties.workspace: this user sees no workspace "X"', 'Workspace: this user sees no workspace "X"'),
        # Ordinary words stay, and so does what somebody wrote, or what only looks alike.
        ("Correct projects: names", "Correct projects: names"),
        ('no project is called "baseUrl"', 'no project is called "baseUrl"'),
        ("my.baseUrl and baseUrls", "my.baseUrl and baseUrls"),
        ("", ""),
    ],
)
def test_properties_are_called_as_their_fields(text: str, expected: str) -> None:
    assert replace_names(text) == expected


def test_what_is_looked_for_by_label_is_found_by_name() -> None:
    assert replace_labels("give an API Token") == "give an apiKey"
    assert replace_labels("CURL, nothing else") == "CURL, nothing else"
