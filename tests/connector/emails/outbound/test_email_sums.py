"""Every sum of one email agrees with every other: in the subject, the text, the HTML, the preview and the statement."""

import random
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

import pytest

from connector.emails.layout import render_text
from connector.emails.outbound.render import EmailFacts, InvoiceLine, compose_email
from connector.emails.outbound.statement_pdf import draw_statement
from connector.emails.outbound.template_values import EmailTexts
from connector.languages import ENGLISH, replace_nbsp
from policies.receivables import Step
from providers.mailer import Attachment
from tests.connector.emails.outbound.test_statement_pdf import extract_text

TODAY = date(2026, 11, 21)
STATEMENT = Attachment("statement.pdf", "application/pdf", b"%PDF")
STEPS = (
    Step.RECEIPT_CHECK, Step.BEFORE_DUE, Step.DUE_TODAY, Step.PAST_DUE, Step.SECOND_NOTICE, Step.PLAN_OFFER,
    Step.FINAL_NOTICE, Step.PROMISE_BROKEN, Step.PAYMENT_RETURNED,
)  # fmt: skip
LATE_FROM = {Step.RECEIPT_CHECK: -60, Step.BEFORE_DUE: -60, Step.DUE_TODAY: 0}
FactsFor = Callable[..., EmailFacts]


class Expected(NamedTuple):
    """What the email has to say, reckoned from the invoices alone."""

    asked: Decimal
    overdue: Decimal
    total: Decimal
    is_outstanding: bool


def random_facts(choose: random.Random, facts_for: FactsFor) -> tuple[EmailFacts, Expected]:
    """Return an email about some of a customer's open invoices, with what its sums have to be."""
    step = choose.choice(STEPS)
    lines = [random_line(choose, number, step) for number in range(choose.choice((1, 1, 2, 3, 5, 8, 13, 24)))]
    listed = lines[: choose.randint(1, len(lines))]
    about = [line.key for line in choose.sample(listed, choose.randint(1, len(listed)))]
    statement = STATEMENT if choose.random() < 0.5 else None
    facts = facts_for(
        step, invoices=listed, unlisted=lines[len(listed) :], about=about, statement=statement, fee=None,
        suspension_on=TODAY, promised_on=TODAY, thanked_on=TODAY,
    )  # fmt: skip
    named = [line for line in listed if line.key in about]
    asked = [line for line in named if line.days_late >= LATE_FROM.get(step, 1)] or named
    shown = lines if statement else listed
    return facts, Expected(
        asked=sum((line.due - line.covered for line in asked), Decimal(0)),
        overdue=sum((line.due - line.covered for line in lines if line.days_late > 0), Decimal(0)),
        total=sum((line.due - line.covered for line in shown), Decimal(0)),
        is_outstanding=len(shown) == len(lines),
    )


def random_line(choose: random.Random, number: int, step: Step) -> InvoiceLine:
    total = Decimal(choose.randint(1, 2_000_000)) / 100
    due = total if choose.random() < 0.7 else (total * choose.randint(1, 99) / 100).quantize(Decimal("0.01"))
    due = max(due, Decimal("0.01"))
    covered = Decimal(0) if choose.random() < 0.8 else (due / 3).quantize(Decimal("0.01"))
    late = choose.randint(-30, 90) if step is not Step.DUE_TODAY else choose.choice((-5, 0, 0, 12))
    issued = TODAY - timedelta(days=late + 30)
    link = f"https://pay.example/{number}" if choose.random() < 0.7 else ""
    return InvoiceLine(
        f"INV-{number:03}", issued, TODAY - timedelta(days=late), total, due, late,
        id=f"i{number}", covered=covered, pay_link=link,
    )  # fmt: skip


def amounts_in(text: str) -> list[Decimal]:
    return [Decimal(found.replace(",", "")) for found in re.findall(r"€(\d[\d,]*\.\d\d)", text)]


def write_text(facts: EmailFacts) -> str:
    """Return the text part alone: a thousand emails take two seconds less without their HTML."""
    return replace_nbsp(render_text(EmailTexts(facts, ENGLISH).layout_values()))


