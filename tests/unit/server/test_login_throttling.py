"""Guessing gets slower with every failure, and cannot be used to lock a colleague out."""

import pytest

from rally_accelerate.server.authentication import FREE_ATTEMPTS, MAX_ENTRIES, MAX_WAIT, SignInThrottle


def failures(
    attempts: SignInThrottle, count: int, *, name: str = "eva", address: str = "10.0.0.1", now: float = 0.0
) -> None:
    for _ in range(count):
        attempts.record_failure(name, address, now=now)


def test_a_few_failures_cost_nothing_and_each_further_one_doubles_the_wait() -> None:
    attempts = SignInThrottle()
    failures(attempts, FREE_ATTEMPTS["both"] - 1)
    assert attempts.compute_wait("eva", "10.0.0.1", now=0) == 0
    waits = []
    for _ in range(4):
        failures(attempts, 1)
        waits.append(attempts.compute_wait("eva", "10.0.0.1", now=0))
    assert waits == [2, 4, 8, 16]
    assert attempts.compute_wait("eva", "10.0.0.1", now=10) == 6
    assert attempts.compute_wait("eva", "10.0.0.1", now=16) == 0


def test_the_wait_has_an_end() -> None:
    attempts = SignInThrottle()
    failures(attempts, 5000)
    assert attempts.compute_wait("eva", "10.0.0.1", now=0) == MAX_WAIT


@pytest.mark.parametrize("spelling", ["EVA", " eva ", "\uff45va", "e\uff36A", "\U0001d41eva"])
def test_another_spelling_of_a_name_is_the_same_name(spelling: str) -> None:
    attempts = SignInThrottle()
    failures(attempts, 6)
    assert attempts.compute_wait(spelling, "10.0.0.1", now=0) > 0


def test_whoever_fails_elsewhere_does_not_keep_the_owner_out() -> None:
    attempts = SignInThrottle()
    failures(attempts, FREE_ATTEMPTS["name"] - 1)
    assert attempts.compute_wait("eva", "10.0.0.2", now=0) == 0
    failures(attempts, 1, address="10.0.0.3")
    # So many guesses at one name slow everybody down.
    assert attempts.compute_wait("eva", "10.0.0.2", now=0) > 0


def test_one_address_cannot_try_name_after_name() -> None:
    attempts = SignInThrottle()
    for number in range(FREE_ATTEMPTS["address"]):
        attempts.record_failure(f"user{number}", "10.0.0.1", now=0)
    assert attempts.compute_wait("another", "10.0.0.1", now=0) > 0
    assert attempts.compute_wait("another", "10.0.0.2", now=0) == 0


def test_a_success_is_no_failure() -> None:
    attempts = SignInThrottle()
    for _ in range(200):
        attempts.record_failure("eva", "10.0.0.1", now=0)
        attempts.withdraw_failure("eva", "10.0.0.1")
    assert attempts.compute_wait("eva", "10.0.0.1", now=0) == 0


def test_memory_is_bounded_whatever_is_tried() -> None:
    attempts = SignInThrottle()
    for number in range(MAX_ENTRIES):
        attempts.record_failure(f"user{number}", f"10.{number}", now=0)
    assert len(attempts._failures) == MAX_ENTRIES
