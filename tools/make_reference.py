"""Write the reference pages from the code; with ``--check``, fail when they differ from it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from ariadne import MutationType, QueryType
from graphql import GraphQLArgument, print_ast

from rally_accelerate.cli.main import commands
from rally_accelerate.config.model import DEFAULT_KINDS, DEFAULT_TYPES, Integration, Properties
from rally_accelerate.server.graphql import execution
from rally_accelerate.server.graphql.endpoint import MAX_BYTES
from rally_accelerate.server.graphql.schema import build_schemas, get_required_role
from rally_accelerate.server.value_streams.document import TABLES

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def settings() -> str:
    """The settings page."""
    lines = [
        "# Settings",
        "",
        "This page lists the settings of an integration in a JSON file. The case of property names doesn't matter.",
        "The labels are those of the form in the browser. Types are the property types of Accelerate: a value of type",
        "`Secure` is a secret, and an `Array` is a JSON list or a comma-separated text.",
        "",
        "## Integration",
        "",
    ]
    for name, field in Integration.model_fields.items():
        if field.description:
            lines += [f"### {field.alias or name}", "", _plain(field.description), ""]
    lines += ["## Properties", ""]
    for name, field in Properties.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict):
            default = _default(field.get_default(call_default_factory=True))
            lines += [f"### {field.alias or name}", "", _plain(field.description or ""), ""]
            lines += [f"- Label: {extra['label']}", f"- Type: {extra['kind']}"]
            lines += [f"- Default: `{default}`"] if default else []
            lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def reference_of_commands() -> str:
    """The commands page."""
    lines = ["# Commands", ""]
    for name, command in _every(commands):
        path = f"rally-accelerate {name}".strip()
        with click.Context(command, info_name=path, max_content_width=100, terminal_width=100) as context:
            lines += [f"## {path}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(lines)


def _every(group: click.Group, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """A group and everything in it, by the words that call it."""
    yield name, group
    for word, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _every(command, f"{name} {word}".strip())
        else:
            yield f"{name} {word}".strip(), command


def operations() -> str:
    """The page on the host's GraphQL operations."""
    schema, _ = build_schemas(QueryType(), MutationType())
    lines = [
        "# GraphQL operations",
        "",
        "The server provides a GraphQL API at `POST /release-events-api/graphql`. Send a JSON object with `query`,",
        "`variables` and `operationName`, and the headers `Authorization: UserAccessKey …` (or `Bearer …`) and",
        "`Content-Type: application/json`.",
        "",
        "Names and types are those of HCL Accelerate. Every document that is valid for an older server (4.x) or a",
        "newer one (5.x) is accepted. Where the two use different type names, such as `PaginationInput` and",
        "`InsightsPaginationInput`, the server uses the types that the document names. This page and introspection",
        "show the newer names. Data that this server doesn't store, such as builds and deployments, is null or an",
        "empty list. Unsupported operations return an error that says so.",
        "",
        "The following fields of an issue are specific to this server: `history`, `comments`, `rawIssue`, `relations`",
        "and `additionalInfo`.",
        "",
        "Errors are returned as `errors` with HTTP status 200. Each has a `message` that describes the problem and its",
        "location. Other status codes: 400 invalid request, 401 invalid key, 413 request too large, 415 unsupported",
        "content type, 503 timeout.",
        "",
        "| Limit | Per request |",
        "|---|---|",
        f"| Size | {MAX_BYTES:,} bytes, including at most {execution.MAX_CHARACTERS:,} characters of query text |",
        f"| Values | {execution.MAX_VALUES:,}, by commas; at most {execution.MAX_ERRORS} errors are shown |",
        f"| Operations | {execution.MAX_ROOT_FIELDS}, including aliases; batched requests are not supported |",
        f"| Fields | {execution.MAX_FIELDS}, with fragments expanded |",
        f"| Depth | {execution.MAX_DEPTH} levels |",
        f"| Elements of a list argument | {execution.MAX_ELEMENTS:,} |",
        f"| Time | {execution.TIMEOUT_SECONDS:g} seconds |",
        "",
        "You can also upload issues with `POST /release-events-api/api/v1/issues` and the same key. The body is the",
        'variable of `uploadIssueData`. The response is `{"result": true}`, or status 400 with `errors`.',
    ]
    for title, root in (("Queries", schema.query_type), ("Mutations", schema.mutation_type)):
        lines += ["", f"## {title}", "", "| Operation | Returns | Role | Description |", "|---|---|---|---|"]
        for name, field in sorted(root.fields.items() if root else ()):
            given = ", ".join(f"{each}: {argument.type}{_usual(argument)}" for each, argument in field.args.items())
            call = f"`{name}({given})`" if given else f"`{name}`"
            lines.append(
                f"| {call} | `{field.type}` | {get_required_role(name).word} | {_cell(field.description or '')} |"
            )
    return "\n".join(lines) + "\n"