def check(written: str, expected: Expected, count: int) -> None:
    """Compare every amount of the text part with what it has to be, and the rows with their sums."""
    head, _, table = written.partition("\n\n* ")
    table = f"* {table}".partition("\n\nPlease")[0].partition("\n\nIf ")[0]
    assert set(amounts_in(head)) == {expected.asked}, "summary, opening and button"
    first, _, others = table.partition("\nOther open invoices\n")
    rows = [amounts_in(line)[0] for line in first.splitlines() if line.startswith("* ")]
    assert sum(rows) == expected.asked
    rest = [amounts_in(line)[0] for line in others.splitlines() if line.startswith("* ")]
    assert sum(rows + rest) == expected.total
    assert len(rows + rest) <= count
    labelled = dict(re.findall(r"(?m)^(Subtotal|Total\w*|Total \w+): (.+)$", table))
    sums = {name: amounts_in(text)[0] for name, text in labelled.items()}
    assert sums.get("Subtotal", expected.asked) == expected.asked
    assert sums.get("Total overdue", expected.overdue) == expected.overdue
    assert sums.get("Total outstanding", expected.total) == sums.get("Total", expected.total) == expected.total
    assert "Total" not in sums or not expected.is_outstanding, "a sum without all invoices is no total outstanding"
    assert not rest or re.search(rf"\n(Subtotal|Total overdue): €{expected.asked:,.2f}\n", first)


def seen(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<head>.*?</head>|<!--.*?-->", " ", html)).split())


def test_all_sums_of_a_thousand_random_emails_agree(facts_for: FactsFor) -> None:
    choose = random.Random(12)
    for number in range(1000):
        facts, expected = random_facts(choose, facts_for)
        check(write_text(facts), expected, 42 if facts.statement is None else 12)
        if number % 50 == 0:  # the HTML has the same amounts in the same order, after those of the preview
            email = compose_email(facts)
            written = amounts_in(seen(email.html))
            preview = amounts_in(email.html.partition("</div>")[0].rpartition(">")[2])
            assert set(preview) == {expected.asked}
            assert written[len(preview) :] == amounts_in(email.text)
        if number % 100 == 0 and facts.statement:
            drawn = extract_text(draw_statement(facts, TODAY).content)
            assert f"Total outstanding: €{expected.total:,.2f}" in drawn
            assert not expected.overdue or f"Total overdue: €{expected.overdue:,.2f}" in drawn


@pytest.mark.parametrize(("covered", "button"), [("0", "Pay €1,200.00 now"), ("50", "Pay invoice INV-1042")])
def test_a_button_names_the_amount_that_its_page_asks_for(covered: str, button: str, facts_for: FactsFor) -> None:
    """The ledger's page knows nothing of credit that is not applied: it asks for the whole balance."""
    facts = facts_for(Step.PAST_DUE)
    one = replace(facts.invoices[0], covered=Decimal(covered))
    assert f"\n{button}: https://pay.example/1042?a=1&b=2\n" in compose_email(replace(facts, invoices=(one,))).text


def test_several_invoices_are_paid_on_a_page_that_has_just_these(facts_for: FactsFor) -> None:
    facts = facts_for(Step.PAST_DUE)
    one, two = replace(facts.invoices[0], id="7"), replace(facts.invoices[0], id="8", number="INV-1043")
    several = replace(facts, invoices=(one, two, facts.invoices[1]), about=("7", "8"))
    link = "https://duewell.harbour.example/c/abc/pay?invoice=7&invoice=8"
    assert f"\nPay all: €2,400.00: {link}\n" in compose_email(several).text
    assert "Pay all" not in compose_email(replace(several, portal_link="")).text
    unpayable = [replace(line, pay_link="") for line in several.invoices]
    assert "Pay all" not in compose_email(replace(several, invoices=unpayable)).text


def test_what_only_the_statement_lists_has_a_row_of_its_own(facts_for: FactsFor) -> None:
    facts = facts_for(Step.SECOND_NOTICE, statement=STATEMENT)
    other = replace(facts.invoices[1], number="INV-1060", due=Decimal("700.00"))
    text = compose_email(replace(facts, unlisted=(other,))).text
    assert "* 1 more invoice on the attached statement: €700.00" in text
    assert "Total outstanding: €2,150.50" in text
    without = compose_email(replace(facts, unlisted=(other,), statement=None)).text
    assert "Total: €1,450.50" in without
    assert "outstanding: " not in without
