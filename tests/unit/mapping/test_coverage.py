"""What the rules leave as it is, is counted in a fixed order."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.mapping.attributes import AttributeDefinition
from rally_accelerate.mapping.coverage import Coverage, CoverageItem, UnmappedValue, UnreadField, measure_coverage
from rally_accelerate.mapping.item_types import build_item_type
from rally_accelerate.mapping.rule_parser import parse_rules
from rally_accelerate.mapping.rules import CompiledRules, resolve_rules

FIELDS = [AttributeDefinition("c_Size", "Size"), AttributeDefinition("c_Area", "Area")]
RULES = resolve_rules(
    parse_rules(
        {"fieldMapping": {"epic": "Size"}, "valueMapping": {"status": {"Done": ["Accepted"]}, "labels": {"q": ["qa"]}}}
    )[0],
    {"defect": FIELDS, "hierarchicalrequirement": FIELDS},
)


def seen(kind: str, shown: str, row: dict[str, Any] | None = None, **defaults: Any) -> CoverageItem:
    return CoverageItem(item_type=build_item_type(kind), type=shown, row=row or {}, defaults=defaults)


ITEMS = [
    seen(
        "hierarchicalrequirement", "Story", {"c_Area": "x", "c_Size": "L", "Name": "n"}, status="Accepted", type="Story"
    ),
    seen("defect", "Defect", {"c_Area": "x", "c_Empty": {"Count": 0}, "_ref": "r"}, status="Open", priority="Low"),
    seen("defect", "Defect", {"c_Area": "None", "c_Other": 0}, status="Odd", priority=None, labels=("qa", "b")),
    seen("defect", "Defect", {}, status="Open"),
]


def test_values_that_no_rule_translates_are_counted() -> None:
    assert measure_coverage(RULES, ITEMS) == Coverage(
        items={"Defect": 3, "Story": 1},
        values=(
            UnmappedValue(type="Defect", target="status", value="Open", items=2, ruled=True),
            UnmappedValue(type="Defect", target="status", value="Odd", items=1, ruled=True),
            UnmappedValue(type="Defect", target="priority", value="Low", items=1, ruled=False),
            UnmappedValue(type="Defect", target="labels", value="b", items=1, ruled=True),
            UnmappedValue(type="Story", target="type", value="Story", items=1, ruled=False),
        ),
        fields=(
            UnreadField(type="Defect", name="c_Area", items=1),
            UnreadField(type="Defect", name="c_Other", items=1),
            UnreadField(type="Story", name="c_Area", items=1),
        ),
    )


@given(order=st.permutations(ITEMS))
def test_the_order_of_the_items_does_not_count(order: list[CoverageItem]) -> None:
    assert measure_coverage(RULES, order) == measure_coverage(RULES, ITEMS)
    assert list(measure_coverage(RULES, order).items) == ["Defect", "Story"]


def test_without_rules_every_state_type_and_priority_is_told() -> None:
    told = measure_coverage(CompiledRules(), ITEMS[:1])
    assert [(each.target, each.value, each.ruled) for each in told.values] == [
        ("status", "Accepted", False),
        ("type", "Story", False),
    ]
