"""Files as users have them become settings, or one error that tells every problem with its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from rally_accelerate.config.load import (
    get_state_folder,
    list_disabled,
    load_integrations,
    normalize_properties,
    read_json,
)
from rally_accelerate.config.model import Properties
from rally_accelerate.errors import ConfigError

NOTHING: dict[str, str] = {}


def full(**properties: Any) -> dict[str, Any]:
    """An integration in the form of the plug-in's page."""
    return {
        "type": "ucv-ext-rally",
        "name": "my-rally",
        "tenant_id": "5ade13625558f2c6688d15ce",
        "logginglevel": "debug",
        "properties": {"apiKey": "_sample", **properties},
    }


def load(document: Any, **how: Any) -> list[Any]:
    return load_integrations(document, origin="sample.json", environment=how.pop("environment", NOTHING), **how)


def test_the_pages_sample_is_understood() -> None:
    raw = {
        "type": "ucv-ext-rally",
        "name": "my-rally",
        "tenant_id": "5ade13625558f2c6688d15ce",
        "logginglevel": "warn",
        "properties": {
            "baseUrl": "",
            "username": "my_username",
            "password": "my_password",
            "workspace": "Workspace1",
            "projects": ["Sample Project"],
            "logLevel": "info",
            "proxyServer": "proxy.example:3128",
            "proxyUsername": "proxy_user",
            "proxyPassword": "proxy_password",
        },
    }
    (loaded,) = load({"integrations": [raw]})
    one = loaded.integration
    assert (one.name, one.logging_level) == ("my-rally", "WARN")
    assert one.properties.base_url == "https://rally1.rallydev.com"
    assert one.properties.projects == ("Sample Project",)
    assert one.properties.proxy_server == "http://proxy.example:3128"
    assert loaded.notices == ()


@pytest.mark.parametrize(
    "document",
    [
        {"integrations": [full()]},
        {
            "phases": [],
            "tenantId": "x",
            "integrations": [{"name": "a reference"}, {"type": "ucv-ext-jira"}, full()],
        },
        [full()],
        full(),
    ],
)
def test_the_shapes_of_a_document(document: Any) -> None:
    assert [one.integration.name for one in load(document)] == ["my-rally"]


@pytest.mark.parametrize("key", ["logginglevel", "logLevel", "loggingLevel", "LOGGINGLEVEL"])
def test_the_spellings_of_the_logging_level(key: str) -> None:
    raw = full()
    del raw["logginglevel"]
    raw[key] = "error"
    assert load(raw)[0].integration.logging_level == "ERROR"
    inside = full(**{key: "fatal"})
    del inside["logginglevel"]
    assert load(inside)[0].integration.logging_level == "FATAL"


def test_a_logging_level_that_is_none_is_told_wherever_it_stands() -> None:
    raw = full()
    raw["logginglevel"] = "verbose"
    inside = full(logLevel="verbose")
    del inside["logginglevel"]
    for given in (raw, inside):
        (one,) = load(given)
        assert one.integration.logging_level == "INFO"
        assert any("the logging level 'verbose' is not known" in notice for notice in one.notices)
    assert not any("logging level" in notice for notice in load(full())[0].notices)


def test_variables_are_taken_from_the_environment() -> None:
    (loaded,) = load(full(apiKey="${KEY}", workspace="${SPACE} 1"), environment={"KEY": "_k", "SPACE": "Sample"})
    assert loaded.integration.properties.api_key.get_secret_value() == "_k"
    assert loaded.integration.properties.workspace == "Sample 1"


def test_layers_options_before_file_before_environment() -> None:
    environment = {
        "RALLY_URL": "env.example",
        "RALLY_WORKSPACE": "from env",
        "RALLY_PROJECTS": "env",
        "ACCELERATE_URL": "e",
    }
    document = full(workspace="from file", projects=[])
    (loaded,) = load(document, environment=environment, overrides={"accelerateUrl": "option"})
    properties = loaded.integration.properties
    assert (properties.base_url, properties.workspace) == ("https://env.example", "from file")
    assert (properties.projects, properties.accelerate_url) == (("env",), "option")


def test_credentials_of_the_file_are_not_mixed_with_those_of_the_environment() -> None:
    raw = full()
    raw["properties"] = {"username": "u", "password": "p"}
    (loaded,) = load(raw, environment={"RALLY_API_KEY": "_from_env"})
    assert loaded.integration.properties.api_key is None


