"""A made year at the bank of a company with 300 customers: what they pay, how banks write it, and what is none of it.

Customers pay one invoice or several, in parts, less charges, less a discount, too much or twice; relatives, directors
and factors pay for them. Invoices are numbered in seven ways, some alike. Payouts of card acquirers, taxes, loans,
transfers from own accounts and strangers' money come in as well. Each payment knows which invoices it is for, so that
matching can be judged.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from benchmarks.bank_payers import factor, is_somebody_else, make_names, write_payer, write_purpose
from connector.bank.facts import LedgerPayment, Match, MatchFacts, OpenInvoice, Receipt
from connector.bank.matching import match_receipts
from connector.vocabulary import MatchCertainty

FIRST = date(2026, 1, 1)
_STRANGERS = (
    "Tax Office",
    "HM Revenue and Customs",
    "Mutual Insurance",
    "City Bank Loan",
    "J Smith",
    "Own Savings Account",
    "Energy Refund",
    "Payroll return",
)
_ACQUIRERS = ("STRIPE PAYMENTS UK LTD", "SUMUP PAYMENTS", "PAYPAL EUROPE")
_RETAINER, _CENT, _ZERO = Decimal("900.00"), Decimal("0.01"), Decimal(0)
_FEE = (Decimal("7.00"), Decimal("12.50"), Decimal(15))
_SERIES = ("INV-{:05}", "{}", "2026/{:04}", "26-{:04}", "RE{}", "A-{:03}", "2026-{:02}-{:03}")


class PaymentKind(StrEnum):
    """What a payment is."""

    FULL = "full"
    PART = "part"
    CHARGES = "charges"
    EXCHANGE = "exchange"  # a part is lost in exchange
    DISCOUNT = "discount"
    OVER = "over"
    TWICE = "twice"
    FACTORED = "factored"
    STRANGER = "stranger"
    PAYOUT = "payout"


@dataclass(slots=True)
class Payment:
    """One entry of the statement, and the truth about it.

    ``invoices`` are what it is for, none for a stranger's; ``settles`` is whether it pays them in full.
    """

    kind: PaymentKind
    receipt: Receipt
    family: str
    invoices: tuple[str, ...]
    booked_on: date  # when the ledger shows it
    settles: bool = True


@dataclass(slots=True)
class Year:
    """The year: invoices and payments."""

    invoices: dict[str, OpenInvoice] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    payments: list[Payment] = field(default_factory=list)


@dataclass(slots=True)
class Judgement:
    """How well the payments of a year were matched while the ledger did not show them yet."""

    unbooked: int = 0  # customers' payments, each counted once
    sure: int = 0
    sure_right: int = 0
    probable: int = 0
    strangers: int = 0  # money that is no customer's, and that something was held for
    missed: list[Payment] = field(default_factory=list)  # money of customers that nothing was held for
    wrong: list[Payment] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """The share of what was sure that was right."""
        return self.sure_right / self.sure if self.sure else 1.0

    @property
    def recall(self) -> float:
        """The share of customers' payments that were surely and rightly matched."""
        return self.sure_right / self.unbooked if self.unbooked else 1.0


