"""A made year at the bank of a company with 300 customers: what they pay, how banks write it, and what is none of it.

Customers pay one invoice or several, in parts, less charges or a discount; they name the number in full, badly, wrongly
or not at all; banks cut names and numbers. Loans, tax refunds and strangers pay as well. Each payment knows which
invoices it is for, so that matching can be judged.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal

from connector.bank.facts import MatchFacts, OpenInvoice, Receipt
from connector.bank.matching import match_receipts
from connector.vocabulary import MatchCertainty

_FIRST = date(2026, 1, 1)
_WORDS = [
    "Ashdown",
    "Bramley",
    "Calder",
    "Dunmore",
    "Elmfield",
    "Fairview",
    "Grafton",
    "Hartwell",
    "Ivybridge",
    "Juniper",
    "Kestrel",
    "Larkspur",
    "Midland",
    "Norwood",
    "Oakridge",
    "Pemberton",
    "Quarry",
    "Redwood",
    "Selwyn",
    "Thornbury",
    "Upton",
    "Vickers",
    "Westgate",
    "Yarrow",
    "Zenith",
]
_TRADES = [
    "Haulage",
    "Foods",
    "Textiles",
    "Print",
    "Dairy",
    "Joinery",
    "Plastics",
    "Optics",
    "Motors",
    "Paper",
    "Timber",
    "Ceramics",
    "Packing",
]
_FORMS = ("Ltd", "Limited", "GmbH", "Inc", "& Co", "BV", "SARL", "plc")
_STRANGERS = (
    "Tax Office",
    "HM Revenue",
    "Mutual Insurance",
    "City Bank Loan",
    "J Smith",
    "Marketplace Payout",
    "Energy Refund",
)
_RETAINER = Decimal("900.00")


@dataclass(slots=True)
class Payment:
    """One entry of the statement, and the truth about it: which invoices it is for, none for a stranger's."""

    receipt: Receipt
    family: str
    invoices: tuple[str, ...]
    booked_on: date  # when the ledger shows it


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


def make_year(seed: int = 7, customers: int = 300, months: int = 12) -> Year:
    """Make a year."""
    chance, year = random.Random(seed), Year()
    number = 400
    names = _make_names(chance, customers)
    for place, name in enumerate(names):
        family = f"c{place}"
        year.names[family] = (name,)
        account = f"GB{chance.randrange(10, 99)}BANK{chance.randrange(10**13, 10**14)}"
        is_retainer = place % 6 == 0
        owed: list[OpenInvoice] = []
        for month in range(months):
            for _ in range(1 if is_retainer else chance.choice((0, 1, 1, 2, 3))):
                number += 1
                amount = _RETAINER if is_retainer else Decimal(chance.randrange(5_000, 900_000)) / 100
                issued_on = _FIRST + timedelta(days=month * 30 + chance.randrange(25))
                invoice = OpenInvoice(
                    f"i{number}",
                    f"INV-{number:05}",
                    family,
                    family,
                    "GBP",
                    amount,
                    issued_on,
                    issued_on + timedelta(days=30),
                )
                year.invoices[invoice.id] = invoice
                owed.append(invoice)
        for group in _groups(chance, owed):
            year.payments += _pay(chance, group, name, account)
    for _ in range(customers):
        year.payments.append(_stranger(chance))
    year.payments.sort(key=lambda each: each.receipt.booked_on)
    for place, payment in enumerate(year.payments, 1):
        payment.receipt = replace(payment.receipt, id=place)
    return year


def judge_year(year: Year, every_days: int = 3) -> Judgement:
    """Import a statement every few days, match, and judge each payment by what was found for it first."""
    result, seen = Judgement(), set[int]()
    last_on = max(each.receipt.booked_on for each in year.payments)
    on = _FIRST
    paid: dict[str, Decimal] = dict.fromkeys(year.invoices, Decimal(0))
    done: set[int] = set()
    accounts: dict[str, set[str]] = {}
    while on <= last_on + timedelta(days=every_days):
        on += timedelta(days=every_days)
        for payment in year.payments:
            if payment.booked_on <= on and payment.receipt.id not in done:
                done.add(payment.receipt.id)
                left = payment.receipt.amount
                for invoice_id in payment.invoices:
                    due = year.invoices[invoice_id].due - paid[invoice_id]
                    part = due if len(payment.invoices) > 1 or left > due * Decimal("0.9") else min(left, due)
                    paid[invoice_id] += part
                if payment.family and payment.receipt.payer_account and payment.receipt.payer:
                    accounts.setdefault(payment.receipt.payer_account, set()).add(payment.family)
        current = [each for each in year.payments if each.receipt.booked_on <= on and each.receipt.id not in done]
        if current:
            found = match_receipts([each.receipt for each in current], _facts(year, on, paid, accounts))
            _judge(result, current, found.matches, seen)
    return result


