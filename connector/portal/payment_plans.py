"""Payment plans that customers ask for: what the policy allows, and whether it accepts one without asking a user."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlmodel import col

from connector.arrangements import agreements
from connector.arrangements.agreements import INSTALMENT_INTERVALS
from connector.db.money import from_e4
from connector.db.tables import Agreement, InvoiceRow
from connector.portal.customer_response import CustomerResponse, ResponseRejected
from connector.portal.response_context import ResponseContext
from connector.vocabulary import AgreementKind, AgreementState
from policies.currencies import split_evenly
from policies.policy import ReminderPolicy
from policies.receivables import Instalment
from policies.sections import PlanApproval

FIRST_DAYS_MAX = 30  # from the day it is asked for to the first instalment


class PlanLimits(NamedTuple):
    """What a customer can ask for."""

    instalments_max: int
    first_until_on: date
    last_until_on: date


def find_limits(policy: ReminderPolicy, due: Decimal, currency: str, today: date) -> PlanLimits | None:
    """Return the limits of a plan for a balance; None where the policy offers none."""
    section = policy.payment_plans
    if section.approval is PlanApproval.OFF or due < policy.plan_offer_minimum.for_currency(currency):
        return None
    last = today + timedelta(days=section.days_max)
    return PlanLimits(section.instalments_max, min(today + timedelta(days=FIRST_DAYS_MAX), last), last)


def propose(
    policy: ReminderPolicy, invoice: InvoiceRow, today: date, response: CustomerResponse
) -> Sequence[Instalment]:
    """Return the instalments that a customer asks for.

    Raises:
        ResponseRejected: the policy offers no plan, or the plan is beyond its limits.

    """
    limits = find_limits(policy, from_e4(invoice.due_e4), invoice.currency, today)
    if limits is None:
        raise ResponseRejected("error_no_plan")
    if response.on is None or not today <= response.on <= limits.first_until_on:
        raise ResponseRejected("error_plan_first")
    if not 1 < response.instalments <= limits.instalments_max or response.interval not in INSTALMENT_INTERVALS:
        raise ResponseRejected("error_plan")
    interval = INSTALMENT_INTERVALS[response.interval]
    instalments = agreements.equal_instalments(invoice, response.instalments, response.on, interval)
    if instalments[-1].due_on > limits.last_until_on or min(each.amount for each in instalments) <= 0:
        raise ResponseRejected("error_plan")
    return instalments


def list_instalments(said: CustomerResponse) -> Sequence[Instalment]:
    """Return the instalments that a customer asks for, of the balance they saw; none where they ask for no plan."""
    interval, balance_e4 = INSTALMENT_INTERVALS.get(said.interval), sum(said.balances.values())
    if said.on is None or said.instalments < 1 or interval is None or not balance_e4:
        return ()
    amounts = split_evenly(from_e4(balance_e4), said.instalments, said.currency)
    return [Instalment(said.on + index * interval, amount) for index, amount in enumerate(amounts)]


def needs_person(context: ResponseContext, policy: ReminderPolicy, invoice: InvoiceRow) -> str:
    """Return why a user has to decide about a plan; "" where the policy accepts it."""
    if policy.payment_plans.approval is not PlanApproval.AUTOMATIC:
        return "The policy leaves the decision to you."
    setting = context.setting_of(invoice)
    if setting is not None and setting.disputed_on is not None:
        return "The invoice is disputed."
    if context.count_agreements(invoice, AgreementKind.PAYMENT_PLAN, col(Agreement.state) == AgreementState.OPEN):
        return "It has a payment plan already."
    if context.count_agreements(invoice, AgreementKind.PAYMENT_PLAN, col(Agreement.state) == AgreementState.BROKEN):
        return "An earlier payment plan of it was broken."
    return ""
