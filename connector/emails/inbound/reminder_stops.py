"""The link in every email with which a customer stops their reminders; the account owner gets a task at once."""

from __future__ import annotations

from typing import NamedTuple

from sqlmodel import Session

from connector.app_context import AppContext
from connector.arrangements import review_tasks
from connector.arrangements.customer_settings import apply_settings
from connector.db.engine import reading, writing
from connector.db.tables import Connection, CustomerRow, CustomerSetting
from connector.emails import contact_tokens, recipient_language
from connector.plain_text import one_line
from connector.vocabulary import TaskCode, TokenPurpose


class ReminderStop(NamedTuple):
    """The customer a link is for, and whether their reminders are stopped; ``language`` is "" where it is not known."""

    company: str
    customer: str
    stopped: bool
    language: str


def stop_link(app: AppContext, session: Session, connection_id: int, customer_id: str) -> str:
    """Return a customer's link; "" where customers cannot reach this installation over https.

    Email programs follow no other, and plain http would show the token to everybody on the way.
    """
    if not contact_tokens.public_url(app, "/"):
        return ""
    token = contact_tokens.get_token(app, session, connection_id, customer_id, TokenPurpose.STOP)
    return contact_tokens.public_url(app, f"/stop/{token}")


def find_stop(app: AppContext, token: str) -> ReminderStop | None:
    """Return whose reminders a link stops. Changes nothing: programs that scan emails open every link."""
    with reading(app.engine) as session:
        customer = contact_tokens.find_customer(session, token, TokenPurpose.STOP)
        return _build_stop(session, customer) if customer is not None else None


def stop_reminders(app: AppContext, token: str) -> ReminderStop | None:
    """Stop this customer's reminders from now on and create the task; a second time changes nothing."""
    with writing(app.engine) as session:
        customer = contact_tokens.find_customer(session, token, TokenPurpose.STOP)
        if customer is None:
            return None
        stop = _build_stop(session, customer)
        if not stop.stopped:
            stop_for_customer(app, session, customer, how="with the link in an email")
        return stop._replace(stopped=True)


def stop_for_customer(app: AppContext, session: Session, customer: CustomerRow, *, how: str) -> None:
    """Stop a customer's reminders at their request and create the task, in the caller's transaction."""
    name, now = one_line(customer.name), app.now()
    key = (customer.connection_id, customer.external_id)
    apply_settings(session, *key, {"no_reminders": True}, by=f"{name}, {how},", at=now)
    reason = (
        f"{name} stopped the reminders {how}. Collect the open balance in another way; to send reminders again: "
        f"duewell customers set {customer.external_id} --reminders"
    )
    review_tasks.create_review_task(
        app, session, customer, code=TaskCode.REMINDERS_STOPPED, recurrence_key=now.isoformat(), reason=reason
    )


def _build_stop(session: Session, customer: CustomerRow) -> ReminderStop:
    setting = session.get(CustomerSetting, (customer.connection_id, customer.external_id))
    connection = session.get_one(Connection, customer.connection_id)
    return ReminderStop(
        company=one_line(connection.name),
        customer=one_line(customer.name),
        stopped=bool(setting and setting.no_reminders),
        language=recipient_language.customer_language(connection, customer, setting),
    )
