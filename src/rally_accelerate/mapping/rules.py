"""How items become issues, as a value: what differs between integrations, and a version that changes with it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from rally_accelerate.config.model import Properties

#: Raised whenever the program itself maps differently, so that everything is mapped and uploaded again.
MAPPING_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The mapping rules of one integration."""

    #: The Rally server that people open in the browser, without a trailing slash.
    web_url: str
    #: Names that replace our type names.
    type_names: Mapping[str, str] = field(default_factory=dict)
    #: ``ScheduleState`` or ``State``.
    defect_status: str = "ScheduleState"

    @property
    def version(self) -> str:
        """A short text that is equal exactly when items are mapped equally."""
        text = json.dumps([MAPPING_VERSION, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def rules_of(properties: Properties) -> Rules:
    """The rules that an integration's properties ask for."""
    return Rules(
        web_url=properties.base_url,
        type_names=dict(properties.type_names),
        defect_status=properties.defect_status,
    )
