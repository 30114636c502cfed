"""Pure: what is said of settings, with the names that the form gives them instead of those of the JSON file."""

import re

from rally_accelerate.config.form import form_fields

#: Which names are spoken of as they stand: ``workspace`` is also an ordinary word, ``apiKey`` is none.
_SPOKEN = re.compile(r"[A-Z]")


def labelled(text: str) -> str:
    """A sentence about properties, for people who see their fields: ``apiKey`` is API Token."""
    return _PROPERTY.sub(lambda found: _LABELS[found["path"] or found["name"]], text)


def unlabelled(text: str) -> str:
    """What is looked for in texts that still have the names of the JSON file: the reverse of ``labelled``."""
    return _LABEL.sub(lambda found: _NAMES[found[0]], text)


_LABELS = {field.name: field.label for field in form_fields()}
_PROPERTY = re.compile(
    # Inside quotes stands what somebody wrote, which is not ours to change.
    r"(?<![\w.\"'])(?:properties\.(?P<path>{paths})|(?P<name>{names}))(?![\w\"'])".format(
        paths="|".join(_LABELS), names="|".join(name for name in _LABELS if _SPOKEN.search(name))
    )
)
_NAMES = {label: name for name, label in _LABELS.items() if _SPOKEN.search(name)}
# The longest first: a label may begin like another one.
_LABEL = re.compile(r"(?<!\w)(?:{})(?!\w)".format("|".join(sorted(map(re.escape, _NAMES), key=len, reverse=True))))
