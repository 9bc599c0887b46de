"""The link in every mail by which a customer stops his reminders; the bookkeeper learns of it at once."""

from __future__ import annotations

from typing import NamedTuple

from sqlmodel import Session

from connector.access import bookkeeper
from connector.database import reading, writing
from connector.installation import Installation
from connector.letters import contact_tokens, tongues
from connector.letters.plain_text import one_line
from connector.people.customers import change_settings
from connector.tables import Connection, CustomerRow, CustomerSetting

_WHY = (
    "{name} stopped the reminders, {how}. What is owed has to be settled in another way; to send "
    "reminders again: duewell customers set {id} --reminders"
)


class Subject(NamedTuple):
    """Whose link it is, as its page names him; whether his reminders are stopped already; his language, if known."""

    company: str
    customer: str
    stopped: bool
    language: str


def stop_link(installation: Installation, session: Session, connection_id: int, customer_id: str) -> str:
    """Make a customer's link; "" where it could not be reached.

    Only over https: mail programs press no other, and plain http would show the token to everybody on the way.
    """
    if not contact_tokens.address(installation, "/"):
        return ""
    token = contact_tokens.token_for(installation, session, connection_id, customer_id, contact_tokens.STOP)
    return contact_tokens.address(installation, f"/stop/{token}")


def look(installation: Installation, token: str) -> Subject | None:
    """Tell whose reminders a link stops. Changes nothing: programs that scan links open every one."""
    with reading(installation.engine) as session:
        customer = contact_tokens.customer_of(session, token, contact_tokens.STOP)
        return _subject(session, customer) if customer is not None else None


def stop_reminders(installation: Installation, token: str) -> Subject | None:
    """Send this customer no reminders from now on, and tell the bookkeeper; a second time changes nothing."""
    with writing(installation.engine) as session:
        customer = contact_tokens.customer_of(session, token, contact_tokens.STOP)
        if customer is None:
            return None
        subject = _subject(session, customer)
        if not subject.stopped:
            stop_for(installation, session, customer, how="by the link in a mail")
        return subject._replace(stopped=True)


def stop_for(installation: Installation, session: Session, customer: CustomerRow, *, how: str) -> None:
    """Stop a customer's reminders as he asked, and make the task that tells it, in the caller's transaction."""
    name, now = one_line(customer.name), installation.now()
    here, changes = (customer.connection_id, customer.external_id), {"no_reminders": True}
    change_settings(session, *here, changes, by=f"{name}, {how},", at=now)
    why = _WHY.format(name=name, how=how, id=customer.external_id)
    bookkeeper.ask(installation, session, customer, code="stopped", occasion=now.isoformat(), why=why)


def _subject(session: Session, customer: CustomerRow) -> Subject:
    setting = session.get(CustomerSetting, (customer.connection_id, customer.external_id))
    connection = session.get_one(Connection, customer.connection_id)
    return Subject(
        company=one_line(connection.name),
        customer=one_line(customer.name),
        stopped=bool(setting and setting.no_reminders),
        language=tongues.of_customer(connection, customer, setting),
    )
