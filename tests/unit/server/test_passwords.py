"""Passwords are kept so that a stolen database does not tell them, and judged before they are taken."""

import pytest

from rally_accelerate.server import passwords
from rally_accelerate.server.passwords import Cost, find_problem, generate, hash_password, needs_rehash, verify


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COST", Cost(4, 1, 1))


async def test_a_password_is_known_by_its_hash_and_another_is_not(cheap: None) -> None:
    kept = await hash_password("correct horse battery")
    assert await verify("correct horse battery", kept)
    assert not await verify("correct horse batterY", kept)
    assert not await verify("", kept)
    assert "horse" not in kept
    assert await hash_password("correct horse battery") != kept


async def test_a_name_that_nobody_has_never_matches(cheap: None) -> None:
    assert not await verify("", "")
    assert not await verify("anything", "")


async def test_the_same_letters_in_another_coding_are_the_same_password(cheap: None) -> None:
    kept = await hash_password("pass-wo\u0308rter-x")
    assert await verify("pass-w\u00f6rter-x", kept)


async def test_the_cost_of_its_day_stands_beside_a_hash(cheap: None, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = await hash_password("correct horse battery")
    assert not needs_rehash(kept)
    monkeypatch.setattr(passwords, "COST", Cost(8, 1, 1))
    assert needs_rehash(kept)
    assert await verify("correct horse battery", kept)


def test_the_cost_is_one_of_those_that_owasp_names() -> None:
    # Its password storage cheat sheet: equal choices of (n, r, p).
    choices = {(2**17, 8, 1), (2**16, 8, 2), (2**15, 8, 3), (2**14, 8, 5), (2**13, 8, 10)}
    assert (passwords.COST.n, passwords.COST.r, passwords.COST.p) in choices


def test_made_passwords_are_good_ones_without_letters_that_look_alike() -> None:
    several = {generate() for _ in range(200)}
    assert len(several) == 200
    for one in several:
        assert find_problem(one, name="admin") == ""
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
    assert said in find_problem(password, name="eva.schmidt")
    assert bool(find_problem(password, name="eva.schmidt")) is bool(said)
