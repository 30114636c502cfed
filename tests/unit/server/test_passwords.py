"""Passwords are kept so that a stolen database does not tell them, and judged before they are taken."""

import pytest

from rally_accelerate.server import passwords
from rally_accelerate.server.passwords import Cost, hashed, made, matches, outdated, problem


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COST", Cost(4, 1, 1))


async def test_a_password_is_known_by_its_hash_and_another_is_not(cheap: None) -> None:
    kept = await hashed("correct horse battery")
    assert await matches("correct horse battery", kept)
    assert not await matches("correct horse batterY", kept)
    assert not await matches("", kept)
    assert "horse" not in kept
    assert await hashed("correct horse battery") != kept


async def test_a_name_that_nobody_has_never_matches(cheap: None) -> None:
    assert not await matches("", "")
    assert not await matches("anything", "")


async def test_the_same_letters_in_another_coding_are_the_same_password(cheap: None) -> None:
    kept = await hashed("pass-wo\u0308rter-x")
    assert await matches("pass-w\u00f6rter-x", kept)


async def test_the_cost_of_its_day_stands_beside_a_hash(cheap: None, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = await hashed("correct horse battery")
    assert not outdated(kept)
    monkeypatch.setattr(passwords, "COST", Cost(8, 1, 1))
    assert outdated(kept)
    assert await matches("correct horse battery", kept)


def test_the_cost_is_one_of_those_that_owasp_names() -> None:
    # Its password storage cheat sheet: equal choices of (n, r, p).
    choices = {(2**17, 8, 1), (2**16, 8, 2), (2**15, 8, 3), (2**14, 8, 5), (2**13, 8, 10)}
    assert (passwords.COST.n, passwords.COST.r, passwords.COST.p) in choices


def test_made_passwords_are_good_ones_without_letters_that_look_alike() -> None:
    several = {made() for _ in range(200)}
    assert len(several) == 200
    for one in several:
        assert problem(one, name="admin") == ""
        assert not set("01ilo") & set(one)


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "at least 10"),
        ("x" * 201, "longer than 200"),
        ("Eva.Schmidt", "differ from the name"),
        ("aaaaaaaaaaaa", "over and over"),
        ("long enough", ""),
    ],
)
def test_what_is_wrong_with_a_password_is_told(password: str, said: str) -> None:
    assert said in problem(password, name="eva.schmidt")
    assert bool(problem(password, name="eva.schmidt")) is bool(said)
