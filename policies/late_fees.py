"""Late fees: the checks before a fee is charged, the periods it is charged for, and what is kept of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from policies.bearing_balance import bearing_invoice
from policies.currencies import round_amount
from policies.decisions import ChargeLateFee
from policies.fee_amounts import ChargedPeriods, fee_cap, fee_lines, limited_lines, prior_charges, total_of
from policies.fee_basis import FeeBasis
from policies.fee_periods import ONCE, FeePeriod, add_months, find_period, last_invoice_date, list_periods
from policies.fee_rules import MONTHLY_KINDS, FeeInvoicing, FeeKind, LateFees
from policies.formatting import format_amount, format_date, format_days, format_percent
from policies.interest import DAYS_PER_YEAR, average_balance
from policies.invoice_names import after_invoice
from policies.past_actions import PastActions
from policies.receivables import Invoice, PastAction
from policies.schedule import Schedule, starts_on
from policies.schedule_rules import MIN_WARNING_DAYS
from policies.simulated_actions import as_past_actions
from policies.statement_context import StatementContext

_CENTS = Decimal("0.01")


class LateFeeAssessment(NamedTuple):
    """The late fees to charge on an invoice today, oldest period first, and why there is none, or not one for all.

    ``is_refused`` is whether none can be charged for any period; ``explain_no_fee`` knows whether that is all there is
    to say.
    """

    fees: tuple[ChargeLateFee, ...] = ()
    reason: str = ""
    is_refused: bool = False


NOT_ASSESSED = LateFeeAssessment()


def assess_late_fees(
    context: StatementContext,
    invoice: Invoice,
    schedule: Schedule,
    past_actions: PastActions,
    *,
    only_first: bool = False,
) -> LateFeeAssessment:
    """Return the late fees on one invoice: one for each period that has ended and was not charged, oldest first.

    A month in which nobody looked (duewell was off, the invoice was disputed) is charged like any other.
    ``only_first`` looks for the oldest fee alone.
    """
    rules, invoice = context.policy.late_fees, bearing_invoice(invoice, context.today)
    if not rules.enabled or schedule.late_fee is None or invoice.fee_of:
        return NOT_ASSESSED
    first_day = max(schedule.late_fee, rules.grace_days + 1)
    if (context.today - starts_on(invoice)).days < first_day:
        return NOT_ASSESSED
    refusal = _refusal_reason(context, invoice, past_actions)
    if refusal:
        return LateFeeAssessment(reason=f"No late fee: {refusal}.", is_refused=True)
    fees: list[ChargeLateFee] = []
    reason, is_invoiced = "", _is_invoiced(context, past_actions)
    charged_before = _charged_periods(rules, invoice, past_actions)
    for period in list_periods(rules, invoice, context.today):
        if period.key in charged_before:
            continue
        fee = _assess_period(context, invoice, past_actions, period, first_day, is_invoiced=is_invoiced)
        if isinstance(fee, ChargeLateFee):
            fees.append(fee)
            if only_first:
                break
            (charged,) = as_past_actions(fee, context.now, context.today)
            past_actions = past_actions.with_fee(invoice.id, charged)  # the fees for later months count it
        else:
            reason = fee or reason
    return LateFeeAssessment(tuple(fees), reason)


def explain_no_fee(
    found: LateFeeAssessment, context: StatementContext, invoice: Invoice, schedule: Schedule, past_actions: PastActions
) -> str:
    """Return why an invoice that was assessed is charged no late fee, or not one for each month; "" if nothing says."""
    if not found.is_refused:
        return found.reason
    bearing = bearing_invoice(invoice, context.today)
    reason = _reason_apart_from_warning(context, bearing, schedule, past_actions)
    return found.reason if reason is None else reason


def _reason_apart_from_warning(
    context: StatementContext, invoice: Invoice, schedule: Schedule, past_actions: PastActions
) -> str | None:
    """Return why there would be no fee had a reminder warned of it; None where the warning is what is missing.

    No email announces a fee that cannot come, so that the missing warning alone would explain nothing.
    """
    rules = context.policy.late_fees
    if invoice.id in past_actions.warned_on or not list_periods(rules, invoice, context.today):
        return None
    if rules.monthly_invoice:  # whether it can come does not depend on the day of the month
        singly = rules.model_copy(update={"invoicing": FeeInvoicing.PER_FEE})
        context = replace(context, policy=replace(context.policy, late_fees=singly))
    warned_on = context.today - timedelta(days=MIN_WARNING_DAYS)
    warned = replace(past_actions, warned_on={**past_actions.warned_on, invoice.id: warned_on})
    found = assess_late_fees(context, invoice, schedule, warned, only_first=True)
    return None if found.fees else found.reason


def _assess_period(
    context: StatementContext,
    invoice: Invoice,
    past_actions: PastActions,
    period: FeePeriod,
    first_day: int,
    *,
    is_invoiced: bool,
) -> ChargeLateFee | str:
    """Return the late fee for one period, or why there is none."""
    rules, agreed_on = context.policy.late_fees, min(_agreement_dates(context))
    if period.key != ONCE and period.from_on < agreed_on:
        month = f"{format_date(period.from_on)} to {format_date(period.to_on)}"
        return f"No late fee for {month}: the terms were agreed on {format_date(agreed_on)}."
    chargeable_on = _chargeable_on(context, invoice, past_actions, period, first_day)
    invoiced_on = last_invoice_date(context.today, rules.invoice_day)
    if rules.monthly_invoice and (is_invoiced or chargeable_on > invoiced_on):
        next_on = add_months(invoiced_on, 1)
        return f"A late fee will be on this customer's fee invoice of {format_date(next_on)}."
    return _build_fee(context, invoice, past_actions, period, (chargeable_on - starts_on(invoice)).days)


def _is_invoiced(context: StatementContext, past_actions: PastActions) -> bool:
    """Return whether the customer's fee invoice of this month, in this currency, exists already."""
    invoiced_on = last_invoice_date(context.today, context.policy.late_fees.invoice_day)
    fees = (past_actions.fees.get(invoice.id, {}) for invoice in context.statement.invoices)
    return any(action.on >= invoiced_on for by_period in fees for action in by_period.values())


