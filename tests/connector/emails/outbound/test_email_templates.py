"""A user's own words: what they may say, and that they are refused, in words, before a customer could see them fail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connector.db.engine import open_engine, reading, upgrade, writing
from connector.emails.outbound import email_templates
from connector.emails.outbound.email_templates import TemplateError
from connector.emails.outbound.render import EMAIL_STEPS, EmailFacts, compose_email
from policies.receivables import Step

VALID_DOCUMENT = 'subject = "About {{ invoices }}"\nopening = "Dear {{ contact }}, {{ amount }} is open."'
AT = datetime(2026, 6, 10, tzinfo=UTC)


@pytest.mark.parametrize("step", EMAIL_STEPS)
def test_the_shipped_words_can_be_shown_edited_and_set_again(step: Step) -> None:
    for language in ("en", "de", "fr", "es"):
        email_templates.check_document(email_templates.default_document(step, language, "firm"), step)


def test_own_words_take_the_place_of_those_they_name_and_of_no_others(facts_for: Callable[..., EmailFacts]) -> None:
    mail = compose_email(facts_for(Step.PAST_DUE, template_lines=email_templates.parse_document(VALID_DOCUMENT)))
    assert mail.subject == "About invoice INV-1042"
    assert "Dear Maria Blue, €1,200.00 is open." in mail.text
    assert "Perhaps it was overlooked" in mail.text  # the shipped closing


def test_own_words_are_escaped_like_any_other(facts_for: Callable[..., EmailFacts]) -> None:
    mail = compose_email(facts_for(Step.PAST_DUE, template_lines={"opening": "<b>{{ customer }}</b> & more"}))
    assert "&lt;b&gt;Blue &amp; Sons&lt;" in mail.html
    assert "<b>Blue" not in mail.html


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", "says nothing"),
        ("subject = ", "no TOML"),
        ('suject = "x"', "no line called suject"),
        ("subject = 5", "subject must be a text"),
        ('subject = "  "', "not empty"),
        ('subject = "{{ whom }}"', "undefined"),
        ('opening = "{% if plural %}"', "cannot be filled"),
        (
            'opening = "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}"',
            "cannot be filled",
        ),
        ('subject = "{{ invoices.__class__ }}"', "cannot be filled"),
        ("opening = \"{% include 'layout.txt' %}\"", "cannot be filled"),
        ('subject = "{% if plural %}x{% endif %}"', "subject is empty where the mail is about 1"),
        (f'opening = "{"x" * 5000}"', "up to 4000"),
    ],
)
def test_what_makes_no_mail_is_refused_and_says_why(document: str, said: str) -> None:
    with pytest.raises(TemplateError, match=said):
        email_templates.check_document(document, Step.PAST_DUE)


def test_a_step_that_is_no_mail_has_no_words() -> None:
    with pytest.raises(TemplateError, match="no mail"):
        email_templates.check_document(VALID_DOCUMENT, Step.CALL)


def test_the_nearest_words_count_and_can_be_taken_back(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'home' / 'duewell.db'}")
    upgrade(engine)

    def put(subject: str, language: str = "") -> None:
        with writing(engine) as session:
            document = f'subject = "{subject}"' if subject else ""
            email_templates.save_template(
                session, document, step=Step.PAST_DUE, language=language, connection_id=None, by="Ann", at=AT
            )

    def subject(language: str) -> str:
        with reading(engine) as session:
            return email_templates.find_custom_lines(session, None, Step.PAST_DUE, language).get("subject", "shipped")

    put("General")
    put("Deutsch", "de")
    assert [subject(each) for each in ("de-AT", "fr", "")] == ["Deutsch", "General", "General"]
    put("", "de")
    assert subject("de") == "General"
    put("")
    assert subject("de") == "shipped"
    with reading(engine) as session:
        assert email_templates.list_templates(session) == []
    with pytest.raises(TemplateError, match="texts in 'nl'"):
        put("x", "nl")
    engine.dispose()
