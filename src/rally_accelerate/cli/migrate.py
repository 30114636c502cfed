"""``rally-accelerate migrate``: how an existing ucv-ext-rally integration behaves after migration."""

import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from rally_accelerate.cli.options import (
    accelerate_url_option,
    file_argument,
    name_option,
    redactor_of,
    target_of,
    target_problems,
)
from rally_accelerate.cli.output import redact, set_redactor
from rally_accelerate.config.legacy_settings import SettingStatus, explain_settings
from rally_accelerate.config.load import MASKED, Loaded, list_sections, load_integrations, read_environment, read_json
from rally_accelerate.errors import ConfigError
from rally_accelerate.observe import logs
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.migration_check import EXAMPLES, Comparison, Identity, compare_identities
from rally_accelerate.sync.wiring import connect

DONE, TO_DECIDE = 0, 4

#: Where what a download masks comes from instead.
SECRETS = ("RALLY_API_KEY, or RALLY_USERNAME and RALLY_PASSWORD", "ACCELERATE_ACCESS_KEY")

#: Which section of the file a problem is in is said by the heading.
_PLACE = re.compile(r"^(integrations)?\[\d+\]\.(properties\.?)?")

COLOURS = {
    SettingStatus.UNCHANGED: "green",
    SettingStatus.DEPRECATED: "yellow",
    SettingStatus.MASKED: "yellow",
    SettingStatus.MISSING: "red",
}


@click.command()
@file_argument
@name_option
@accelerate_url_option
def migrate(*, file: Path, name: str, accelerate_url: str) -> int:
    """Show how an existing ucv-ext-rally integration would behave after migration.

    FILE is the downloaded JSON file of a value stream. Masked secrets and the server URL are read from the environment
    (RALLY_API_KEY, ACCELERATE_URL, ACCELERATE_ACCESS_KEY). Nothing is changed. The exit code is 4 if issues would be
    duplicated.
    """
    document = read_json(file)
    matches = [raw for raw in list_sections(document) if not name or str(raw.get("name", "")).strip() == name]
    if not matches:
        named = f" named {name!r}" if name else ""
        there = sorted({str(raw["name"]).strip() for raw in list_sections(document) if raw.get("name")})
        hint = (
            f"Integrations in this file: {', '.join(there)}."
            if there
            else "The type of a Rally integration is ucv-ext-rally."
        )
        raise ConfigError(f"{file}: no Rally integration{named}", hint=hint)
    # A name alone may be that of any tool's integration.
    matches = [raw for raw in matches if name or "type" in raw or "properties" in raw] or matches
    codes = []
    for raw in matches:
        click.secho(f"{raw.get('name') or 'unnamed integration'}:", bold=True)
        for setting in explain_settings(raw, environment=read_environment()):
            # A value may be a secret in a place that nobody expects: only names and our own words are shown of it.
            status = click.style(f"{setting.status.value:<10}", fg=COLOURS.get(setting.status))
            click.echo(f"  {status} {setting.path}: {setting.text}")
        codes.append(_compare(raw, str(file), accelerate_url))
    return max(codes)


def _compare(raw: Mapping[str, Any], origin: str, accelerate_url: str) -> int:
    try:
        (one,) = load_integrations(
            [_without_masked_secrets(raw)],
            origin=origin,
            overrides={"accelerateUrl": accelerate_url} if accelerate_url else {},
        )
    except (ConfigError, ValueError) as error:
        problems = error.problems if isinstance(error, ConfigError) else ()
        why = "; ".join(f"{_PLACE.sub('', problem.path)} {problem.text}".strip() for problem in problems)
        click.echo(f"  not compared with Accelerate: {why or 'the integration is disabled'}")
        if isinstance(raw.get("properties"), Mapping):
            click.echo(f"  Masked secrets are taken from the environment: {', '.join(SECRETS)}")
        return DONE
    if target_of(one.integration) is None:
        missing = "; ".join(f"{element.path} {element.text}" for element in target_problems(one.integration))
        click.echo(f"  not compared with Accelerate: {missing}")
        return DONE
    set_redactor(redactor_of([one]))
    logs.set_up("ERROR", redactor=redactor_of([one]), stream=sys.stderr)
    return _print_comparison(asyncio.run(_compare_identities(one)))


def _without_masked_secrets(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the integration without masked secrets, which are read from the environment instead."""
    properties = raw.get("properties")
    if not isinstance(properties, Mapping):
        return {**raw, "disabled": False}
    unmasked = {key: value for key, value in properties.items() if not (isinstance(value, str) and MASKED.match(value))}
    return {**raw, "properties": unmasked, "disabled": False}


async def _compare_identities(one: Loaded) -> Comparison:
    target = target_of(one.integration)
    assert target is not None
    async with connect(one.integration, target=target, limiters=LimiterPool()) as connected:
        return await compare_identities(connected.source, connected.sink)


def _print_comparison(comparison: Comparison) -> int:
    click.echo(
        f"  {comparison.items:,} items in Rally, {comparison.issues:,} issues of this integration in Accelerate."
    )
    for identity, number in comparison.identities.most_common():
        click.echo(f"    {number:,} are identified by {_identity_text(identity)}")
    click.echo(f"    {comparison.updated:,} would be updated")
    _print_keys("would be added", comparison.added)
    _print_keys("are no longer visible in Rally and stay unchanged", comparison.not_in_rally)
    if not comparison.duplicated:
        return DONE
    _print_keys(
        "would be DUPLICATED, because they are stored under an ID that this plug-in does not use",
        comparison.duplicated,
        colour="red",
    )
    click.echo(
        "  Delete the old integration with its data and add it again, or choose a different name for this one. See "
        "docs/how-to/replace-the-plug-in.md."
    )
    return TO_DECIDE


def _identity_text(identity: Identity) -> str:
    return f"their {identity.value}" if identity is not Identity.OTHER else identity.value


def _print_keys(what: str, keys: Sequence[str], *, colour: str | None = None) -> None:
    if keys:
        named = ", ".join(keys[:EXAMPLES]) + (", ..." if len(keys) > EXAMPLES else "")
        click.secho(redact(f"    {len(keys):,} {what}: {named}"), fg=colour)
