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
        """Parse a duration."""
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", str(value).strip().lower())
        seconds = float(match[1]) * _UNITS[match[2] or "s"] if match else 0
        if seconds <= 0:
            self.fail(f"{value!r} is not a valid duration; use for example 30s, 5m or 1h", param, ctx)
        if seconds > LONGEST_SECONDS:
            self.fail(f"{value!r} is too long; the maximum is 7 days", param, ctx)
        return timedelta(seconds=seconds)


class ResyncWindow(click.ParamType[Window]):
    """The window of a resync: ``full``, or the date since which changes are uploaded again."""

    name = "full|date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Window:
        """Parse ``full`` or a date."""
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


def load(
    file: Path, *, name: str, accelerate_url: str = "", properties: Mapping[str, Any] | None = None
) -> list[Loaded]:
    """Load and validate the integrations of a file; ``properties`` are overrides from the command line."""
    overrides = {**(properties or {}), **({"accelerateUrl": accelerate_url} if accelerate_url else {})}
    loaded = load_integrations(read_json(file), origin=str(file), name=name, overrides=overrides)
    require_usable_rules((one.integration for one in loaded), origin=str(file))
    return loaded


def target_of(integration: Integration) -> Target | None:
    """Return the upload target of an integration, or None if the URL or access key is not set."""
    properties = integration.properties
    if not properties.accelerate_url or properties.accelerate_key is None:
        return None
    return Target(properties.accelerate_url, properties.accelerate_key)


def require_target(integration: Integration) -> Target:
    """Return the upload target of an integration.

    Raises:
        ConfigError: The URL or access key is not set.
    """
    target = target_of(integration)
    if target is not None:
        return target
    problems = [
        Problem(f"{integration.name}: {problem.path}", problem.text) for problem in target_problems(integration)
    ]
    raise ConfigError("no upload target is set", problems=problems)


def target_problems(integration: Integration) -> list[Problem]:
    """Return the missing settings of the upload target, with how to set them."""
    problems = []
    if not integration.properties.accelerate_url:
        text = "is missing (or set --accelerate-url or ACCELERATE_URL)"
        problems.append(Problem("properties.accelerateUrl", text))
    if integration.properties.accelerate_key is None:
        problems.append(Problem("properties.ucvAccessKey", "is missing (or set ACCELERATE_ACCESS_KEY)"))
    return problems


def redactor_of(loaded: Sequence[Loaded]) -> Redactor:
    """Return a redactor for all secrets in these settings."""
    return Redactor(secret for one in loaded for secret in list_secrets(one.integration))
