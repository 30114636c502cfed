"""What people are called, by whatever Rally still tells of them."""

from typing import Any

import pytest

from rally_accelerate.rally.records import name_or_id, person_name

FULL = {
    "DisplayName": "Ann Lee",
    "FirstName": "Anna",
    "LastName": "Leeds",
    "UserName": "ann",
    "EmailAddress": "ann@sandbox.example",
    "_refObjectName": "Ann Lee",
}


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({}, "Ann Lee"),
        ({"DisplayName": ""}, "Anna Leeds"),
        ({"DisplayName": None}, "Anna Leeds"),
        ({"DisplayName": " \u00a0\u200b"}, "Anna Leeds"),
        ({"DisplayName": "", "FirstName": ""}, "Leeds"),
        ({"DisplayName": "", "FirstName": "\t", "LastName": None}, "ann"),
        ({"DisplayName": "", "FirstName": "", "LastName": "", "UserName": " "}, "ann@sandbox.example"),
        ({"DisplayName": 7, "FirstName": [], "LastName": {}, "UserName": False}, "ann@sandbox.example"),
    ],
)
def test_the_best_name_that_a_user_has_is_taken(told: dict[str, Any], name: str) -> None:
    assert person_name({**FULL, **told}) == name


def test_a_stub_is_called_what_its_reference_says() -> None:
    assert person_name({"_ref": "/user/7", "_refObjectName": " Ann Lee "}) == "Ann Lee"
    assert person_name({"_ref": "/user/7", "_refObjectName": "\u00a0"}) == ""
    assert person_name({"DisplayName": "", "_refObjectName": "Ann Lee"}) == "Ann Lee"


@pytest.mark.parametrize("user", [{"_ref": "/user/7", "_refObjectName": None}, {"ObjectID": 7, "DisplayName": " "}])
def test_a_user_without_any_name_is_called_by_the_id(user: dict[str, Any]) -> None:
    assert (person_name(user), name_or_id(user)) == ("", "User 7")
    assert name_or_id({**user, "UserName": "ann"}) == "ann"
