"""Cleanup of server addresses as people write and paste them. No I/O."""

import re

_AROUND = "\"'<>«»“”„‘’`,; \t\r\n\u00a0\u200b\ufeff"  # noqa: RUF001 - what surrounds addresses in mails and documents
#: ``https:/``, ``http;//``, ``https//`` before a host.
_SCHEME = re.compile(r"(?i)^(https?)(?:\s*[:;]\s*/{0,3}(?=[^/\d])|[:;]/{1,3}|//)")
_TWICE = re.compile(r"(?i)^(?:https?://)+(?=https?:?//)")
#: Letters, digits and what separates them; in IPv6 addresses colons in brackets.
_HOST = re.compile(r"[\w.-]+|[0-9a-fA-F:.%]+")


def clean_address(text: str) -> str:
    """Return an address without surrounding quotes and punctuation, with a corrected scheme."""
    text = text.strip(_AROUND)
    text = _TWICE.sub("", text)
    return _SCHEME.sub(lambda match: f"{match[1].lower()}://", text)


def is_host(name: str) -> bool:
    """Return whether a name can be a host's name or IP address."""
    return _HOST.fullmatch(name) is not None