def _chargeable_on(
    context: StatementContext, invoice: Invoice, past_actions: PastActions, period: FeePeriod, first_day: int
) -> date:
    """Return the first date on which this fee could be charged; the days up to it count for the annual rate.

    The rate shown therefore does not change while the fee waits for approval, and is never too low.
    """
    warned_on = past_actions.warned_on[invoice.id]
    dates = [
        starts_on(invoice) + timedelta(days=first_day),
        warned_on + timedelta(days=MIN_WARNING_DAYS),
        min(_agreement_dates(context)),
    ]
    return max(dates if period.key == ONCE else [*dates, period.to_on])


def _refusal_reason(context: StatementContext, invoice: Invoice, past_actions: PastActions) -> str:
    """Return the reason why no fee can be charged; "" if there is none."""
    of_customer = _customers_refusal(context, invoice)
    if of_customer:
        return of_customer
    if invoice.ledger_fee:
        return "the accounting system has charged one of its own on this invoice"
    warned_on = past_actions.warned_on.get(invoice.id)
    if warned_on is None:
        refused_on = past_actions.refused_on.get(invoice.id)
        if refused_on is not None:
            return f"no past-due reminder has warned of it: the one of {format_date(refused_on)} was not delivered"
        outdated_on = past_actions.outdated_warning_on.get(invoice.id)
        if outdated_on is not None:
            return f"the reminder of {format_date(outdated_on)} warned of another fee: the policy has changed since"
        return "no past-due reminder has warned of it yet"
    if (context.today - warned_on).days < MIN_WARNING_DAYS:
        return f"the warning was sent on {format_date(warned_on)}, less than {MIN_WARNING_DAYS} days ago"
    lock_on = context.statement.company.lock_on
    if lock_on is not None and context.today <= lock_on:
        return f"the accounts are locked up to {format_date(lock_on)}, and a fee is dated today"
    return ""


