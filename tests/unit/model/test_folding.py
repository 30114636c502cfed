"""How texts are compared."""

import sys

from rally_accelerate.model.folding import fold, plain


def test_every_space_of_unicode_is_compared_as_a_blank() -> None:
    spaces = [chr(code) for code in range(0x80, sys.maxunicode + 1) if chr(code).isspace()]
    assert len(spaces) > 15
    for space in spaces:
        assert plain(f"In{space}Progress") == "In Progress"
        assert fold(f"In{space}Progress") == "in progress"
