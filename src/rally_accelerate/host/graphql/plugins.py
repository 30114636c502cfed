"""Operations on plug-ins: this host has one, the connector itself, inside."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from ariadne import MutationType, ObjectType, QueryType
from graphql import GraphQLError

from rally_accelerate import __version__
from rally_accelerate.config.model import PLUGIN_ID
from rally_accelerate.host.stores import Stores

#: What the container prints (plugin/manifest.py); the host may not import the plug-in, but tells the same of it.
MANIFEST = Path(__file__).parents[2] / "plugin" / "manifest.json"

#: Of every version: there is never more than one.
ITS_ID = "000000000000000000000001"


@cache
def plugin() -> Mapping[str, Any]:
    """The built-in plug-in in the vendor's shape."""
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return {
        "_id": ITS_ID,
        "pluginId": manifest["pluginId"],
        "displayName": manifest["displayName"],
        "description": manifest["description"],
        "docUrl": manifest.get("docUrl"),
        "properties": {
            "name": manifest["pluginId"],
            "displayName": manifest["displayName"],
            "fields": manifest["properties"],
        },
        "qualityHandlers": manifest["qualityHandlers"],
        "scheduledEvents": manifest["scheduledEvents"],
        "automationTasks": manifest["automationTasks"],
        "endpoints": manifest["endpoints"],
        "pipelineDefinition": None,
        "image": image(),
        "releaseDate": datetime.fromtimestamp(MANIFEST.stat().st_mtime, UTC).date().isoformat(),
        # Which key of the manifest it is made of is strongly suggested, not seen
        # (accelerate-api-notes.md#link-patterns).
        "vsmLinkRuleDefaultRegex": manifest["idRegExp"],
        "categories": manifest["categories"],
        "features": manifest["features"],
        "version": __version__,
    }


def image() -> str:
    """The name that an image of this version has; none is needed here."""
    return f"{PLUGIN_ID}:{__version__}"


def bind(query: QueryType, mutation: MutationType, stores: Stores) -> list[ObjectType]:
    """Attach the resolvers."""
    integration_type = ObjectType("Integration")

    @integration_type.field("plugin")
    def its_plugin(parent: Mapping[str, Any], _: Any) -> Mapping[str, Any] | None:
        return plugin() if parent["pluginId"] == PLUGIN_ID else None

    @query.field("plugins")
    def plugins(_: Any, __: Any, configurable: bool | None = None) -> list[Mapping[str, Any]]:
        # Its integrations are made by filling in a form, so it is of the configurable ones.
        return [] if configurable is False else [plugin()]

    @query.field("availablePlugins")
    def available(_: Any, __: Any) -> list[Mapping[str, Any]]:
        return []

    @query.field("latestPluginByPluginId")
    def latest(_: Any, __: Any, pluginId: str) -> Mapping[str, Any] | None:
        return plugin() if pluginId == PLUGIN_ID else None

    @query.field("productBuild")
    def build(_: Any, __: Any) -> str:
        return __version__

    @mutation.field("installPlugin")
    def install(_: Any, __: Any, **___: Any) -> NoReturn:
        raise GraphQLError(
            f"this host runs its built-in plug-in {PLUGIN_ID} {__version__} alone: no image can be installed. "
            "Plug-ins that run elsewhere may upload to it with an access key"
        )

    @mutation.field("deletePlugin")
    def delete(_: Any, __: Any, _id: str) -> NoReturn:
        if _id not in {ITS_ID, PLUGIN_ID}:
            raise GraphQLError(f"there is no plug-in {_id}")
        raise GraphQLError(f"{PLUGIN_ID} is built into this host and cannot be deleted: disable its integrations")

    @mutation.field("updatePluginsIndex")
    def update_index(_: Any, __: Any) -> bool:
        return True

    @mutation.field("setIntegrationVersion")
    async def set_version(_: Any, __: Any, integrationId: str, version: str | None = None) -> str:
        found = await stores.integrations.by_id(integrationId)
        if found is None:
            raise GraphQLError(f"there is no integration {integrationId}")
        if version not in {None, "latest", __version__}:
            raise GraphQLError(f"there is no version {version}: this host runs {__version__}")
        return __version__

    return [integration_type]
