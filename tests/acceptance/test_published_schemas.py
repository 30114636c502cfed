"""Everything that the connector sends in whole runs fits the published schemas of an older and of a newer Accelerate."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLObjectType

from support.accelerate_stub import EVENT, KEY, TENANT, TRACKER, AccelerateStub, DateForm, Label, accelerate_stub
from support.processes import Finished, Simulator, run_command, start_simulator
from support.published_schemas import load_schema

#: Severity and impact have the server's own words; Rally's have to be mapped.
RULES = [
    {
        "type": "Defect",
        "fieldMapping": {"severity": "Severity", "impact": "Severity"},
        "valueMapping": {
            "severity": {"SEV1": ["Crash/Data Loss"], "SEV2": ["Major Problem"], "SEV3": ["Minor Problem"]},
            "impact": {"IMPACT1": ["Crash/Data Loss"], "IMPACT2": ["Major Problem"], "IMPACT3": ["Minor Problem"]},
        },
    }
]


@dataclass(frozen=True)
class Place:
    """A simulated Rally, a stand-in for Accelerate, and the settings that connect them."""

    rally: Simulator
    stub: AccelerateStub
    folder: Path
    properties: Mapping[str, Any]

    @property
    def file(self) -> Path:
        """The settings as a file for the commands."""
        path = self.folder / "rally.json"
        given = {**self.properties, "accelerateUrl": self.stub.url, "ucvAccessKey": KEY}
        integration = {"type": "ucv-ext-rally", "name": "rally", "tenant_id": TENANT, "properties": given}
        path.write_text(json.dumps({"integrations": [integration]}))
        return path

    def sync(self, *options: str) -> Finished:
        """Run ``sync`` once."""
        return self.checked(
            run_command("sync", str(self.file), "--once", "--state", str(self.folder / "state"), *options)
        )

    def run(self, *words: str, **environment: str) -> Finished:
        """Run another command on the settings."""
        return self.checked(run_command(words[0], str(self.file), *words[1:], **environment))

    def plugin(self, **state: Any) -> Finished:
        """Run the plug-in's event."""
        whole = {
            "lastRun": 0,
            "trackerId": TRACKER,
            "tenantId": TENANT,
            "apiServerUrl": f"{self.stub.url}/release-events-api",
            **state,
        }
        props = {"state": whole, "properties": {**self.properties, "_userAccessKey": KEY}}
        return self.checked(run_command("plugin", "scheduledEvents", EVENT, json.dumps(props), "{}"))

    def checked(self, done: Finished) -> Finished:
        """Check that the server understood everything that it was asked."""
        schema = load_schema(self.stub.schema)
        roots = [each for each in (schema.query_type, schema.mutation_type) if isinstance(each, GraphQLObjectType)]
        known = {name for root in roots for name in root.fields}
        # Asking for an operation that an older server lacks is allowed: the run has to do without.
        refused = {key: times for key, times in self.stub.refused.items() if key[0] in known}
        assert not refused, refused
        assert done.code == 0, done.out + done.err
        return done


@contextmanager
def place(folder: Path, schema: Label, **properties: Any) -> Iterator[Place]:
    with start_simulator("--items", "120") as rally, accelerate_stub(schema) as stub:
        yield Place(rally, stub, folder, {"baseUrl": rally.url, "apiKey": rally.key, **properties})


def moments() -> int:
    return round(time.time() * 1000)


@pytest.mark.parametrize(
    ("schema", "newer", "dates"), [("A", False, "number"), ("B", False, "iso"), ("B", True, "digits")]
)
def test_every_command_is_understood(tmp_path: Path, schema: Label, newer: bool, dates: DateForm) -> None:
    more = {"newerFields": True, "fieldMapping": RULES} if newer else {}
    with place(tmp_path, schema, **more) as its:
        its.stub.dates = dates
        its.run("check")
        its.sync()
        uploaded = its.stub.issues_of()
        assert len(uploaded) > 80
        if newer:
            assert {"severity", "impact"} <= {name for each in uploaded.values() for name in each}
        its.rally.post("work", {"steps": 10})
        its.rally.post("clock", {"advance_seconds": 600})
        its.sync()

        verified = its.run("verify")
        assert f"compared with Accelerate: {len(its.stub.issues_of())} issues, 0 differences" in verified.out
        assert "does not return these fields, so they are not compared" in verified.out
        assert "history" in verified.out.rpartition("not compared:")[2]

        migrated = its.run("migrate", ACCELERATE_URL=its.stub.url, ACCELERATE_ACCESS_KEY=KEY)
        assert f"{len(its.stub.issues_of())} would be updated" in migrated.out

        preview = its.sync("--resync", "full", "--dry-run")
        assert "0 issues differ" in preview.out
        before = its.stub.issues_of()
        its.sync("--resync", "full")
        assert its.stub.issues_of() == before

        values = [entry["content"] for each in before.values() for entry in each["history"]]
        assert {each["type"] for each in values} <= {"string", "integer", "stringArray"}
        assert {"sprint", "release", "labels"} <= {each["field"] for each in values if each["type"] == "stringArray"}
        assert not [sprint for each in before.values() for sprint in each["sprints"] if "previous" in sprint]


