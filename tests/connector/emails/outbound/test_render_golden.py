"""Every email in every tone and language, compared with the version that was last read and approved.

After a change of a text or the layout, write the files again and read the difference before committing it:
``WRITE_GOLDEN=1 make unit PYTEST_ARGS=tests/connector/emails/outbound``
"""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from connector.emails.outbound.email_facts import SinceLast
from connector.emails.outbound.render import EMAIL_STEPS, TONES, EmailFacts, compose_email, compose_lines
from connector.languages import LANGUAGES
from policies.receivables import Step
from providers.mailer import Email

GOLDEN_FOLDER = Path(__file__).parent / "golden"
IBAN = "Harbour Lights Ltd, IBAN DE02 1203 0000 0000 2020 51\nwith the invoice's number"
IS_WRITING = bool(os.environ.get("WRITE_GOLDEN"))


def opening_of(email: Email) -> str:
    """Return the paragraph after the salutation."""
    parts = email.text.split("\n\n")
    return parts[next(place for place, part in enumerate(parts) if "Maria Blue" in part) + 1]


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
                openings += f"===== {step}, {tone}\n{opening_of(compose_email(variant))}\n"
    check_golden(f"{language}-part-paid.txt", openings)


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_about_a_part_that_was_promised_are_as_last_approved(
    language: str, facts_for: Callable[..., EmailFacts]
) -> None:
    openings = ""
    for tone in TONES:
        facts = facts_for(Step.PROMISE_BROKEN, language=language, tone=tone, promised_amount=Decimal(500))
        part_paid = replace(facts.invoices[0], total=facts.invoices[0].due + 300, paid=Decimal(300))
        for variant in (facts, replace(facts, invoices=(part_paid,)), _about_two(facts)):
            openings += f"===== {tone}\n{opening_of(compose_email(variant))}\n"
    check_golden(f"{language}-part-promised.txt", openings)


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_of_repeated_emails_are_as_last_approved(language: str, facts_for: Callable[..., EmailFacts]) -> None:
    """The second and the third email of each step, also after a part payment, and what is said since the last one."""
    found = ""
    for step in EMAIL_STEPS:
        facts = facts_for(step, language=language)
        for earlier in (1, 2):
            for variant in _unpaid_and_part_paid(replace(facts, earlier_of_step=earlier)):
                lines = compose_lines(variant)
                found += f"===== {step}, {earlier + 1}\n{lines['opening']}\n\n{lines['closing']}\n"
    facts = replace(facts_for(Step.FINAL_NOTICE, language=language), custom_lines={"closing": "-"})
    day = date(2026, 11, 8)
    for since in (
        SinceLast(day),
        SinceLast(day, paid=Decimal("500.5"), promised_on=day),
        SinceLast(day, replied_on=day, promised_before_on=day),
        SinceLast(day, reported_on=day),
        SinceLast(day, disputed_on=day, replied_on=day),
    ):
        found += f"===== since\n{compose_lines(replace(facts, since=since))['opening'].split(chr(10) * 2)[1]}\n"
    check_golden(f"{language}-again.txt", found)


def _unpaid_and_part_paid(facts: EmailFacts) -> list[EmailFacts]:
    if facts.step not in (Step.PAST_DUE, Step.SECOND_NOTICE, Step.PROMISE_BROKEN):
        return [facts]
    part_paid = replace(facts.invoices[0], total=facts.invoices[0].due + 500, paid=Decimal(500))
    return [facts, replace(facts, invoices=(part_paid,)), _about_two(facts)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_about_invoices_without_a_number_are_as_last_approved(
    language: str, facts_for: Callable[..., EmailFacts]
) -> None:
    """One invoice that the ledger gave no number; then two of them, and one of them beside one with a number."""
    found = ""
    for step in EMAIL_STEPS:
        facts = _without_numbers(facts_for(step, language=language))
        variants = [facts]
        if step in (Step.BEFORE_DUE, Step.PAST_DUE, Step.FINAL_NOTICE):
            variants += [_about_two_unnumbered(facts), _about_two(facts)]
        for email in map(compose_email, variants):
            found += f"===== {step}\nSubject: {email.subject}\n\n{email.text}\n"
    check_golden(f"{language}-unnumbered.txt", found)


def _without_numbers(facts: EmailFacts) -> EmailFacts:
    lines = tuple(replace(line, id=line.number, number="") for line in facts.invoices)
    paid = tuple(replace(line, number="", issued_on=date(2026, 10, 3)) for line in facts.paid)
    return replace(facts, invoices=lines, paid=paid)


def test_texts_on_the_day_that_takes_the_place_of_a_saturday_are_as_last_approved(
    facts_for: Callable[..., EmailFacts],
) -> None:
    """One invoice that was due on no business day, then beside one that is due today."""
    found = ""
    for language in LANGUAGES:
        facts = facts_for(Step.DUE_TODAY, language=language)
        one = facts.invoices[0]
        assert one.due_on is not None
        moved = replace(one, number="INV-1039", due_on=one.due_on - timedelta(days=2), payable_by_on=one.due_on)
        for lines in ((moved,), (moved, one)):
            email = compose_email(replace(facts, invoices=lines, about=tuple(each.key for each in lines)))
            found += f"===== {language}\nSubject: {email.subject}\n\n{email.text}\n"
    check_golden("moved.txt", found)


def _about_two(facts: EmailFacts) -> EmailFacts:
    one = next(line for line in facts.invoices if line.key in facts.about)
    assert one.due_on is not None
    earlier_on = one.due_on - timedelta(days=9)
    one = replace(one, id="2042")
    other = replace(one, number="INV-1039", id="2039", due_on=earlier_on, days_late=one.days_late + 9)
    return replace(facts, invoices=(other, one), about=(other.key, one.key))


def _about_two_unnumbered(facts: EmailFacts) -> EmailFacts:
    other, one = _about_two(facts).invoices
    other = replace(other, number="", issued_on=one.issued_on - timedelta(days=9))
    return replace(facts, invoices=(other, one), about=(other.key, one.key))


@pytest.mark.parametrize("step", EMAIL_STEPS)
def test_every_layout_is_as_last_approved(step: str, facts_for: Callable[..., EmailFacts]) -> None:
    email = compose_email(facts_for(step))
    headers = "".join(f"<!-- {name}: {value} -->\n" for name, value in email.headers)
    check_golden(f"{step}.html", f"{headers}{email.html}\n")
