"""Colours that can be told apart by everybody (WCAG 2.2, AA): texts 4.5 to 1, what is drawn and what bounds a field 3 to 1."""

import re
from pathlib import Path

import pytest

from rally_accelerate.server.web.templating import FOLDER

STATIC = FOLDER / "static"
TEXTS = ("ink", "soft", "link", "good", "busy", "warn", "bad")


def colours(file: Path, scheme: str) -> dict[str, str]:
    """The variables of a style sheet in one scheme."""
    screen, _, _ = file.read_text().partition("@media print")
    light, _, dark = screen.partition("@media (prefers-color-scheme: dark)")
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    return found | (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark)) if scheme == "dark" else {})


def luminance(colour: str) -> float:
    values = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in values)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert round(contrast("#ffffff", "#000000"), 2) == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_the_edges_of_fields_can_be_seen(scheme: str) -> None:
    its = colours(STATIC / "pages.css", scheme)
    for ground in ("page", "card"):
        assert {name: its[name] for name in TEXTS if contrast(its[name], its[ground]) < 4.5} == {}
        assert contrast(its["edge"], its[ground]) >= 3
    # Buttons are filled with the colours of links and of what is bad.
    assert contrast(its["card"], its["link"]) >= 4.5
    assert contrast(its["card"], its["bad"]) >= 4.5
    assert contrast(its["log-ink"], its["log"]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dots_can_be_seen_in_their_circle_also_in_one_that_is_too_full(scheme: str) -> None:
    its = colours(STATIC / "streams.css", scheme)
    tones = {name: colour for name, colour in its.items() if name.startswith("tone-")}
    assert len(tones) == 15
    for ground in ("ring", "over"):
        assert {name: colour for name, colour in tones.items() if contrast(colour, its[ground]) < 3} == {}
