"""The accent colour of a company: whether white text on it can be read, and what it becomes in a dark scheme."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Callable

TEXT_CONTRAST_MIN = 4.5  # WCAG 2.2, success criterion 1.4.3: of a text with what is behind it
SHAPE_CONTRAST_MIN = 3.0  # 1.4.11: of a button with what is around it
DEFAULT_ACCENT = "#0b5fa5"
WHITE, DARK_CARD = "#ffffff", "#1e2226"  # what stands behind links in the light and the dark scheme
PORTAL_PAPER = "#fbfaf7"
_COLOUR = re.compile(r"#?([0-9a-f]{6}|[0-9a-f]{3})", re.IGNORECASE)
_STEPS = 255


def parse_colour(text: str) -> str:
    """Return a colour as ``#rrggbb``, or "" where the text is none."""
    found = _COLOUR.fullmatch(text.strip())
    if found is None:
        return ""
    digits = found[1].lower()
    return f"#{digits if len(digits) == 6 else ''.join(digit * 2 for digit in digits)}"


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def readable_accent(colour: str) -> str:
    """Return the colour itself if white text on it can be read, else the lightest shade of it of which that is true."""
    return _shift(colour, darker=True, is_enough=lambda shade: contrast(shade, WHITE) >= TEXT_CONTRAST_MIN)


def portal_css(accent: str) -> str:
    """Return the colours of the portal's pages; their paper is a little darker than white."""
    light = _shift(accent, darker=True, is_enough=lambda shade: contrast(shade, PORTAL_PAPER) >= TEXT_CONTRAST_MIN)
    return (
        f":root {{ --accent: {light}; }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ --accent: {dark_link(accent)}; }} }}\n"
    )


def dark_link(accent: str) -> str:
    """Return the accent for links in a dark scheme: lighter, if it has to be."""
    return _shift(accent, darker=False, is_enough=lambda shade: contrast(shade, DARK_CARD) >= TEXT_CONTRAST_MIN)


def dark_button(accent: str) -> str:
    """Return the accent for buttons in a dark scheme: they stand out from the card, and white text on them is read."""
    return _shift(accent, darker=False, is_enough=lambda shade: contrast(shade, DARK_CARD) >= SHAPE_CONTRAST_MIN)


def _shift(colour: str, *, darker: bool, is_enough: Callable[[str], bool]) -> str:
    """Return the nearest shade of a colour, of the same hue, that is dark or light enough."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*_channels(colour))
    shade = colour
    for step in range(1, _STEPS + 1):
        if is_enough(shade):
            return shade
        share = step / _STEPS
        moved = lightness * (1 - share) if darker else lightness + (1 - lightness) * share
        shade = "#" + "".join(f"{round(each * 255):02x}" for each in colorsys.hls_to_rgb(hue, moved, saturation))
    return shade


def _channels(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue


def _luminance(colour: str) -> float:
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in _channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
