"""The example of the email tests: Harbour Lights writes to Maria Blue about two invoices, one of them overdue."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connector.emails.outbound.render import EmailFacts, FeeKind, FeeWarning, InvoiceLine, PaidLine
from policies.receivables import Discount, Step

OVERDUE_LINE = InvoiceLine(
    number="INV-1042",
    issued_on=date(2026, 10, 3),
    due_on=date(2026, 11, 2),
    total=Decimal("1200.00"),
    due=Decimal("1200.00"),
    days_late=19,
    pay_link="https://pay.example/1042?a=1&b=2",
)
UPCOMING_LINE = InvoiceLine(
    number="INV-1050",
    issued_on=date(2026, 11, 3),
    due_on=date(2026, 12, 3),
    total=Decimal("800.50"),
    due=Decimal("300.50"),
    days_late=-12,
    pay_link="https://pay.example/1050",
)
DUE_TODAY_LINE = InvoiceLine(
    number="INV-1045",
    issued_on=date(2026, 10, 22),
    due_on=date(2026, 11, 21),
    total=Decimal("75.00"),
    due=Decimal("75.00"),
    days_late=0,
    pay_link="https://pay.example/1045",
)
BEFORE_DUE_STEPS = {Step.RECEIPT_CHECK, Step.DISCOUNT_ENDING, Step.BEFORE_DUE}


def facts_for(step: Step, **changes: Any) -> EmailFacts:
    """Return the facts for the email of a step, with ``changes``."""
    about = UPCOMING_LINE if step in BEFORE_DUE_STEPS else DUE_TODAY_LINE if step is Step.DUE_TODAY else OVERDUE_LINE
    credit = Decimal("50.00") if step is Step.SECOND_NOTICE else Decimal(0)
    facts: dict[str, Any] = {
        "key": f"xero:1:email:{step}",
        "attempt": 1,
        "step": step,
        "to": ("maria@blue.example",),
        "company_name": "Harbour Lights Ltd",
        "customer_name": "Blue & Sons",
        "sender": "billing@harbour.example",
        "sender_name": "Anna Berg",
        "reply_to": "anna@harbour.example",
        "contact_name": "Maria Blue",
        "currency": "EUR",
        "invoices": ()
        if step is Step.THANK_YOU
        else (about,)
        if about is not OVERDUE_LINE
        else (replace(OVERDUE_LINE, covered=credit), UPCOMING_LINE),
        "about": () if step is Step.THANK_YOU else (about.number,),
        "paid": (PaidLine("INV-1042", Decimal("1200.00"), date(2026, 11, 20)),) if step is Step.THANK_YOU else (),
        "fee": FeeWarning(FeeKind.PER_MONTH, Decimal("1.5"), date(2026, 11, 30)) if about is OVERDUE_LINE else None,
        "discount": Discount(Decimal("16.01"), date(2026, 11, 23)) if step is Step.DISCOUNT_ENDING else None,
        "suspension_on": date(2026, 12, 17) if step is Step.FINAL_NOTICE else None,
        "promised_on": date(2026, 11, 20) if step is Step.PROMISE_BROKEN else None,
        "thanked_on": date(2026, 11, 9) if step is Step.PAYMENT_RETURNED else None,
        "portal_link": "https://duewell.harbour.example/c/abc",
        "stop_link": "https://duewell.harbour.example/u/abc",
    }
    return EmailFacts(**(facts | changes))


@pytest.fixture(name="facts_for", scope="session")
def _facts_for() -> Callable[..., EmailFacts]:
    return facts_for
