"""Every email in every tone and language, compared with the version that was last read and approved.

After a change of a text or the layout, write the files again and read the difference before committing it:
``WRITE_GOLDEN=1 make unit PYTEST_ARGS=tests/connector/emails/outbound``
"""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from connector.emails.outbound.render import EMAIL_STEPS, TONES, EmailFacts, compose_email
from connector.languages import LANGUAGES
from policies.receivables import Step

GOLDEN_FOLDER = Path(__file__).parent / "golden"
IBAN = "Harbour Lights Ltd, IBAN DE02 1203 0000 0000 2020 51\nwith the invoice's number"
IS_WRITING = bool(os.environ.get("WRITE_GOLDEN"))


def check_golden(name: str, text: str) -> None:
    path = GOLDEN_FOLDER / name
    if IS_WRITING:
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{path} is missing: write it as the docstring says"
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_as_last_approved(language: str, tone: str, facts_for: Callable[..., EmailFacts]) -> None:
    emails = [compose_email(facts_for(step, language=language, tone=tone)) for step in EMAIL_STEPS]
    check_golden(
        f"{language}-{tone}.txt",
        "".join(f"===== {email.category}\nSubject: {email.subject}\n\n{email.text}\n" for email in emails),
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_about_several_invoices_are_as_last_approved(language: str, facts_for: Callable[..., EmailFacts]) -> None:
    """Two invoices due on different dates, and the company's payment instructions."""
    several = (Step.BEFORE_DUE, Step.PAST_DUE, Step.SECOND_NOTICE, Step.FINAL_NOTICE)
    emails = [
        compose_email(_about_two(facts_for(step, language=language, payment_instructions=IBAN))) for step in several
    ]
    check_golden(f"{language}-several.txt", "".join(f"===== {email.subject}\n\n{email.text}\n" for email in emails))


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_after_a_part_payment_are_as_last_approved(language: str, facts_for: Callable[..., EmailFacts]) -> None:
    openings = ""
    for step in (Step.PAST_DUE, Step.SECOND_NOTICE, Step.PROMISE_BROKEN):
        for tone in TONES:
            facts = facts_for(step, language=language, tone=tone)
            part_paid = replace(facts.invoices[0], total=facts.invoices[0].due + 500, paid=Decimal(500))
            for variant in (replace(facts, invoices=(part_paid,)), _about_two(replace(facts, invoices=(part_paid,)))):
                opening = compose_email(variant).text.splitlines()[2]
                openings += f"===== {step}, {tone}\n{opening}\n"
    check_golden(f"{language}-part-paid.txt", openings)


def _about_two(facts: EmailFacts) -> EmailFacts:
    one = next(line for line in facts.invoices if line.number in facts.about)
    assert one.due_on is not None
    other = replace(one, number="INV-1039", due_on=one.due_on - timedelta(days=9), days_late=one.days_late + 9)
    return replace(facts, invoices=(other, one), about=(other.number, one.number))


@pytest.mark.parametrize("step", EMAIL_STEPS)
def test_every_layout_is_as_last_approved(step: str, facts_for: Callable[..., EmailFacts]) -> None:
    email = compose_email(facts_for(step))
    headers = "".join(f"<!-- {name}: {value} -->\n" for name, value in email.headers)
    check_golden(f"{step}.html", f"{headers}{email.html}\n")
