"""The writer's own text is found in replies of every email program, in four languages, and nothing of it is lost."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from connector.emails.inbound.quoted_text import own_text

REPLIES = tomllib.loads(Path(__file__).with_name("replies.toml").read_text(encoding="utf-8"))["reply"]


def spaced(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: f"{reply['client']} {reply['language']}: {reply['shape']}")
def test_a_reply_keeps_exactly_what_its_writer_wrote(reply: dict[str, str]) -> None:
    assert spaced(own_text(reply["text"])) == spaced(reply["own"])


def test_there_are_enough_replies_in_each_language() -> None:
    assert len(REPLIES) >= 60
    for language in ("en", "de", "fr", "es"):
        assert sum(reply["language"] == language for reply in REPLIES) >= 8


@pytest.mark.parametrize(
    "text",
    [
        "> Dear Ms Vale,\n> Invoice INV-1042 was due on 4 June 2026.",
        "On Tue, 9 Jun 2026 at 10:12, Larkspur <accounts@larkspur.example> wrote:",
        "Sent from my iPhone",
    ],
)
def test_where_nothing_of_their_own_is_found_everything_is_kept(text: str) -> None:
    assert own_text(text) == text


def test_parsing_is_fast_for_a_text_of_any_shape() -> None:
    lines = ["On " + "x" * 380, "From: a", "____", "> quoted", "wrote:", "To: b", "<a@b>, " * 40 + "x"] * 2000
    assert own_text("\n".join(lines))
