"""Which of a customer's readers asks for no more reminders: each address stops for itself, never for its colleagues.

An email goes to several people in one copy, so its links cannot tell who follows them. Where it has one reader, a part
of the link names them; else the page asks for their address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.db.tables import Connection, CustomerRow, CustomerSetting, OutboxEntry
from connector.outbox.payloads import EmailPayload, payload_as
from connector.sync.mirror.pages import load_statements
from connector.vocabulary import OutboxKind, OutboxState
from policies.receivables import Customer, Invoice

MARK_LENGTH = 12  # of a hash: it only tells the addresses of one customer apart
_EMAILS_MAX = 200  # of a customer that are looked through, the newest first


class Readers(NamedTuple):
    """The addresses that a customer's emails go to: ``main`` is whom they are written to, ``all`` includes copies."""

    main: frozenset[str]
    all: frozenset[str]


def mark_of(address: str) -> str:
    """Return the part of a link that names its reader, without showing the address."""
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()[:MARK_LENGTH]


def find_readers(app: AppContext, session: Session, customer: CustomerRow) -> Readers:
    """Return whom emails to a customer go to, in lower case, without those who stopped them."""
    connection = session.get_one(Connection, customer.connection_id)
    loaded = load_statements(session, connection, now=app.now(), customer_ids=[customer.external_id])
    statements = [each for some in loaded for each in some]
    main = {address for each in statements for address in _main_addresses(each.customer, each.invoices)}
    copies = {address for each in statements for address in _copied_addresses(each.customer, each.invoices)}
    setting = session.get(CustomerSetting, (customer.connection_id, customer.external_id))
    if not statements:
        used = (setting.emails if setting is not None else "") or customer.emails
        main = set(used.split(","))
    stopped = set(split_stopped(setting))
    cleaned = [{each.strip().lower() for each in some if "@" in each} - stopped for some in (main, main | copies)]
    return Readers(*map(frozenset, cleaned))


def find_earlier_reader(session: Session, customer: CustomerRow, mark: str) -> str:
    """Return the address of a mark among those that were emailed before, in lower case; "" for none.

    A paid invoice's own address, or one that was changed since, gets nothing today and may get the next reminder.
    """
    query = select(OutboxEntry).where(
        col(OutboxEntry.connection_id) == customer.connection_id,
        col(OutboxEntry.customer_id) == customer.external_id,
        col(OutboxEntry.kind) == OutboxKind.EMAIL,
        col(OutboxEntry.state).in_([OutboxState.DONE, OutboxState.UNCONFIRMED, OutboxState.SENDING]),
    )
    for entry in session.scalars(query.order_by(col(OutboxEntry.id).desc()).limit(_EMAILS_MAX)):
        payload = payload_as(EmailPayload, entry)
        for address in (*payload.to, *payload.cc, *payload.bcc):
            if mark_of(address) == mark:
                return address.strip().lower()
    return ""


def split_stopped(setting: CustomerSetting | None) -> list[str]:
    """Return the addresses that stopped reminders, in lower case."""
    return [each.strip().lower() for each in (setting.stopped_emails if setting else "").split(",") if each.strip()]


def _main_addresses(customer: Customer, invoices: Sequence[Invoice]) -> list[str]:
    return [*customer.emails, *(address for each in invoices if each.due > 0 for address in each.emails)]


def _copied_addresses(customer: Customer, invoices: Sequence[Invoice]) -> list[str]:
    copies = [address for each in invoices if each.due > 0 for address in (*each.cc_emails, *each.bcc_emails)]
    return [*copies, customer.second_contact, customer.owner_email, customer.sales_rep_email]
