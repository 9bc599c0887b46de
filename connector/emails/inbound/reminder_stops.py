"""The link in every email with which a reader stops reminders, theirs or all; the account owner gets a task at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlmodel import Session

from connector.app_context import AppContext
from connector.arrangements import review_tasks
from connector.arrangements.customer_settings import apply_settings
from connector.db.engine import reading, writing
from connector.db.tables import Connection, CustomerRow, CustomerSetting
from connector.emails import contact_tokens, recipient_language
from connector.emails.inbound import stopped_addresses
from connector.emails.inbound.stopped_addresses import Readers
from connector.plain_text import one_line
from connector.vocabulary import TaskCode, TokenPurpose

ALL_READERS = "all"  # begins the key of a task about a stop of all reminders, as an address does of one about its own


class ReminderStop(NamedTuple):
    """The customer a link is for, and what has stopped; ``language`` is "" where it is not known.

    ``address`` is the reader whose reminders the link stops, "" where that is not known. ``stopped`` says that all the
    customer's reminders are, ``address_stopped`` that those to ``address`` are; for an ``is_only_reader`` both are one.
    """

    company: str
    customer: str
    stopped: bool
    language: str
    address: str = ""
    address_stopped: bool = False
    is_only_reader: bool = False
    is_unknown: bool = False  # the address that was entered gets no reminders


def stop_link(app: AppContext, session: Session, connection_id: int, customer_id: str, readers: Sequence[str]) -> str:
    """Return the link of an email to these readers; "" where customers cannot reach this installation over https.

    Email programs follow no other, and plain http would show the token to everybody on the way.
    """
    if not contact_tokens.public_url(app, "/"):
        return ""
    token = contact_tokens.get_token(app, session, connection_id, customer_id, TokenPurpose.STOP)
    mark = f"?to={stopped_addresses.mark_of(readers[0])}" if len(readers) == 1 else ""
    return contact_tokens.public_url(app, f"/stop/{token}{mark}")


def find_stop(app: AppContext, token: str, mark: str = "") -> ReminderStop | None:
    """Return whose reminders a link stops. Changes nothing: programs that scan emails open every link."""
    with reading(app.engine) as session:
        customer = contact_tokens.find_customer(session, token, TokenPurpose.STOP)
        return _build_stop(app, session, customer, mark) if customer is not None else None


def stop_reminders(app: AppContext, token: str) -> ReminderStop | None:
    """Stop all of this customer's reminders from now on and create the task; a second time changes nothing."""
    with writing(app.engine) as session:
        customer = contact_tokens.find_customer(session, token, TokenPurpose.STOP)
        if customer is None:
            return None
        stop = _build_stop(app, session, customer, "")
        if not stop.stopped:
            stop_for_customer(app, session, customer, how="with the link in an email")
        return stop._replace(stopped=True)


def stop_reader(app: AppContext, token: str, mark: str = "", address: str = "") -> ReminderStop | None:
    """Stop the reminders to one reader, named by the link or by their address; where it is the only one, all of them.

    Nothing is stopped where it is not clear who asks, nor for an address that gets none.
    """
    with writing(app.engine) as session:
        customer = contact_tokens.find_customer(session, token, TokenPurpose.STOP)
        if customer is None:
            return None
        stop = _build_stop(app, session, customer, mark or stopped_addresses.mark_of(address))
        if stop.stopped or stop.address_stopped:
            return stop
        if not stop.address:
            return stop._replace(address=one_line(address, 120), is_unknown=bool(address))
        only = stop_for_address(app, session, customer, stop.address, how="with the link in an email")
        return stop._replace(stopped=only, address_stopped=True)


def stop_for_address(app: AppContext, session: Session, customer: CustomerRow, address: str, *, how: str) -> bool:
    """Stop the reminders to one reader; return whether all of the customer's stop, as nobody else is written to."""
    if _is_only_reader(stopped_addresses.find_readers(app, session, customer), address):
        stop_for_customer(app, session, customer, how=how)
        return True
    setting = session.get(CustomerSetting, (customer.connection_id, customer.external_id))
    stopped = [*stopped_addresses.split_stopped(setting), address.lower()]
    key, now = (customer.connection_id, customer.external_id), app.now()
    apply_settings(session, *key, {"stopped_emails": ",".join(dict.fromkeys(stopped))}, by=f"{address}, {how},", at=now)
    reason = (
        f"{one_line(address, 120)} asked for no more reminders about {one_line(customer.name)} {how}. Others who"
        f" get them still do. To undo it: duewell customers set {customer.external_id} --stopped-emails none"
    )
    review_tasks.create_review_task(
        app,
        session,
        customer,
        code=TaskCode.REMINDERS_STOPPED,
        recurrence_key=f"{address.lower()} {now.isoformat()}",
        reason=reason,
    )
    return False


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
        app,
        session,
        customer,
        code=TaskCode.REMINDERS_STOPPED,
        recurrence_key=f"{ALL_READERS} {now.isoformat()}",
        reason=reason,
    )


def _build_stop(app: AppContext, session: Session, customer: CustomerRow, mark: str) -> ReminderStop:
    setting = session.get(CustomerSetting, (customer.connection_id, customer.external_id))
    connection = session.get_one(Connection, customer.connection_id)
    readers = stopped_addresses.find_readers(app, session, customer) if mark else Readers(frozenset(), frozenset())
    stopped = [each for each in stopped_addresses.split_stopped(setting) if stopped_addresses.mark_of(each) == mark]
    marked = [*stopped, *(each for each in sorted(readers.all) if stopped_addresses.mark_of(each) == mark)]
    address = marked[0] if marked else stopped_addresses.find_earlier_reader(session, customer, mark) if mark else ""
    return ReminderStop(
        company=one_line(connection.name),
        customer=one_line(customer.name),
        stopped=bool(setting and setting.no_reminders),
        language=recipient_language.customer_language(connection, customer, setting),
        address=address,
        address_stopped=bool(stopped),
        is_only_reader=bool(address) and _is_only_reader(readers, address),
    )


def _is_only_reader(readers: Readers, address: str) -> bool:
    return bool(readers.main) and readers.main <= {address.lower()}
