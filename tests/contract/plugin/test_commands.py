"""What the container answers to which command.

See accelerate-api-notes.md#commands and accelerate-api-notes.md#output-and-exit-codes.
"""

import json
import os
from pathlib import Path

import pytest

from rally_accelerate import __version__
from rally_accelerate.config.model import EVENT, Properties
from rally_accelerate.plugin.manifest import manifest
from support.container import IN_EITHER_FORM, Container, build_event_arguments, process_props
from support.processes import RunningServer, Simulator, run_command

#: Property types that every server version knows (accelerate-api-notes.md#property-types).
SAFE_TYPES = {"String", "Secure", "Array", "Boolean"}

#: The page's properties in the form's order; the access key is made by newer servers.
OF_THE_PAGE = [
    "apiKey",
    "projects",
    "password",
    "baseUrl",
    "username",
    "workspace",
    "proxyServer",
    "proxyUsername",
    "proxyPassword",
]


def test_the_manifest_is_json_on_stdout_and_nothing_else(bare: Container) -> None:
    told = bare.run("getManifest")
    assert (told.code, told.err) == (0, "")
    assert json.loads(told.out) == manifest()
    assert told.out.startswith('{\n  "pluginId": "ucv-ext-rally",\n')


def test_the_manifest_needs_no_key(bare: Container) -> None:
    bare.write_key("a passphrase")
    assert json.loads(bare.run("getManifest").out) == manifest()


def test_the_manifest_has_what_the_page_has_and_hides_the_rest() -> None:
    made = manifest()
    assert made["categories"] == ["ALM"]
    assert made["features"] == {"deltaTimeSync": True}
    (event,) = made["scheduledEvents"]
    assert (event["name"], event["interval"]) == ("syncRallyDataEvent", 5)
    shown = [each["name"] for each in made["properties"] if not each.get("hidden")]
    assert shown == OF_THE_PAGE
    for each in made["properties"]:
        assert {"name", "label", "type", "required", "description"} <= each.keys()
        assert each["type"] in SAFE_TYPES
        # A required hidden property without a default would block the form (accelerate-api-notes.md#property-types).
        assert not (each.get("hidden") and each["required"])
    hidden = {each["name"] for each in made["properties"] if each.get("hidden")}
    assert "ucvAccessKey" in hidden
    (url,) = [each for each in made["properties"] if each["required"]]
    assert (url["name"], url["label"], url["defaultValue"]) == ("baseUrl", "URL", "https://rally1.rallydev.com")


def test_the_manifest_tells_every_setting_but_those_that_mean_nothing_in_a_container() -> None:
    told = {each["name"] for each in manifest()["properties"]}
    outside = {"accelerateUrl", "trackerId", "clientCertificate", "clientKey", "clientKeyPassword"}
    assert told | outside == {field.alias for field in Properties.model_fields.values()}


def test_checkboxes_that_are_on_unless_unticked_say_so() -> None:
    defaults = {
        each["name"]: each.get("defaultValue") for each in manifest()["properties"] if each["type"] == "Boolean"
    }
    assert defaults["verifyTls"] is True
    assert defaults["comments"] is True
    assert defaults["newerFields"] is False


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "No command given"),
        (["getmanifests"], "Unknown command 'getmanifests'"),
        (["endpoints", "x", "{}", "{}"], "not support endpoints"),
        (["qualityHandlers"], "not support qualityHandlers"),
        (["scheduledEvents"], "The event is missing"),
        (
            ["scheduledEvents", "syncEverything", "{}", "{}"],
            f"Unknown event 'syncEverything'. The only event is {EVENT}.",
        ),
        (["scheduledEvents", EVENT], "processProps is missing"),
        (["scheduledEvents", EVENT, "{}"], "velocityProps is missing"),
    ],
)
def test_a_command_that_is_none_gets_a_sentence(bare: Container, words: list[str], sentence: str) -> None:
    told = bare.run(*words)
    assert (told.code, told.err) == (1, "")
    assert sentence in told.out
    assert told.out.count("\n") == 1


def test_a_script_of_other_name_is_refused(bare: Container) -> None:
    (bare.workdir / "other.js").write_text("")
    told = bare.call("node", "other.js")
    assert (told.code, told.err) == (1, "")
    assert "This image runs the Rally plug-in, not Node" in told.out


