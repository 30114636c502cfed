"""The types of the API and their attributes, and which names of types a path may use.

See rally-api-notes.md#type-names and rally-api-notes.md#attributes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from rally_sandbox.attributes import ATTRIBUTES


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of one type."""

    name: str
    #: The WSAPI attribute type, say STRING, DATE or OBJECT.
    kind: str
    #: TypePath of what an OBJECT refers to, or of the elements of a COLLECTION.
    target: str
    read_only: bool
    filterable: bool
    sortable: bool


@dataclass(frozen=True, slots=True)
class Type:
    """One type of the API."""

    #: TypePath, as in ``_type``: two types can share an ElementName (rally-api-notes.md#type-names).
    path: str
    display_name: str
    attributes: Mapping[str, Attribute]
    prefix: str = ""
    parent: str = ""
    restorable: bool = False
    queryable: bool = True
    ordinal: int = -1

    @property
    def element_name(self) -> str:
        """The last part of the path: the wrapper of a single object."""
        return self.path.rpartition("/")[2]


_TARGETS = {"Feature": "PortfolioItem/Feature", "Requirement": "HierarchicalRequirement", "Object": "Artifact"}


def _attributes(*groups: str, extra: str = "") -> Mapping[str, Attribute]:
    found: dict[str, Attribute] = {}
    for text in (*(ATTRIBUTES[group] for group in groups), extra):
        for word in text.split():
            name, kind, *flags = word.split(":")
            kind, _, target = kind.partition(">")
            flag = flags[0] if flags else ""
            found[name] = Attribute(name, kind, _TARGETS.get(target, target), "R" in flag, "F" in flag, "S" in flag)
    return MappingProxyType(found)


_ARTIFACT = ("Persistable", "Artifact")
_SCHEDULABLE = (*_ARTIFACT, "Schedulable")
_PORTFOLIO = (*_ARTIFACT, "PortfolioItem")

_ALL: Sequence[Type] = (
    Type(
        "HierarchicalRequirement",
        "User Story",
        _attributes(*_SCHEDULABLE, "HierarchicalRequirement", "Custom"),
        "US",
        "Requirement",
        True,
    ),
    Type("Defect", "Defect", _attributes(*_SCHEDULABLE, "Defect", "Custom"), "DE", "SchedulableArtifact", True),
    Type("DefectSuite", "Defect Suite", _attributes(*_SCHEDULABLE, "DefectSuite"), "DS", "SchedulableArtifact"),
    Type("Task", "Task", _attributes(*_ARTIFACT, "Task"), "TA", "Artifact", True),
    Type("TestCase", "Test Case", _attributes(*_ARTIFACT, "TestCase"), "TC", "Artifact", True),
    Type("PortfolioItem", "Portfolio Item", _attributes(*_PORTFOLIO), "", "Artifact"),
    Type(
        "PortfolioItem/Feature",
        "Feature",
        _attributes(*_PORTFOLIO, "PortfolioItem/Feature"),
        "F",
        "Portfolio Item",
        True,
        ordinal=0,
    ),
    Type(
        "PortfolioItem/Initiative",
        "Initiative",
        _attributes(
            *_PORTFOLIO,
            extra="Parent:OBJECT>PortfolioItem:F Children:COLLECTION>PortfolioItem/Feature:RF",
        ),
        "I",
        "Portfolio Item",
        True,
        ordinal=1,
    ),
    *(
        Type(path, display, _attributes("Persistable", path), prefix)
        for path, display, prefix in (
            ("Iteration", "Iteration", ""),
            ("Release", "Release", ""),
            ("Project", "Project", ""),
            ("Workspace", "Workspace", ""),
            ("WorkspaceConfiguration", "Workspace Configuration", ""),
            ("User", "User", ""),
            ("Tag", "Tag", "TA"),
            ("Milestone", "Milestone", "MI"),
            ("Revision", "Revision", ""),
            ("ConversationPost", "Conversation Post", ""),
            ("FlowState", "Flow State", ""),
            ("State", "State", ""),
            ("ScheduleState", "Schedule State", ""),
            ("TypeDefinition", "Type Definition", ""),
            ("AttributeDefinition", "Attribute Definition", ""),
            ("AllowedAttributeValue", "Allowed Attribute Value", ""),
        )
    ),
    # A test of pyral filters recycle-bin entries by Name, which the metadata of 2014 denies
    # (rally-api-notes.md#query-language).
    Type(
        "RecycleBinEntry", "Recycle Bin Entry", _attributes("Persistable", "RecycleBinEntry", extra="Name:STRING:RFS")
    ),
    Type("RevisionHistory", "Revision History", _attributes("RevisionHistory"), queryable=False),
    Type(
        "Subscription",
        "Subscription",
        _attributes(
            "Persistable",
            extra="""
            Name:STRING:FS SubscriptionID:INTEGER:RFS SubscriptionType:STRING:RFS ApiKeysEnabled:BOOLEAN:RFS
            Workspaces:COLLECTION>Workspace:RF
            """,
        ),
    ),
    Type(
        "UserProfile",
        "User Profile",
        _attributes(
            "Persistable",
            extra="""
            DefaultWorkspace:OBJECT>Workspace:FS DefaultProject:OBJECT>Project:FS TimeZone:STRING:FS
            DateFormat:STRING:FS DateTimeFormat:STRING:FS
            """,
        ),
    ),
)

#: By lower-case TypePath.
TYPES: Mapping[str, Type] = MappingProxyType({each.path.lower(): each for each in _ALL})

#: The concrete types of work items behind the abstract ones.
PORTFOLIO = ("portfolioitem/feature", "portfolioitem/initiative")
ARTIFACTS = ("hierarchicalrequirement", "defect", "defectsuite", "task", "testcase", *PORTFOLIO)


def type_of(name: str) -> Type | None:
    """The type that a path segment means, whatever its case; None when it is unknown.

    Most types accept both singular and plural (rally-api-notes.md#addresses).
    """
    wanted = name.lower()
    found = TYPES.get(wanted)
    if found is not None:
        return found
    if wanted.endswith("ies"):
        return TYPES.get(f"{wanted[:-3]}y")
    return TYPES.get(wanted[:-1]) if wanted.endswith("s") else None


def concrete(path: str) -> tuple[Type, ...]:
    """The types that objects of a TypePath can have: itself, or those behind an abstract one."""
    match path.lower():
        case "artifact":
            return tuple(TYPES[each] for each in ARTIFACTS)
        case "portfolioitem":
            return tuple(TYPES[each] for each in PORTFOLIO)
        case wanted:
            found = TYPES.get(wanted)
            return (found,) if found is not None else ()
