"""Make text that others wrote safe to show: one line, no control characters, no changes of the reading direction."""

from __future__ import annotations

import unicodedata
from urllib.parse import urlsplit

# Control, format, surrogate, private and unassigned characters; the two joiners stay, which some scripts need.
_REMOVED_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn"}
_BIDI_CONTROLS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
_FROM_RIGHT_TO_LEFT = ("R", "AL")
_STRONG = ("L", *_FROM_RIGHT_TO_LEFT)
_LEFT_TO_RIGHT_MARK = "\u200e"
_JOINERS = "\u200c\u200d"


def one_line(text: str, length_max: int = 200) -> str:
    """Reduce ``text`` to one line of visible characters, at most ``length_max`` of them."""
    spaced = "".join(" " if char.isspace() else char for char in text)
    visible = "".join(
        char for char in spaced if char in _JOINERS or unicodedata.category(char) not in _REMOVED_CATEGORIES
    )
    short = " ".join(visible.split())
    return short if len(short) <= length_max else short[: length_max - 1].rstrip() + "…"


def in_left_to_right_text(text: str) -> str:
    """Return a name for a sentence that runs from left to right: what follows a Hebrew or Arabic one stays behind it.

    Without a mark, an amount after the name is shown in front of it.
    """
    if text.isascii():
        return text
    directions = (unicodedata.bidirectional(char) for char in reversed(text))
    last = next((each for each in directions if each in _STRONG), "")
    return f"{text}{_LEFT_TO_RIGHT_MARK}" if last in _FROM_RIGHT_TO_LEFT else text


def clean_lines(text: str, lines_max: int = 12) -> str:
    """Reduce ``text`` to a few lines, each like ``one_line``: bank details, an address."""
    return "\n".join(one_line(line) for line in text.strip().splitlines()[:lines_max])


def safe_link(link: str) -> str:
    """Return ``link`` if it is a plain https address (or http on localhost), else ""."""
    if not link.isascii() or not link.isprintable() or any(char in link for char in " <>\"'\\`"):
        return ""
    try:
        parts = urlsplit(link)
        host = parts.hostname or ""
    except ValueError:
        return ""
    if parts.username or parts.password or not host:
        return ""
    local = parts.scheme == "http" and (host in {"localhost", "127.0.0.1", "::1"} or host.endswith(".localhost"))
    return link if parts.scheme == "https" or local else ""


def strip_control_characters(text: str) -> str:
    """Take out what could move the cursor or turn the writing direction: names come from other people's books."""
    return "".join(
        letter
        for letter in text
        if letter in "\n\t" or (unicodedata.category(letter) != "Cc" and letter not in _BIDI_CONTROLS)
    )