def test_all_problems_are_told_at_once_with_place_and_source_and_without_values() -> None:
    bad = full(baseUrl="ftp://x", pageSize="many", password="hidden-word", verifyTls="perhaps", apiKey="${NOT_SET}")
    worse = {"type": "ucv-ext-rally", "name": "", "properties": {"username": "only"}}
    with pytest.raises(ConfigError) as caught:
        load({"integrations": [bad, worse]})
    told = [str(problem) for problem in caught.value.problems]
    paths = [problem.path for problem in caught.value.problems]
    assert "integrations[0].properties.baseUrl" in paths
    assert "integrations[0].properties.pageSize" in paths
    assert "integrations[0].properties.verifyTls" in paths
    assert "integrations[0].properties.apiKey" in paths
    assert "integrations[1].name" in paths
    assert any("password is missing" in text for text in told)
    assert all("sample.json" in text for text in told)
    assert "hidden-word" not in "".join(told)


@pytest.mark.parametrize("masked", ["****", "*****", " *** ", "••••••", "●●●●"])
def test_masked_secrets_of_a_download_are_refused(masked: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(full(apiKey=masked))
    assert "masked" in str(caught.value.problems[0])


def test_no_credentials() -> None:
    raw = full()
    raw["properties"] = {}
    with pytest.raises(ConfigError) as caught:
        load(raw)
    assert "no credentials" in str(caught.value.problems[0])


def test_a_misspelt_property_is_told_with_what_was_meant() -> None:
    (loaded,) = load(full(workspce="x"))
    assert "did you mean workspace" in loaded.notices[0]


def test_property_names_in_another_case_are_understood() -> None:
    assert load(full(BASEURL="rally.example"))[0].integration.properties.base_url == "https://rally.example"


def test_the_platforms_key_wins_over_the_hand_entered_one() -> None:
    (loaded,) = load(full(ucvAccessKey="old", _userAccessKey="made"))
    assert loaded.integration.properties.accelerate_key.get_secret_value() == "made"


def test_choosing_by_name() -> None:
    document = {"integrations": [full(), {**full(), "name": "other"}]}
    assert [one.integration.name for one in load(document, name="other")] == ["other"]
    with pytest.raises(ConfigError, match="no Rally integration named") as caught:
        load(document, name="third")
    assert "my-rally, other" in caught.value.hint


def test_names_must_be_unique() -> None:
    with pytest.raises(ConfigError) as caught:
        load({"integrations": [full(), full()]})
    assert "more than once" in str(caught.value.problems[0])


def test_disabled_integrations_are_left_out() -> None:
    assert load({**full(), "disabled": True}) == []


@pytest.mark.parametrize(
    "document", [{}, [], 3, None, {"integrations": []}, {"integrations": [{"type": "ucv-ext-jira"}]}]
)
def test_nothing_of_ours(document: Any) -> None:
    with pytest.raises(ConfigError, match="no Rally integration"):
        load(document)


def test_broken_json_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"integrations": [\n  "type": "ucv-ext-rally"\n]}')
    with pytest.raises(ConfigError, match="line 2, column 9"):
        read_json(path)


def test_files_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "bom.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(full()).encode())
    assert load(read_json(path))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        read_json(tmp_path / "absent.json")


def test_the_state_folder_follows_xdg() -> None:
    assert get_state_folder({"XDG_STATE_HOME": "/x"}) == Path("/x/rally-accelerate")
    assert get_state_folder({"HOME": "/home/u"}) == Path("/home/u/.local/state/rally-accelerate")


def test_every_property_has_what_forms_and_manifest_need() -> None:
    for name, field in Properties.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict), name
        assert extra["label"], name
        assert extra["kind"] in {"String", "Secure", "Array", "Boolean"}, name
        assert field.description, name


def test_what_is_switched_off_is_not_validated_but_named() -> None:
    off = {**full(baseUrl="ftp://wrong"), "name": "off", "disabled": "yes"}
    assert [one.integration.name for one in load([off, full()])] == ["my-rally"]
    assert list_disabled([off, full()]) == [("off", "5ade13625558f2c6688d15ce")]


def test_a_variable_that_is_not_set_is_told_once() -> None:
    with pytest.raises(ConfigError) as told:
        load([full(apiKey="${NOWHERE}")])
    assert [problem.path for problem in told.value.problems] == ["[0].properties.apiKey"]


@pytest.mark.parametrize("odd", [{}, [], None, 7])
def test_an_odd_type_is_no_rally_integration(odd: Any) -> None:
    with pytest.raises(ConfigError, match="no Rally integration"):
        load([{**full(), "type": odd}])


def test_a_file_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "deep.json"
    file.write_text("[" * 200_000)
    with pytest.raises(ConfigError, match="nested too deeply"):
        read_json(file)


