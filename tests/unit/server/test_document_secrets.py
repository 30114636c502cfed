"""A text that is shown again holds no secret that was typed into it, and is whole again when it comes back."""

import json

import pytest

from rally_accelerate.errors import ConfigError
from rally_accelerate.server.value_streams.document_text import mask_secrets, restore_secrets

SECRET = 'a "quoted" \\ s3cret, ünd: {more}'


def text_of(**properties: object) -> str:
    return json.dumps({"name": "a", "integrations": [{"name": "r", "properties": properties}]}, indent=2)


def test_secrets_come_back_as_they_were_typed() -> None:
    typed = text_of(
        apiKey=SECRET, baseUrl="https://r.example", password=SECRET + "2", ourToken=[{"a": SECRET}], pageSize=5
    )
    shown = mask_secrets(typed)
    assert "s3cret" not in shown.text
    assert '"https://r.example"' in shown.text
    assert '"pageSize": 5' in shown.text
    assert '"apiKey": "**** (entered 1)"' in shown.text
    assert restore_secrets(shown.text, shown.secrets) == typed
    assert "s3cret" not in repr(shown)


def test_lines_may_be_moved_and_added_meanwhile() -> None:
    shown = mask_secrets(text_of(apiKey="s3cret", password="other"))
    lines = shown.text.replace('"**** (entered 1)"', "X").replace('"**** (entered 2)"', '"**** (entered 1)"')
    assert restore_secrets(lines.replace("X", '"**** (entered 2)"'), shown.secrets) == text_of(
        apiKey="other", password="s3cret"
    )


@pytest.mark.parametrize("value", ["****", "********", "", "${RALLY_KEY}", None, True, [], {}])
def test_what_is_no_secret_stays(value: object) -> None:
    typed = text_of(apiKey=value)
    assert mask_secrets(typed).text == typed
    assert mask_secrets("").text == ""


def test_an_address_is_secret_with_credentials_in_it() -> None:
    assert "s3cret" not in mask_secrets(text_of(proxyServer="http://a:s3cret@p.example")).text
    typed = text_of(proxyServer="http://p.example", query='(Name = "apiKey")')
    assert mask_secrets(typed).text == typed


@pytest.mark.parametrize(
    "broken",
    [
        '{"integrations": [{"properties": {"apiKey": "s3cret" "baseUrl": "x"}}]}',
        '{"integrations": ["name": "r", "properties": "apiKey": "s3cret"]}',
        '{"properties": {"apiKey" "s3cret"}}',
        '{"properties": {"apiKey": "s3cret, "x": 1}}',
        '{"properties": {"apiKey": "s3cret\n}}',
        '{"properties": {"apiKey": "s3\\cret"}}',
        "{'properties': {'apiKey': 's3cret, s3cret', 'b': 1}}",
        "{properties: {apiKey: s3cret:s3cret s3cret, b: 1}}",
        '{"properties": {"APIKEY": s3cret}}',
        '{"properties": {"token": {"a": ["s3cret", {"b": "s3cret"',
        '{"apiKey": "s3cret"',
        '"apiKey": "s3cret"',
        '{"a": "x"}} ] , "properties": {"own": "s3cret"}',
        '{"properties": {"apiKey": s3cret"}}',
    ],
)
def test_no_fault_of_the_text_shows_a_secret(broken: str) -> None:
    assert "s3cret" not in mask_secrets(broken).text
    assert "cret" not in mask_secrets(broken).text


def test_faults_of_the_text_stay_where_they_were() -> None:
    typed = '{"name": "x",\n "properties": {"apiKey": "s3cret",},\n "a": [1, 2}'
    assert mask_secrets(typed).text == typed.replace('"s3cret"', '"**** (entered 1)"')


def test_what_is_not_known_any_more_is_asked_for_anew() -> None:
    with pytest.raises(ConfigError) as told:
        restore_secrets(text_of(apiKey="**** (entered 1)"), {})
    assert "enter it again" in told.value.problems[0].text
