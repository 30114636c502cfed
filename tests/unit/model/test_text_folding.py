"""How texts are compared."""

import sys
import unicodedata

import pytest

from rally_accelerate.model.text_folding import fold, normalize_typography, strip_quotes, trim


def test_every_space_of_unicode_is_compared_as_a_blank() -> None:
    spaces = [chr(code) for code in range(0x80, sys.maxunicode + 1) if chr(code).isspace()]
    assert len(spaces) > 15
    for space in spaces:
        assert normalize_typography(f"In{space}Progress") == "In Progress"
        assert fold(f"In{space}Progress") == "in progress"


@pytest.mark.parametrize("text", ["Équipe Été", "Zoë O\u2019Brien", "Ångström Ǆ", "ǰ", "İstanbul", "ΐ", "Müßig"])
def test_accents_of_their_own_are_compared_as_accented_letters(text: str) -> None:
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text)) == fold(fold(text))


def test_what_copying_puts_around_a_value_is_left_out() -> None:
    assert trim("\ufeff\u200b\u00a0 a\u200bb \u200f\r\n") == "a\u200bb"
    assert strip_quotes("\u201c\u200bhttps://a.example\u00a0\u201d") == "https://a.example"
    assert strip_quotes("<\u00ab'https://a.example'\u00bb>") == "https://a.example"
