"""All that is known about a customer, each judgement with its inputs: segment, score, sizes, expected pay days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from connector import policy_store
from connector.arrangements import tasks
from connector.arrangements.agreements import format_agreement
from connector.arrangements.customer_settings import customer_settings, format_settings
from connector.connections.account_owners import load_team
from connector.db.tables import Agreement, Connection, CustomerRow, InvoiceRow
from connector.sync.mirror.portfolio_stats import PortfolioStats, load_portfolio_stats
from connector.sync.mirror.statements import load_statements
from connector.vocabulary import AgreementState
from policies.formatting import format_date, format_days
from policies.payment_behaviour import WEEKDAYS, explain_score, forecast_payment, payment_score
from policies.policy import ReminderPolicy
from policies.receivables import Customer, Invoice, PaymentBehaviour
from policies.segments import explain_segment, explain_size, segment_of

_NO_HISTORY = "no invoice settled yet: nothing is known of how he pays"


def build_profile(session: Session, row: CustomerRow, now: datetime) -> dict[str, Any]:
    """Gather what is known about a customer as of an instant."""
    connection = session.get_one(Connection, row.connection_id)
    policy, version = policy_store.get_policy(session, row.connection_id)
    today = now.astimezone(ZoneInfo(connection.time_zone)).date()
    statements = next(iter(load_statements(session, connection, now=now, customer_ids=[row.external_id])), ())
    told = {
        "id": row.external_id,
        "connection": connection.short_name,
        "name": row.name,
        "emails": row.emails,
        "settings": customer_settings(session, row.connection_id, row.external_id),
        "owner": (team := load_team(session, connection)).owner_of(row.external_id),
        "sales_rep": team.sales_reps.get(row.external_id, ""),
        "policy_version": version,
        "agreements": _list_agreements(session, row),
        "tasks": tasks.find_tasks(session, row.connection_id, customer_id=row.external_id),
    }
    if not statements:
        return {
            **told,
            "segment": None,
            "segment_reason": "nothing is open, nothing was settled lately",
            "invoices": [],
        }
    customer, drawn = statements[0].customer, load_portfolio_stats(session, connection, today)
    invoices = [invoice for statement in statements for invoice in statement.invoices if invoice.due > 0]
    return {
        **told,
        **_assess(customer, policy, today),
        "invoices": [_invoice_as_dict(invoice, customer, policy, drawn, today) for invoice in invoices],
    }


def format_profile(profile: Mapping[str, Any]) -> list[str]:
    """Print a card as a person reads it."""
    shown = [f"{profile['name']} ({profile['connection']})", f"  mail goes to: {profile['emails'] or 'no address'}"]
    shown += [f"  owner: {profile['owner'] or 'nobody'}"]
    shown += [f"  sales rep: {profile['sales_rep']}"] if profile["sales_rep"] else []
    shown += [f"  {line}" for line in format_settings(profile["settings"])]
    shown += (
        [f"  {profile['segment_reason']}", f"  {profile['payment_behaviour_reason']}"]
        if profile["segment"]
        else [f"  {profile['segment_reason']}"]
    )
    shown += ["Open invoices:"] if profile["invoices"] else ["No open invoice."]
    for invoice in profile["invoices"]:
        shown += [f"  {invoice['number']}: {invoice['size_reason']}", f"    {invoice['expected_reason']}"]
    shown += (
        ["What was said:", *(f"  {each['text']}" for each in profile["agreements"])] if profile["agreements"] else []
    )
    shown += ["Tasks:"] if profile["tasks"] else []
    return shown + [f"  {task.id}, due {task.due_on}: {task.text}" for task in profile["tasks"]]


def _assess(customer: Customer, policy: ReminderPolicy, today: date) -> dict[str, Any]:
    payment_behaviour = customer.payment_behaviour
    return {
        "segment": segment_of(customer, policy.segments, today).value,
        "segment_reason": explain_segment(customer, policy.segments, today),
        "score": payment_score(payment_behaviour) if payment_behaviour else None,
        "payment_behaviour_reason": explain_score(payment_behaviour) if payment_behaviour else _NO_HISTORY,
        "payment_behaviour": _behaviour_as_dict(payment_behaviour) if payment_behaviour else None,
    }


def _behaviour_as_dict(payment_behaviour: PaymentBehaviour) -> dict[str, Any]:
    """Show what the score and the expected days are made of."""
    low, high = round(payment_behaviour.low_days_late), round(payment_behaviour.high_days_late)
    return {
        "closed_invoices": payment_behaviour.closed_invoices,
        "median": _format_days_late(round(payment_behaviour.median_days_late)),
        "typical_range": f"from {_format_days_late(low)} to {_format_days_late(high)}"
        if low != high
        else _format_days_late(low),
        "late_percent": round(100 * payment_behaviour.late_share),
        "weekday": WEEKDAYS[payment_behaviour.weekday] if payment_behaviour.weekday is not None else "",
        "on_time_streak": payment_behaviour.on_time_streak,
        "has_broken_promise": payment_behaviour.broke_promise,
    }


def _format_days_late(count: int) -> str:
    """Say days late, or before the due day."""
    return (
        f"{format_days(count)} late"
        if count > 0
        else f"{format_days(-count)} before it is due"
        if count
        else "on the due day"
    )


def _invoice_as_dict(
    invoice: Invoice, customer: Customer, policy: ReminderPolicy, stats: PortfolioStats, today: date
) -> dict[str, Any]:
    own = stats.percentiles.get(invoice.currency)
    thresholds = own.thresholds(policy.sizes) if own else None
    shown: dict[str, Any] = {
        "id": invoice.id,
        "number": invoice.number,
        "due": str(invoice.due),
        "currency": invoice.currency,
        "due_on": invoice.due_on,
        "size_reason": explain_size(invoice, policy.sizes, thresholds),
    }
    if customer.payment_behaviour is None or invoice.due_on is None:
        return {**shown, "expected_on": None, "expected_reason": f"no forecast: {_NO_HISTORY}"}
    coming = forecast_payment(customer.payment_behaviour, invoice.due_on)
    expected_on, latest_on = coming.expected_on, coming.latest_on
    interval = f"between {format_date(coming.earliest_on)} and {format_date(latest_on)} in four of five cases"
    words = f"expected on {format_date(expected_on)}, {interval}"
    if latest_on < today:
        words = f"later than he pays in nine of ten cases: he was expected on {format_date(expected_on)}, {interval}"
    return {
        **shown,
        "expected_on": expected_on,
        "earliest_on": coming.earliest_on,
        "latest_on": latest_on,
        "expected_reason": words,
    }


def _list_agreements(session: Session, row: CustomerRow) -> list[dict[str, Any]]:
    """List every promise, plan, dispute and pause of the customer, with what became of it."""
    here = (col(InvoiceRow.connection_id) == col(Agreement.connection_id)) & (
        col(InvoiceRow.external_id) == col(Agreement.invoice_id)
    )
    query = (
        select(Agreement, col(InvoiceRow.number))
        .outerjoin(InvoiceRow, here)
        .where(col(Agreement.connection_id) == row.connection_id, col(Agreement.customer_id) == row.external_id)
        .order_by(col(Agreement.id))
    )
    return [
        {"invoice": number, "kind": each.kind, "state": each.state, "text": format_past_agreement(each, number)}
        for each, number in session.execute(query)
    ]


def format_past_agreement(agreement: Agreement, number: str | None) -> str:
    """Say an agreement in one line, with its invoice, its day, and what became of it."""
    ended = "" if agreement.state == AgreementState.OPEN else f" — {agreement.state}{': ' if agreement.outcome else ''}"
    said = f"{number or agreement.invoice_id}, {format_date(agreement.since_on)}: {format_agreement(agreement)}"
    return f"{said}{ended}{agreement.outcome if ended else ''}"
