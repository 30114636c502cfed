"""The schemas: Accelerate's published types with our additions, and the role that every operation requires.

An older and a newer generation of servers name some input types differently, so no single schema accepts the documents
of both. Each schema here is one generation's table with whatever only the other one has, and with ``extras.graphql``;
``answering.py`` executes a document against the first schema that accepts it. The input types themselves are the same
in both: only which of them an argument takes differs.
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from ariadne import MutationType, QueryType, ScalarType, SchemaBindable
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLField,
    GraphQLSchema,
    build_ast_schema,
    default_field_resolver,
    parse,
)

from rally_accelerate.accelerate.published_schemas import Server, load_table, merge, sdl
from rally_accelerate.server.graphql.execution import FORBIDDEN
from rally_accelerate.server.permissions import Actor, Role

DESCRIPTIONS = {
    "availablePlugins": "Plug-ins available for installation. Always empty: the only plug-in is built in.",
    "hasPermissions": "Whether a user has all of these permissions. Reading requires the viewer role, changing "
    "requires editor, and managing users, keys or plug-ins requires admin.",
    "integrationsByActiveState": "The enabled (`active: true`) or disabled (`active: false`) integrations of the "
    "tenant, or all integrations without `activeState`. Integrations are never archived.",
    "integrationsByTenant": "The earlier name of `integrationsByTenantId`.",
    "issue": "An issue by its Rally ObjectID, its formatted ID (such as US123) or its `_id` on this server.",
    "issueStatuses": "The distinct statuses of all issues, or of the issues of the given integrations.",
    "issues": "Issues by last update, newest first. With `internalIds`, the issues with these IDs.",
    "issuesForProjectKey": "The issues of a project, in pages. Pass `pageInfo.cursor` of a page to get the next page. "
    "The cursor is opaque.",
    "myAccessKeyMetaData": "The access keys of the user. For a system key, only that key.",
    "particleById": "A dot of a value stream. With `stageName`, only if it matches the query of that stage; with "
    "`includeTopLevelQuery: true`, only if it matches the query of the value stream.",
    "particleHistory": "The history of the issue of a dot, oldest change first.",
    "particlesByIssueId": "The stage of an issue in each value stream.",
    "particlesMatchingQuery": "The IDs of up to 500 matching dots, by last update, newest first.",
    "productBuild": "The version. There are no separate build numbers.",
    "vsmVersions": "The versions of a value stream with their changes, newest first.",
    "workflow": "A value stream, or an earlier version of it. Lead and cycle times name their stages; their values are "
    "null.",
    "deletePlugin": "Not supported: the plug-in is built in.",
    "editIntegrations": "Enables or disables several integrations. If one of them doesn't exist, none is changed.",
    "installPlugin": "Not supported: the plug-in is built in.",
    "restoreIntegration": "Returns the integration if it exists. Removed integrations can't be restored.",
    "setIntegrationResyncData": "Makes the next scheduled sync a full resync. To start a full resync immediately, use "
    "`resyncIntegration`.",
    "setIntegrationVersion": "Accepts only `latest` and the built-in version.",
    "updateIssues": "Sets values of issues and returns their `_id`s. The next upload of an issue overwrites them "
    "(assumed), so change the value in Rally as well.",
    "updateMetricsBar": "Stores the metrics bar of a value stream. Charts are not supported.",
    "updatePluginsIndex": "Always returns true: there is no index to update.",
    "uploadIssueData": "Stores issues. An existing issue is replaced, including its history.",
    "uploadMetrics": "Not supported: this server doesn't store metrics.",
    "uploadMetricsFile": "Not supported: this server doesn't store metrics.",
    "upsertVSMRelease": "Not supported: releases are part of the issues that belong to them.",
}


DATE = ScalarType("Date")
JSON = ScalarType("JSON")
PLUGIN_PROP_VALUE = ScalarType("PluginPropValue")

SCALARS = (DATE, JSON, PLUGIN_PROP_VALUE)

#: Values inside each other: what is written into answers and tables must be readable again everywhere.
MAX_JSON_DEPTH = 100

#: The numbers that JSON's readers agree on.
MAX_JSON_INT = 2**63 - 1

#: The years 1 to 9999 in epoch milliseconds: no calendar shows others.
#: More digits than any such instant has.
MAX_DIGITS = 20
FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999


@DATE.value_parser
def parse_date(value: Any) -> int:
    """Parse a date into epoch milliseconds within the years 1 to 9999.

    Raises:
        ValueError: It is no such instant.
    """
    result = parse_any_date(value)
    if not FIRST_MS <= result <= LAST_MS:
        raise ValueError("Date must lie in the years 1 to 9999")
    return result


def parse_any_date(value: Any) -> int:
    """Parse epoch milliseconds from any form that real plug-ins send (accelerate-api-notes.md#dates-in-uploads).

    Raises:
        ValueError: The value has another form.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return round(value)
    if isinstance(value, str):
        text = value.strip()
        if text.lstrip("-").isdecimal() and len(text) <= MAX_DIGITS:
            return int(text)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return round(aware.timestamp() * 1000)
    raise ValueError("Date must be epoch milliseconds, as a number or as text, or an ISO 8601 text")


@DATE.serializer
def serialize_date(value: Any) -> Any:
    """Return epoch milliseconds as a number; which form the vendor's server answers is not known."""
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value


@JSON.serializer
@PLUGIN_PROP_VALUE.serializer
def serialize_json(value: Any) -> Any:
    """Any value as it is."""
    return value


@JSON.value_parser
@PLUGIN_PROP_VALUE.value_parser
def parse_json(value: Any) -> Any:
    """Any value as it is.

    Raises:
        ValueError: Not every reader of JSON could read it.
    """
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        if not level:
            return value
        level = [inner for item in level for inner in _check_and_list_members(item)]
    raise ValueError(f"JSON must not be nested deeper than {MAX_JSON_DEPTH} levels")


def _check_and_list_members(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case int() if not -MAX_JSON_INT - 1 <= value <= MAX_JSON_INT:
            raise ValueError("JSON must not hold whole numbers of more than 64 bits")
        case float() if not math.isfinite(value):
            raise ValueError("JSON must not hold numbers without an end")
        case _:
            return ()


ROLES = {
    "issue": Role.VIEWER,
    "issues": Role.VIEWER,
    "issuesForProjectKey": Role.VIEWER,
    "issueStatuses": Role.VIEWER,
    "integrationById": Role.VIEWER,
    "integrationByName": Role.VIEWER,
    "integrationsByTenant": Role.VIEWER,
    "integrationsByTenantId": Role.VIEWER,
    "integrationExecutionById": Role.VIEWER,
    "integrationsByIds": Role.VIEWER,
    "integrationsByType": Role.VIEWER,
    "integrationsByCategory": Role.VIEWER,
    "integrationsByActiveState": Role.VIEWER,
    "plugins": Role.VIEWER,
    "availablePlugins": Role.VIEWER,
    "latestPluginByPluginId": Role.VIEWER,
    "productVersion": Role.VIEWER,
    "productBuild": Role.VIEWER,
    "uploadIssueData": Role.EDITOR,
    "updateIssues": Role.EDITOR,
    "addIntegration": Role.EDITOR,
    "editIntegration": Role.EDITOR,
    "editIntegrations": Role.EDITOR,
    "removeIntegration": Role.EDITOR,
    "restoreIntegration": Role.EDITOR,
    "setIntegrationVersion": Role.EDITOR,
    "setIntegrationResyncData": Role.EDITOR,
    "updateIntegrationDisabledFlag": Role.EDITOR,
    "resyncIntegration": Role.EDITOR,
    "updateScheduledEventStates": Role.EDITOR,
    "updateIntegrationState": Role.EDITOR,
    "bulkDataRemovalByIntegration": Role.EDITOR,
    "workflow": Role.VIEWER,
    "workflowsForTenant": Role.VIEWER,
    "workflowIdByPipelineId": Role.VIEWER,
    "vsmVersions": Role.VIEWER,
    "particlesByStage": Role.VIEWER,
    "particleById": Role.VIEWER,
    "particlesByIssueId": Role.VIEWER,
    "particlesMatchingQuery": Role.VIEWER,
    "particleHistory": Role.VIEWER,
    "createValueStream": Role.EDITOR,
    "updateWorkflow": Role.EDITOR,
    "editValueStream": Role.EDITOR,
    "deleteValueStream": Role.EDITOR,
    "updateMetricsBar": Role.EDITOR,
    "uploadMetrics": Role.EDITOR,
    "uploadMetricsFile": Role.EDITOR,
    "upsertVSMRelease": Role.EDITOR,
    # Everybody's own; of another user's key the resolver asks for more.
    "createMyUserAccessKey": Role.VIEWER,
    "deleteUserAccessKey": Role.VIEWER,
    "myAccessKeyMetaData": Role.VIEWER,
    "hasPermissions": Role.VIEWER,
}


def get_required_role(operation: str) -> Role:
    """Return the role that an operation requires."""
    return ROLES.get(operation, Role.ADMIN)


EXTRAS = Path(__file__).with_name("extras.graphql")

#: The newer generation first: introspection describes it, and most documents are valid for both.
ORDER = (Server.B, Server.A)


def build_schemas(query: QueryType, mutation: MutationType, *bound: SchemaBindable) -> tuple[GraphQLSchema, ...]:
    """Make the schemas, in the order in which they are tried, with the resolvers that were attached."""
    schemas = []
    for server in ORDER:
        # The types are part of the package, and the tests validate them: a start need not.
        schema = build_ast_schema(load_document(server), assume_valid=True, assume_valid_sdl=True)
        for item in (query, mutation, *SCALARS, *bound):
            item.bind_to_schema(schema)
        _prepare_operations(schema)
        schemas.append(schema)
    return tuple(schemas)


@cache
def load_document(server: Server) -> DocumentNode:
    """Return the types of one server generation with ours, parsed once in a process."""
    (other,) = (item for item in ORDER if item is not server)
    types = sdl(merge(load_table(server), load_table(other)))
    return parse(f"{types}\n{EXTRAS.read_text(encoding='utf-8')}", no_location=True)


def _prepare_operations(schema: GraphQLSchema) -> None:
    """Describe every operation, and make each check the caller's role: a resolver cannot forget it."""
    for root in (schema.query_type, schema.mutation_type):
        for name, field in root.fields.items() if root else ():
            field.description = DESCRIPTIONS.get(name)
            field.resolve = _require_role(field, get_required_role(name), name)


def _require_role(field: GraphQLField, role: Role, operation: str) -> Any:
    resolve = field.resolve or default_field_resolver

    def resolve_with_role(parent: Any, info: Any, **arguments: Any) -> Any:
        actor: Actor = info.context["actor"]
        if not actor.may(role):
            raise GraphQLError(
                f"{operation} needs the role {role.word}; {actor.name} is {actor.role.word}",
                extensions={"code": FORBIDDEN},
            )
        return resolve(parent, info, **arguments)

    return resolve_with_role
