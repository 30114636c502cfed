"""Options that several commands share."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from rally_accelerate.config.load import Loaded, load_integrations, read_json
from rally_accelerate.config.model import Integration
from rally_accelerate.config.redaction import Redactor, list_secrets
from rally_accelerate.config.value_parsers import as_instant
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.mapping.rules import require_usable_rules
from rally_accelerate.model.progress import Window
from rally_accelerate.sync.wiring import Target

LONGEST_SECONDS = 7 * 24 * 3600

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600}


class Duration(click.ParamType[timedelta]):
    """A duration such as ``30s``, ``5m`` or ``1h``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read the text, or say what would have been right."""
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", str(value).strip().lower())
        seconds = float(match[1]) * _UNITS[match[2] or "s"] if match else 0
        if seconds <= 0:
            self.fail(f"{value!r} is not a valid duration; use for example 30s, 5m or 1h", param, ctx)
        if seconds > LONGEST_SECONDS:
            self.fail(f"{value!r} is too long; the maximum is 7 days", param, ctx)
        return timedelta(seconds=seconds)


class Again(click.ParamType[Window]):
    """``full``, or the date since which everything that changed is sent again."""

    name = "full|date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Window:
        """Read the word or the date, or say what would have been right."""
        if isinstance(value, Window):
            return value
        if str(value).strip().lower() == "full":
            return Window()
        try:
            return Window(as_instant(value))
        except ValueError as error:
            self.fail(f"{value!r} {error}; or use full", param, ctx)


file_argument = click.argument("file", type=click.Path(path_type=Path))
name_option = click.option("--name", default="", help="Use only the integration with this name.")
accelerate_url_option = click.option(
    "--accelerate-url",
    default="",
    help="The URL of the Accelerate server, if FILE doesn't set it (or set ACCELERATE_URL).",
)


def load(file: Path, *, name: str, accelerate_url: str = "", given: Mapping[str, Any] | None = None) -> list[Loaded]:
    """The file's integrations, validated with their mapping rules; ``given`` are properties of the command line."""
    overrides = {**(given or {}), **({"accelerateUrl": accelerate_url} if accelerate_url else {})}
    loaded = load_integrations(read_json(file), origin=str(file), name=name, overrides=overrides)
    require_usable_rules((one.integration for one in loaded), origin=str(file))
    return loaded


def target_of(integration: Integration) -> Target | None:
    """Where an integration's issues go, or None when address or key is not given."""
    properties = integration.properties
    if not properties.accelerate_url or properties.accelerate_key is None:
        return None
    return Target(properties.accelerate_url, properties.accelerate_key)


def required_target(integration: Integration) -> Target:
    """Where an integration's issues go.

    Raises:
        ConfigError: Address or key is not given.
    """
    target = target_of(integration)
    if target is not None:
        return target
    problems = [Problem(f"{integration.name}: {each.path}", each.text) for each in target_problems(integration)]
    raise ConfigError("no upload target is set", problems=problems)


def target_problems(integration: Integration) -> list[Problem]:
    """Return which of the settings are missing that say where an integration's issues go, and what gives them."""
    problems = []
    if not integration.properties.accelerate_url:
        text = "is missing (or set --accelerate-url or ACCELERATE_URL)"
        problems.append(Problem("properties.accelerateUrl", text))
    if integration.properties.accelerate_key is None:
        problems.append(Problem("properties.ucvAccessKey", "is missing (or set ACCELERATE_ACCESS_KEY)"))
    return problems


def redactor_of(loaded: Sequence[Loaded]) -> Redactor:
    """A redactor that knows every secret of these settings."""
    return Redactor(secret for one in loaded for secret in list_secrets(one.integration))
