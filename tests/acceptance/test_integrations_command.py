"""What an operator can do about an integration without the pages: the commands, and ``serve --without``."""

import asyncio
import subprocess
from pathlib import Path

import httpx2
import pytest

from rally_accelerate.server.store.repositories import open_repositories
from support.processes import run_command, start_command, start_server
from support.waiting import PATIENCE_SECONDS, wait_until

TENANTS = ("5ade13625558f2c6688d15ce", "6ade13625558f2c6688d15ce")


async def fill(database: Path, *names: str, tenant: str = TENANTS[0]) -> None:
    async with open_repositories(database) as stores:
        for name in names:
            # Nothing listens there: a run fails at once.
            properties = {"baseUrl": "http://127.0.0.1:9", "apiKey": "sample-key", "retrySeconds": 1}
            raw = {"name": name, "type": "ucv-ext-rally", "tenant_id": tenant, "properties": properties}
            await stores.integrations.add(raw)


async def noted(database: Path) -> list[tuple[str, str, str]]:
    async with open_repositories(database) as stores:
        entries = await stores.audit.list_entries(limit=20)
    return [(one.actor, one.action, one.name) for one in reversed(entries)]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "host.sqlite"
    asyncio.run(fill(path, "good", "stuck"))
    return path


def listed(database: Path) -> list[str]:
    done = run_command("integrations", "list", "--database", str(database))
    assert done.code == 0, done.err
    return [line.partition(",")[0] for line in done.out.splitlines()]


def test_an_integration_is_disabled_enabled_and_removed_while_the_server_is_stopped(database: Path) -> None:
    at = ("--database", str(database))
    assert listed(database) == ["good: enabled", "stuck: enabled"]
    assert run_command("integrations", "disable", "stuck", *at).out == "disabled: stuck\n"
    assert run_command("integrations", "disable", "stuck", *at).out == "stuck is already disabled\n"
    assert listed(database) == ["good: enabled", "stuck: disabled"]
    assert run_command("integrations", "enable", "stuck", *at).out == "enabled: stuck\n"
    assert listed(database) == ["good: enabled", "stuck: enabled"]
    assert run_command("integrations", "remove", "good", "--yes", *at).out == "removed: good\n"
    assert (
        run_command("integrations", "remove", "stuck", "--with-issues", "--yes", *at).out
        == "removed: stuck with its issues\n"
    )
    assert listed(database) == ["no integrations"]
    assert asyncio.run(noted(database)) == [
        ("rally-accelerate", "disabled", "stuck"),
        ("rally-accelerate", "enabled", "stuck"),
        ("rally-accelerate", "removed", "good"),
        ("rally-accelerate", "removed", "stuck"),
    ]


def test_removing_without_confirmation_removes_nothing(database: Path) -> None:
    # A process without input answers no question.
    assert run_command("integrations", "remove", "good", "--database", str(database)).code == 130
    assert listed(database) == ["good: enabled", "stuck: enabled"]


def test_a_name_that_does_not_exist_is_answered_with_those_that_do(database: Path) -> None:
    done = run_command("integrations", "disable", "bad", "--database", str(database))
    assert done.code == 3
    assert "no integration named 'bad'" in done.err
    assert "Integrations in this database: good, stuck." in done.err


def test_one_of_two_integrations_with_the_same_name_is_chosen_by_its_id(database: Path) -> None:
    asyncio.run(fill(database, "good", tenant=TENANTS[1]))
    done = run_command("integrations", "disable", "good", "--database", str(database))
    assert done.code == 2
    assert "2 integrations are named 'good'" in done.err
    its_id = done.err.split(" (tenant")[0].split()[-1]
    assert its_id
    assert run_command("integrations", "disable", its_id, "--database", str(database)).out == "disabled: good\n"
    assert sorted(listed(database)) == ["good: disabled", "good: enabled", "stuck: enabled"]


def test_the_commands_leave_a_running_server_alone(tmp_path: Path) -> None:
    with start_server(tmp_path / "host.sqlite"):
        for words in (("list",), ("disable", "x"), ("enable", "x"), ("remove", "x", "--yes")):
            done = run_command("integrations", *words, "--database", str(tmp_path / "host.sqlite"))
            assert done.code == 3
            assert "another server is using the database" in done.err


def line_after(running: subprocess.Popen[str], word: str) -> str:
    assert running.stdout is not None
    while line := running.stdout.readline():
        if line.startswith(f"{word}:"):
            return line.split()[1]
    raise AssertionError(f"the server ended without {word}")


def test_an_integration_that_is_left_out_does_not_run(database: Path) -> None:
    with start_command("serve", "--port", "0", "--database", str(database), "--without", "stuck") as running:
        url = line_after(running, "host")
        headers = {"Authorization": f"UserAccessKey {line_after(running, 'key')}"}
        with httpx2.Client(base_url=url, headers=headers, timeout=PATIENCE_SECONDS) as http:

            def rows() -> dict[str, dict[str, object]]:
                found = http.get("/settings/integrations.json").json()["integrations"]
                return {one["name"]: one for one in found}

            wait_until(lambda: rows()["good"]["status"] == "Failed")
            stuck = rows()["stuck"]
            assert (stuck["status"], stuck["disabled"], stuck["lastRun"], stuck["nextRun"]) == (
                "Paused",
                False,
                None,
                None,
            )
            assert "started with <code>--without</code>" in http.get(f"/settings/integrations/{stuck['id']}").text

            def mutate(field: str) -> None:
                answer = http.post("/release-events-api/graphql", json={"query": f"mutation {{ {field} }}"})
                assert "errors" not in answer.json(), answer.text

            # Nor does it run when somebody asks for it, unlike another one that is asked for later.
            first = rows()["good"]["lastRun"]
            mutate(f'resyncIntegration(integrationId: "{stuck["id"]}") {{ _id }}')
            mutate(f'updateIntegrationDisabledFlag(_id: "{stuck["id"]}", disabled: false) {{ _id }}')
            mutate(f'resyncIntegration(integrationId: "{rows()["good"]["id"]}") {{ _id }}')
            wait_until(lambda: rows()["good"]["lastRun"] != first)
            assert rows()["stuck"]["lastRun"] is None
    # Nothing was changed: the next start runs it again.
    assert listed(database) == ["good: enabled", "stuck: enabled"]


def test_leaving_out_an_unknown_integration_is_an_error(database: Path) -> None:
    done = run_command("serve", "--port", "0", "--database", str(database), "--without", "stuk")
    assert done.code == 2
    assert "there is no integration 'stuk' to serve without" in done.err
    assert "The integrations of this database: good, stuck." in done.err