def _usual(argument: GraphQLArgument) -> str:
    """What holds when it is left out."""
    usual = argument.ast_node.default_value if argument.ast_node else None
    return f" = {print_ast(usual)}" if usual is not None else ""


#: What stands above each table of a value stream's file.
HEADINGS = {
    "": "Value stream",
    "phases[]": "Phase",
    "phases[].stages[]": "Stage",
    "phases[].stages[].gates[]": "Gate",
    "leadTime": "Times: `leadTime`, `cycleTime`, `leadTimeChange`, `devCycleTime`",
    "mappings": "Mappings",
    "integrations[]": "Integration",
    "linkRules[]": "Link rule",
    "metrics[]": "Metric",
    "metrics[].properties": "Metric settings",
    "metricsBar[]": "Metrics bar entry",
}


INTRODUCTION = """
This page describes the file that you get with **Download JSON** and upload with **Import JSON**. The format is the one
of HCL Accelerate as far as it is public; the text says where a rule is specific to this server. Unknown keys are
preserved at every level and returned in downloads. If the file has errors, such as invalid JSON, a duplicate key or an
invalid query, each error is reported with its path, line and column, and nothing is changed.

Each item appears once, in the last stage whose query it matches. (This rule is specific to this server; the rule of HCL
Accelerate is not public.) A stage without a query has no items. Work is done at the end of the lead time: items in that
stage and in later ones show no alerts, unless the stage has `showAlerts: true`.

## Integrations in the file

A complete entry (with `properties`) adds an integration, or replaces the settings of the integration with the same
tenant and name. The integration then appears on the Integrations page and runs. Its properties are described in
[Settings](settings.md); the case of their names doesn't matter. An entry with only a `name` refers to an existing
integration. `${VARIABLES}` are read only in files passed on the command line.

Secrets are `****` in every download. If you import a `****`, the stored secret is kept, unless the import would send it
to a different address: in that case, enter the secret again.

Integrations of other plug-ins are stored encrypted and don't run on this server. If a secret of such an integration is
masked because the file comes from another server, it is recorded as missing. Removing an entry from the file doesn't
delete the integration.

An empty list means every integration of the tenant, including integrations that are added later. A list with entries
means only those integrations. If the value stream shows all integrations, the downloaded file lists their names, so
that adding an entry to the file doesn't hide the others; if you import that file unchanged, the value stream still
shows all integrations. The preview of an import shows which items would be hidden and lets you keep them.
"""


def value_stream() -> str:
    """The page on the value stream's file."""
    lines = [
        "# Value stream JSON file",
        "",
        *INTRODUCTION.strip().splitlines(),
    ]
    for table, keys in TABLES.items():
        lines += ["", f"## {HEADINGS[table]}", "", "| Key | Description |", "|---|---|"]
        for name, key in keys.items():
            needed = " Required." if key.required else ""
            lines.append(f"| `{name}` | {_cell(key.meaning)}{needed} |")
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Every page by its path."""
    return {
        REFERENCE / "settings.md": settings(),
        REFERENCE / "commands.md": reference_of_commands(),
        REFERENCE / "graphql.md": operations(),
        REFERENCE / "value-stream-json.md": value_stream(),
    }


def _default(value: object) -> str:
    if value in (None, "", (), {}):
        return ""
    if value == DEFAULT_KINDS:
        value = DEFAULT_TYPES
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(f"{item:.0%}" if isinstance(item, float) else str(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(text: str) -> str:
    """Text of a paragraph: what looks like an element of HTML is none."""
    return text.replace("<", "&lt;")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for page, text in pages().items():
        if "--check" in sys.argv:
            if not page.exists() or page.read_text() != text:
                sys.exit(f"{page.name} differs from the code; run: python tools/make_reference.py")
        else:
            page.write_text(text)
