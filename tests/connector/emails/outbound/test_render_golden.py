"""Every mail in every tone and language, as it leaves, beside what it was when a person last read it.

After a change of words or layout, write the files anew and read the difference before it is committed:
``WRITE_GOLDEN=1 make unit PYTEST_ARGS=tests/connector/mails``
"""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
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
def test_every_mail_reads_as_it_was_last_approved(
    language: str, tone: str, facts_for: Callable[..., EmailFacts]
) -> None:
    mails = [compose_email(facts_for(step, language=language, tone=tone)) for step in EMAIL_STEPS]
    check_golden(
        f"{language}-{tone}.txt",
        "".join(f"===== {mail.category}\nSubject: {mail.subject}\n\n{mail.text}\n" for mail in mails),
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_mails_about_several_invoices_read_as_they_were_last_approved(
    language: str, facts_for: Callable[..., EmailFacts]
) -> None:
    """Two invoices due on different days, and the company's own lines on how to pay."""
    several = (Step.BEFORE_DUE, Step.PAST_DUE, Step.SECOND_NOTICE, Step.FINAL_NOTICE)
    mails = [compose_email(_about_two(facts_for(step, language=language, ways_to_pay=IBAN))) for step in several]
    check_golden(f"{language}-several.txt", "".join(f"===== {mail.subject}\n\n{mail.text}\n" for mail in mails))


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_paid_a_part_is_not_told_that_he_paid_nothing(language: str, facts_for: Callable[..., EmailFacts]) -> None:
    said = ""
    for step in (Step.PAST_DUE, Step.SECOND_NOTICE, Step.PROMISE_BROKEN):
        for tone in TONES:
            facts = facts_for(step, language=language, tone=tone)
            partly = replace(facts.invoices[0], total=facts.invoices[0].due + 500)
            for asked in (replace(facts, invoices=(partly,)), _about_two(replace(facts, invoices=(partly,)))):
                opening = compose_email(asked).text.splitlines()[2]
                said += f"===== {step}, {tone}\n{opening}\n"
    check_golden(f"{language}-part-paid.txt", said)


def _about_two(facts: EmailFacts) -> EmailFacts:
    one = next(line for line in facts.invoices if line.number in facts.about)
    assert one.due_on is not None
    other = replace(one, number="INV-1039", due_on=one.due_on - timedelta(days=9), days_late=one.days_late + 9)
    return replace(facts, invoices=(other, one), about=(other.number, one.number))


@pytest.mark.parametrize("step", EMAIL_STEPS)
def test_every_mail_looks_as_it_was_last_approved(step: str, facts_for: Callable[..., EmailFacts]) -> None:
    mail = compose_email(facts_for(step))
    headers = "".join(f"<!-- {name}: {value} -->\n" for name, value in mail.headers)
    check_golden(f"{step}.html", f"{headers}{mail.html}\n")
