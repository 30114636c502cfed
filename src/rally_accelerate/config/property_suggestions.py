"""Suggestions for unknown names of properties and plug-ins. No I/O."""

from collections.abc import Mapping

from rally_accelerate.config.model import PLUGIN_ID
from rally_accelerate.model.suggestions import find_similar

#: Names from other tools, by their letters and digits in lower case; likeness would lead to other properties.
_ELSEWHERE = {
    "accesskey": "ucvAccessKey",
    "useraccesskey": "ucvAccessKey",
    "velocityurl": "accelerateUrl",
    "ucvurl": "accelerateUrl",
    "key": "apiKey",
    "token": "apiKey",
    "rallyapikey": "apiKey",
    "server": "baseUrl",
    "serverurl": "baseUrl",
    "host": "baseUrl",
    "rallyurl": "baseUrl",
    "rallyserver": "baseUrl",
    "user": "username",
    "login": "username",
    "pass": "password",
    "proxy": "proxyServer",
    "proxyurl": "proxyServer",
    "proxyhost": "proxyServer",
    "proxyport": "proxyServer",
    "proxyaddress": "proxyServer",
    "useproxy": "proxyServer",
    "httpproxy": "proxyServer",
    "httpsproxy": "proxyServer",
    "proxyuser": "proxyUsername",
    "proxypass": "proxyPassword",
    "project": "projects",
    "projectnames": "projects",
    "issuetypes": "types",
    "artifacttypes": "types",
    "workitemtypes": "types",
    "filter": "query",
    "rallyquery": "query",
    "team": "teamId",
    "teamname": "teamId",
    "teamspace": "teamspaceId",
    "teamspacename": "teamspaceId",
}

#: Names less alike than this are more often another plug-in's than misspelled.
_ALIKE = 0.75
_ALIKE_TYPE = 0.88


def suggest_property(name: str, known: Mapping[str, str]) -> str:
    """Return the property that an unknown name probably means, or an empty text.

    Args:
        name: The name as written.
        known: The names of the properties by their lower-case form.
    """
    if other_name := _ELSEWHERE.get("".join(filter(str.isalnum, name[:100])).lower()):
        return other_name
    near = find_similar(name.lower(), known, n=1, cutoff=_ALIKE)
    return known[near[0]] if near else ""


def resembles_plugin(type_name: str) -> bool:
    """Return whether the type of an integration looks like a misspelling of this plug-in."""
    plain = type_name.strip().casefold()[:100]
    return type_name != PLUGIN_ID and (
        "rally" in plain or bool(find_similar(plain, [PLUGIN_ID], n=1, cutoff=_ALIKE_TYPE))
    )
