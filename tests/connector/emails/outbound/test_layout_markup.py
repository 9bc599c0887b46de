"""The layout of emails: MJML says nothing of a misspelt tag or attribute, so links and tags are counted here.

mjml-python leaves an unknown tag in the HTML, and a button whose ``href`` is misspelt has no link.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from itertools import product
from pathlib import Path

import pytest

from connector.emails import layout
from connector.emails.layout import TEMPLATES
from connector.emails.outbound.render import EmailFacts, compose_email
from connector.languages import LANGUAGES
from policies.receivables import Step
from providers.mailer import Attachment

FactsFor = Callable[..., EmailFacts]
_TEXT = {"align", "color", "font-family", "font-size", "font-weight", "line-height", "padding", "css-class"}
# The tags that the layout uses, with the attributes of each that it may have, from the reference of MJML 4.
KNOWN = {
    "mjml": {"lang"},
    "mj-head": set(),
    "mj-title": set(),
    "mj-preview": set(),
    "mj-attributes": set(),
    "mj-all": {"font-family"},
    "mj-style": {"inline"},
    "mj-raw": set(),
    "mj-body": {"width", "background-color", "css-class"},
    "mj-section": {"padding", "background-color", "css-class"},
    "mj-column": {"width", "padding", "css-class"},
    "mj-text": _TEXT,
    "mj-table": _TEXT,
    "mj-button": _TEXT | {"href", "background-color", "border-radius", "inner-padding"},
}
_TAG = re.compile(r"<(mj[\w-]*)((?:[^<>\"]|\"[^\"]*\")*)>")


def warnings_of(source: str) -> list[str]:
    """Return the tags and attributes of a layout that MJML would pass over in silence."""
    found = []
    for tag, attributes in _TAG.findall(source):
        if tag not in KNOWN:
            found.append(tag)
        else:
            names = re.findall(r"([\w-]+)=", re.sub(r'"[^"]*"', "", attributes))
            found += [f"{tag} {name}" for name in names if name not in KNOWN[tag]]
    return found


def test_the_layout_has_only_tags_and_attributes_that_mjml_knows() -> None:
    source = (TEMPLATES / "layout.mjml").read_text(encoding="utf-8")
    assert warnings_of(source) == []
    assert warnings_of('<mj-button hreff="{{ a }}">x</mj-button><mj-buton>') == ["mj-button hreff", "mj-buton"]
    tags = re.findall(r"<(/?)(mj[\w-]*)\b[^<>]*?(/?)>", source)
    opened = sorted(name for end, name, alone in tags if not end and not alone)
    assert opened == sorted(name for end, name, _alone in tags if end)


def test_every_link_and_tag_of_the_layout_is_in_the_email(facts_for: FactsFor) -> None:
    facts = facts_for(Step.SECOND_NOTICE)
    several = replace(facts, invoices=[replace(line, covered=0 * line.due) for line in facts.invoices])
    for given in (several, facts_for(Step.PAST_DUE, portal_link=""), facts_for(Step.THANK_YOU)):
        email = compose_email(given)
        links = re.findall(r'<a\b[^>]*href="([^"]*)"', email.html)
        in_text = re.findall(r"https://\S+", email.text)
        assert [unescape(link) for link in links] == in_text, "the same links, in the same order"
        assert email.html.count("<a ") == len(links) == email.html.count("</a>")
        assert "<mj" not in email.html
        assert "{{" not in email.html
        for tag in ("table", "tr", "td", "th", "p", "div", "span"):
            bare = re.sub(r"(?s)<!--.*?-->", "", email.html)
            assert len(re.findall(rf"<{tag}\b", bare)) == bare.count(f"</{tag}>"), tag


def test_a_misspelt_link_of_the_button_would_be_noticed(
    facts_for: FactsFor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = (TEMPLATES / "layout.mjml").read_text(encoding="utf-8")
    (tmp_path / "layout.mjml").write_text(source.replace('href="{{ button.link }}"', 'hreff="{{ button.link }}"'))
    (tmp_path / "layout.txt").write_text((TEMPLATES / "layout.txt").read_text(encoding="utf-8"))
    layout._environment.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(layout, "TEMPLATES", tmp_path)
        email = compose_email(facts_for(Step.BEFORE_DUE))
        links = re.findall(r'<a\b[^>]*href="([^"]*)"', email.html)
        assert len(links) < len(re.findall(r"https://\S+", email.text)), "as the test above says"
    layout._environment.cache_clear()


def test_an_email_about_a_hundred_invoices_is_small_in_every_language(facts_for: FactsFor) -> None:
    """Gmail hides what is beyond 102 KB, which is where the link to stop reminders stands."""
    statement = Attachment("statement.pdf", "application/pdf", b"%PDF")
    for language, attached in product(LANGUAGES, (None, statement)):
        facts = facts_for(Step.SECOND_NOTICE, language=language)
        one = replace(facts.invoices[0], pay_link="https://pay.example/" + "x" * 150)
        many = [replace(one, number=f"INV-{n:05}-2026", id=f"{n:036}", days_late=one.days_late + n) for n in range(100)]
        email = compose_email(replace(facts, invoices=many, about=[each.id for each in many], statement=attached))
        assert len(email.html.encode()) < 60_000, language
