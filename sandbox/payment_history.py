"""How the invoices of simulated companies are paid: on time, late, in parts, by credit, or never."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Protocol

from sandbox.customers import CustomerProfile
from sandbox.events import (
    CreditNoteIssued,
    Event,
    InvoiceIssued,
    InvoiceVoided,
    Line,
    NoteWritten,
    PaymentDeleted,
    PaymentReceived,
    PaymentSpeed,
)

Issued = Sequence[tuple[InvoiceIssued, CustomerProfile]]


class BookkeepingCalendar(Protocol):
    """The part of ``simulation.BookkeepingCalendar`` that is used here."""

    today: date

    def day(self, days: int) -> date:
        """Return a working day relative to today."""
        ...

    def weekday(self, on: date) -> date:
        """Return the first working day on or after ``on``."""
        ...

    def evening(self, on: date, minute: int, second: int = 0) -> datetime:
        """Return the instant at which something of that date is entered."""
        ...


def build_payment_events(invoices: Issued, calendar: BookkeepingCalendar, seed: int) -> Iterator[Event]:
    """Yield the events of each invoice after it was issued."""
    month_end: dict[tuple[str, date], list[InvoiceIssued]] = defaultdict(list)
    for invoice, profile in invoices:
        rng = random.Random(f"{seed}:{invoice.key}:{profile.customer.key}")
        if invoice.draft or _reserved_for_scenario(invoice, profile, calendar):
            continue
        if profile.scenario == "month_end":
            pay_on = _month_end(invoice.due_on + timedelta(days=3), calendar)
            month_end[invoice.customer_key, pay_on].append(invoice)
        else:
            yield from _invoice_events(rng, invoice, profile, calendar)
    for (customer_key, pay_on), together in month_end.items():
        applied = tuple((invoice.key, invoice.total) for invoice in together)
        amount = sum((total for _, total in applied), Decimal(0))
        at = calendar.evening(pay_on, 40)
        yield PaymentReceived(at, pay_on, f"P{together[0].key}", customer_key, together[0].currency, amount, applied)


def _reserved_for_scenario(invoice: InvoiceIssued, profile: CustomerProfile, calendar: BookkeepingCalendar) -> bool:
    age = (calendar.today - invoice.on).days
    if profile.scenario == "never_pays":
        return age < 150
    if profile.scenario == "disputes":
        return 30 < age <= 90
    return profile.scenario in {"on_account", "no_email_address"} and 0 <= age < 75


def _invoice_events(
    rng: random.Random, invoice: InvoiceIssued, profile: CustomerProfile, calendar: BookkeepingCalendar
) -> Iterator[Event]:
    roll = rng.random()
    due = invoice.total
    if roll < 0.004:  # cancelled by a credit note, as where an invoice may not be voided any more
        on = calendar.weekday(invoice.on + timedelta(days=20))
        yield _build_credit_note(invoice, calendar, on, due, "Order cancelled")
        return
    if roll < 0.012:
        on = calendar.weekday(invoice.on + timedelta(days=rng.randint(1, 2)))
        yield InvoiceVoided(calendar.evening(on, rng.randint(26, 30)), on, invoice.key)
        return
    if roll < 0.04:
        credit = _build_goodwill_credit(rng, invoice, calendar)
        yield credit
        due -= credit.total
    pay_on = _choose_payment_date(rng, invoice, profile, calendar)
    if pay_on is None:
        return
    if profile.customer.discount_percent and rng.random() < 0.6:
        yield from _pay_with_discount(rng, invoice, profile, calendar, due)
    elif profile.scenario == "overpays" and rng.random() < 0.4:
        yield _build_payment(rng, invoice, calendar, pay_on, due, extra=Decimal(rng.randint(500, 5000)) / 100)
    elif roll > 0.94:
        part = _round_to_cents(due * rng.randint(30, 60) / 100)
        yield _build_payment(rng, invoice, calendar, pay_on, part)
        rest_on = calendar.weekday(pay_on + timedelta(days=rng.randint(8, 30)))
        yield _build_payment(rng, invoice, calendar, rest_on, due - part, suffix="b")
    else:
        payment = _build_payment(rng, invoice, calendar, pay_on, due)
        if 0.925 < roll <= 0.932:  # found on the bank statement and entered a week later, with its own date
            entered_on = calendar.weekday(pay_on + timedelta(days=7))
            payment = replace(payment, at=calendar.evening(entered_on, 36))
        yield payment
        if roll > 0.932:
            back_on = calendar.weekday(pay_on + timedelta(days=3))
            yield PaymentDeleted(calendar.evening(back_on, 55), back_on, payment.key)
            yield _build_payment(
                rng, invoice, calendar, calendar.weekday(back_on + timedelta(days=21)), due, suffix="b"
            )


def _choose_payment_date(
    rng: random.Random, invoice: InvoiceIssued, profile: CustomerProfile, calendar: BookkeepingCalendar
) -> date | None:
    temper = profile.customer.payment_speed
    if temper is not PaymentSpeed.PROMPT and rng.random() < 0.03:
        return None  # not paid within the simulated time
    if temper is PaymentSpeed.PROMPT:
        late = rng.choice((-6, -4, -3, -2, -2, -1, 0, 0, 1, 2))
    elif temper is PaymentSpeed.SLOW:
        late = round(rng.triangular(2, 32, 9))
    else:
        late = rng.randint(15, 80)
    return calendar.weekday(max(invoice.on + timedelta(days=1), invoice.due_on + timedelta(days=late)))


def _build_payment(
    rng: random.Random,
    invoice: InvoiceIssued,
    calendar: BookkeepingCalendar,
    on: date,
    amount: Decimal,
    *,
    extra: Decimal = Decimal(0),
    suffix: str = "",
) -> PaymentReceived:
    at = calendar.evening(on, rng.randint(36, 54), rng.randint(0, 59))
    key = f"P{invoice.key}{suffix}"
    applied = ((invoice.key, amount),)
    return PaymentReceived(at, on, key, invoice.customer_key, invoice.currency, amount + extra, applied)


def _build_goodwill_credit(
    rng: random.Random, invoice: InvoiceIssued, calendar: BookkeepingCalendar
) -> CreditNoteIssued:
    on = calendar.weekday(invoice.on + timedelta(days=rng.randint(2, 8)))
    net = _round_to_cents(invoice.total * rng.randint(5, 15) / 100)
    return _build_credit_note(invoice, calendar, on, net, "Goodwill for a late delivery")


def _build_credit_note(
    invoice: InvoiceIssued, calendar: BookkeepingCalendar, on: date, total: Decimal, description: str
) -> CreditNoteIssued:
    # The credit has the tax rate of the invoice: total = net + tax, both to the cent.
    percent = invoice.lines[0].tax_percent
    line = Line("CONSULT", description, Decimal(1), _round_to_cents(total * 100 / (100 + percent)), percent)
    total = line.net + line.tax
    return CreditNoteIssued(
        at=calendar.evening(on, 31),
        on=on,
        key=f"K{invoice.key}",
        number=f"CN-{invoice.number[4:]}",
        customer_key=invoice.customer_key,
        currency=invoice.currency,
        lines=(line,),
        total=total,
        applied=((invoice.key, total),),
    )


def _pay_with_discount(
    rng: random.Random, invoice: InvoiceIssued, profile: CustomerProfile, calendar: BookkeepingCalendar, due: Decimal
) -> Iterator[Event]:
    on = calendar.weekday(invoice.on + timedelta(days=rng.randint(4, profile.customer.discount_days - 2)))
    if due != invoice.total:
        yield _build_payment(rng, invoice, calendar, on, due)
        return
    off = _round_to_cents(due * profile.customer.discount_percent / 100)
    credit = _build_credit_note(invoice, calendar, on, off, "Discount for early payment, 2/10 net 30")
    yield credit
    yield _build_payment(rng, invoice, calendar, on, due - credit.total)


def build_scenario_events(invoices: Issued, calendar: BookkeepingCalendar) -> Iterator[Event]:
    """Yield the events of customers with a scenario: a dispute, a payment on account, an unused credit."""
    for scenario in ("disputes", "on_account", "unused_credit"):
        matching = [i for i, profile in invoices if profile.scenario == scenario and not i.draft]
        past = [invoice for invoice in matching if invoice.on < calendar.today]
        if not past:
            continue
        if scenario == "disputes":
            yield from _dispute_events([i for i in past if 30 < (calendar.today - i.on).days <= 90], calendar)
        elif scenario == "on_account":
            yield from _on_account_events(past[-1], calendar)
        else:
            on = calendar.day(-12)
            total = _round_to_cents(past[-1].total / 3)
            credit = _build_credit_note(past[-1], calendar, on, total, "Returned goods, to be set off later")
            yield CreditNoteIssued(
                credit.at, on, "KSTORY", "CN-9001", credit.customer_key, credit.currency, credit.lines, credit.total
            )


def _dispute_events(invoices: list[InvoiceIssued], calendar: BookkeepingCalendar) -> Iterator[Event]:
    for n, invoice in enumerate(invoices):
        on = calendar.weekday(max(invoice.on + timedelta(days=2), calendar.today - timedelta(days=18)))
        if on < calendar.today:
            text = "Customer disputes this invoice: says that half of the hours were never agreed. Do not chase."
            yield NoteWritten(calendar.evening(on, 56), on, invoice.key, text)
        settled_on = calendar.day(25 + n)
        credit = _build_credit_note(
            invoice, calendar, settled_on, _round_to_cents(invoice.total * 30 / 100), "Settled after a dispute"
        )
        yield credit
        paid_on = calendar.day(32 + n)
        amount = invoice.total - credit.total
        key = f"P{invoice.key}"
        applied = ((invoice.key, amount),)
        yield PaymentReceived(
            calendar.evening(paid_on, 45), paid_on, key, invoice.customer_key, invoice.currency, amount, applied
        )


def _on_account_events(invoice: InvoiceIssued, calendar: BookkeepingCalendar) -> Iterator[Event]:
    on = calendar.day(-6)
    amount = _round_to_cents(invoice.total / 2) + 100
    yield PaymentReceived(
        calendar.evening(on, 46), on, "PSTORY", invoice.customer_key, invoice.currency, amount, (), on_account=True
    )


def _month_end(on: date, calendar: BookkeepingCalendar) -> date:
    first = (on.replace(day=1) + timedelta(days=32)).replace(day=1)
    last = first - timedelta(days=1)
    return calendar.weekday(last)


def _round_to_cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)
