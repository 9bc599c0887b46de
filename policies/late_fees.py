"""Late fees: the guards before money, the periods, and the sum with its calculation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from policies.case import Case
from policies.decisions import ChargeLateFee, FeePart
from policies.deeds import Deeds
from policies.fee_rules import MONTHLY, LateFees
from policies.interest import YEAR_DAYS, average_balance, interest_parts, rounded
from policies.receivables import Deed, Invoice
from policies.rules import WARNING_DAYS
from policies.timetable import Row, starts_on
from policies.wording import day, days, percent, sum_of

ONCE = "once"
_CENTS = Decimal("0.01")


class Period(NamedTuple):
    """What one fee is for: the whole delay (``once``), or one full month of it, from a day to before another."""

    key: str
    from_on: date
    to_on: date


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
    if period is None or period.key in _charged(rules, invoice, deeds):
        return ""
    possible_on = _possible_on(case, invoice, deeds, period, late_from)
    collected_on = collection_day(case.today, rules.invoice_day)
    if rules.monthly_invoice and possible_on > collected_on:
        following_on = months_after(collected_on, 1)
        return f"A late fee joins this customer's fee invoice of {day(following_on)}."
    return _charge(case, invoice, deeds, period, (possible_on - starts_on(invoice)).days)


def collection_day(today: date, of_month: int) -> date:
    """Find the last day, up to today, on which fees were put together into one invoice."""
    this_month = today.replace(day=of_month)
    return this_month if this_month <= today else months_after(this_month, -1)


def _possible_on(case: Case, invoice: Invoice, deeds: Deeds, period: Period, late_from: int) -> date:
    """Find the first day on which this fee could be charged: up to it the delay counts for the yearly rate.

    So the rate shown does not change while the fee waits for its approval, and is never too low.
    """
    start_on = starts_on(invoice)
    possible = [start_on + timedelta(days=late_from), deeds.warned_on[invoice.id] + timedelta(days=WARNING_DAYS)]
    return max([*possible, min(_agreed(case)), *([] if period.key == ONCE else [period.to_on])])


def _refused(case: Case, invoice: Invoice, deeds: Deeds) -> str:
    """Go through the guards before money."""
    customer = case.statement.customer
    if customer.no_fees:
        return "this customer is charged none"
    if not case.policy.late_fees.is_business(customer):
        return "this customer is no business, and fees are for businesses alone"
    if not _agreed(case):
        return "nobody has said on which day the customer agreed to terms with a fee"
    if invoice.ledger_fee:
        return "the ledger has put one of its own on this invoice"
    warned_on = deeds.warned_on.get(invoice.id)
    if warned_on is None:
        return "no past-due mail has warned of it yet"
    if (case.today - warned_on).days < WARNING_DAYS:
        return f"the warning left on {day(warned_on)}, less than {WARNING_DAYS} days ago"
    lock_on = case.statement.company.lock_on
    if lock_on is not None and case.today <= lock_on:
        return f"the books are closed up to {day(lock_on)}, and a fee is dated today; it can be charged after that day"
    return ""


def _agreed(case: Case) -> list[date]:
    """List the days up to today on which terms with a fee were agreed: with this customer, or with all."""
    said = (case.statement.customer.fees_agreed_on, case.policy.late_fees.terms_agreed_on)
    return [on for on in said if on is not None and on <= case.today]


def period_of(rules: LateFees, invoice: Invoice, today: date) -> Period | None:
    """Find the period a fee charged today is for; it hangs on dates alone, not on how often one looks."""
    start_on = starts_on(invoice)
    if rules.kind not in MONTHLY:
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


def _charged(rules: LateFees, invoice: Invoice, deeds: Deeds) -> dict[str, tuple[Period | None, Deed]]:
    """List the periods that were charged already, oldest first; a deed without its period counts by its day."""
    charged: dict[str, tuple[Period | None, Deed]] = {}
    for occasion, deed in deeds.fees.get(invoice.id, {}).items():
        period = _period_named(occasion, rules, invoice, deed.on)
        charged[occasion or (period.key if period else ONCE)] = (period, deed)
    return dict(sorted(charged.items()))


def _period_named(occasion: str, rules: LateFees, invoice: Invoice, on: date) -> Period | None:
    period = period_of(rules, invoice, on)
    while occasion and period and period.key > occasion:
        period = period_of(rules, invoice, period.to_on - timedelta(days=1))
    return period


def _charge(case: Case, invoice: Invoice, deeds: Deeds, period: Period, days_late: int) -> ChargeLateFee | str:
    rules, currency = case.policy.late_fees, invoice.currency
    charged = _charged(rules, invoice, deeds)
    earlier, unpaid = _charged_before(rules, invoice, charged.values())
    parts = _reckoned(rules, invoice, period, earlier, unpaid, first=not charged)
    if parts is None:
        return f"No late fee: the policy names no flat fee in {currency}."
    amount = sum((part.amount for part in parts), Decimal(0))
    if amount <= 0 < len(parts) - 1:
        return f"No late fee: the cap of {percent(rules.cap_percent)} of the invoice is reached."
    if amount <= 0 or amount < rules.minimum.get(currency, Decimal(0)):
        return ""
    annual = _annual(invoice, earlier + amount, days_late)
    reckoned = f"{sum_of(amount, currency)} on {sum_of(invoice.due, currency)}, {days(days_late)} late, "
    reckoned += f"comes to {percent(annual.quantize(_CENTS, ROUND_HALF_UP))} a year"
    fixed = rules.compensation_of(invoice.total, currency)
    doubts = _doubts(rules, invoice, period, fixed=bool(fixed) and not charged)
    if _annual(invoice, earlier + amount - fixed, days_late) > rules.ceiling_annual_percent:
        return f"No late fee: {reckoned}, above the {percent(rules.ceiling_annual_percent)} allowed."
    return ChargeLateFee(
        customer_id=case.statement.customer.id,
        invoice_id=invoice.id,
        currency=currency,
        period=period.key,
        amount=amount,
        annual_rate=annual.quantize(_CENTS, ROUND_HALF_UP),
        parts=parts,
        why=f"Late fee: {reckoned}; warned on {day(deeds.warned_on[invoice.id])}.{_compare(doubts)}",
        needs_approval=rules.needs_approval or bool(doubts),
        due_days=rules.due_days,
        text=rules.words(invoice.number or invoice.id, "; ".join(part.text for part in parts)),
        together=f"{collection_day(case.today, rules.invoice_day):%Y-%m}" if rules.monthly_invoice else "",
    )


def _doubts(rules: LateFees, invoice: Invoice, period: Period, *, fixed: bool) -> list[str]:
    """Name what this fee rests on that is from memory: such a fee waits for a person, whatever the policy says."""
    late_on = starts_on(invoice) + timedelta(days=1)
    if rules.rate_of_first_day:
        return rules.doubts(late_on, late_on, fixed=fixed)
    return rules.doubts(period.from_on, period.to_on - timedelta(days=1), fixed=fixed)


def _compare(doubts: Sequence[str]) -> str:
    return f" From memory, compare with its source before you approve: {', '.join(doubts)}." if doubts else ""


def _annual(invoice: Invoice, amount: Decimal, days_late: int) -> Decimal:
    """Annualise: fee in percent of what is owed, x 365 / days late."""
    return amount * 100 * YEAR_DAYS / (invoice.due * days_late)


def _parts(rules: LateFees, invoice: Invoice, period: Period, unpaid: Decimal) -> tuple[FeePart, ...] | None:
    """Reckon the fee of a period by its kind; ``None`` where the policy names no sum in the currency."""
    currency = invoice.currency
    if rules.kind == "flat":
        flat = rules.amounts.get(currency)
        return None if flat is None else (FeePart("flat fee", rounded(flat, currency)),)
    if rules.kind == "annual":
        late_on = starts_on(invoice) + timedelta(days=1)
        return interest_parts(invoice, rules, late_on, period.from_on, period.to_on, unpaid)
    if rules.kind == "percent":
        owed, words = invoice.due, ""
    else:
        owed = average_balance(invoice, period.from_on, period.to_on) + (unpaid if rules.compound else 0)
        words = f", owed on average {day(period.from_on)} to {day(period.to_on)}"
    text = f"{percent(rules.rate)} of {sum_of(owed, currency)}{words}"
    return (FeePart(text, rounded(owed * rules.rate / 100, currency)),)


def _reckoned(
    rules: LateFees, invoice: Invoice, period: Period, earlier: Decimal, unpaid: Decimal, *, first: bool
) -> tuple[FeePart, ...] | None:
    """Reckon the fee of a period, with the fixed compensation where it is the first, and cut where a limit says so.

    ``earlier`` is what was charged before, ``unpaid`` what of it still bears interest where that compounds.
    """
    fixed = rules.compensation_of(invoice.total, invoice.currency)
    parts = _parts(rules, invoice, period, unpaid)
    if parts is None:
        return None
    if fixed and first:
        parts = (*parts, FeePart("fixed compensation", fixed))
    cap = rounded(invoice.total * rules.cap_percent / 100, invoice.currency)
    return _limited(rules, invoice.currency, parts, cap - earlier)


def _limited(rules: LateFees, currency: str, parts: tuple[FeePart, ...], room: Decimal) -> tuple[FeePart, ...]:
    """Cut a fee at the largest single fee and at the cap, each with a line that says so."""
    for text, limit in (
        ("the largest single fee", rules.maximum.get(currency)),
        (f"the cap of {percent(rules.cap_percent)} of the invoice", max(room, Decimal(0))),
    ):
        amount = sum((part.amount for part in parts), Decimal(0))
        if limit is not None and amount > limit:
            parts = (*parts, FeePart(f"cut at {text}", limit - amount))
    return parts


def _charged_before(
    rules: LateFees, invoice: Invoice, charged: Iterable[tuple[Period | None, Deed]]
) -> tuple[Decimal, Decimal]:
    """Add up what earlier periods were charged, and what of it is unpaid interest; what was waived counts for nothing.

    A sum nobody kept is worked out again: the same calculation over the same history gives the same. Nothing compounds
    on a fixed sum.
    """
    total = unpaid = Decimal(0)
    fixed = rules.compensation_of(invoice.total, invoice.currency)
    for place, (period, deed) in enumerate(charged):
        if deed.ended == "waived":
            continue
        amount = deed.charged
        if amount is None:
            parts = _reckoned(rules, invoice, period, total, unpaid, first=place == 0) if period else None
            amount = sum((part.amount for part in parts or ()), Decimal(0))
        total += amount
        if not deed.ended:
            unpaid += max(amount - fixed, Decimal(0)) if place == 0 else amount
    return total, unpaid
