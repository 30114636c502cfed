"""The settings of one integration, for all interfaces.

The plug-in manifest, the web form, the example file and the reference page are made from this model. Property names,
order and meaning of the first ten are those of the plug-in's public page; the rest are ours and hidden by default.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    model_validator,
)

from rally_accelerate.config.item_queries import as_query
from rally_accelerate.config.response_limit import check_answer_limit
from rally_accelerate.config.value_parsers import (
    as_base_url,
    as_boolean,
    as_bundle,
    as_cap,
    as_identifier,
    as_instant,
    as_json_value,
    as_kind,
    as_level,
    as_list,
    as_name_map,
    as_proxy_server,
    as_removed_status,
    as_status_field,
    as_text,
    as_word,
)

PLUGIN_ID = "ucv-ext-rally"
DEFAULT_BASE_URL = "https://rally1.rallydev.com"
#: In every public sample of the host (accelerate-api-notes.md#tenant).
DEFAULT_TENANT = "5ade13625558f2c6688d15ce"
#: What the plug-in we replace imports (accelerate-api-notes.md#ucv-ext-rally).
DEFAULT_KINDS = ("hierarchicalrequirement", "defect")
#: The same by the names that people know: this is how forms show the default.
DEFAULT_TYPES = ("Story", "Defect")
#: More rows than this are never granted (rally-api-notes.md#paging).
LARGEST_PAGE = 2000
#: Items are large, several kilobytes each with all that they refer to; a few pages of them are in memory at once.
DEFAULT_PAGE_SIZE = 1750
#: Rally slows further requests of one user down and may disable the account (rally-api-notes.md#limits).
MOST_REQUESTS_IN_FLIGHT = 12
DEFAULT_REQUESTS_IN_FLIGHT = 6


def as_types(value: Any) -> Any:
    """Return the names of types as written; the default as a form displays it is the default."""
    names = as_list(value)
    return DEFAULT_KINDS if names == DEFAULT_TYPES else names


Text = Annotated[str, BeforeValidator(as_text)]
Key = Annotated[SecretStr, BeforeValidator(as_text)]
TextList = Annotated[tuple[str, ...], BeforeValidator(as_list)]
Flag = Annotated[bool, BeforeValidator(as_boolean)]
Level = Literal["ALL", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF"]


def define_property(label: str, kind: str, description: str, *, hidden: bool = True, inside: bool = True) -> Any:
    """Return a field with the metadata for forms (accelerate-api-notes.md#property-types).

    Args:
        label: The name shown to people.
        kind: One of the property types that every server version knows: String, Secure, Array, Boolean.
        description: The tooltip and the sentence in the reference.
        hidden: Shown only with "Show hidden properties".
        inside: Means something inside the plug-in container; what the platform gives there, and paths of files, do not.
    """
    extra: dict[str, JsonValue] = {"label": label, "kind": kind, "hidden": hidden, "inside": inside}
    return Field(description=description, json_schema_extra=extra)


class Properties(BaseModel):
    """The ``properties`` of an integration; the names are those of the JSON file.

    No other name sets a field: ``base_url`` is an unknown property, and who judges by names what a change does to a
    secret (config/secret_recipients.py) sees all that counts.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, str_strip_whitespace=True)

    api_key: Annotated[
        Key | None,
        define_property(
            "API Token",
            "Secure",
            "The API token used to authenticate with the Rally server. Specify either this or a user "
            "name and password.",
            hidden=False,
        ),
    ] = Field(None, alias="apiKey")
    projects: Annotated[
        TextList,
        define_property(
            "Projects",
            "Array",
            "The Rally projects to import, separated by commas: names, patterns such as Team *, or "
            "ObjectIDs. Leave empty to import the whole workspace.",
            hidden=False,
        ),
    ] = Field((), alias="projects")
    password: Annotated[
        SecretStr | None,
        define_property(
            "Password",
            "Secure",
            "The password used to authenticate with the Rally server. Specify either a user name and "
            "password or an API token.",
            hidden=False,
        ),
    ] = Field(None, alias="password")
    base_url: Annotated[
        Annotated[str, BeforeValidator(as_base_url)],
        define_property(
            "URL", "String", f"The URL of the Rally server. The default is {DEFAULT_BASE_URL}.", hidden=False
        ),
    ] = Field(DEFAULT_BASE_URL, alias="baseUrl")
    username: Annotated[
        Text,
        define_property(
            "User Name",
            "String",
            "The user name used to authenticate with the Rally server. Specify either a user name and "
            "password or an API token.",
            hidden=False,
        ),
    ] = Field("", alias="username")
    workspace: Annotated[
        Text,
        define_property(
            "Workspace",
            "String",
            "The Rally workspace, by name or ObjectID. Leave empty to use the default workspace of the user.",
            hidden=False,
        ),
    ] = Field("", alias="workspace")
    proxy_server: Annotated[
        Annotated[str, BeforeValidator(as_proxy_server)],
        define_property(
            "Proxy Server", "String", "The URL of the proxy server for Rally, including the port number.", hidden=False
        ),
    ] = Field("", alias="proxyServer")
    proxy_username: Annotated[
        Text,
        define_property(
            "Proxy User Name",
            "String",
            "The user name used to authenticate with the proxy server.",
            hidden=False,
        ),
    ] = Field("", alias="proxyUsername")
    proxy_password: Annotated[
        SecretStr | None,
        define_property(
            "Proxy Password",
            "Secure",
            "The password used to authenticate with the proxy server.",
            hidden=False,
        ),
    ] = Field(None, alias="proxyPassword")
    accelerate_key: Annotated[
        Key | None,
        define_property(
            "User Access Key",
            "Secure",
            "The user access key used to authenticate with the HCL Accelerate server. Newer servers "
            "create one for each integration.",
        ),
    ] = Field(None, alias="ucvAccessKey")
    team_id: Annotated[
        Annotated[str, BeforeValidator(as_identifier)],
        define_property(
            "Team",
            "String",
            "The team in Accelerate that owns the integration. Stored for newer servers; not sent with issues.",
        ),
    ] = Field("", alias="teamId")
    teamspace_id: Annotated[
        Annotated[str, BeforeValidator(as_identifier)],
        define_property(
            "Teamspace",
            "String",
            "The teamspace in Accelerate that owns the integration. Stored for newer servers; not sent with issues.",
        ),
    ] = Field("", alias="teamspaceId")
    no_proxy: Annotated[
        TextList,
        define_property(
            "Proxy exceptions",
            "Array",
            "Servers to reach without the proxy, separated by commas: hosts, domains, IP addresses or "
            "networks such as 10.0.0.0/8. Use * for all servers.",
        ),
    ] = Field((), alias="noProxy")
    accelerate_url: Annotated[
        Annotated[str, BeforeValidator(as_text)],
        define_property(
            "Accelerate URL",
            "String",
            "The URL of the Accelerate server. Not needed in the plug-in container, where Accelerate provides it.",
            inside=False,
        ),
    ] = Field("", alias="accelerateUrl")
    tracker_id: Annotated[
        Text,
        define_property(
            "Tracker ID",
            "String",
            "The ID of the Accelerate integration that owns the issues. Leave empty to find it by the "
            "name of the integration, or to generate it from the name.",
            inside=False,
        ),
    ] = Field("", alias="trackerId")
    include_child_projects: Annotated[
        Flag,
        define_property("Include child projects", "Boolean", "Also import the child projects of the listed projects."),
    ] = Field(False, alias="includeChildProjects")
    query: Annotated[
        Annotated[str | dict[str, str], BeforeValidator(as_query)],
        define_property(
            "Filter",
            "String",
            "A query in Rally's query language that work items must match, such as (Iteration.Name = "
            '"Sprint 1"). For a separate filter per type, enter one per line: Defect: (Priority = '
            '"High").',
        ),
    ] = Field("", alias="query")
    types: Annotated[
        Annotated[tuple[str, ...], BeforeValidator(as_types)],
        define_property(
            "Types",
            "Array",
            "The types of work items to import, separated by commas, as shown in Rally: Story, Defect, "
            "Task, Test Case, Feature or any other portfolio level. Leave empty to import stories and "
            "defects.",
        ),
    ] = Field(DEFAULT_KINDS, alias="types")
    type_names: Annotated[
        Annotated[dict[str, str], BeforeValidator(as_name_map)],
        define_property(
            "Type names",
            "String",
            'Names of types in Accelerate, as JSON: {"Story": "User Story"}.',
        ),
    ] = Field(default_factory=dict, alias="typeNames")
    field_mapping: Annotated[
        Annotated[Any, BeforeValidator(as_json_value)],
        define_property(
            "Field mapping",
            "String",
            "Custom mapping rules, as JSON: a list of {type, fieldMapping, valueMapping}.",
        ),
    ] = Field(None, alias="fieldMapping")
    custom_fields: Annotated[
        TextList,
        define_property(
            "Custom fields",
            "Array",
            "Additional Rally fields to import with their history, separated by commas, by display "
            "name or API name. Query them as issue.rawIssue.<name>.",
        ),
    ] = Field((), alias="customFields")
    defect_status: Annotated[
        Annotated[Literal["ScheduleState", "State"], BeforeValidator(as_status_field)],
        define_property(
            "Defect status field",
            "String",
            "The Rally field that sets the status of a defect: ScheduleState (as for stories) or "
            "State. The other field is available in the raw issue.",
        ),
    ] = Field("ScheduleState", alias="defectStatus")
    initial_sync_date: Annotated[
        Annotated[datetime | None, BeforeValidator(as_instant)],
        define_property(
            "Initial sync date",
            "String",
            "Import only work items that changed on or after this date, with their full history. If "
            "you move the date back later, the additional items are imported. Leave empty to import all items.",
        ),
    ] = Field(None, alias="initialSyncDate")
    removed_status: Annotated[
        Annotated[tuple[str, ...], BeforeValidator(as_removed_status)],
        define_property(
            "Removed status",
            "Array",
            "The status for deleted items and for items that are no longer in scope, separated by a "
            "comma. Enter keep to leave their status unchanged.",
        ),
    ] = Field(("Deleted", "Moved out"), alias="removedStatus")
    removal_cap: Annotated[
        Annotated[tuple[int, float], BeforeValidator(as_cap)],
        define_property(
            "Removal limit",
            "String",
            "Safety limit for a single sync, such as 5%, 50. If more items than both numbers would be "
            "marked as removed, none are marked until you approve the removal.",
        ),
    ] = Field((50, 0.05), alias="removalCap")
    removal_check_hours: Annotated[
        float,
        define_property(
            "Removal check interval",
            "String",
            "How often to scan for moved or hidden items, in hours. Every sync checks for deleted items.",
        ),
    ] = Field(24.0, ge=0, le=24 * 365, alias="removalCheckHours")
    approve_removal: Annotated[
        Flag,
        define_property("Approve removal", "Boolean", "Mark items as removed even if they exceed the removal limit."),
    ] = Field(False, alias="approveRemoval")
    history_source: Annotated[
        Annotated[Literal["auto", "lookback", "revisions", "none"], BeforeValidator(as_word)],
        define_property(
            "History source",
            "String",
            "Where to read the history of work items: lookback, revisions, none, or auto, which uses "
            "Lookback and falls back to revisions.",
        ),
    ] = Field("auto", alias="historySource")
    comments: Annotated[Flag, define_property("Comments", "Boolean", "Import discussion posts as comments.")] = Field(
        True, alias="comments"
    )
    relations: Annotated[
        Flag, define_property("Relations", "Boolean", "Import parents, children, predecessors, successors and epics.")
    ] = Field(True, alias="relations")
    newer_fields: Annotated[
        Flag,
        define_property(
            "Newer fields",
            "Boolean",
            "Also send resolved, resolution, severity, impact, businessValue and additionalInfo. "
            "Requires Accelerate 5 or later (approximately); older servers reject uploads with these fields.",
        ),
    ] = Field(False, alias="newerFields")
    ca_bundle: Annotated[
        Annotated[str, BeforeValidator(as_bundle)],
        define_property(
            "CA bundle",
            "String",
            "Additional certificate authorities to trust: the path of a PEM file, or the certificates themselves.",
        ),
    ] = Field("", alias="caBundle")
    client_certificate: Annotated[
        Text,
        define_property(
            "Client certificate",
            "String",
            "Path of a PEM file with the client certificate, and optionally its private key.",
            inside=False,
        ),
    ] = Field("", alias="clientCertificate")
    client_key: Annotated[
        Text,
        define_property(
            "Client key",
            "String",
            "Path of the private key of the client certificate, if it is in a separate file.",
            inside=False,
        ),
    ] = Field("", alias="clientKey")
    client_key_password: Annotated[
        SecretStr | None,
        define_property(
            "Client key password", "Secure", "The password of the private key of the client certificate.", inside=False
        ),
    ] = Field(None, alias="clientKeyPassword")
    verify_tls: Annotated[
        Flag,
        define_property(
            "Verify TLS",
            "Boolean",
            "Verify TLS certificates. If disabled, anyone on the network path can read the keys; every "
            "sync logs a warning.",
        ),
    ] = Field(True, alias="verifyTls")
    verify_accelerate_tls: Annotated[
        Flag,
        define_property(
            "Verify Accelerate TLS",
            "Boolean",
            "Verify the certificate of the Accelerate server. Disable it only for a self-signed "
            "certificate that you can't add as CA bundle. Does not affect Rally.",
        ),
    ] = Field(True, alias="verifyAccelerateTls")
    max_requests_in_flight: Annotated[
        int,
        define_property(
            "Concurrent requests",
            "String",
            f"Maximum number of simultaneous requests to Rally, 1 to {MOST_REQUESTS_IN_FLIGHT}, shared by all "
            "integrations with the same Rally user.",
        ),
    ] = Field(DEFAULT_REQUESTS_IN_FLIGHT, ge=1, le=MOST_REQUESTS_IN_FLIGHT, alias="maxRequestsInFlight")
    page_size: Annotated[
        int, define_property("Page size", "String", "Maximum number of work items per request, 1 to 2000.")
    ] = Field(DEFAULT_PAGE_SIZE, ge=1, le=LARGEST_PAGE, alias="pageSize")
    overlap_minutes: Annotated[
        float,
        define_property(
            "Overlap", "String", "How far each sync looks back before the start of the previous one, in minutes."
        ),
    ] = Field(10.0, ge=0, le=7 * 24 * 60, alias="overlapMinutes")
    request_timeout_seconds: Annotated[
        float, define_property("Request timeout", "String", "Request timeout, in seconds.")
    ] = Field(150.0, gt=0, le=600, alias="requestTimeoutSeconds")
    answer_max_bytes: Annotated[
        int,
        define_property(
            "Maximum response size",
            "String",
            "Maximum size of one response from Rally or Accelerate, uncompressed, in bytes. A larger "
            "response ends the sync.",
        ),
        AfterValidator(check_answer_limit),
    ] = Field(200_000_000, ge=1_000_000, le=10_000_000_000, alias="answerMaxBytes")
    retry_seconds: Annotated[
        float,
        define_property(
            "Retry time limit",
            "String",
            "Total time that a sync can spend on retries before it fails, in seconds.",
        ),
    ] = Field(90.0, ge=0, le=24 * 3600, alias="retrySeconds")
    upload_max_items: Annotated[
        int, define_property("Issues per upload", "String", "Maximum number of issues in one upload.")
    ] = Field(500, ge=1, le=10_000, alias="uploadMaxItems")
    upload_max_bytes: Annotated[
        int, define_property("Bytes per upload", "String", "Maximum size of one upload, in bytes.")
    ] = Field(4_000_000, ge=10_000, le=100_000_000, alias="uploadMaxBytes")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The wire names of the types, if they are known without a request to Rally."""
        return tuple(dict.fromkeys(as_kind(type_name) for type_name in self.types)) or DEFAULT_KINDS

    @model_validator(mode="after")
    def _credentials(self) -> "Properties":
        if self.api_key is None and not (self.username and self.password):
            if self.username or self.password:
                missing = "password" if self.username else "username"
                raise ValueError(f"{missing} is missing; give username and password together, or an apiKey")
            raise ValueError("no credentials; give an apiKey, or username and password")
        if self.proxy_username and not self.proxy_server:
            raise ValueError("proxyUsername is given without proxyServer")
        return self


class Integration(BaseModel):
    """One element of the ``integrations`` section of a value stream's JSON file.

    See accelerate-api-notes.md#integrations-in-the-file.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, str_strip_whitespace=True)

    name: str = Field(min_length=1, description="The name of the integration. It must be unique on the server.")
    type: Literal["ucv-ext-rally"] = Field("ucv-ext-rally", description="The ID of the plug-in.")
    id: Text = Field("", alias="_id", description="The ID of the integration, present in downloaded files.")
    tenant_id: Text = Field(DEFAULT_TENANT, alias="tenant_id", description="The tenant that owns the issues.")
    logging_level: Annotated[Level, BeforeValidator(as_level)] = Field(
        "INFO", alias="loggingLevel", description="The log level: all, trace, debug, info, warn, error, fatal or off."
    )
    disabled: Flag = Field(
        False, alias="disabled", description="Whether the integration is disabled. A disabled integration doesn't run."
    )
    properties: Properties


__all__ = ["DESCRIPTION", "DISPLAY_NAME", "EVENT", "EVENT_DESCRIPTION", "INTERVAL_MINUTES", "PLUGIN_ID"]

DISPLAY_NAME = "Rally"

DESCRIPTION = (
    "Imports stories, defects and other work items from a Rally server as issues, with their full history, and keeps "
    "them up to date."
)

#: The one scheduled event (accelerate-api-notes.md#ucv-ext-rally).
EVENT = "syncRallyDataEvent"

EVENT_DESCRIPTION = (
    "Queries the Rally server for stories and defects to import into HCL Accelerate issues. If the Rally data already "
    "exists as an issue, the issue is updated."
)

INTERVAL_MINUTES = 5
