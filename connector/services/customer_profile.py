"""The profile of a customer: settings, segment, payment behaviour and expected payments, each with its reason."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from pydantic import Field
from sqlalchemy import select
from sqlmodel import Session, col

from connector import policy_store
from connector.arrangements.agreement_list import format_agreement
from connector.arrangements.customer_settings import CustomerSettings, customer_settings, format_settings
from connector.arrangements.task_list import TaskItem, find_tasks
from connector.connections.account_owners import load_team
from connector.db.invoice_names import names_of
from connector.db.tables import Agreement, Connection, CustomerRow
from connector.results import Amount, Result
from connector.sync.mirror.portfolio_stats import PortfolioStats, load_portfolio_stats
from connector.sync.mirror.statements import load_statements
from connector.vocabulary import AgreementKind, AgreementState
from connector.vocabulary.labels import in_sentence, label
from policies.currencies import plain_amount
from policies.formatting import format_date, format_days
from policies.payment_behaviour import WEEKDAYS, explain_score, forecast_payment, payment_score
from policies.policy import ReminderPolicy
from policies.receivables import Customer, Invoice, PaymentBehaviour, Segment
from policies.segments import explain_segment, explain_size, segment_of

_NO_HISTORY = "No invoice has been paid yet, so nothing is known about how they pay."
_NO_SEGMENT = "No invoice is open, and none was closed recently."


class BehaviourItem(Result):
    """How a customer pays, relative to the due date; ``typical_range`` covers four of five invoices."""

    closed_invoices: int
    median: str
    typical_range: str
    late_percent: int
    weekday: str
    on_time_streak: int
    has_broken_promise: bool


class ProfileInvoice(Result):
    """An open invoice, and when it will probably be paid: between ``earliest_on`` and ``latest_on`` in 80 %."""

    id: str
    number: str
    due: Amount
    currency: str
    due_on: date | None
    size_reason: str
    expected_on: date | None = None
    earliest_on: date | None = None
    latest_on: date | None = None
    expected_reason: str


class ProfileAgreement(Result):
    """An agreement with the customer; ``invoice`` is None where the invoice is gone from the ledger."""

    invoice: str | None
    kind: AgreementKind
    state: AgreementState
    text: str


class CustomerProfile(Result):
    """What is known about a customer; segment, score and behaviour are None where there is nothing to judge by."""

    id: str
    connection: str
    name: str
    emails: str
    settings: CustomerSettings
    owner: str
    sales_rep: str
    policy_version: int | None
    agreements: list[ProfileAgreement]
    tasks: list[TaskItem]
    segment: Segment | None = None
    segment_reason: str = _NO_SEGMENT
    score: float | None = None
    payment_behaviour_reason: str | None = None
    payment_behaviour: BehaviourItem | None = None
    invoices: list[ProfileInvoice] = Field(default_factory=list)


def build_profile(session: Session, row: CustomerRow, now: datetime) -> CustomerProfile:
    """Return what is known about a customer as of an instant."""
    connection = session.get_one(Connection, row.connection_id)
    policy, version = policy_store.get_policy(session, row.connection_id)
    today = now.astimezone(ZoneInfo(connection.time_zone)).date()
    statements = next(iter(load_statements(session, connection, now=now, customer_ids=[row.external_id])), ())
    team = load_team(session, connection)
    profile = CustomerProfile(
        id=row.external_id,
        connection=connection.short_name,
        name=row.name,
        emails=row.emails,
        settings=customer_settings(session, row.connection_id, row.external_id),
        owner=team.owner_of(row.external_id),
        sales_rep=team.sales_reps.get(row.external_id, ""),
        policy_version=version,
        agreements=_list_agreements(session, row),
        tasks=find_tasks(session, row.connection_id, customer_id=row.external_id),
    )
    if not statements:
        return profile
    customer, stats = statements[0].customer, load_portfolio_stats(session, connection, today)
    behaviour = customer.payment_behaviour
    invoices = [invoice for statement in statements for invoice in statement.invoices if invoice.due > 0]
    return profile.model_copy(
        update={
            "segment": segment_of(customer, policy.segments, today),
            "segment_reason": explain_segment(customer, policy.segments, today),
            "score": payment_score(behaviour) if behaviour else None,
            "payment_behaviour_reason": explain_score(behaviour) if behaviour else _NO_HISTORY,
            "payment_behaviour": _behaviour_item(behaviour) if behaviour else None,
            "invoices": [_profile_invoice(invoice, customer, policy, stats, today) for invoice in invoices],
        }
    )


def format_profile(profile: CustomerProfile) -> list[str]:
    """Return a profile as lines of text."""
    lines = [f"{profile.name} ({profile.connection})", f"  Email: {profile.emails or 'no address'}"]
    lines += [f"  Account owner: {profile.owner or 'none'}"]
    lines += [f"  Sales rep: {profile.sales_rep}"] if profile.sales_rep else []
    lines += [f"  {line}" for line in format_settings(profile.settings)]
    lines += [f"  {profile.segment_reason}"]
    lines += [f"  {profile.payment_behaviour_reason}"] if profile.payment_behaviour_reason else []
    lines += ["Open invoices:"] if profile.invoices else ["No open invoices."]
    for invoice in profile.invoices:
        lines += [f"  {invoice.number}: {invoice.size_reason}", f"    {invoice.expected_reason}"]
    lines += ["Agreements:", *(f"  {each.text}" for each in profile.agreements)] if profile.agreements else []
    lines += ["Tasks:"] if profile.tasks else []
    return lines + [f"  {task.id}, due on {format_date(task.due_on)}: {task.text}" for task in profile.tasks]


def _behaviour_item(behaviour: PaymentBehaviour) -> BehaviourItem:
    low, high = round(behaviour.low_days_late), round(behaviour.high_days_late)
    earliest, latest = _format_days_late(low), _format_days_late(high)
    return BehaviourItem(
        closed_invoices=behaviour.closed_invoices,
        median=_format_days_late(round(behaviour.median_days_late)),
        typical_range=f"from {earliest} to {latest}" if low != high else earliest,
        late_percent=round(100 * behaviour.late_share),
        weekday=WEEKDAYS[behaviour.weekday] if behaviour.weekday is not None else "",
        on_time_streak=behaviour.on_time_streak,
        has_broken_promise=behaviour.broke_promise,
    )


def _format_days_late(count: int) -> str:
    """Return days after the due date in words: ``4 days late``, ``2 days early``, ``on the due date``."""
    if count == 0:
        return "on the due date"
    return f"{format_days(count)} late" if count > 0 else f"{format_days(-count)} early"


def _profile_invoice(
    invoice: Invoice, customer: Customer, policy: ReminderPolicy, stats: PortfolioStats, today: date
) -> ProfileInvoice:
    percentiles = stats.percentiles.get(invoice.currency)
    thresholds = percentiles.thresholds(policy.sizes) if percentiles else None
    item = ProfileInvoice(
        id=invoice.id,
        number=invoice.number,
        due=plain_amount(invoice.due, invoice.currency),
        currency=invoice.currency,
        due_on=invoice.due_on,
        size_reason=explain_size(invoice, policy.sizes, thresholds),
        expected_reason=f"No forecast: {in_sentence(_NO_HISTORY)}",
    )
    if customer.payment_behaviour is None or invoice.due_on is None:
        return item
    forecast = forecast_payment(customer.payment_behaviour, invoice.due_on)
    earliest, expected, latest = map(format_date, (forecast.earliest_on, forecast.expected_on, forecast.latest_on))
    reason = f"Payment expected on {expected}, with 80 % probability between {earliest} and {latest}."
    if forecast.expected_on < today:
        reason = f"It was expected on {expected} and is not paid yet; the 80 % range ends on {latest}."
    if forecast.latest_on < today:
        reason = f"Later than nine in ten of their payments: it was expected on {expected}, by {latest} at the latest."
    return item.model_copy(
        update={
            "expected_on": forecast.expected_on,
            "earliest_on": forecast.earliest_on,
            "latest_on": forecast.latest_on,
            "expected_reason": reason,
        }
    )


def _list_agreements(session: Session, row: CustomerRow) -> list[ProfileAgreement]:
    query = select(Agreement).where(
        col(Agreement.connection_id) == row.connection_id, col(Agreement.customer_id) == row.external_id
    )
    agreements = session.scalars(query.order_by(col(Agreement.id))).all()
    names = names_of(session, row.connection_id, {each.invoice_id for each in agreements})
    return [
        ProfileAgreement(
            invoice=names.get(each.invoice_id, each.invoice_id),
            kind=each.kind,
            state=each.state,
            text=_format_past_agreement(each, names.get(each.invoice_id, each.invoice_id)),
        )
        for each in agreements
    ]


def _format_past_agreement(agreement: Agreement, name: str) -> str:
    """Return an agreement with its invoice, its date and its outcome."""
    text = f"{name}, {format_date(agreement.since_on)}: {format_agreement(agreement)}"
    if agreement.state == AgreementState.OPEN:
        return text
    state = in_sentence(label(agreement.state, "agreement_state"))
    return f"{text} — {state}{': ' if agreement.outcome else ''}{agreement.outcome}"