def _judge(result: Judgement, current: list[Payment], matches: object, seen: set[int]) -> None:
    by_receipt = {each.receipt_id: each for each in matches}  # type: ignore[attr-defined]
    for payment in current:
        if payment.receipt.id in seen:
            continue
        seen.add(payment.receipt.id)
        match = by_receipt.get(payment.receipt.id)
        result.unbooked += 1 if payment.invoices else 0
        if match is None:
            result.missed += [payment] if payment.invoices else []
            continue
        shares = {share.invoice_id for share in match.shares}
        if match.certainty is MatchCertainty.SURE:
            result.sure += 1
            is_right = shares == set(payment.invoices)
            result.sure_right += is_right
            result.wrong += [] if is_right else [payment]
            result.missed += [payment] if payment.invoices and not shares & set(payment.invoices) else []
        else:
            result.probable += 1
            result.missed += [payment] if payment.invoices and not shares & set(payment.invoices) else []


def _facts(year: Year, on: date, paid: dict[str, Decimal], accounts: dict[str, set[str]]) -> MatchFacts:
    known = [each for each in year.invoices.values() if each.issued_on <= on]
    return MatchFacts(
        invoices=tuple(replace(each, due=each.due - paid[each.id]) for each in known if each.due > paid[each.id]),
        names=year.names,
        closed=tuple((each.id, each.number, each.family) for each in known if each.due <= paid[each.id]),
        payments=(),
        payers=accounts,
    )


def _make_names(chance: random.Random, count: int) -> list[str]:
    names: list[str] = []
    while len(names) < count:
        word, trade, form = chance.choice(_WORDS), chance.choice(_TRADES), chance.choice(_FORMS)
        name = f"{word} {trade} {form}" if chance.random() < 0.8 else f"{word} & {chance.choice(_WORDS)} {form}"
        if all(not each.startswith(name.rpartition(" ")[0]) for each in names) or chance.random() < 0.02:
            names.append(name)  # a few companies differ by their legal form alone
    return names


def _groups(chance: random.Random, owed: list[OpenInvoice]) -> Iterator[list[OpenInvoice]]:
    owed = list(owed)
    while owed:
        count = min(len(owed), chance.choice((1,) * 9 + (2, 3)))
        yield owed[:count]
        del owed[:count]


def _pay(chance: random.Random, group: list[OpenInvoice], name: str, account: str) -> Iterator[Payment]:
    on = max(each.due_on or each.issued_on for each in group) + timedelta(days=chance.randrange(-10, 25))
    total = sum((each.due for each in group), Decimal(0))
    ids = tuple(each.id for each in group)
    family = group[0].family
    kind = chance.random()
    amounts = [total]
    if kind < 0.03 and len(group) == 1 and total > 200:
        first = (total * Decimal(chance.randrange(30, 60)) / 100).quantize(Decimal("0.01"))
        amounts = [first, total - first]
    elif kind < 0.06 and total > 400:
        amounts = [total - chance.choice((Decimal("12.50"), Decimal(15), Decimal("7.00")))]
    for place, amount in enumerate(amounts):
        paid_on = on + timedelta(days=14 * place)
        receipt = Receipt(
            id=0,
            currency="GBP",
            amount=amount,
            booked_on=paid_on,
            payer=_payer(chance, name),
            payer_account=account if chance.random() < 0.7 else "",
            reference="",
            text=_purpose(chance, [each.number for each in group]),
        )
        yield Payment(receipt, family, ids, paid_on + timedelta(days=chance.choice((1, 2, 4, 6, 9))))


def _payer(chance: random.Random, name: str) -> str:
    kind = chance.random()
    if kind < 0.45:
        return name
    if kind < 0.75:
        return name.upper().replace("LTD", "LIMITED")
    if kind < 0.83:
        return name.upper()[:18]
    if kind < 0.93:
        place = chance.randrange(1, len(name) - 1)
        return name[:place] + name[place + 1 :]  # a letter is missing
    return name.rpartition(" ")[0]


def _purpose(chance: random.Random, numbers: list[str]) -> str:
    kind = chance.random()
    digits = [each.partition("-")[2] for each in numbers]
    if kind < 0.45:
        return "Invoice " + " ".join(numbers)
    if kind < 0.58:
        return "inv " + ", ".join(each.lstrip("0") for each in digits)
    if kind < 0.66:
        return " ".join(each.replace("-", " ").lower() for each in numbers) + " thank you"
    if kind < 0.70:
        return "PAYMENT " + " ".join(f"{each[:6]} {each[6:]}" for each in numbers)  # cut by a bank
    if kind < 0.73:
        wrong = digits[0][:-2] + digits[0][-1] + digits[0][-2]
        return f"Invoice INV-{wrong}"  # two digits swapped
    return chance.choice(("", "thank you", "payment", "monthly account"))


def _stranger(chance: random.Random) -> Payment:
    amount = chance.choice((Decimal(chance.randrange(100, 900_000)) / 100, _RETAINER, Decimal(10_000)))
    on = _FIRST + timedelta(days=chance.randrange(330))
    receipt = Receipt(0, "GBP", amount, on, chance.choice(_STRANGERS), "", "", f"REF {chance.randrange(10**6, 10**7)}")
    return Payment(receipt, "", (), on + timedelta(days=400))
