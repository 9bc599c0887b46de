"""Late fees: the guards before money, the periods, and the sum with its calculation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from policies.currencies import round_amount
from policies.decisions import ChargeLateFee, FeeLine
from policies.fee_rules import MONTHLY_KINDS, LateFees
from policies.formatting import format_amount, format_date, format_days, format_percent
from policies.interest import DAYS_PER_YEAR, average_balance, interest_lines
from policies.past_actions import PastActions
from policies.receivables import Invoice, PastAction
from policies.schedule import Schedule, starts_on
from policies.schedule_rules import MIN_WARNING_DAYS
from policies.statement_context import StatementContext

ONCE = "once"
_CENTS = Decimal("0.01")


class FeePeriod(NamedTuple):
    """What one fee is for: the whole delay (``once``), or one full month of it, from a day to before another."""

    key: str
    from_on: date
    to_on: date


def assess_late_fee(
    context: StatementContext, invoice: Invoice, schedule: Schedule, past_actions: PastActions
) -> ChargeLateFee | str:
    """Decide about a fee on one invoice: the fee, why there is none, or "" where the question does not come up."""
    rules = context.policy.late_fees
    if not rules.enabled or schedule.late_fee is None or invoice.fee_of:
        return ""
    late_from = max(schedule.late_fee, rules.grace_days + 1)
    if (context.today - starts_on(invoice)).days < late_from:
        return ""
    refused = _refusal_reason(context, invoice, past_actions)
    if refused:
        return f"No late fee: {refused}."
    period = fee_period_on(rules, invoice, context.today)
    if period is None or period.key in _charged_periods(rules, invoice, past_actions):
        return ""
    possible_on = _chargeable_on(context, invoice, past_actions, period, late_from)
    collected_on = last_invoice_date(context.today, rules.invoice_day)
    if rules.monthly_invoice and possible_on > collected_on:
        following_on = add_months(collected_on, 1)
        return f"A late fee joins this customer's fee invoice of {format_date(following_on)}."
    return _build_fee(context, invoice, past_actions, period, (possible_on - starts_on(invoice)).days)


def last_invoice_date(today: date, day_of_month: int) -> date:
    """Find the last day, up to today, on which fees were put together into one invoice."""
    this_month = today.replace(day=day_of_month)
    return this_month if this_month <= today else add_months(this_month, -1)


def _chargeable_on(
    context: StatementContext, invoice: Invoice, past_actions: PastActions, period: FeePeriod, late_from: int
) -> date:
    """Find the first day on which this fee could be charged: up to it the delay counts for the yearly rate.

    So the rate shown does not change while the fee waits for its approval, and is never too low.
    """
    start_on = starts_on(invoice)
    possible = [
        start_on + timedelta(days=late_from),
        past_actions.warned_on[invoice.id] + timedelta(days=MIN_WARNING_DAYS),
    ]
    return max([*possible, min(_agreement_dates(context)), *([] if period.key == ONCE else [period.to_on])])


def _refusal_reason(context: StatementContext, invoice: Invoice, past_actions: PastActions) -> str:
    """Go through the guards before money."""
    customer = context.statement.customer
    if customer.no_fees:
        return "this customer is charged none"
    if not context.policy.late_fees.is_business(customer):
        return "this customer is no business, and fees are for businesses alone"
    if not _agreement_dates(context):
        return "nobody has said on which day the customer agreed to terms with a fee"
    if invoice.ledger_fee:
        return "the ledger has put one of its own on this invoice"
    warned_on = past_actions.warned_on.get(invoice.id)
    if warned_on is None:
        return "no past-due mail has warned of it yet"
    if (context.today - warned_on).days < MIN_WARNING_DAYS:
        return f"the warning left on {format_date(warned_on)}, less than {MIN_WARNING_DAYS} days ago"
    lock_on = context.statement.company.lock_on
    if lock_on is not None and context.today <= lock_on:
        return f"the books are closed up to {format_date(lock_on)}, and a fee is dated today; it can be charged after that day"
    return ""


def _agreement_dates(context: StatementContext) -> list[date]:
    """List the days up to today on which terms with a fee were agreed: with this customer, or with all."""
    said = (context.statement.customer.fees_agreed_on, context.policy.late_fees.terms_agreed_on)
    return [on for on in said if on is not None and on <= context.today]


def fee_period_on(rules: LateFees, invoice: Invoice, today: date) -> FeePeriod | None:
    """Find the period a fee charged today is for; it hangs on dates alone, not on how often one looks."""
    start_on = starts_on(invoice)
    if rules.kind not in MONTHLY_KINDS:
        return FeePeriod(ONCE, start_on, today)
    months = (today.year - start_on.year) * 12 + today.month - start_on.month
    while months > 0 and add_months(start_on, months) > today:
        months -= 1
    if months == 0:
        return None
    from_on = add_months(start_on, months - 1)
    return FeePeriod(f"{from_on:%Y-%m}", from_on, add_months(start_on, months))


def add_months(on: date, months: int) -> date:
    """Go whole months on; the 31st becomes the last day of a shorter month."""
    years, month = divmod(on.month - 1 + months, 12)
    first = date(on.year + years, month + 1, 1)
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return min(first + timedelta(days=on.day - 1), following - timedelta(days=1))


def _charged_periods(
    rules: LateFees, invoice: Invoice, past_actions: PastActions
) -> dict[str, tuple[FeePeriod | None, PastAction]]:
    """List the periods that were charged already, oldest first; a deed without its period counts by its day."""
    charged: dict[str, tuple[FeePeriod | None, PastAction]] = {}
    for recurrence_key, deed in past_actions.fees.get(invoice.id, {}).items():
        period = _period_by_key(recurrence_key, rules, invoice, deed.on)
        charged[recurrence_key or (period.key if period else ONCE)] = (period, deed)
    return dict(sorted(charged.items()))


def _period_by_key(recurrence_key: str, rules: LateFees, invoice: Invoice, on: date) -> FeePeriod | None:
    period = fee_period_on(rules, invoice, on)
    while recurrence_key and period and period.key > recurrence_key:
        period = fee_period_on(rules, invoice, period.to_on - timedelta(days=1))
    return period


def _build_fee(
    context: StatementContext, invoice: Invoice, past_actions: PastActions, period: FeePeriod, days_late: int
) -> ChargeLateFee | str:
    rules, currency = context.policy.late_fees, invoice.currency
    charged = _charged_periods(rules, invoice, past_actions)
    earlier, unpaid = _prior_charges(rules, invoice, charged.values())
    parts = _calculate_lines(rules, invoice, period, earlier, unpaid, is_first=not charged)
    if parts is None:
        return f"No late fee: the policy names no flat fee in {currency}."
    amount = sum((part.amount for part in parts), Decimal(0))
    if amount <= 0 < len(parts) - 1:
        return f"No late fee: the cap of {format_percent(rules.cap_percent)} of the invoice is reached."
    if amount <= 0 or amount < rules.minimum.get(currency, Decimal(0)):
        return ""
    annual = _annualise(invoice, earlier + amount, days_late)
    reckoned = (
        f"{format_amount(amount, currency)} on {format_amount(invoice.due, currency)}, {format_days(days_late)} late, "
    )
    reckoned += f"comes to {format_percent(annual.quantize(_CENTS, ROUND_HALF_UP))} a year"
    fixed = rules.compensation_for(invoice.total, currency)
    doubts = _unverified_inputs(rules, invoice, period, with_compensation=bool(fixed) and not charged)
    if _annualise(invoice, earlier + amount - fixed, days_late) > rules.max_annual_percent:
        return f"No late fee: {reckoned}, above the {format_percent(rules.max_annual_percent)} allowed."
    return ChargeLateFee(
        customer_id=context.statement.customer.id,
        invoice_id=invoice.id,
        currency=currency,
        period=period.key,
        amount=amount,
        annual_rate=annual.quantize(_CENTS, ROUND_HALF_UP),
        lines=parts,
        reason=f"Late fee: {reckoned}; warned on {format_date(past_actions.warned_on[invoice.id])}.{_verify_note(doubts)}",
        needs_approval=rules.needs_approval or bool(doubts),
        due_days=rules.due_days,
        text=rules.format_line(invoice.number or invoice.id, "; ".join(part.text for part in parts)),
        invoice_month=f"{last_invoice_date(context.today, rules.invoice_day):%Y-%m}" if rules.monthly_invoice else "",
    )


def _unverified_inputs(rules: LateFees, invoice: Invoice, period: FeePeriod, *, with_compensation: bool) -> list[str]:
    """Name what this fee rests on that is from memory: such a fee waits for a person, whatever the policy says."""
    late_on = starts_on(invoice) + timedelta(days=1)
    if rules.rate_fixed_at_start:
        return rules.unverified_inputs(late_on, late_on, with_compensation=with_compensation)
    return rules.unverified_inputs(
        period.from_on, period.to_on - timedelta(days=1), with_compensation=with_compensation
    )


def _verify_note(unverified: Sequence[str]) -> str:
    return f" From memory, compare with its source before you approve: {', '.join(unverified)}." if unverified else ""


def _annualise(invoice: Invoice, amount: Decimal, days_late: int) -> Decimal:
    """Annualise: fee in percent of what is owed, x 365 / days late."""
    return amount * 100 * DAYS_PER_YEAR / (invoice.due * days_late)


def _fee_lines(rules: LateFees, invoice: Invoice, period: FeePeriod, unpaid: Decimal) -> tuple[FeeLine, ...] | None:
    """Reckon the fee of a period by its kind; ``None`` where the policy names no sum in the currency."""
    currency = invoice.currency
    if rules.kind == "flat":
        flat = rules.amounts.get(currency)
        return None if flat is None else (FeeLine("flat fee", round_amount(flat, currency)),)
    if rules.kind == "annual":
        late_on = starts_on(invoice) + timedelta(days=1)
        return interest_lines(invoice, rules, late_on, period.from_on, period.to_on, unpaid)
    if rules.kind == "percent":
        owed, words = invoice.due, ""
    else:
        owed = average_balance(invoice, period.from_on, period.to_on) + (unpaid if rules.compound else 0)
        words = f", owed on average {format_date(period.from_on)} to {format_date(period.to_on)}"
    text = f"{format_percent(rules.rate)} of {format_amount(owed, currency)}{words}"
    return (FeeLine(text, round_amount(owed * rules.rate / 100, currency)),)


def _calculate_lines(
    rules: LateFees, invoice: Invoice, period: FeePeriod, charged_so_far: Decimal, unpaid: Decimal, *, is_first: bool
) -> tuple[FeeLine, ...] | None:
    """Reckon the fee of a period, with the fixed compensation where it is the first, and cut where a limit says so.

    ``earlier`` is what was charged before, ``unpaid`` what of it still bears interest where that compounds.
    """
    fixed = rules.compensation_for(invoice.total, invoice.currency)
    parts = _fee_lines(rules, invoice, period, unpaid)
    if parts is None:
        return None
    if fixed and is_first:
        parts = (*parts, FeeLine("fixed compensation", fixed))
    cap = round_amount(invoice.total * rules.cap_percent / 100, invoice.currency)
    return _apply_limits(rules, invoice.currency, parts, cap - charged_so_far)


def _apply_limits(rules: LateFees, currency: str, lines: tuple[FeeLine, ...], headroom: Decimal) -> tuple[FeeLine, ...]:
    """Cut a fee at the largest single fee and at the cap, each with a line that says so."""
    for text, limit in (
        ("the largest single fee", rules.maximum.get(currency)),
        (f"the cap of {format_percent(rules.cap_percent)} of the invoice", max(headroom, Decimal(0))),
    ):
        amount = sum((part.amount for part in lines), Decimal(0))
        if limit is not None and amount > limit:
            lines = (*lines, FeeLine(f"cut at {text}", limit - amount))
    return lines


def _prior_charges(
    rules: LateFees, invoice: Invoice, charged: Iterable[tuple[FeePeriod | None, PastAction]]
) -> tuple[Decimal, Decimal]:
    """Add up what earlier periods were charged, and what of it is unpaid interest; what was waived counts for nothing.

    A sum nobody kept is worked out again: the same calculation over the same history gives the same. Nothing compounds
    on a fixed sum.
    """
    total = unpaid = Decimal(0)
    fixed = rules.compensation_for(invoice.total, invoice.currency)
    for place, (period, deed) in enumerate(charged):
        if deed.fee_outcome == "waived":
            continue
        amount = deed.fee_amount
        if amount is None:
            parts = _calculate_lines(rules, invoice, period, total, unpaid, is_first=place == 0) if period else None
            amount = sum((part.amount for part in parts or ()), Decimal(0))
        total += amount
        if not deed.fee_outcome:
            unpaid += max(amount - fixed, Decimal(0)) if place == 0 else amount
    return total, unpaid
