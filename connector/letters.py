"""Gathers what a planned mail must say, from the mirror and the ledger, and has it written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from sqlalchemy import select
from sqlmodel import Session, col

from connector import mails, owner_mail, policies_store
from connector.hour import Hour
from connector.mirror import customers_facts
from connector.tables import Connection, OutboxEntry, Stored, TakenStep
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, Statement, Step
from providers.errors import ProviderError, RateLimited, Reconnect
from providers.mailer import Attachment, Mail

PDFS_MAX = 5  # invoices attached to one mail
PDFS_BYTES_MAX = 10 * 2**20


class CannotWrite(Exception):
    """This mail cannot be written; the message says what is missing. Other mails are not concerned."""


def write(hour: Hour, entry_id: int) -> Mail:
    """Write the mail of an outbox entry, with pay links and PDFs as far as the ledger has them."""
    with hour.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        connection = session.get_one(Connection, hour.connection_id)
        if entry.kind == "owner_mail":
            return owner_mail.compose(hour.installation.settings, connection, entry)
        statement = _statement(hour, session, connection, entry)
        policy, _version = policies_store.current(session, hour.connection_id)
        earlier = _earlier_keys(session, entry)
    taken = [(invoice_id, Step(step)) for invoice_id, step in entry.payload["taken"]]
    by_id = {invoice.id: invoice for invoice in statement.invoices}
    about = [by_id[invoice_id] for invoice_id, _step in taken if invoice_id in by_id]
    try:
        return mails.compose(_facts(hour, connection, entry, statement, policy, about, earlier))
    except mails.MailError as error:
        message = f"The mail for {statement.customer.name} could not be written: {error}"
        raise CannotWrite(message) from error


def _facts(
    hour: Hour,
    connection: Connection,
    entry: OutboxEntry,
    statement: Statement,
    policy: ReminderPolicy,
    about: Sequence[Invoice],
    earlier: Sequence[str],
) -> mails.MailFacts:
    settings, customer, today = hour.installation.settings, statement.customer, hour.today(connection)
    step = Step(entry.step)
    listed = [invoice for invoice in statement.invoices if invoice.id in set(entry.payload["listed"])]
    suspension = entry.payload.get("suspension_on")
    return mails.MailFacts(
        key=entry.key,
        attempt=entry.attempts + 1,
        step=step,
        to=entry.payload["to"],
        company_name=connection.name,
        customer_name=customer.name,
        sender=settings.mail_from,
        sender_name=settings.mail_from_name or connection.name,
        reply_to=settings.mail_reply_to,
        currency=entry.currency,
        contact_name=customer.contact_name,
        language=customer.language,
        tone=policy.tone,
        invoices=[] if step is Step.THANK_YOU else [_line(hour, invoice, today) for invoice in listed],
        about=[invoice.number for invoice in about],
        credit=sum((credit.remaining for credit in statement.credits), Decimal(0)),
        fee=_fee_warning(policy, statement),
        discount=next((invoice.discount for invoice in about if invoice.discount), None),
        suspension_on=date.fromisoformat(suspension) if suspension else None,
        paid=[mails.PaidLine(i.number, i.total, i.settled_on or today) for i in about]
        if step is Step.THANK_YOU
        else (),
        earlier_keys=earlier,
        attachments=() if step is Step.THANK_YOU else _pdfs(hour, about),
    )


def _line(hour: Hour, invoice: Invoice, today: date) -> mails.InvoiceLine:
    return mails.InvoiceLine(
        number=invoice.number,
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        total=invoice.total,
        due=invoice.due,
        days_late=(today - invoice.due_on).days if invoice.due_on else 0,
        pay_link=_pay_link(hour, invoice.id),
    )


def _pay_link(hour: Hour, invoice_id: str) -> str:
    """Ask the ledger once per invoice; a link stays the same for the invoice's life."""
    name = f"pay_link:{invoice_id}"
    with hour.reading() as session:
        stored = session.get(Stored, (hour.connection_id, name))
        if stored is not None:
            return str(stored.value)
    try:
        link = hour.ledger.pay_link(invoice_id) or ""
    except (RateLimited, Reconnect):
        raise
    except ProviderError as error:
        hour.tell(f"no pay link: {error}")
        return ""
    with hour.writing() as session:
        session.merge(Stored(connection_id=hour.connection_id, name=name, value=link, stored_at=hour.now()))
    return link


def _pdfs(hour: Hour, invoices: Sequence[Invoice]) -> tuple[Attachment, ...]:
    """Fetch the PDFs the ledger renders. A mail without one is better than no mail, so only limits stop it."""
    attached: list[Attachment] = []
    size = 0
    for invoice in invoices[:PDFS_MAX]:
        try:
            content = hour.ledger.invoice_pdf(invoice.id)
        except (RateLimited, Reconnect):
            raise
        except ProviderError as error:
            hour.tell(f"no PDF of {invoice.number}: {error}")
            continue
        if content and size + len(content) <= PDFS_BYTES_MAX:
            size += len(content)
            attached.append(Attachment(f"{_ascii(invoice.number)}.pdf", "application/pdf", content))
    return tuple(attached)


def _ascii(number: str) -> str:
    """Make a file name that every mail system keeps as it is."""
    kept = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_.") else "-" for sign in number).strip("-.")
    return f"invoice-{kept}" if kept else "invoice"


def _fee_warning(policy: ReminderPolicy, statement: Statement) -> mails.FeeWarning | None:
    """Say the fee before it bites: only where a person has said that it was agreed."""
    fees, customer = policy.late_fees, statement.customer
    if not fees.enabled or customer.no_fees or not (fees.terms_agreed_on or customer.fees_agreed_on):
        return None
    if fees.kind == "flat":
        amount = fees.amounts.get(statement.currency)
        return mails.FeeWarning("flat", amount) if amount else None
    return mails.FeeWarning("once" if fees.kind == "percent" else "per_month", fees.rate)


def _statement(hour: Hour, session: Session, connection: Connection, entry: OutboxEntry) -> Statement:
    for statements in customers_facts(session, connection, now=hour.now(), customer_ids=[entry.customer_id]):
        for statement in statements:
            if statement.currency == entry.currency:
                return statement
    message = f"Customer {entry.customer_id} has no statement in {entry.currency} any more."
    raise CannotWrite(message)


def _earlier_keys(session: Session, entry: OutboxEntry) -> list[str]:
    """List the keys of the mails about the leading invoice so far, oldest first: one thread per chain."""
    rows = session.scalars(
        select(OutboxEntry)
        .join(TakenStep, col(TakenStep.outbox_id) == OutboxEntry.id)
        .where(
            col(TakenStep.connection_id) == entry.connection_id,
            col(TakenStep.invoice_id) == entry.invoice_id,
            col(OutboxEntry.kind) == "mail",
            col(OutboxEntry.state) == "done",
        )
        .order_by(col(OutboxEntry.id))
    )
    return [row.key for row in rows]
