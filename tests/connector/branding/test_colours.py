"""The accent colour: white text on it can be read, and links and buttons stand out in the dark scheme."""

from __future__ import annotations

import random

import pytest

from connector.branding.brand import Brand, BrandChange, BrandError, apply_change
from connector.branding.colours import (
    DARK_CARD,
    WHITE,
    contrast,
    dark_button,
    dark_link,
    parse_colour,
    readable_accent,
)


@pytest.mark.parametrize(
    ("text", "colour"),
    [("#0B5FA5", "#0b5fa5"), ("0b5", "#00bb55"), (" #abc ", "#aabbcc"), ("red", ""), ("#12345", ""), ("#1e2226;x", "")],
)
def test_a_colour_is_six_digits(text: str, colour: str) -> None:
    assert parse_colour(text) == colour


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", WHITE) == pytest.approx(21)
    assert contrast("#777777", WHITE) == pytest.approx(4.48, abs=0.01)  # the grey that just fails
    assert contrast(WHITE, "#767676") == pytest.approx(4.54, abs=0.01)  # and the one that just passes


def test_every_accent_can_be_read_in_both_schemes() -> None:
    choose = random.Random(7)
    for _ in range(300):
        accent = readable_accent(f"#{choose.randrange(2**24):06x}")
        assert contrast(accent, WHITE) >= 4.5
        assert readable_accent(accent) == accent
        assert contrast(dark_link(accent), DARK_CARD) >= 4.5
        assert contrast(dark_button(accent), DARK_CARD) >= 3
        assert contrast(dark_button(accent), WHITE) >= 4.5


@pytest.mark.parametrize(
    ("field", "text", "reason"),
    [
        ("accent_colour", "yellow", "six digits"),
        ("accent_colour", "#ffcc00", "contrast 1.5, at least 4.5 is needed)"),
        ("accent_colour", "#ffcc00", "The nearest colour that can be read is #907300."),
        ("signature", "1\n2\n3\n4\n5", "At most 4 lines"),
        ("links", "Terms http://harbour.example", "https address"),
        ("links", "javascript:alert(1)", "https address"),
        ("links", "\n".join(f"Page https://harbour.example/{n}" for n in range(6)), "At most 5"),
    ],
)  # fmt: skip
def test_what_cannot_be_saved_says_what_would_do(field: str, text: str, reason: str) -> None:
    with pytest.raises(BrandError) as caught:
        apply_change(Brand(), BrandChange({field: text}))
    assert caught.value.field == field
    assert reason in str(caught.value)