def test_spellings_become_the_models_names_and_unknown_keys_stay() -> None:
    given = {"_userAccessKey": "k", "APITOKEN": "t", "url": "https://r.example", "future": 1}
    assert normalize_properties(given) == {
        "ucvAccessKey": "k",
        "apiKey": "t",
        "baseUrl": "https://r.example",
        "future": 1,
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_file_is_read_in_the_encodings_that_editors_write(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_bytes(json.dumps({"integrations": [full(projects="Käse")]}, ensure_ascii=False).encode(encoding))
    (one,) = load(read_json(file))
    assert one.integration.properties.projects == ("Käse",)
    assert one.notices == ()


def test_no_break_spaces_between_values_are_white_space(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    text = json.dumps({"integrations": [full(projects="Team A")]}, indent=2).replace("  ", "\u00a0\u00a0")
    file.write_text(text, encoding="utf-8")
    (one,) = load(read_json(file))
    assert one.integration.properties.projects == ("Team A",)
    file.write_text(text.replace("{", "{,", 1), encoding="utf-8")
    with pytest.raises(ConfigError, match="line 1, column 2"):
        read_json(file)


def test_what_cannot_be_read_in_a_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_bytes(json.dumps([full(projects=["Team A", "K?se"])]).encode().replace(b"K?", b"K\xe4"))
    (one,) = load(read_json(file))
    assert one.integration.properties.projects == ("Team A", "K\ufffdse")
    (notice,) = one.notices
    assert notice.startswith("[0].properties.projects[1] holds characters that cannot be read")


def test_json_within_a_property_may_be_copied_from_a_web_page() -> None:
    rules = '[\u00a0{"type": "Story",\u00a0"fieldMapping": {}}]'
    (one,) = load([full(fieldMapping=rules, typeNames='{\u00a0"Story": "User Story"}', projects='[\u00a0"A"]')])
    properties = one.integration.properties
    assert properties.field_mapping == [{"type": "Story", "fieldMapping": {}}]
    assert properties.type_names == {"Story": "User Story"}
    assert properties.projects == ("A",)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("{\u201cname\u201d: 1}", "There is a typographic quote (\u201c)"),
        ('{"name": \u00abn\u00bb}', "There is a typographic quote (\u00ab)"),
        ("{'name': 1}", "Use double quotes"),
        ('{"a": 1, // why\n"b": 2}', "Remove the comment"),
        ('# settings\n{"a": 1}', "Remove the comment"),
        ('{"a": [1, ], "b": 1}', "Remove the comma before ]"),
        ('{"a": 1,\n}', "Remove the comma before }"),
        ('{"a": [1, 2', "ends too early"),
        ("name: n\nproperties:\n", "The file is no JSON"),
        ('"name": "n"', "Braces or a comma"),
    ],
)
def test_a_fault_in_a_file_is_explained_by_what_is_at_its_place(tmp_path: Path, text: str, hint: str) -> None:
    path = tmp_path / "rally.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="is not valid JSON: line") as caught:
        read_json(path)
    assert hint in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf\n ", "\u00a0\n".encode("utf-16")])
def test_an_empty_file_is_called_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rally.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"is empty\.$"):
        read_json(path)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("proxyHost", "proxyServer"),
        ("useProxy", "proxyServer"),
        ("https_proxy", "proxyServer"),
        ("proxyPort", "proxyServer"),
        ("rallyUrl", "baseUrl"),
        ("API Key", "apiKey"),
        ("accessKey", "ucvAccessKey"),
        ("issueTypes", "types"),
        ("team", "teamId"),
        ("teamspaceName", "teamspaceId"),
        ("projcts", "projects"),
        ("businessUnit", ""),
        ("costCenter", ""),
        ("releaseTrain", ""),
    ],
)
def test_what_an_unknown_property_means(written: str, meant: str) -> None:
    (loaded,) = load(full(**{written: "x"}))
    assert loaded.notices[0].endswith(f"did you mean {meant}?" if meant else "is ignored")


@pytest.mark.parametrize("given", ["ucv-ext-raly", "UCV-EXT-RALLY", "rally", "ucv-ext-rally:1.0.50", " ucv-ext-rally"])
def test_a_misspelt_type_is_named(given: str) -> None:
    raw = {**full(), "type": given}
    with pytest.raises(ConfigError, match=r"did you mean ucv-ext-rally\?"):
        load(raw)
    (loaded,) = load([{**full(), "name": "other"}, raw])
    assert loaded.notices == (f"[1].type is {given!r}, which is left out; did you mean ucv-ext-rally?",)


@pytest.mark.parametrize("given", ["ucv-ext-jira", "ucv-ext-github", "ucv-ext-azure", "jenkins"])
def test_other_plug_ins_are_left_out_without_a_word(given: str) -> None:
    (loaded,) = load([full(), {**full(), "type": given}])
    assert loaded.notices == ()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"integrations": []}, "its integrations section is empty"),
        ({"integrations": None, "phases": []}, "its integrations section is empty"),
        ({"data": {"integrations": []}}, "an answer of an API"),
        ({"phases": []}, "it has no integrations section"),
    ],
)
def test_a_document_without_integrations(document: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(document)
