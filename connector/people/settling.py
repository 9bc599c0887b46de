"""What became of what was said, on every run: promises and plans kept or broken, pauses over, tasks without object."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import select
from sqlmodel import Session, col

from connector.effects import Draft
from connector.hour import Hour
from connector.mirror.places import HolidayCalendar, country_code
from connector.people import tasks
from connector.tables import Agreement, Connection, CustomerRow, InvoiceRow, InvoiceSetting
from policies.agreements import grace_over_on
from policies.decisions import MakeTask
from policies.policy import ReminderPolicy
from policies.receivables import InvoiceStatus
from policies.wording import day, days

_BROKEN = {"promise_broken": "promise", "plan_broken": "plan"}


def settle(hour: Hour, session: Session, connection: Connection, policy: ReminderPolicy, today: date) -> None:
    """End what is over: what was said about settled invoices, pauses whose day has come, tasks about nothing."""
    for agreement, invoice in _over(session, hour.connection_id, today):
        if invoice.is_open:
            _end(hour, session, agreement, "ended", f"The pause of invoice {invoice.number} is over.")
            _unpause(session, agreement)
        else:
            state, words = _verdict(session, connection, policy, agreement, invoice)
            _end(hour, session, agreement, state, words)
    for task in tasks.end_moot(session, hour.connection_id, hour.now()):
        text = f"Task {task.id} is moot: nothing is owed any more on what it is about."
        hour.log(session, "task_outcome", text, customer_id=task.customer_id, facts={"task": task.id})


def mark_broken(hour: Hour, session: Session, made: Sequence[MakeTask], today: date) -> None:
    """Keep for good which promises and plans were broken: a voided plan stays void, and habits remember."""
    for task in made:
        kind = _BROKEN.get(task.code)
        if kind is None:
            continue
        invoice_id = task.invoice_ids[0]
        query = select(Agreement).where(
            col(Agreement.connection_id) == hour.connection_id,
            col(Agreement.invoice_id) == invoice_id,
            col(Agreement.kind) == kind,
            col(Agreement.state) == "open",
        )
        agreement = session.scalars(query).first() or _of_the_ledger(
            hour, session, kind, (task.customer_id, invoice_id), today
        )
        _end(hour, session, agreement, "broken", task.why)


def mark_mailed(hour: Hour, session: Session, drafts: Sequence[Draft], today: date) -> None:
    """Keep for good which promises were broken that a mail asks about, once each, though it is planned every run."""
    for draft in drafts:
        for invoice_id, promised in draft.payload.get("periods", {}).items() if draft.kind == "mail" else ():
            promised_on = date.fromisoformat(promised)
            query = select(Agreement).where(
                col(Agreement.connection_id) == hour.connection_id,
                col(Agreement.invoice_id) == invoice_id,
                col(Agreement.kind) == "promise",
                col(Agreement.until_on) == promised_on,
                col(Agreement.state).in_(["open", "broken"]),
            )
            known = session.scalars(query.order_by(col(Agreement.state))).first()  # a broken one before an open one
            if known is None:
                known = _of_the_ledger(hour, session, "promise", (draft.customer_id, invoice_id), today)
                known.until_on = promised_on
            if known.state == "open":
                _end(hour, session, known, "broken", f"What was promised for {day(promised_on)} did not come.")


def _over(session: Session, connection_id: int, today: date) -> Sequence[tuple[Agreement, InvoiceRow]]:
    join = (col(InvoiceRow.connection_id) == col(Agreement.connection_id)) & (
        col(InvoiceRow.external_id) == col(Agreement.invoice_id)
    )
    query = (
        select(Agreement, InvoiceRow)
        .join(InvoiceRow, join)
        .where(
            col(Agreement.connection_id) == connection_id,
            col(Agreement.state) == "open",
            ~col(InvoiceRow.is_open) | ((col(Agreement.kind) == "pause") & (col(Agreement.until_on) <= today)),
        )
        .order_by(col(Agreement.id))
    )
    return [(agreement, invoice) for agreement, invoice in session.execute(query)]


def _verdict(
    session: Session, connection: Connection, policy: ReminderPolicy, agreement: Agreement, invoice: InvoiceRow
) -> tuple[str, str]:
    """Judge by the days in the books, not by when we looked: an invoice paid after the promised day broke it."""
    number = invoice.number
    if invoice.status != InvoiceStatus.PAID.value or invoice.settled_on is None:
        return "ended", f"Invoice {number} is {invoice.status}: the {agreement.kind} is without object."
    if agreement.kind not in {"promise", "plan"} or agreement.until_on is None:
        return "settled", f"Invoice {number} was paid on {day(invoice.settled_on)}: the {agreement.kind} is over."
    customer = session.get(CustomerRow, (agreement.connection_id, agreement.customer_id))
    country = country_code(customer.country) if customer and customer.country else connection.country
    if invoice.settled_on < grace_over_on(agreement.until_on, policy, country, HolidayCalendar()):
        return (
            "kept",
            f"The {agreement.kind} about invoice {number} was kept: it was paid on {day(invoice.settled_on)}.",
        )
    late = days((invoice.settled_on - agreement.until_on).days)
    return "broken", f"Invoice {number} was paid {late} after the day of the {agreement.kind}."


def _end(hour: Hour, session: Session, agreement: Agreement, state: str, words: str) -> None:
    agreement.state, agreement.outcome, agreement.ended_at = state, words, hour.now()
    hour.log(
        session,
        "agreement",
        words,
        customer_id=agreement.customer_id,
        invoice_id=agreement.invoice_id,
        facts={"kind": agreement.kind, "state": state},
    )


def _unpause(session: Session, agreement: Agreement) -> None:
    row = session.get(InvoiceSetting, (agreement.connection_id, agreement.invoice_id))
    if row is not None:
        row.paused, row.paused_until_on = False, None


def _of_the_ledger(hour: Hour, session: Session, kind: str, about: tuple[str, str], today: date) -> Agreement:
    """Keep a promise that only the ledger knew (its expected day of payment), now that it was broken."""
    row = Agreement(
        connection_id=hour.connection_id,
        kind=kind,
        customer_id=about[0],
        invoice_id=about[1],
        since_on=today,
        state="open",
        why="the expected day of payment in the ledger",
        said_at=hour.now(),
    )
    session.add(row)
    return row