def make_year(seed: int = 7, customers: int = 300, months: int = 12, *, repeat_numbers: bool = True) -> Year:
    """Make a year; with ``repeat_numbers`` some customers' invoices have the same numbers, as QuickBooks allows."""
    chance, year = random.Random(seed), Year()
    counters = [400, 1041, 20, 400, 10040, 0, 0]
    for place, name in enumerate(make_names(chance, customers)):
        family, series = f"c{place}", place % len(_SERIES)
        year.names[family] = (name,)
        account = f"GB{chance.randrange(10, 99)}BANK{chance.randrange(10**13, 10**14)}"
        is_retainer = place % 6 == 0
        if series == 5 and repeat_numbers:
            counters[series] = 0
        owed: list[OpenInvoice] = []
        for month in range(months):
            for _ in range(1 if is_retainer else chance.choice((0, 1, 1, 2, 3))):
                counters[series] += 1
                number = _number(series, counters[series], month)
                amount = _RETAINER if is_retainer else Decimal(chance.randrange(5_000, 900_000)) / 100
                issued_on = FIRST + timedelta(days=month * 30 + chance.randrange(25))
                discount = (amount * Decimal("0.02")).quantize(_CENT) if chance.random() < 0.06 else None
                invoice = OpenInvoice(
                    f"i{len(year.invoices)}",
                    number,
                    family,
                    family,
                    "GBP",
                    amount,
                    issued_on,
                    issued_on + timedelta(days=30),
                    discount,
                    issued_on + timedelta(days=10) if discount else None,
                )
                year.invoices[invoice.id] = invoice
                owed.append(invoice)
        for group in _groups(chance, owed):
            year.payments += _pay(chance, group, name, account)
    for _ in range(customers):
        year.payments.append(_stranger(chance))
    for week in range(months * 30 // 7):
        year.payments.append(_payout(chance, week))
    year.payments.sort(key=lambda each: each.receipt.booked_on)
    for place, payment in enumerate(year.payments, 1):
        payment.receipt = replace(payment.receipt, id=place)
    return year


def judge_year(year: Year, every_days: int = 3) -> Judgement:
    """Import a statement every few days, match, and judge each payment by what was found for it first."""
    result, seen = Judgement(), set[int]()
    last_on = max(each.receipt.booked_on for each in year.payments)
    on = FIRST - timedelta(days=every_days)
    paid: dict[str, Decimal] = dict.fromkeys(year.invoices, _ZERO)
    done: set[int] = set()
    accounts: dict[str, set[str]] = {}
    while on <= last_on + timedelta(days=every_days):
        on += timedelta(days=every_days)
        for payment in year.payments:
            if payment.booked_on <= on and payment.receipt.id not in done:
                done.add(payment.receipt.id)
                book(year, payment, paid)
                if payment.family and payment.receipt.payer_account and payment.receipt.payer:
                    accounts.setdefault(payment.receipt.payer_account, set()).add(payment.family)
        current = [each for each in year.payments if each.receipt.booked_on <= on and each.receipt.id not in done]
        if current:
            found = match_receipts([each.receipt for each in current], _facts(year, on, paid, accounts))
            _judge(result, current, {each.receipt_id: each for each in found.matches}, seen)
    return result


def book(year: Year, payment: Payment, paid: dict[str, Decimal]) -> list[tuple[str, Decimal]]:
    """Apply a payment as a bookkeeper does, add it to ``paid``, and return what of it is applied to which invoice."""
    left, applied = payment.receipt.amount, []
    for invoice_id in payment.invoices:
        due = year.invoices[invoice_id].due - paid[invoice_id]
        part = due if payment.settles else min(left, due)
        if part > 0:
            paid[invoice_id] += part
            left -= part
            applied.append((invoice_id, part))
    return applied


def _judge(result: Judgement, current: list[Payment], matches: dict[int, Match], seen: set[int]) -> None:
    for payment in current:
        if payment.receipt.id in seen:
            continue
        seen.add(payment.receipt.id)
        match = matches.get(payment.receipt.id)
        result.unbooked += 1 if payment.invoices else 0
        shares = {share.invoice_id for share in match.shares} if match is not None else set()
        if payment.invoices and not shares & set(payment.invoices):
            result.missed.append(payment)
        if match is None:
            continue
        result.strangers += not payment.family
        if match.certainty is MatchCertainty.SURE:
            result.sure += 1
            is_right = shares == set(payment.invoices)
            result.sure_right += is_right
            result.wrong += [] if is_right else [payment]
        else:
            result.probable += 1


def _facts(year: Year, on: date, paid: dict[str, Decimal], accounts: dict[str, set[str]]) -> MatchFacts:
    known = [each for each in year.invoices.values() if each.issued_on <= on]
    return MatchFacts(
        invoices=tuple(replace(each, due=each.due - paid[each.id]) for each in known if each.due > paid[each.id]),
        names=year.names,
        closed=tuple((each.id, each.number, each.family) for each in known if each.due <= paid[each.id]),
        payments=tuple[LedgerPayment, ...](),
        payers=accounts,
    )


def _number(series: int, count: int, month: int) -> str:
    return _SERIES[series].format(month + 1, count) if series == len(_SERIES) - 1 else _SERIES[series].format(count)


def _groups(chance: random.Random, owed: list[OpenInvoice]) -> Iterator[list[OpenInvoice]]:
    owed = list(owed)
    while owed:
        count = min(len(owed), chance.choice((1,) * 9 + (2, 3)))
        yield owed[:count]
        del owed[:count]


def _pay(chance: random.Random, group: list[OpenInvoice], name: str, account: str) -> Iterator[Payment]:
    on = max(each.due_on or each.issued_on for each in group) + timedelta(days=chance.randrange(-10, 25))
    total = sum((each.due for each in group), _ZERO)
    kind, amounts = _amounts(chance, group, total)
    if kind is PaymentKind.DISCOUNT:
        on = max(each.issued_on for each in group) + timedelta(days=chance.randrange(3, 10))
    for place, amount in enumerate(amounts):
        paid_on = on + timedelta(days=14 * place)
        purpose = write_purpose(chance, [each.number for each in group])
        payer, from_account = write_payer(chance, name), account if chance.random() < 0.7 else ""
        names_invoice = any(each.isdecimal() for each in purpose) and not purpose.startswith("PO")
        if is_somebody_else(payer) and not names_invoice:
            purpose = f"for {name}"  # or no bookkeeper could ever book it
        if kind is PaymentKind.FACTORED:
            payer, from_account = factor(chance), ""
            purpose = f"{name} {' '.join(each.number for each in group)}"
        receipt = Receipt(0, "GBP", amount, paid_on, payer, from_account if payer else "", text=purpose[:140])
        is_second = kind is PaymentKind.TWICE and place > 0
        yield Payment(
            kind,
            receipt,
            group[0].family,
            () if is_second else tuple(each.id for each in group),
            paid_on + timedelta(days=chance.choice((1, 2, 4, 6, 9))),
            settles=kind is not PaymentKind.PART or place == len(amounts) - 1,
        )


def _amounts(chance: random.Random, group: list[OpenInvoice], total: Decimal) -> tuple[PaymentKind, list[Decimal]]:
    """Choose what is paid of a total, and in how many payments."""
    kind, is_single = chance.random(), len(group) == 1
    if is_single and group[0].discount and kind < 0.6:
        return PaymentKind.DISCOUNT, [total - group[0].discount]
    if kind < 0.03 and is_single and total > 200:
        first = (total * Decimal(chance.randrange(30, 60)) / 100).quantize(_CENT)
        return PaymentKind.PART, [first, total - first]
    if kind < 0.055 and total > 400:
        return PaymentKind.CHARGES, [total - chance.choice(_FEE)]
    if kind < 0.06 and total > 400:
        return PaymentKind.EXCHANGE, [(total * Decimal(chance.randrange(970, 990)) / 1000).quantize(_CENT)]
    if kind < 0.065:
        return PaymentKind.OVER, [total + chance.randrange(5, 50)]
    if kind < 0.07:
        return PaymentKind.TWICE, [total, total]
    if kind < 0.08:
        return PaymentKind.FACTORED, [total]
    return PaymentKind.FULL, [total]


def _stranger(chance: random.Random) -> Payment:
    amount = chance.choice((Decimal(chance.randrange(100, 900_000)) / 100, _RETAINER, Decimal(10_000)))
    on = FIRST + timedelta(days=chance.randrange(330))
    text = chance.choice(("REF {}", "VAT {}", "Mandate no {}", "{}")).format(chance.randrange(10**3, 10**7))
    receipt = Receipt(0, "GBP", amount, on, chance.choice(_STRANGERS), "", "", text)
    return Payment(PaymentKind.STRANGER, receipt, "", (), on + timedelta(days=400))


def _payout(chance: random.Random, week: int) -> Payment:
    """Make a payout of card payments, less fees and without names: the ledger has had them since they were made."""
    on = FIRST + timedelta(days=7 * week + 1)
    amount = Decimal(chance.randrange(20_000, 900_000)) / 100
    receipt = Receipt(
        0, "GBP", amount, on, chance.choice(_ACQUIRERS), "GB00ACQ", "", f"PAYOUT {chance.randrange(10**6)}"
    )
    return Payment(PaymentKind.PAYOUT, receipt, "", (), on + timedelta(days=400))
