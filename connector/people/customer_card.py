"""All that is known about a customer, each judgement with its inputs: segment, score, sizes, expected pay days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from connector import policies_store
from connector.access.team import team_of
from connector.mirror.company_picture import Picture, picture
from connector.mirror.statements import customers_facts
from connector.people import tasks
from connector.people.agreements import sentence
from connector.people.customers import settings_of
from connector.tables import Agreement, Connection, CustomerRow, InvoiceRow
from policies.habits import WEEKDAYS, forecast, score, score_why
from policies.policy import ReminderPolicy
from policies.receivables import Customer, Habits, Invoice
from policies.segments import segment_of, segment_why, size_why
from policies.wording import day, days

_NO_HISTORY = "no invoice settled yet: nothing is known of how he pays"


def card(session: Session, row: CustomerRow, now: datetime) -> dict[str, Any]:
    """Gather what is known about a customer as of an instant."""
    connection = session.get_one(Connection, row.connection_id)
    policy, version = policies_store.current(session, row.connection_id)
    today = now.astimezone(ZoneInfo(connection.time_zone)).date()
    statements = next(iter(customers_facts(session, connection, now=now, customer_ids=[row.external_id])), ())
    told = {
        "id": row.external_id,
        "connection": connection.short_name,
        "name": row.name,
        "emails": row.emails,
        "set": settings_of(session, row.connection_id, row.external_id),
        "owner": (team := team_of(session, connection)).owner_of(row.external_id),
        "sales_rep": team.sales_reps.get(row.external_id, ""),
        "policy_version": version,
        "said": _said(session, row),
        "tasks": tasks.listing(session, row.connection_id, customer_id=row.external_id),
    }
    if not statements:
        return {**told, "segment": None, "segment_why": "nothing is open, nothing was settled lately", "invoices": []}
    customer, drawn = statements[0].customer, picture(session, connection, today)
    invoices = [invoice for statement in statements for invoice in statement.invoices if invoice.due > 0]
    return {
        **told,
        **_judged(customer, policy, today),
        "invoices": [_invoice(invoice, customer, policy, drawn, today) for invoice in invoices],
    }


def lines(told: Mapping[str, Any]) -> list[str]:
    """Print a card as a person reads it."""
    shown = [f"{told['name']} ({told['connection']})", f"  mail goes to: {told['emails'] or 'no address'}"]
    shown += [f"  owner: {told['owner'] or 'nobody'}"]
    shown += [f"  sales rep: {told['sales_rep']}"] if told["sales_rep"] else []
    shown += [f"  a person set: {name.replace('_', ' ')} {value}" for name, value in told["set"].items()]
    shown += (
        [f"  {told['segment_why']}", f"  {told['habits_why']}"] if told["segment"] else [f"  {told['segment_why']}"]
    )
    shown += ["Open invoices:"] if told["invoices"] else ["No open invoice."]
    for invoice in told["invoices"]:
        shown += [f"  {invoice['number']}: {invoice['size_why']}", f"    {invoice['expected_why']}"]
    shown += ["What was said:", *(f"  {each['text']}" for each in told["said"])] if told["said"] else []
    shown += ["Tasks:"] if told["tasks"] else []
    return shown + [f"  {task['id']}, due {task['due_on']}: {task['why']}" for task in told["tasks"]]


def _judged(customer: Customer, policy: ReminderPolicy, today: date) -> dict[str, Any]:
    habits = customer.habits
    return {
        "segment": segment_of(customer, policy.segments, today).value,
        "segment_why": segment_why(customer, policy.segments, today),
        "score": score(habits) if habits else None,
        "habits_why": score_why(habits) if habits else _NO_HISTORY,
        "habits": _in_numbers(habits) if habits else None,
    }


def _in_numbers(habits: Habits) -> dict[str, Any]:
    """Show what the score and the expected days are made of."""
    low, high = round(habits.low_days_late), round(habits.high_days_late)
    return {
        "settled": habits.settled,
        "median": _late(round(habits.median_days_late)),
        "interval": f"from {_late(low)} to {_late(high)}" if low != high else _late(low),
        "late_percent": round(100 * habits.late_share),
        "weekday": WEEKDAYS[habits.weekday] if habits.weekday is not None else "",
        "on_time_run": habits.on_time_run,
        "broke_promise": habits.broke_promise,
    }


def _late(count: int) -> str:
    """Say days late, or before the due day."""
    return f"{days(count)} late" if count > 0 else f"{days(-count)} before it is due" if count else "on the due day"


def _invoice(
    invoice: Invoice, customer: Customer, policy: ReminderPolicy, drawn: Picture, today: date
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": invoice.id,
        "number": invoice.number,
        "due": str(invoice.due),
        "currency": invoice.currency,
        "due_on": invoice.due_on,
        "size_why": size_why(invoice, policy.sizes, drawn.thresholds.get(invoice.currency)),
    }
    if customer.habits is None or invoice.due_on is None:
        return {**shown, "expected_on": None, "expected_why": f"no forecast: {_NO_HISTORY}"}
    coming = forecast(customer.habits, invoice.due_on)
    expected_on, latest_on = coming.expected_on, coming.latest_on
    interval = f"between {day(coming.earliest_on)} and {day(latest_on)} in four of five cases"
    words = f"expected on {day(expected_on)}, {interval}"
    if latest_on < today:
        words = f"later than he pays in nine of ten cases: he was expected on {day(expected_on)}, {interval}"
    return {
        **shown,
        "expected_on": expected_on,
        "earliest_on": coming.earliest_on,
        "latest_on": latest_on,
        "expected_why": words,
    }


def _said(session: Session, row: CustomerRow) -> list[dict[str, Any]]:
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
        {"invoice": number, "kind": each.kind, "state": each.state, "text": told_in_full(each, number)}
        for each, number in session.execute(query)
    ]


def told_in_full(agreement: Agreement, number: str | None) -> str:
    """Say an agreement in one line, with its invoice, its day, and what became of it."""
    ended = "" if agreement.state == "open" else f" — {agreement.state}{': ' if agreement.outcome else ''}"
    said = f"{number or agreement.invoice_id}, {day(agreement.since_on)}: {sentence(agreement)}"
    return f"{said}{ended}{agreement.outcome if ended else ''}"
