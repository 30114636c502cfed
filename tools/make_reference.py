"""Write the reference pages from the code; with ``--check``, fail when they differ from it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from ariadne import MutationType, QueryType
from graphql import GraphQLArgument, print_ast

from rally_accelerate.cli.main import commands
from rally_accelerate.config.model import Integration, Properties
from rally_accelerate.host.graphql import limits
from rally_accelerate.host.graphql.endpoint import MOST_BYTES
from rally_accelerate.host.graphql.roles import needed
from rally_accelerate.host.graphql.schema import made
from rally_accelerate.host.streams.keys import TABLES

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def settings() -> str:
    """The settings page."""
    lines = [
        "# Settings",
        "",
        "An integration in the JSON file. Names of properties are understood in any case.",
        "",
        "## The integration",
        "",
        "| name | meaning |",
        "|---|---|",
    ]
    for name, field in Integration.model_fields.items():
        if field.description:
            lines.append(f"| `{field.alias or name}` | {_cell(field.description)} |")
    lines += [
        "",
        "## Its properties",
        "",
        "| name | label | type | default | meaning |",
        "|---|---|---|---|---|",
    ]
    for name, field in Properties.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict):
            default = _default(field.get_default(call_default_factory=True))
            cells = (extra["label"], extra["kind"], default, field.description or "")
            lines.append(f"| `{field.alias or name}` | " + " | ".join(_cell(str(cell)) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


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
    schema, _ = made(QueryType(), MutationType())
    lines = [
        "# GraphQL operations of the embedded host",
        "",
        "`POST /release-events-api/graphql` with `Authorization: UserAccessKey …` (or `Bearer …`) and",
        '`Content-Type: application/json`: `{"query": …, "variables": …, "operationName": …}`.',
        "",
        "Names and types are those that HCL Accelerate publishes, of older servers (4.x) and newer ones (5.x)",
        "together: every document that is valid for one of them is accepted here. Where the two name a type",
        "differently, such as `PaginationInput` and `InsightsPaginationInput`, a document is executed by those that",
        "it uses. This page and introspection show the newer ones. What this server does not hold, such as builds and",
        "deployments, is null or an empty list. Operations outside its purpose answer an error that says so.",
        "",
        "Issues have these fields here and nowhere else: `history`, `comments`, `rawIssue`, `relations` and",
        "`additionalInfo`.",
        "",
        "Errors come as `errors` in an answer with status 200, each with a `message` that says what is wrong and",
        "where. 400 is what is no question, 401 a wrong key, 413 too large a request, 415 another content type, 503 a",
        "question that took too long.",
        "",
        "| bound | of one request |",
        "|---|---|",
        f"| size | {MOST_BYTES:,} bytes, and {limits.MOST_CHARACTERS:,} characters of the question itself |",
        f"| values | {limits.MOST_VALUES:,}, by their commas; of mistakes, the first {limits.MOST_ERRORS} are told |",
        f"| operations | {limits.MOST_ROOTS}, aliases counted; several questions in one request are not taken |",
        f"| fields | {limits.MOST_FIELDS}, with every fragment put in |",
        f"| depth | {limits.DEEPEST} levels |",
        f"| elements of a list argument | {limits.MOST_ELEMENTS:,} |",
        f"| time | {limits.SECONDS:g} seconds |",
        "",
        "`POST /release-events-api/api/v1/issues` with the same key takes the variable of `uploadIssueData` as its",
        'body, and answers `{"result": true}`, or 400 with `errors`.',
    ]
    for title, root in (("Questions", schema.query_type), ("Changes", schema.mutation_type)):
        lines += ["", f"## {title}", "", "| operation | answer | role | |", "|---|---|---|---|"]
        for name, field in sorted(root.fields.items() if root else ()):
            given = ", ".join(f"{each}: {argument.type}{_usual(argument)}" for each, argument in field.args.items())
            call = f"`{name}({given})`" if given else f"`{name}`"
            lines.append(f"| {call} | `{field.type}` | {needed(name).word} | {_cell(field.description or '')} |")
    return "\n".join(lines) + "\n"


def _usual(argument: GraphQLArgument) -> str:
    """What holds when it is left out."""
    usual = argument.ast_node.default_value if argument.ast_node else None
    return f" = {print_ast(usual)}" if usual is not None else ""


#: What stands above each table of a value stream's file.
HEADINGS = {
    "": "The value stream",
    "phases[]": "A phase",
    "phases[].stages[]": "A stage",
    "phases[].stages[].gates[]": "A gate",
    "leadTime": "A time: `leadTime`, `cycleTime`, `leadTimeChange`, `devCycleTime`",
    "mappings": "Mappings",
    "integrations[]": "An integration",
    "linkRules[]": "A link rule",
    "metrics[]": "A metric",
    "metrics[].properties": "The settings of a metric",
    "metricsBar[]": "An entry of the metrics bar",
}


INTRODUCTION = """
What *Download JSON* gives and *Import JSON* takes. It is HCL Accelerate's file, as far as that is public; what is a
rule of this host says so. Keys that are not named here are kept and come back as they were, at every level. A text
that is no JSON, a key that is there twice, a query that cannot be read: every fault is told with its path, its line
and its column, and nothing is changed as long as there is one.

An item is shown once: in the last stage whose query it matches (a rule of this host; the vendor's is not public). A
stage without a query holds nothing. Where the lead time ends, and after it, work is done: there items get no ring,
unless the stage has `showAlerts: true`.

## Integrations in the file

A whole entry (with `properties`) adds the integration, or replaces the settings of the one of the same tenant and
name; it is then listed on the Integrations page and runs. The names of its properties are those of
[settings](settings.md), in any case. An entry with a `name` alone refers to an integration that exists. Secrets are
`****` in every download. A `****` that is imported keeps the stored secret, unless the address that it is sent to
changes: then it must be entered anew. `${VARIABLES}` are only read in files that are given to the command line.
Integrations of other plug-ins are kept, encrypted, and do not run here; a secret of theirs that comes masked from
another server is kept as missing. Taking an entry out of the file leaves the integration on the Integrations page.

An empty list means every integration of the tenant, also later ones; a list with entries means only these. The download
of a value stream that shows all of them writes their names out, so that adding one to the file does not hide the
others; imported as it is, it still means all. The preview says which items an import hides, and can keep them.
"""


def value_stream() -> str:
    """The page on the value stream's file."""
    lines = [
        "# The value stream's JSON file",
        "",
        *INTRODUCTION.strip().splitlines(),
    ]
    for table, keys in TABLES.items():
        lines += ["", f"## {HEADINGS[table]}", "", "| key | meaning |", "|---|---|"]
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
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for page, text in pages().items():
        if "--check" in sys.argv:
            if not page.exists() or page.read_text() != text:
                sys.exit(f"{page.name} differs from the code; run: python tools/make_reference.py")
        else:
            page.write_text(text)
