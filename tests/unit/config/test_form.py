"""The form is the settings model: the page's fields first and in its order, and every value as it would be typed."""

import pytest

from rally_accelerate.config.form import format_value, list_form_fields
from rally_accelerate.config.load import validate_integration
from rally_accelerate.config.model import Properties

#: "Rally Properties" of the plug-in's public page, without the access key, which newer servers make themselves.
OF_THE_PAGE = [
    ("apiKey", "API Token", "Secure"),
    ("projects", "Projects", "Array"),
    ("password", "Password", "Secure"),
    ("baseUrl", "URL", "String"),
    ("username", "User Name", "String"),
    ("workspace", "Workspace", "String"),
    ("proxyServer", "Proxy Server", "String"),
    ("proxyUsername", "Proxy User Name", "String"),
    ("proxyPassword", "Proxy Password", "Secure"),
]


def test_the_fields_of_the_page_stand_first_and_are_not_hidden() -> None:
    shown = [(each.name, each.label, each.kind) for each in list_form_fields() if not each.hidden]
    assert shown == OF_THE_PAGE
    assert [each.name for each in list_form_fields()][: len(shown)] == [name for name, _, _ in shown]
    assert [each.name for each in list_form_fields() if each.required] == ["baseUrl"]


def test_few_values_are_offered_as_choices() -> None:
    choices = {each.name: each.choices for each in list_form_fields() if each.choices}
    assert choices == {
        "defectStatus": ("ScheduleState", "State"),
        "historySource": ("auto", "lookback", "revisions", "none"),
    }


def test_every_default_is_read_back_as_it_is_shown() -> None:
    defaults = {
        each.name: format_value(each.name, each.default) for each in list_form_fields() if each.kind != "Secure"
    }
    read = validate_integration({"name": "x", "properties": {**defaults, "apiKey": "k"}}).properties
    assert read == Properties.model_validate({"apiKey": "k"})
    assert defaults["types"] == "Story, Defect"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["A", "B"], "A, B"),
        (["A, B", "C"], '["A, B", "C"]'),
        (["[v2] Team"], '["[v2] Team"]'),
        ({"Story": "User Story"}, '{"Story": "User Story"}'),
        ([{"type": "*"}], '[{"type": "*"}]'),
        (True, "true"),
        (None, ""),
        (0.5, "0.5"),
    ],
)
def test_values_look_as_somebody_would_type_them(value: object, text: str) -> None:
    assert format_value("x", value) == text