def _customers_refusal(context: StatementContext, invoice: Invoice) -> str:
    """Return why nothing can be charged to the customer; "" if there is no reason."""
    customers = context.customers(invoice)
    if any(each.no_fees for each in customers):
        return "this customer is charged no late fees"
    if not all(map(context.policy.late_fees.is_business, customers)):
        return "this customer is a consumer, and only businesses are charged late fees"
    if not _agreement_dates(context):
        return "no date is set on which the customer agreed to terms with a late fee"
    if not (invoice.sub_customer or context.statement.customer).active:
        return "this customer is inactive in the accounting system, which takes no new invoice for them"
    return ""


def _agreement_dates(context: StatementContext) -> list[date]:
    """List the dates up to today on which terms with a late fee were agreed, with this customer or with all."""
    dates = (context.statement.customer.fees_agreed_on, context.policy.late_fees.terms_agreed_on)
    return [on for on in dates if on is not None and on <= context.today]


def _charged_periods(rules: LateFees, invoice: Invoice, past_actions: PastActions) -> ChargedPeriods:
    """List the periods already charged, oldest first; an action without its period counts by its date."""
    charged: dict[str, tuple[FeePeriod | None, PastAction]] = {}
    for key, action in past_actions.fees.get(invoice.id, {}).items():
        period = find_period(key, rules, invoice, action.on)
        charged[key or (period.key if period else ONCE)] = (period, action)
    return dict(sorted(charged.items()))


def _build_fee(
    context: StatementContext, invoice: Invoice, past_actions: PastActions, period: FeePeriod, days_late: int
) -> ChargeLateFee | str:
    rules, currency = context.policy.late_fees, invoice.currency
    charged = _charged_periods(rules, invoice, past_actions)
    charged_so_far, unpaid = prior_charges(rules, invoice, charged, period)
    own_lines = fee_lines(rules, invoice, period, unpaid)
    if own_lines is None:
        return f"No late fee: the policy has no flat fee in {currency}."
    own_amount = total_of(own_lines)
    if own_amount <= 0:
        return ""
    lines = limited_lines(rules, invoice, own_lines, charged_so_far, is_first=not charged)
    amount = total_of(lines)
    if amount <= 0:
        return f"No late fee: the cap of {format_percent(rules.cap_percent)} of the invoice is reached."
    minimum = rules.minimum.get(currency, Decimal(0))
    if amount < minimum:
        fee, least = format_amount(amount, currency), format_amount(minimum, currency)
        return f"No late fee: {fee} is below the smallest fee of {least}."
    bearing = _bearing_balance(rules, invoice, period, unpaid, days_late)
    annual_rate = bearing.annualise(amount)
    text = f"{format_amount(amount, currency)} on {bearing.text} comes to {_format_rate(annual_rate)} a year"
    if bearing.annualise(min(own_amount, amount)) > rules.max_annual_percent:
        return f"No late fee: {text}, above the {format_percent(rules.max_annual_percent)} allowed."
    with_compensation = not charged and rules.compensation_for(invoice.total, currency) > 0
    unverified = _unverified_inputs(rules, invoice, period, with_compensation=with_compensation)
    warned_on = format_date(past_actions.warned_on[invoice.id])
    invoice_month = f"{last_invoice_date(context.today, rules.invoice_day):%Y-%m}" if rules.monthly_invoice else ""
    limits = (max(fee_cap(rules, invoice) - charged_so_far, Decimal(0)), rules.maximum.get(currency))
    basis = _build_basis(
        rules,
        invoice,
        period,
        unpaid=unpaid if rules.compound else Decimal(0),
        compensation=rules.compensation_for(invoice.total, currency) if not charged else Decimal(0),
        minimum=minimum,
        limit=min(each for each in limits if each is not None),
        least_balance=min(own_amount, amount) * 100 * DAYS_PER_YEAR / (bearing.day_count * rules.max_annual_percent),
    )
    return ChargeLateFee(
        customer_id=context.statement.customer.id,
        invoice_id=invoice.id,
        currency=currency,
        period=period.key,
        amount=amount,
        annual_rate=annual_rate.quantize(_CENTS, ROUND_HALF_UP),
        lines=lines,
        reason=f"Late fee{_month_note(period)}: {text}; warned on {warned_on}.{_verify_note(unverified)}",
        needs_approval=rules.needs_approval or bool(unverified),
        verified=not unverified,
        due_days=rules.due_days,
        text=rules.format_line(
            after_invoice(invoice.number, invoice.issued_on, is_shared=invoice.shares_number),
            "; ".join(line.text for line in lines),
        ),
        invoice_month=invoice_month,
        basis=basis,
    )


