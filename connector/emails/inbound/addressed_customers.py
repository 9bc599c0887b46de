"""Whose address an event of the email service names: a customer's, a user's choice for them, or an invoice's own."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import or_, select
from sqlmodel import Session, col

from connector.db.tables import CustomerRow, CustomerSetting, InvoiceRow, OutboxEntry
from connector.emails import contact_tokens


def find_affected_customers(session: Session, entry: OutboxEntry | None, address: str) -> Sequence[CustomerRow]:
    """Return the email's customer where the event names the email, else every customer emailed at the address.

    In the place of a merged customer it is the one they were merged into.
    """
    if entry is not None:
        customer = contact_tokens.current_customer(session, entry.connection_id, entry.customer_id)
        return [customer] if customer is not None else []
    if not address:
        return []
    same_customer = (col(CustomerSetting.connection_id) == CustomerRow.connection_id) & (
        col(CustomerSetting.customer_id) == CustomerRow.external_id
    )
    matches = [
        each.icontains(address, autoescape=True) for each in (col(CustomerRow.emails), col(CustomerSetting.emails))
    ]
    rows = session.execute(
        select(CustomerRow, CustomerSetting).outerjoin(CustomerSetting, same_customer).where(or_(*matches))
    )
    found = []
    for customer, setting in rows:
        used = (setting.emails if setting is not None else "") or customer.emails
        if address in _split_addresses(used):
            found.append(customer)
    keys = [(each.connection_id, each.external_id) for each in found]
    keys += sorted(_find_invoiced_at(session, address).difference(keys))
    current = [contact_tokens.current_customer(session, *key) for key in keys]
    return list({(each.connection_id, each.external_id): each for each in current if each is not None}.values())


def find_known_addresses(session: Session, addresses: Collection[str]) -> set[str]:
    """Return which of these addresses somebody is emailed at, in one reading of all: a batch may have thousands."""
    fields = [
        *(col(CustomerRow.emails), col(CustomerSetting.emails)),
        *(col(InvoiceRow.emails), col(InvoiceRow.cc_emails), col(InvoiceRow.bcc_emails)),
    ]
    wanted, found = set(addresses), set[str]()
    for each in fields if wanted else ():
        for stored in session.scalars(select(each).where(each != "").distinct()):
            found |= wanted & _split_addresses(stored)
    return found


def _find_invoiced_at(session: Session, address: str) -> set[tuple[int, str]]:
    """Return the customers (connection and customer id) of whom an invoice goes to this address of its own."""
    own = (col(InvoiceRow.emails), col(InvoiceRow.cc_emails), col(InvoiceRow.bcc_emails))
    rows = session.execute(
        select(col(InvoiceRow.connection_id), col(InvoiceRow.customer_id), *own)
        .where(or_(*(each.icontains(address, autoescape=True) for each in own)))
        .distinct()
    )
    return {
        (connection_id, customer_id)
        for connection_id, customer_id, *fields in rows
        if address in _split_addresses(",".join(fields))
    }


def _split_addresses(stored: str) -> set[str]:
    return {each.strip().lower() for each in stored.split(",")}