@IN_EITHER_FORM
@pytest.mark.parametrize(
    ("process", "velocity", "sentence"),
    [
        ("", "{}", "processProps) is empty"),
        ("no json", "{}", "processProps) is not valid JSON"),
        ("[]", "{}", "processProps) must be a JSON object"),
        ('{"state": {}}', "{}", "properties: is missing"),
        ('{"properties": {}}', "{}", "state: is missing"),
        ('{"state": [], "properties": {}}', "{}", "state: must be an object"),
        ('{"state": {}, "properties": {}}', "nonsense", "velocityProps) is not valid JSON"),
        ('{"state": {}, "properties": {}}', "", "velocityProps) is empty"),
        ('{"state": {}, "properties": {}}', "{}", "state.trackerId: is missing"),
        ('{"state": {}, "properties": {}}', "{}", "no user access key"),
        ('{"state": {}, "properties": {}}', "{}", "no credentials"),
        ('{"state": {"lastRun": "soon"}, "properties": {}}', "{}", "state.lastRun: must be an instant"),
        ('{"state": {"deltaTime": []}, "properties": {}}', "{}", "state.deltaTime: must be an instant"),
        ('{"state": {"trackerId": {}}, "properties": {}}', "{}", "state.trackerId: must be a string"),
        ("[" * 60_000, "{}", "nested too deeply"),
        ('{"state": {"lastRun": ' + "9" * 5000 + "}}", "{}", "holds a number that is too long"),
        ('{"state": {}, "properties": []}', "{}", "properties: must be an object"),
        ('{"state": {}, "properties": {}}', "[]", "velocityProps) must be a JSON object"),
        ('{"state": {"lastRun": true}, "properties": {}}', "{}", "state.lastRun: must be an instant"),
        ('{"state": {"apiServerUrl": 1.5}, "properties": {}}', "{}", "state.apiServerUrl: must be"),
    ],
)
def test_arguments_that_cannot_be_used_get_a_sentence(
    container: Container, process: str, velocity: str, sentence: str
) -> None:
    told = container.run("scheduledEvents", EVENT, process, velocity)
    assert (told.code, told.err) == (1, "")
    assert told.out.count(sentence) == 1
    assert "Traceback" not in told.out
    assert "fault in the plug-in" not in told.out


