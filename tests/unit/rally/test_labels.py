"""What revision texts call a field, and the one form of dates in them."""

import pytest

from rally_accelerate.rally.history_fields import TrackedFields, date_text, label_of
from rally_accelerate.rally.type_definitions import Attribute, add_labels


def field(element: str, display: str, *, custom: bool = False) -> Attribute:
    return Attribute(element, display, "STRING", custom)


def test_a_field_has_the_label_of_today_and_the_one_that_rally_gives_it() -> None:
    found = add_labels(TrackedFields.of(), [field("Iteration", "Sprint"), field("Ready", "Ready")]).by_label
    assert (found["SPRINT"].name, found["ITERATION"].name, found["READY"].name) == ("Iteration", "Iteration", "Ready")
    assert found["OWNER"].name == "Owner"


def test_a_label_that_another_field_bears_today_tells_of_that_one() -> None:
    own = [field("Iteration", "Sprint"), field("c_Iteration", "Iteration", custom=True)]
    assert "ITERATION" not in add_labels(TrackedFields.of(), own).by_label
    exchanged = [field("Ready", "Expedite"), field("Expedite", "Ready")]
    found = add_labels(TrackedFields.of(), exchanged).by_label
    assert (found["EXPEDITE"].name, found["READY"].name) == ("Ready", "Expedite")


def test_a_mirror_of_rallys_own_takes_no_label_away() -> None:
    mirrored = [field("PortfolioItem", "Portfolio Item"), field("Feature", "Feature")]
    assert add_labels(TrackedFields.of(), mirrored).by_label["FEATURE"].name == "PortfolioItem"


@pytest.mark.parametrize(("name", "label"), [("c_RiskLevel", "RISK LEVEL"), ("PlanEstimate", "PLAN ESTIMATE")])
def test_the_first_label_is_the_names_words(name: str, label: str) -> None:
    assert label_of(name) == label


@pytest.mark.parametrize(
    ("told", "form"),
    [
        ("Tue Sep 11 15:03:16 MDT 2018", "2018-09-11T21:03:16Z"),
        ("Thu Jan 04 01:29:50 MST 2024", "2024-01-04T08:29:50Z"),
        ("2018-09-11T21:03:16.145Z", "2018-09-11T21:03:16Z"),
        ("2018-09-11T15:03:16-06:00", "2018-09-11T21:03:16Z"),
        ("", ""),
        (None, ""),
        # Nobody guesses at zones, days and forms that are not known.
        ("Tue Sep 11 15:03:16 XYZ 2018", "Tue Sep 11 15:03:16 XYZ 2018"),
        ("Tue Feb 30 15:03:16 MST 2018", "Tue Feb 30 15:03:16 MST 2018"),
        ("2018-09-11", "2018-09-11"),
        ("soon", "soon"),
    ],
)
def test_dates_have_one_form_whoever_tells_them(told: str | None, form: str) -> None:
    assert date_text(told) == form