def _build_basis(
    rules: LateFees,
    invoice: Invoice,
    period: FeePeriod,
    *,
    unpaid: Decimal,
    compensation: Decimal,
    minimum: Decimal,
    limit: Decimal,
    least_balance: Decimal,
) -> FeeBasis:
    """Return what a fee is calculated from. It is the same on each day, as a change would void an approval."""
    fixed = FeeBasis(compensation=compensation, minimum=minimum, limit=limit)
    if rules.kind is FeeKind.FLAT:
        flat = round_amount(rules.amounts[invoice.currency], invoice.currency)
        return replace(fixed, flat=flat, least_balance=round_amount(least_balance, invoice.currency))
    if rules.kind is FeeKind.PERCENT:
        return replace(fixed, rates=((starts_on(invoice), rules.rate),))
    fixed = replace(fixed, from_on=period.from_on, to_on=period.to_on, unpaid=unpaid)
    if rules.kind is FeeKind.PERCENT_PER_MONTH:
        return replace(fixed, rates=((period.from_on, rules.rate),))
    late_on = starts_on(invoice) + timedelta(days=1)
    starts = [] if rules.rate_fixed_at_start else [on for on, _ in rules.rates if period.from_on < on < period.to_on]
    first = (period.from_on, rules.annual_rate_on(late_on if rules.rate_fixed_at_start else period.from_on))
    return replace(fixed, rates=(first, *((on, rules.annual_rate_on(on)) for on in starts)), is_annual=True)


class _BearingBalance(NamedTuple):
    """The balance that bore a fee, and for how many days; ``text`` says so."""

    balance: Decimal
    day_count: int
    text: str

    def annualise(self, amount: Decimal) -> Decimal:
        """Return the annual rate in percent: the fee in percent of the balance, x 365 / days."""
        return amount * 100 * DAYS_PER_YEAR / (self.balance * self.day_count)


def _bearing_balance(
    rules: LateFees, invoice: Invoice, period: FeePeriod, unpaid: Decimal, days_late: int
) -> _BearingBalance:
    """Return the balance a fee is for: of the month of a monthly fee, else today's for all days late.

    Measured on today's balance, the interest on 10,000 would look like usury once 9,500 of it is paid.
    """
    if rules.kind not in MONTHLY_KINDS:
        text = f"{format_amount(invoice.due, invoice.currency)}, {format_days(days_late)} late,"
        return _BearingBalance(invoice.due, days_late, text)
    balance = average_balance(invoice, period.from_on, period.to_on) + (unpaid if rules.compound else 0)
    days = (period.to_on - period.from_on).days
    average = "" if balance == invoice.due else "an average balance of "
    text = f"{average}{format_amount(balance, invoice.currency)} for {format_days(days)}"
    return _BearingBalance(balance, days, text)


def _unverified_inputs(rules: LateFees, invoice: Invoice, period: FeePeriod, *, with_compensation: bool) -> list[str]:
    """List the unverified figures of this fee; such a fee always needs a person's approval."""
    late_on = starts_on(invoice) + timedelta(days=1)
    if rules.rate_fixed_at_start:
        return rules.unverified_inputs(late_on, late_on, with_compensation=with_compensation)
    last_on = period.to_on - timedelta(days=1)
    return rules.unverified_inputs(period.from_on, last_on, with_compensation=with_compensation)


def _verify_note(unverified: Sequence[str]) -> str:
    if not unverified:
        return ""
    return f" Not verified, compare with the source before you approve: {', '.join(unverified)}."


def _month_note(period: FeePeriod) -> str:
    return "" if period.key == ONCE else f" for {format_date(period.from_on)} to {format_date(period.to_on)}"


def _format_rate(annual_rate: Decimal) -> str:
    return format_percent(annual_rate.quantize(_CENTS, ROUND_HALF_UP))
