"""Gathers what a planned mail must say, from the mirror and the ledger, and has it written."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from sqlalchemy import select
from sqlmodel import Session, col

from connector import digest_mail, mails, policies_store
from connector.fee_warning import fee_warning
from connector.hour import Hour
from connector.mail_papers import invoice_pdfs, pay_link
from connector.mirror import customers_facts
from connector.replies import reply_address
from connector.statement_pdf import statement_pdf
from connector.stop import stop_link
from connector.tables import Connection, OutboxEntry, TakenStep
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, InvoiceStatus, Statement, Step
from providers.mailer import Attachment, Mail

WITH_STATEMENT = frozenset({Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE})


class CannotWrite(Exception):
    """This mail cannot be written; the message says what is missing. Other mails are not concerned."""


class NothingToSay(Exception):
    """What this mail was to tell has come to nothing since it was planned."""


def write(hour: Hour, entry_id: int) -> Mail:
    """Write the mail of an outbox entry, with pay links and PDFs as far as the ledger has them."""
    with hour.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        connection = session.get_one(Connection, hour.connection_id)
        if entry.kind == "owner_mail":
            digest = digest_mail.compose(hour.installation, session, connection, entry)
            if digest is None:
                raise NothingToSay("nothing is left to tell today")
            return digest
        statement = _statement(hour, session, connection, entry)
        policy, _version = policies_store.in_force(session, hour.connection_id).of(entry.customer_id)
        policy = policy.chosen_for(statement.customer, hour.today(connection))
        earlier = _earlier_keys(session, entry)
    try:
        facts = _facts(hour, connection, entry, statement, policy)
        facts = _with_ways_back(hour, replace(facts, earlier_keys=earlier), statement.customer.id)
        papers = invoice_pdfs(hour, _about(entry, statement)) if facts.step is not Step.THANK_YOU else ()
        drawn = _drawn(facts, statement, hour.today(connection)) if facts.step in WITH_STATEMENT else None
        return mails.compose(replace(facts, attachments=papers, statement=drawn))
    except mails.MailError as error:
        message = f"The mail for {statement.customer.name} could not be written: {error}"
        raise CannotWrite(message) from error


def _about(entry: OutboxEntry, statement: Statement) -> list[Invoice]:
    """Give the invoices the words are about: those that take the mail's own step; what else it takes is listed.

    A discount has one sum and one last day, so its mail speaks of the leading invoice alone.
    """
    by_id = {invoice.id: invoice for invoice in statement.invoices}
    ids = [invoice_id for invoice_id, step in entry.payload["taken"] if step == entry.step]
    about = [by_id[invoice_id] for invoice_id in ids if invoice_id in by_id]
    return about[:1] if entry.step == Step.DISCOUNT_ENDING else about


def _facts(
    hour: Hour, connection: Connection, entry: OutboxEntry, statement: Statement, policy: ReminderPolicy
) -> mails.MailFacts:
    settings, customer, today = hour.installation.settings, statement.customer, hour.today(connection)
    step, about = Step(entry.step), _about(entry, statement)
    listed = [invoice for invoice in statement.invoices if invoice.id in set(entry.payload["listed"])]
    thanks, suspension = step is Step.THANK_YOU, entry.payload.get("suspension_on")
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
        invoices=[] if thanks else [_line(invoice, today, pay_link(hour, invoice.id)) for invoice in listed],
        about=[invoice.number for invoice in about],
        credit=sum((credit.remaining for credit in statement.credits), Decimal(0)),
        fee=fee_warning(policy, statement, about, step, today),
        discount=next((invoice.discount for invoice in about if invoice.discount), None),
        suspension_on=date.fromisoformat(suspension) if suspension else None,
        promised_on=max((invoice.promised_on for invoice in about if invoice.promised_on), default=None),
        paid=[mails.PaidLine(i.number, i.total, i.settled_on or today) for i in about] if thanks else (),
    )


def _with_ways_back(hour: Hour, facts: mails.MailFacts, customer_id: str) -> mails.MailFacts:
    """Add the customer's own link that stops reminders, and his own address for replies, where there are such."""
    with hour.writing() as session:
        here = (hour.installation, session, hour.connection_id, customer_id)
        return replace(facts, stop_link=stop_link(*here), replies_to=reply_address(*here))


def _drawn(facts: mails.MailFacts, statement: Statement, today: date) -> Attachment:
    """Draw the statement: all that is open, also what the mail need not list yet."""
    owed = [each for each in statement.invoices if each.status is InvoiceStatus.OPEN and each.due > 0]
    return statement_pdf(replace(facts, invoices=[_line(each, today) for each in owed]), today)


def _line(invoice: Invoice, today: date, link: str = "") -> mails.InvoiceLine:
    return mails.InvoiceLine(
        number=invoice.number,
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        total=invoice.total,
        due=invoice.due,
        days_late=(today - invoice.due_on).days if invoice.due_on else 0,
        pay_link=link,
    )


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
