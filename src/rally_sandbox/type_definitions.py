"""Type and attribute definitions as records, generated from the schema (rally-api-notes.md#type-definitions)."""

from collections.abc import Iterator, Sequence

from rally_sandbox import sample_names
from rally_sandbox.records import Group, Record
from rally_sandbox.sample_company import Company
from rally_sandbox.schema import CUSTOM_NAMES, RISK_LEVELS, TYPES, Attribute, Type
from rally_sandbox.transitions import DEFECT_STATES

#: Built-in definitions have negative ids (rally-api-notes.md#type-definitions). -51038 is the story's.
_FIRST_ID = -51_038

_ALLOWED: dict[tuple[str, str], Sequence[str]] = {
    ("*", "ScheduleState"): sample_names.SCHEDULE_STATES,
    ("Defect", "State"): DEFECT_STATES,
    ("Defect", "Priority"): ("None", *sample_names.PRIORITIES),
    ("Defect", "Severity"): ("None", *sample_names.SEVERITIES),
    ("Defect", "Resolution"): ("None", *sample_names.RESOLUTIONS),
    ("Defect", "Environment"): ("None", *sample_names.ENVIRONMENTS),
    ("Task", "State"): ("Defined", "In-Progress", "Completed"),
    ("Iteration", "State"): ("Planning", "Committed", "Accepted"),
    ("Release", "State"): ("Planning", "Active", "Accepted"),
    ("Project", "State"): ("Open", "Closed"),
    ("TestCase", "Method"): ("Manual", "Automated"),
    ("*", "c_RiskLevel"): RISK_LEVELS,
}


def add_type_definitions(company: Company) -> None:
    """Add the definitions of all types to a company; they are the same in each workspace."""
    ids = iter(range(_FIRST_ID, -200_000, -1))
    definitions = {attribute.path: _add_type(attribute, next(ids), company) for attribute in TYPES.values()}
    for name in ("Artifact", "SchedulableArtifact", "Requirement"):
        definitions[name] = _add_abstract_type(name, next(ids), company)
    for kind in TYPES.values():
        record = definitions[kind.path]
        parent = {"Portfolio Item": "PortfolioItem"}.get(kind.parent, kind.parent)
        record.values["Parent"] = definitions.get(parent)
        attributes = [
            _add_attribute(kind, attribute, ids, company, definitions) for attribute in kind.attributes.values()
        ]
        record.values["Attributes"] = Group("AttributeDefinition", attributes)


def relabel(company: Company, name: str, label: str) -> None:
    """Change the display name of an attribute of all types, or of a type by its TypePath."""
    for definition in company.records_of("attributedefinition"):
        if definition.values["ElementName"] == name:
            definition.values["Name"] = definition.name = label
    for definition in company.records_of("typedefinition"):
        if definition.values["TypePath"] == name:
            definition.values["Name"] = definition.values["DisplayName"] = definition.name = label


def _add_abstract_type(name: str, object_id: int, company: Company) -> Record:
    values = {"Name": name, "DisplayName": name, "ElementName": name, "TypePath": name, "IDPrefix": "", "Ordinal": -1}
    flags = {"Abstract": True, "Queryable": False, "ReadOnly": True, "Parent": None, "Restorable": False}
    return company.add(Record("TypeDefinition", object_id, values | flags, company.subscription.created, name))


def _add_type(kind: Type, object_id: int, company: Company) -> Record:
    # Name is the display name, too: (Parent.Name = "Portfolio Item") finds levels, see
    # rally-api-notes.md#portfolio-levels.
    values = {
        "Name": kind.display_name,
        "DisplayName": kind.display_name,
        "ElementName": kind.element_name,
        "TypePath": kind.path,
        "IDPrefix": kind.prefix,
        "Ordinal": kind.ordinal,
        "Abstract": kind.path == "PortfolioItem",
        "Creatable": kind.path not in {"Revision", "RevisionHistory", "RecycleBinEntry"},
        "Deletable": kind.restorable,
        "Queryable": kind.queryable,
        "ReadOnly": False,
        "Restorable": kind.restorable,
        "Copyable": False,
        "Note": "",
    }
    return company.add(Record("TypeDefinition", object_id, values, company.subscription.created, kind.display_name))


def _add_attribute(
    kind: Type, attribute: Attribute, ids: Iterator[int], company: Company, definitions: dict[str, Record]
) -> Record:
    allowed = _ALLOWED.get((kind.path, attribute.name)) or _ALLOWED.get(("*", attribute.name), ())
    values = {
        "Name": _format_display_name(attribute.name),
        "ElementName": attribute.name,
        "AttributeType": attribute.kind,
        "RealAttributeType": "DROP_DOWN" if attribute.kind == "RATING" else attribute.kind,
        "Type": attribute.target or attribute.kind,
        "SchemaType": attribute.target or attribute.kind.lower(),
        "Custom": attribute.name in CUSTOM_NAMES,
        "Constrained": bool(allowed),
        "Filterable": attribute.filterable,
        "Sortable": attribute.sortable,
        "ReadOnly": attribute.read_only,
        "Hidden": False,
        "Required": attribute.name in {"Name", "Project"},
        "SystemRequired": attribute.name == "Name",
        "Owned": False,
        "VisibleOnlyToAdmins": False,
        "MaxLength": 256 if attribute.kind == "STRING" else -1,
        "MaxFractionalDigits": 2 if attribute.kind in {"QUANTITY", "DECIMAL"} else -1,
        "Note": "",
        "AllowedValueType": definitions.get(attribute.target),
        "TypeDefinition": definitions[kind.path],
    }
    record = Record("AttributeDefinition", next(ids), values, company.subscription.created, str(values["Name"]))
    members = [
        Record(
            "AllowedAttributeValue",
            next(ids),
            {"StringValue": value, "LocalizedStringValue": value, "ValueIndex": place, "AttributeDefinition": record},
            company.subscription.created,
            value,
        )
        for place, value in enumerate(allowed)
    ]
    record.values["AllowedValues"] = Group("AllowedAttributeValue", members)
    return company.add(record)


def _format_display_name(name: str) -> str:
    """Format ``PlanEstimate`` as ``Plan Estimate``."""
    if name in CUSTOM_NAMES:
        return CUSTOM_NAMES[name]
    letters: list[str] = []
    for position, letter in enumerate(name):
        if position and letter.isupper() and not name[position - 1].isupper():
            letters.append(" ")
        letters.append(letter)
    return "".join(letters)
