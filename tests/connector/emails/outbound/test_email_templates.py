"""A user's own templates: what they can contain, and that they are rejected with a reason before they are saved."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connector.db.engine import open_engine, reading, upgrade, writing
from connector.emails.outbound import email_templates
from connector.emails.outbound.email_templates import TemplateError
from connector.emails.outbound.render import EMAIL_STEPS, EmailFacts, compose_email
from connector.languages import LANGUAGES
from policies.receivables import Step

VALID_DOCUMENT = 'subject = "About {{ invoices }}"\nopening = "Dear {{ contact }}, {{ amount }} is open."'
AT = datetime(2026, 6, 10, tzinfo=UTC)


@pytest.mark.parametrize("step", EMAIL_STEPS)
def test_the_shipped_texts_pass_the_check(step: Step) -> None:
    for language in LANGUAGES:
        email_templates.check_document(email_templates.default_document(step, language, "firm"), step)


def test_a_template_replaces_the_lines_it_has_and_no_others(facts_for: Callable[..., EmailFacts]) -> None:
    email = compose_email(facts_for(Step.PAST_DUE, template_lines=email_templates.parse_document(VALID_DOCUMENT)))
    assert email.subject == "About invoice INV-1042"
    assert "Dear Maria Blue, €1,200.00 is open." in email.text
    assert "please ignore this reminder" in email.text  # the shipped closing


def test_a_template_is_escaped_like_any_text(facts_for: Callable[..., EmailFacts]) -> None:
    email = compose_email(facts_for(Step.PAST_DUE, template_lines={"opening": "<b>{{ customer }}</b> & more"}))
    assert "&lt;b&gt;Blue &amp; Sons&lt;" in email.html
    assert "<b>Blue" not in email.html


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ("", "is empty"),
        ("subject = ", "not valid TOML"),
        ('suject = "x"', "no line called suject"),
        ("subject = 5", "subject must be a text"),
        ('subject = "  "', "1 to 4000"),
        ('subject = "{{ whom }}"', "undefined"),
        ('opening = "{% if plural %}"', "cannot be filled"),
        (
            'opening = "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}"',
            "cannot be filled",
        ),
        ('subject = "{{ invoices.__class__ }}"', "cannot be filled"),
        ("opening = \"{% include 'layout.txt' %}\"", "cannot be filled"),
        ('subject = "{% if plural %}x{% endif %}"', "subject is empty when the email is about 1"),
        (f'opening = "{"x" * 5000}"', "1 to 4000"),
    ],
)
def test_a_document_that_makes_no_email_is_rejected_with_a_reason(document: str, error: str) -> None:
    with pytest.raises(TemplateError, match=error):
        email_templates.check_document(document, Step.PAST_DUE)


def test_a_step_that_is_not_an_email_has_no_template() -> None:
    with pytest.raises(TemplateError, match="not an email"):
        email_templates.check_document(VALID_DOCUMENT, Step.CALL)


def test_the_most_specific_template_is_used_and_can_be_reset(tmp_path: Path) -> None:
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
    with pytest.raises(TemplateError, match="texts in 'sv'"):
        put("x", "sv")
    engine.dispose()
