"""What somebody is in the middle of is theirs alone, and gives way in time."""

from datetime import timedelta

import pytest

from rally_accelerate.server import form_drafts as module
from rally_accelerate.server.form_drafts import ExpiringStore
from rally_accelerate.server.permissions import Actor, Role

ADA, BOB = Actor("1", "Ada", Role.EDITOR), Actor("2", "Bob", Role.ADMIN)


def kept(shelf: ExpiringStore[str], actor: Actor, what: str, *, wanted: str = "") -> str:
    key = shelf.choose_key(actor, wanted)
    shelf.put(actor, key, what)
    return key


def test_it_is_known_to_its_author_only() -> None:
    shelf: ExpiringStore[str] = ExpiringStore(most=5)
    key = kept(shelf, ADA, "one")
    assert shelf.get(BOB, key) is None
    assert kept(shelf, BOB, "two", wanted=key) != key
    shelf.delete(BOB, key)
    assert shelf.get(ADA, key) == "one"
    assert kept(shelf, ADA, "three", wanted=key) == key
    assert shelf.get(ADA, key) == "three"
    shelf.delete(ADA, key)
    assert shelf.get(ADA, key) is None


def test_the_oldest_give_way_and_what_is_written_anew_is_young() -> None:
    shelf: ExpiringStore[str] = ExpiringStore(most=2)
    first, second = kept(shelf, ADA, "one"), kept(shelf, ADA, "two")
    kept(shelf, ADA, "one again", wanted=first)
    kept(shelf, BOB, "three")
    assert (shelf.get(ADA, first), shelf.get(ADA, second)) == ("one again", None)


def test_nothing_outlives_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf: ExpiringStore[str] = ExpiringStore(most=2)
    key = kept(shelf, ADA, "one")
    monkeypatch.setattr(module, "LIFETIME", timedelta(seconds=-1))
    assert shelf.get(ADA, key) is None
