"""Model of the integration form: input, stored settings and validation. No I/O."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from rally_accelerate.config.form import FormField, find_problems, format_value, list_form_fields
from rally_accelerate.config.model import DEFAULT_BASE_URL, DEFAULT_TENANT, PLUGIN_ID
from rally_accelerate.config.secret_recipients import find_exposed_secrets
from rally_accelerate.config.value_parsers import as_list, as_proxy_server
from rally_accelerate.mapping.rules import find_rule_problems
from rally_accelerate.server.form_drafts import Draft
from rally_accelerate.server.store.integrations import StoredIntegration

#: Where the issues go is no question in the host itself: it keeps them.
_NOT_HERE = ("accelerateUrl", "trackerId")

FIELDS: tuple[FormField, ...] = tuple(setting for setting in list_form_fields() if setting.name not in _NOT_HERE)
SECURE = frozenset(setting.name for setting in FIELDS if setting.kind == "Secure")

#: A text that may be long, or is a structure, gets several lines.
LONG = frozenset({"fieldMapping", "typeNames", "query", "caBundle"})

ENVELOPE = {"name": "", "tenant_id": DEFAULT_TENANT, "loggingLevel": "INFO", "showHidden": ""}

#: Stands for the name while a nameless integration is tried out.
UNNAMED = "new integration"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormInput:
    """What stands in the form; secrets beside the rest, as they never go back to the browser."""

    values: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    #: Stored secrets that are to be forgotten.
    cleared: frozenset[str] = frozenset()


def empty() -> FormInput:
    """Return an empty form with the defaults."""
    defaults = {f"properties.{setting.name}": format_value(setting.name, setting.default) for setting in FIELDS}
    return FormInput(
        values={**ENVELOPE, **{name: text for name, text in defaults.items() if _is_public(name)}}, secrets={}
    )


def from_stored(stored: StoredIntegration) -> FormInput:
    """Return the form of a stored integration, without its secrets."""
    known = {
        f"properties.{setting.name}": format_value(setting.name, stored.properties[setting.name])
        for setting in FIELDS
        if setting.name not in SECURE and stored.properties.get(setting.name) not in (None, "")
    }
    envelope = {
        "name": stored.name,
        "tenant_id": stored.tenant_id,
        "loggingLevel": stored.logging_level,
        "showHidden": "on" if stored.show_hidden else "",
    }
    found = FormInput(values={**empty().values, **envelope, **known}, secrets={})
    server = found.values["properties.proxyServer"]
    # Credentials inside the address are secret too: as long as they are, the field shows the address alone.
    return FormInput(values={**found.values, "properties.proxyServer": _split_proxy(server)[0]}, secrets={})


def from_request(form: Mapping[str, str], draft: Draft | None) -> FormInput:
    """Return the submitted input with the secrets that its draft already has."""
    names = [name for name in empty().values if name not in ENVELOPE]
    booleans = {f"properties.{setting.name}" for setting in FIELDS if setting.kind == "Boolean"}
    values = {name: form.get(name, "").strip() for name in ENVELOPE}
    values |= {name: form.get(name, "false" if name in booleans else "").strip() for name in names}
    cleared = frozenset(name for name in SECURE if form.get(f"clear.{name}"))
    earlier = {name: text for name, text in (draft.secrets if draft else {}).items() if name not in cleared}
    typed = {name: text for name in SECURE if (text := form.get(f"properties.{name}", "").strip())}
    secrets = {**earlier, **typed}
    server, user, password = _split_proxy(values["properties.proxyServer"])
    if user:
        values["properties.proxyServer"] = server
        values["properties.proxyUsername"] = values["properties.proxyUsername"] or user
        secrets.setdefault("proxyPassword", password)
    return FormInput(values=values, secrets=secrets, cleared=cleared - typed.keys())


def kept_secrets_of(form: Mapping[str, str]) -> set[str]:
    """Secrets that were typed before the form was shown, and are to stay: they lie in its draft."""
    return {name for name in SECURE if form.get(f"held.{name}") and not form.get(f"clear.{name}")}


def from_draft(draft: Draft) -> FormInput:
    """Return the input of a draft."""
    return FormInput(values=draft.values, secrets=draft.secrets, cleared=draft.cleared)


def raw_of(typed: FormInput, stored: StoredIntegration | None) -> dict[str, Any]:
    """Return the integration in the format of the JSON file as it would be stored, with plain-text secrets."""
    known = dict(stored.properties) if stored else {}
    visible = {setting.name for setting in FIELDS}
    # What the form does not show, it does not lose.
    properties = {name: value for name, value in known.items() if name not in visible}
    for field_definition in FIELDS:
        if field_definition.kind == "Secure":
            value: Any = typed.secrets.get(field_definition.name) or (
                None if field_definition.name in typed.cleared else known.get(field_definition.name)
            )
        else:
            value = _value(field_definition, typed.values.get(f"properties.{field_definition.name}", ""))
        if value not in (None, ""):
            properties[field_definition.name] = value
    server = known.get("proxyServer")
    if server and "proxyServer" in properties and _keeps_credentials(str(server), properties, typed):
        properties["proxyServer"] = server
    return {**_envelope(typed, stored), "properties": properties}


def validate(typed: FormInput, stored: StoredIntegration | None) -> dict[str, list[str]]:
    """Everything that is wrong with what was typed, by field."""
    raw = raw_of(typed, stored)
    faults = find_problems(raw)
    for problem in find_rule_problems(raw["properties"]):
        place = problem.path.removeprefix("properties.")
        field_name = re.split(r"[.\[]", place, maxsplit=1)[0]
        # The field is one text: the place inside it is part of the sentence.
        text = problem.text if place == field_name else f"{place}: {problem.text}"
        faults.setdefault(f"properties.{field_name}", []).append(text)
    if not typed.values["name"]:
        faults["name"] = ["is required"]
    if not typed.values["properties.baseUrl"]:
        faults["properties.baseUrl"] = [f"is required; usually it is {DEFAULT_BASE_URL}"]
    known = stored.properties if stored else {}
    for risk in find_exposed_secrets(known, raw["properties"]):
        is_unchanged = known.get(risk.secret) and risk.secret not in typed.secrets and risk.secret not in typed.cleared
        label = next((one.label for one in FIELDS if one.name == risk.because), risk.because)
        because = f"must be entered again, because changing {label} gives another party access to"
        if is_unchanged and risk.secret in SECURE:
            faults.setdefault(f"properties.{risk.secret}", []).append(f"{because} it")
        elif risk.secret not in SECURE and raw["properties"].get(risk.secret) == known[risk.secret]:
            # The address of a proxy with credentials inside, which the form shows without them.
            text = f"the user name and password in this URL {because} them"
            faults.setdefault(f"properties.{risk.secret}", []).append(text)
    return faults


def order_of(field_name: str) -> int:
    """Return the position of a field in the form."""
    names = ["name", *(f"properties.{setting.name}" for setting in FIELDS), "loggingLevel", "tenant_id"]
    return names.index(field_name) if field_name in names else len(names)


def _envelope(typed: FormInput, stored: StoredIntegration | None) -> dict[str, Any]:
    return {
        **({"_id": stored.id} if stored else {}),
        "name": typed.values["name"],
        "type": PLUGIN_ID,
        "tenant_id": typed.values["tenant_id"] or DEFAULT_TENANT,
        "loggingLevel": typed.values["loggingLevel"] or "INFO",
        "showHidden": bool(typed.values["showHidden"]),
        "disabled": bool(stored and stored.disabled),
    }


def _keeps_credentials(server: str, properties: Mapping[str, Any], typed: FormInput) -> bool:
    """Return whether to keep the credentials in a stored proxy URL, which the form does not show."""
    address, user, _ = _split_proxy(server)
    others = "proxyUsername" in properties or "proxyPassword" in typed.secrets or "proxyPassword" in typed.cleared
    return bool(user) and properties["proxyServer"] == address and not others


def _value(field_definition: FormField, text: str) -> Any:
    """Return a value as it is stored; None for the default, so that later defaults apply."""
    if text in ("", format_value(field_definition.name, field_definition.default)):
        return None
    match field_definition.kind:
        case "Boolean":
            return text == "true"
        case "Array":
            try:
                return list(as_list(text))
            except ValueError:
                # Told by the validation, at its field.
                return text
        case _:
            return text


def _split_proxy(server: str) -> tuple[str, str, str]:
    """Split a proxy URL into the URL without credentials, the user and the password."""
    scheme, mark, rest = server.partition("://")
    credentials, at, address = (rest if mark else server).rpartition("@")
    if not at:
        return server, "", ""
    user, _, password = credentials.partition(":")
    plain = f"{scheme}://{address}" if mark else address
    with suppress(ValueError):
        # What is no address is told by the validation, at its field.
        plain = str(as_proxy_server(plain))
    return plain, unquote(user), unquote(password)


def _is_public(name: str) -> bool:
    return name.removeprefix("properties.") not in SECURE