@pytest.mark.parametrize(
    ("properties", "code", "sentence"),
    [
        ({"apiKey": None, "username": "u"}, 1, "password is missing"),
        ({"apiKey": ""}, 1, "no credentials"),
        ({"apiKey": None, "username": "sample", "password": "wrong-password-1"}, 1, "single sign-on"),
        ({"apiKey": "_wrong_key_0123456789"}, 1, "API key"),
        ({"username": "sample", "password": "unused-password"}, 0, "the apiKey is used"),
        ({"workspace": "No Such Workspace"}, 1, "No Such Workspace"),
        ({"projects": ["No Such Project"]}, 1, "No Such Project"),
        ({"projects": {"a": 1}}, 1, "properties.projects"),
        ({"verifyTls": "perhaps"}, 1, "properties.verifyTls: must be true or false"),
        ({"pageSize": "many"}, 1, "properties.pageSize"),
        ({"baseUrl": "ftp://x"}, 1, "properties.baseUrl: must begin with https://"),
        ({"baseUrl": "http://127.0.0.1:9", "retrySeconds": "0"}, 1, "Check host and port of baseUrl"),
        ({"baseUrl": "https://rally.invalid", "retrySeconds": "0"}, 1, "cannot be resolved"),
        ({"baseUrl": "ACCELERATE", "retrySeconds": "0"}, 1, "that baseUrl is Rally's address"),
        ({"apiKey": ["a", "b"]}, 1, "properties.apiKey: input should be a valid string"),
        ({"apiKey": "half-\ud800-a-character"}, 1, "properties.apiKey: has characters that no key has"),
        ({"apiKey": "cut\nin-two-by-a-line-end"}, 1, "properties.apiKey: has characters that no key has"),
        ({"username": {}, "password": 12345678}, 1, "properties.password: input should be a valid string"),
        ({"workspace": ["x"]}, 1, "properties.workspace"),
        ({"proxyServer": "socks5://127.0.0.1:9"}, 1, "must be an http:// or https:// proxy"),
        ({"_userAccessKey": "wrong-access-key-012345"}, 1, "or check ucvAccessKey"),
        ({"_userAccessKey": {"value": "an-object"}}, 1, "properties.ucvAccessKey: input should be a valid string"),
        ({"_userAccessKey": "half-\ud800-a-character"}, 1, "properties.ucvAccessKey: contains invalid characters"),
        ({"_userAccessKey": None}, 1, "no user access key"),
        ({"fieldMapping": "[{]"}, 1, "properties.fieldMapping: is not valid JSON"),
        ({"colour": "green", "retrySeconds": "0"}, 0, "complete in"),
    ],
)
def test_settings_that_are_wrong_get_a_sentence(
    container: Container,
    rally: Simulator,
    target: RunningServer,
    tracker: str,
    properties: dict[str, object],
    code: int,
    sentence: str,
) -> None:
    given = {name: target.url if value == "ACCELERATE" else value for name, value in properties.items()}
    told = container.run(*build_event_arguments(process_props(rally, target, tracker, properties=given)))
    assert (told.code, told.err) == (code, ""), told.out
    assert told.out.count(sentence) == 1, told.out
    assert "Traceback" not in told.out
    for secret in (rally.key, target.key, "wrong-access-key", "wrong-password", "12345678", "in-two", "an-object"):
        assert secret not in told.out


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"apiServerUrl": "http://127.0.0.1:9"}, "http://127.0.0.1:9"),
        ({"apiServerUrl": ""}, "state.apiServerUrl: is missing"),
        ({"apiServerUrl": {"a": 1}}, "state.apiServerUrl: must be a string"),
        ({"apiServerUrl": "nowhere at all"}, "Check the address"),
        ({"apiServerUrl": "https://accelerate.invalid"}, "https://accelerate.invalid"),
        ({"apiServerUrl": "http://u:pw@127.0.0.1"}, "state.apiServerUrl: must not hold a user or password"),
        ({"apiServerUrl": "RALLY"}, "Check the address that Accelerate gives (state.apiServerUrl)"),
    ],
)
def test_a_platform_that_cannot_be_reached_gets_a_sentence(
    container: Container, rally: Simulator, target: RunningServer, tracker: str, state: dict[str, object], sentence: str
) -> None:
    given = {name: rally.url if value == "RALLY" else value for name, value in state.items()}
    props = process_props(rally, target, tracker, state=given, properties={"retrySeconds": "0"})
    told = container.run(*build_event_arguments(props))
    assert (told.code, told.err) == (1, "")
    assert sentence in told.out
    # Of that name there is no setting in the form.
    assert "accelerateUrl" not in told.out
    assert rally.key not in told.out
    assert target.key not in told.out


def test_the_tree_is_nobodys_to_write_and_holds_what_it_says(tree: Path) -> None:
    for path in tree.rglob("*"):
        assert path.stat().st_mode & 0o022 == 0, path
        assert path.stat().st_mode & 0o004, path
    listed = json.loads((tree / "opt/rally-accelerate/sbom.json").read_text())
    whole = listed["metadata"]["component"]
    assert (whole["name"], whole["version"]) == ("rally-accelerate", __version__)
    assert not list(tree.rglob("direct_url.json")), "they name folders of the machine that builds"
    names = {(part["name"], part.get("version")) for part in listed["components"]}
    there = tree / "opt/rally-accelerate/lib"
    for name, version in names:
        assert list(there.glob(f"{name.replace('-', '_').lower()}-{version}.dist-info")), name
    assert len(names) == len(list(there.glob("*.dist-info"))) - 1
    assert not list(there.rglob("*node_modules*"))
    assert os.access(tree / "usr/local/bin/node", os.X_OK)


def test_the_command_line_answers_alike() -> None:
    told = run_command("plugin", "getManifest")
    assert (told.code, json.loads(told.out)) == (0, manifest())
    told = run_command("plugin", "scheduledEvents", "nothing")
    assert told.code == 1
    assert "Unknown event 'nothing'" in told.out
