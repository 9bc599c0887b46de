"""Late fees: the guards before money, the periods, and the sum with its calculation."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from policies.decisions import ChargeLateFee, FeePart
from policies.deeds import Deeds
from policies.holds import Case
from policies.parts import LateFees
from policies.receivables import Invoice, Step
from policies.rules import WARNING_DAYS
from policies.timetable import Row, starts_on
from policies.wording import day, days, decimals, percent, sum_of

ONCE = "once"
_YEAR_DAYS = 365


class Period(NamedTuple):
    """What one fee is for: the whole delay (``once``), or one full month of it, from a day to before another."""

    key: str
    from_on: date
    to_on: date


class Sum(NamedTuple):
    """A fee's amount and the lines that lead to it."""

    amount: Decimal
    parts: tuple[FeePart, ...]


def late_fee(case: Case, invoice: Invoice, row: Row, deeds: Deeds) -> ChargeLateFee | str:
    """Decide about a fee on one invoice: the fee, why there is none, or "" where the question does not come up."""
    rules = case.policy.late_fees
    if not rules.enabled or row.late_fee is None or invoice.fee_of:
        return ""
    late_from = max(row.late_fee, rules.grace_days + 1)
    if (case.today - starts_on(invoice)).days < late_from:
        return ""
    refused = _refused(case, invoice, deeds)
    if refused:
        return f"No late fee: {refused}."
    period = period_of(rules, invoice, case.today)
    if period is None or period.key in _periods_taken(rules, invoice, deeds):
        return ""
    return _charge(case, invoice, deeds, period, _days_late(case, invoice, deeds, period, late_from))


def _days_late(case: Case, invoice: Invoice, deeds: Deeds, period: Period, late_from: int) -> int:
    """Count the delay up to the first day on which this fee could be charged.

    So the yearly rate shown does not change while the fee waits for its approval, and is never too low.
    """
    start_on = starts_on(invoice)
    possible = [start_on + timedelta(days=late_from), deeds.warned_on[invoice.id] + timedelta(days=WARNING_DAYS)]
    possible += [min(_agreed(case)), *([] if period.key == ONCE else [period.to_on])]
    return (max(possible) - start_on).days


def _refused(case: Case, invoice: Invoice, deeds: Deeds) -> str:
    """Go through the guards before money."""
    customer = case.statement.customer
    if customer.no_fees:
        return "this customer is charged none"
    if not _agreed(case):
        return "nobody has said on which day the customer agreed to terms with a fee"
    if invoice.ledger_fee:
        return "the ledger has put one of its own on this invoice"
    warned_on = deeds.warned_on.get(invoice.id)
    if warned_on is None:
        return "no past-due mail has warned of it yet"
    if (case.today - warned_on).days < WARNING_DAYS:
        return f"the warning left on {day(warned_on)}, less than {WARNING_DAYS} days ago"
    return ""


def _agreed(case: Case) -> list[date]:
    """List the days up to today on which terms with a fee were agreed: with this customer, or with all."""
    said = (case.statement.customer.fees_agreed_on, case.policy.late_fees.terms_agreed_on)
    return [on for on in said if on is not None and on <= case.today]


def period_of(rules: LateFees, invoice: Invoice, today: date) -> Period | None:
    """Find the period a fee charged today is for; it hangs on dates alone, not on how often one looks."""
    start_on = starts_on(invoice)
    if rules.kind != "percent_per_month":
        return Period(ONCE, start_on, today)
    months = (today.year - start_on.year) * 12 + today.month - start_on.month
    while months > 0 and months_after(start_on, months) > today:
        months -= 1
    if months == 0:
        return None
    from_on = months_after(start_on, months - 1)
    return Period(f"{from_on:%Y-%m}", from_on, months_after(start_on, months))


def months_after(on: date, months: int) -> date:
    """Go whole months on; the 31st becomes the last day of a shorter month."""
    years, month = divmod(on.month - 1 + months, 12)
    first = date(on.year + years, month + 1, 1)
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return min(first + timedelta(days=on.day - 1), following - timedelta(days=1))


def _periods_taken(rules: LateFees, invoice: Invoice, deeds: Deeds) -> set[str]:
    taken: set[str] = set()
    for occasion, on in deeds.occasions.get((invoice.id, Step.LATE_FEE), {}).items():
        period = period_of(rules, invoice, on)
        taken.add(occasion or (period.key if period else ONCE))
    return taken


