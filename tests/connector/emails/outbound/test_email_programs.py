"""What email programs make of the emails: properties that each knows, sizes that none cuts, pictures that all show."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from connector.emails.outbound.render import EMAIL_STEPS, EmailFacts, compose_email
from connector.languages import LANGUAGES
from policies.receivables import Step
from providers.mailer import Email
from tests.connector.emails.outbound.accounts import EUROS, FRANCS

FactsFor = Callable[..., EmailFacts]
GALLERY = Path(__file__).parents[4] / "docs" / "gallery.md"
GMAIL_STYLE_BYTES_MAX, HTML_BYTES_MAX = 16_000, 60_000
OF_ONE_PROGRAM = re.compile(r"^(mso|-ms|-webkit)-")  # such as mso-line-height-rule: the others skip it


@pytest.fixture(scope="module")
def emails(facts_for: FactsFor) -> list[Email]:
    """Every email with everything that it can show."""
    return [
        compose_email(facts_for(step, language=language, bank_details=EUROS))
        for step in EMAIL_STEPS
        for language in LANGUAGES
    ]


def style_blocks(html: str) -> list[str]:
    return re.findall(r"<style[^>]*>(.*?)</style>", html, re.DOTALL)


def used_properties(html: str) -> set[str]:
    declared = re.findall(r"\{([^{}]*)\}", " ".join(style_blocks(html))) + re.findall(r'style="([^"]*)"', html)
    names = {part.partition(":")[0].strip() for text in declared for part in text.split(";") if ":" in part}
    return {name for name in names if not OF_ONE_PROGRAM.match(name)}


def test_the_gallery_says_of_every_property_where_it_is_left_out(emails: list[Email]) -> None:
    listed = set(re.findall(r"^\| `([a-z-]+)` \|", GALLERY.read_text(encoding="utf-8"), re.MULTILINE))
    assert set().union(*(used_properties(email.html) for email in emails)) == listed


def test_every_step_has_its_picture_in_the_gallery() -> None:
    shown = set(re.findall(r"\]\(pictures/gallery/([a-z-]+)\.webp\)", GALLERY.read_text(encoding="utf-8")))
    assert shown == {step.replace("_", "-") for step in EMAIL_STEPS}
    assert all((GALLERY.parent / "pictures" / "gallery" / f"{name}.webp").is_file() for name in shown)


def test_no_program_cuts_an_email(emails: list[Email], facts_for: FactsFor) -> None:
    line = facts_for(Step.PAST_DUE).invoices[0]
    longest = compose_email(
        facts_for(Step.PAST_DUE, invoices=[line] * 60, about=(), bank_details=FRANCS, currency="CHF")
    )
    for email in (*emails, longest):
        assert sum(len(block.encode()) for block in style_blocks(email.html)) < GMAIL_STYLE_BYTES_MAX
        assert len(email.html.encode()) < HTML_BYTES_MAX
        assert all(len(each) < 998 for each in email.text.splitlines())  # as SMTP allows


class _Pictures(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.found.append(dict(attrs))


def test_pictures_have_a_size_and_a_text_and_come_with_the_email(emails: list[Email]) -> None:
    pictures = [each for email in emails for each in _Pictures(email.html).found]
    assert pictures
    for each in pictures:
        assert (each["src"] or "").startswith("cid:")
        assert each["width"]
        assert each["height"]
        assert each["alt"]


def test_the_text_part_reads_on_its_own(emails: list[Email]) -> None:
    for email in emails:
        assert not re.search(r"<[a-z/]|&[a-z]+;|\{\{|\{%|cid:", email.text), email.subject
        assert "\n\n\n" not in email.text
        links = {
            link.replace("&#x2f;", "/").replace("&amp;", "&") for link in re.findall(r'href="([^"]+)"', email.html)
        }
        assert all(link in email.text for link in links), email.subject