@pytest.mark.parametrize(("schema", "newer"), [("A", False), ("B", False), ("B", True)])
def test_the_plug_in_is_understood(tmp_path: Path, schema: Label, newer: bool) -> None:
    with place(tmp_path, schema, **({"newerFields": True} if newer else {})) as its:
        its.plugin()
        first = its.stub.issues_of()
        assert len(first) > 80
        assert its.stub.state_of() is not None
        its.rally.post("work", {"steps": 10})
        its.plugin(lastRun=moments() - 60_000)
        assert its.stub.issues_of() != first
        uploads = len(its.stub.uploads)
        its.plugin(lastRun=moments() - 60_000, deltaTime=0)
        assert its.stub.event_states[TRACKER, EVENT] == -1
        assert sum(len(each["issues"]) for each in its.stub.uploads[uploads:]) >= len(first)
        # A server that keeps no state is read instead.
        its.stub.lose_states()
        its.stub.keeps_state = False
        for _ in range(2):
            its.plugin(lastRun=moments() - 60_000)


def test_a_history_that_lookback_has_not_got_yet_is_pending_and_no_fault(tmp_path: Path) -> None:
    with place(tmp_path, "A") as its:
        its.sync()
        its.rally.post("work", {"steps": 10})
        its.sync()
        verified = its.run("verify")
        assert re.search(r"0 incomplete, 0 unverifiable, [1-9]\d* pending", verified.out), verified.out
        its.rally.post("clock", {"advance_seconds": 600})
        its.sync()
        assert "pending" not in its.run("verify").out


def test_verify_and_migrate_say_which_setting_is_missing(tmp_path: Path) -> None:
    with start_simulator("--items", "20") as rally:
        path = tmp_path / "rally.json"
        properties = {"baseUrl": rally.url, "apiKey": rally.key, "accelerateUrl": "http://127.0.0.1:9"}
        integration = {"type": "ucv-ext-rally", "name": "rally", "properties": properties}
        path.write_text(json.dumps({"integrations": [integration]}))
        for name in ("verify", "migrate"):
            told = run_command(name, str(path))
            assert told.code == 0, told.out + told.err
            assert "not compared with Accelerate: properties.ucvAccessKey is missing" in told.out
            assert "accelerateUrl is missing" not in told.out


def test_verify_says_what_differs_in_accelerate(tmp_path: Path) -> None:
    with place(tmp_path, "A") as its:
        its.sync()
        key = next(iter(its.stub.issues_of()))
        its.stub.issues[TRACKER, key]["priority"] = "Changed"
        its.stub.issues[TRACKER, key]["owner"] = "Somebody else"
        told = run_command("verify", str(its.file))
        assert told.code == 4
        assert "1 differences" in told.out
        assert "its priority is 'Changed' in Accelerate" in told.out
        # Another integration's issues are nothing to this one.
        its.stub.issues = {("another", each): issue for (_, each), issue in its.stub.issues.items()}
        missing = run_command("verify", str(its.file))
        assert "0 issues" in missing.out
        assert "is missing in Accelerate" in missing.out


def test_a_mapping_that_changes_a_type_shows_every_item_of_it(tmp_path: Path) -> None:
    with place(tmp_path, "B") as its:
        its.sync()
        stories = sum(each["type"] == "Story" for each in its.stub.issues_of().values())
        rules = [{"type": "Story", "valueMapping": {"type": {"User story": ["Story"]}}}]
        changed = Place(its.rally, its.stub, its.folder, {**its.properties, "fieldMapping": rules})
        shown = changed.sync("--resync", "full", "--dry-run")
        assert f"{stories} issues differ" in shown.out
        verified = run_command("verify", str(changed.file))
        assert verified.code == 4
        assert f"{stories} differences" in verified.out
        assert "its type is 'Story' in Accelerate, and should be 'User story'" in verified.out