def _charge(case: Case, invoice: Invoice, deeds: Deeds, period: Period, days_late: int) -> ChargeLateFee | str:
    rules = case.policy.late_fees
    asked = _sum(rules, invoice, period)
    if asked is None:
        return f"No late fee: the policy names no flat fee in {invoice.currency}."
    earlier = _charged_before(rules, invoice, deeds)
    room = rounded(invoice.total * rules.cap_percent / 100, invoice.currency) - earlier
    amount = min(asked.amount, room)
    if amount <= 0:
        return f"No late fee: the cap of {percent(rules.cap_percent)} of the invoice is reached." if room <= 0 else ""
    annual = (earlier + amount) * 100 * _YEAR_DAYS / (invoice.due * days_late)
    reckoned = (
        f"{sum_of(amount, invoice.currency)} on {sum_of(invoice.due, invoice.currency)}, {days(days_late)} late, "
    )
    shown = annual.quantize(Decimal("0.01"), ROUND_HALF_UP)
    reckoned += f"comes to {percent(shown)} a year"
    if annual > rules.ceiling_annual_percent:
        return f"No late fee: {reckoned}, above the {percent(rules.ceiling_annual_percent)} allowed."
    capped = (FeePart(f"cap: {percent(rules.cap_percent)} of the invoice", amount - asked.amount),)
    return ChargeLateFee(
        customer_id=case.statement.customer.id,
        invoice_id=invoice.id,
        currency=invoice.currency,
        period=period.key,
        amount=amount,
        annual_rate=shown,
        parts=asked.parts if amount == asked.amount else asked.parts + capped,
        why=f"Late fee: {reckoned}; warned on {day(deeds.warned_on[invoice.id])}.",
        needs_approval=rules.needs_approval,
    )


def _sum(rules: LateFees, invoice: Invoice, period: Period) -> Sum | None:
    currency = invoice.currency
    if rules.kind == "flat":
        flat = rules.amounts.get(currency)
        if flat is None:
            return None
        amount = rounded(flat, currency)
        return Sum(amount, (FeePart("flat fee", amount),))
    if rules.kind == "percent":
        amount = rounded(invoice.due * rules.rate / 100, currency)
        return Sum(amount, (FeePart(f"{percent(rules.rate)} of {sum_of(invoice.due, currency)}", amount),))
    owed = average_balance(invoice, period.from_on, period.to_on)
    amount = rounded(owed * rules.rate / 100, currency)
    span = f"{day(period.from_on)} to {day(period.to_on)}"
    return Sum(amount, (FeePart(f"{percent(rules.rate)} of {sum_of(owed, currency)}, owed on average {span}", amount),))


def _charged_before(rules: LateFees, invoice: Invoice, deeds: Deeds) -> Decimal:
    """Add up what earlier periods were charged: the same calculation over the same history gives the same sums."""
    if rules.kind != "percent_per_month":
        return Decimal(0)
    total = Decimal(0)
    for occasion, on in deeds.occasions.get((invoice.id, Step.LATE_FEE), {}).items():
        period = _period_named(occasion, rules, invoice, on)
        asked = _sum(rules, invoice, period) if period else None
        total += asked.amount if asked else Decimal(0)
    return total


def _period_named(occasion: str, rules: LateFees, invoice: Invoice, on: date) -> Period | None:
    period = period_of(rules, invoice, on)
    while occasion and period and period.key > occasion:
        period = period_of(rules, invoice, period.to_on - timedelta(days=1))
    return period


def average_balance(invoice: Invoice, from_on: date, to_on: date) -> Decimal:
    """Average what was owed day by day, from a day to before another, over the history of the balance.

    A change counts from its day on: what is paid on a day is not owed on it any more.
    """
    later = sum((change.amount for change in invoice.changes if change.on >= to_on), Decimal(0))
    span = (to_on - from_on).days
    owed_days = (invoice.due - later) * span
    for change in invoice.changes:
        if from_on < change.on < to_on:
            owed_days -= change.amount * (change.on - from_on).days
    return max(owed_days / span, Decimal(0))


def rounded(amount: Decimal, currency: str) -> Decimal:
    """Round to the decimals of the currency, half up: once, at the end."""
    return amount.quantize(Decimal(1).scaleb(-decimals(currency)), ROUND_HALF_UP)
