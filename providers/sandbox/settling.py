"""How invoices of the make-believe companies get settled: on time, late, in parts, by credit, or never."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Protocol

from providers.sandbox.events import (
    CreditNoteIssued,
    Event,
    InvoiceIssued,
    InvoiceVoided,
    Line,
    NoteWritten,
    PaymentDeleted,
    PaymentReceived,
    Temper,
)
from providers.sandbox.people import Habit

Issued = Sequence[tuple[InvoiceIssued, Habit]]


class Diary(Protocol):
    """Days and evenings, as ``world.Diary`` has them."""

    today: date

    def day(self, days: int) -> date:
        """Return a weekday relative to today."""
        ...

    def weekday(self, on: date) -> date:
        """Return the first weekday on or after ``on``."""
        ...

    def evening(self, on: date, minute: int, second: int = 0) -> datetime:
        """Return the instant at which something of that day is booked."""
        ...


def settle(invoices: Issued, diary: Diary, seed: int) -> Iterator[Event]:
    """Yield what happens to each invoice after it was issued."""
    month_end: dict[tuple[str, date], list[InvoiceIssued]] = defaultdict(list)
    for invoice, habit in invoices:
        rng = random.Random(f"{seed}:{invoice.key}:{habit.customer.key}")
        if invoice.draft or _kept_for_story(invoice, habit, diary):
            continue
        if habit.story == "month_end":
            pay_on = _month_end(invoice.due_on + timedelta(days=3), diary)
            month_end[invoice.customer_key, pay_on].append(invoice)
        else:
            yield from _settle_one(rng, invoice, habit, diary)
    for (customer_key, pay_on), together in month_end.items():
        applied = tuple((invoice.key, invoice.total) for invoice in together)
        amount = sum((total for _, total in applied), Decimal(0))
        at = diary.evening(pay_on, 40)
        yield PaymentReceived(at, pay_on, f"P{together[0].key}", customer_key, together[0].currency, amount, applied)


def _kept_for_story(invoice: InvoiceIssued, habit: Habit, diary: Diary) -> bool:
    age = (diary.today - invoice.on).days
    if habit.story == "never_pays":
        return age < 150
    if habit.story == "disputes":
        return 30 < age <= 90
    return habit.story in {"on_account", "no_address"} and 0 <= age < 75


def _settle_one(rng: random.Random, invoice: InvoiceIssued, habit: Habit, diary: Diary) -> Iterator[Event]:
    fate = rng.random()
    due = invoice.total
    if fate < 0.012:
        on = diary.weekday(invoice.on + timedelta(days=rng.randint(1, 2)))
        yield InvoiceVoided(diary.evening(on, rng.randint(26, 30)), on, invoice.key)
        return
    if fate < 0.04:
        credit = _credit(rng, invoice, diary)
        yield credit
        due -= credit.total
    pay_on = _pay_on(rng, invoice, habit, diary)
    if pay_on is None:
        return
    if habit.customer.discount_percent and rng.random() < 0.6:
        yield from _with_discount(rng, invoice, habit, diary, due)
    elif habit.story == "overpays" and rng.random() < 0.4:
        yield _payment(rng, invoice, diary, pay_on, due, extra=Decimal(rng.randint(500, 5000)) / 100)
    elif fate > 0.94:
        part = _cents(due * rng.randint(30, 60) / 100)
        yield _payment(rng, invoice, diary, pay_on, part)
        rest_on = diary.weekday(pay_on + timedelta(days=rng.randint(8, 30)))
        yield _payment(rng, invoice, diary, rest_on, due - part, suffix="b")
    else:
        payment = _payment(rng, invoice, diary, pay_on, due)
        yield payment
        if fate > 0.932:
            back_on = diary.weekday(pay_on + timedelta(days=3))
            yield PaymentDeleted(diary.evening(back_on, 55), back_on, payment.key)
            yield _payment(rng, invoice, diary, diary.weekday(back_on + timedelta(days=21)), due, suffix="b")


def _pay_on(rng: random.Random, invoice: InvoiceIssued, habit: Habit, diary: Diary) -> date | None:
    temper = habit.customer.temper
    if temper is not Temper.PROMPT and rng.random() < 0.03:
        return None  # never, as far as anybody knows
    if temper is Temper.PROMPT:
        late = rng.choice((-6, -4, -3, -2, -2, -1, 0, 0, 1, 2))
    elif temper is Temper.SLOW:
        late = round(rng.triangular(2, 32, 9))
    else:
        late = rng.randint(15, 80)
    return diary.weekday(max(invoice.on + timedelta(days=1), invoice.due_on + timedelta(days=late)))


def _payment(
    rng: random.Random,
    invoice: InvoiceIssued,
    diary: Diary,
    on: date,
    amount: Decimal,
    *,
    extra: Decimal = Decimal(0),
    suffix: str = "",
) -> PaymentReceived:
    at = diary.evening(on, rng.randint(36, 54), rng.randint(0, 59))
    key = f"P{invoice.key}{suffix}"
    applied = ((invoice.key, amount),)
    return PaymentReceived(at, on, key, invoice.customer_key, invoice.currency, amount + extra, applied)


def _credit(rng: random.Random, invoice: InvoiceIssued, diary: Diary) -> CreditNoteIssued:
    on = diary.weekday(invoice.on + timedelta(days=rng.randint(2, 8)))
    net = _cents(invoice.total * rng.randint(5, 15) / 100)
    return _credit_note(invoice, diary, on, net, "Goodwill for a late delivery")


def _credit_note(invoice: InvoiceIssued, diary: Diary, on: date, total: Decimal, words: str) -> CreditNoteIssued:
    # The credit carries the tax of the invoice: total = net + tax, both to the cent.
    percent = invoice.lines[0].tax_percent
    line = Line("CONSULT", words, Decimal(1), _cents(total * 100 / (100 + percent)), percent)
    total = line.net + line.tax
    return CreditNoteIssued(
        at=diary.evening(on, 31),
        on=on,
        key=f"K{invoice.key}",
        number=f"CN-{invoice.number[4:]}",
        customer_key=invoice.customer_key,
        currency=invoice.currency,
        lines=(line,),
        total=total,
        applied=((invoice.key, total),),
    )


def _with_discount(
    rng: random.Random, invoice: InvoiceIssued, habit: Habit, diary: Diary, due: Decimal
) -> Iterator[Event]:
    on = diary.weekday(invoice.on + timedelta(days=rng.randint(4, habit.customer.discount_days - 2)))
    if due != invoice.total:
        yield _payment(rng, invoice, diary, on, due)
        return
    off = _cents(due * habit.customer.discount_percent / 100)
    credit = _credit_note(invoice, diary, on, off, "Discount for early payment, 2/10 net 30")
    yield credit
    yield _payment(rng, invoice, diary, on, due - credit.total)


def stories(invoices: Issued, diary: Diary) -> Iterator[Event]:
    """Yield what happens to the few customers with a story: a dispute, cash on account, an unused credit."""
    for story in ("disputes", "on_account", "unused_credit"):
        theirs = [i for i, habit in invoices if habit.story == story and not i.draft]
        past = [invoice for invoice in theirs if invoice.on < diary.today]
        if not past:
            continue
        if story == "disputes":
            yield from _dispute([i for i in past if 30 < (diary.today - i.on).days <= 90], diary)
        elif story == "on_account":
            yield from _on_account(past[-1], diary)
        else:
            on = diary.day(-12)
            total = _cents(past[-1].total / 3)
            credit = _credit_note(past[-1], diary, on, total, "Returned goods, to be set off later")
            yield CreditNoteIssued(
                credit.at, on, "KSTORY", "CN-9001", credit.customer_key, credit.currency, credit.lines, credit.total
            )


def _dispute(invoices: list[InvoiceIssued], diary: Diary) -> Iterator[Event]:
    for n, invoice in enumerate(invoices):
        on = diary.weekday(max(invoice.on + timedelta(days=2), diary.today - timedelta(days=18)))
        if on < diary.today:
            text = "Customer disputes this invoice: says that half of the hours were never agreed. Do not chase."
            yield NoteWritten(diary.evening(on, 56), on, invoice.key, text)
        settled_on = diary.day(25 + n)
        credit = _credit_note(invoice, diary, settled_on, _cents(invoice.total * 30 / 100), "Settled after a dispute")
        yield credit
        paid_on = diary.day(32 + n)
        amount = invoice.total - credit.total
        key = f"P{invoice.key}"
        applied = ((invoice.key, amount),)
        yield PaymentReceived(
            diary.evening(paid_on, 45), paid_on, key, invoice.customer_key, invoice.currency, amount, applied
        )


def _on_account(invoice: InvoiceIssued, diary: Diary) -> Iterator[Event]:
    on = diary.day(-6)
    amount = _cents(invoice.total / 2) + 100
    yield PaymentReceived(
        diary.evening(on, 46), on, "PSTORY", invoice.customer_key, invoice.currency, amount, (), on_account=True
    )


def _month_end(on: date, diary: Diary) -> date:
    first = (on.replace(day=1) + timedelta(days=32)).replace(day=1)
    last = first - timedelta(days=1)
    return diary.weekday(last)


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)
