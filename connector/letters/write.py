"""Gathers what a planned mail must say, from the mirror and the ledger, and has it written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from typing import TypeVar

from sqlalchemy import select
from sqlmodel import Session, col

from connector import policies_store
from connector.access.team import team_of
from connector.hour import Hour
from connector.letters import cut_off, digest_mail, mail_words, mails
from connector.letters.mail_gathering import Planned, gather, line_of, owed
from connector.letters.mail_papers import invoice_pdfs, pay_link
from connector.letters.replies import reply_address
from connector.letters.statement_pdf import statement_pdf
from connector.letters.stop import stop_link
from connector.mirror.pages import customers_facts
from connector.portal import links
from connector.settings import reached_by_customers
from connector.tables import Connection, OutboxEntry, TakenStep
from policies.receivables import Invoice, Statement, Step
from providers.mailer import Attachment, Mail

T = TypeVar("T")
WITH_STATEMENT = frozenset({Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE})


class CannotWrite(Exception):
    """This mail cannot be written; the message says what is missing. Other mails are not concerned."""


class NothingToSay(Exception):
    """What this mail was to tell has come to nothing since it was planned."""


def write(hour: Hour, entry_id: int) -> Mail:
    """Write the mail of an outbox entry, with pay links and PDFs as far as the ledger has them."""
    with hour.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        if entry.kind == "owner_mail":
            connection = session.get_one(Connection, hour.connection_id)
            compose = cut_off.compose if entry.step == cut_off.STEP else digest_mail.compose
            told = compose(hour.installation, session, connection, entry)
            if told is None:
                raise NothingToSay("nothing is left to tell today")
            return told
    return _written(hour, entry_id, mails.compose)


def write_with_lines(hour: Hour, entry_id: int) -> tuple[Mail, dict[str, str]]:
    """Write a customer's mail, and by themselves the lines of it that a person may change."""
    return _written(hour, entry_id, lambda facts: (mails.compose(facts), mails.own_lines(facts)))


def _written(hour: Hour, entry_id: int, make: Callable[[mails.MailFacts], T]) -> T:
    with hour.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        connection = session.get_one(Connection, hour.connection_id)
        statement = _statement(hour, session, connection, entry)
        policy, _version = policies_store.in_force(session, hour.connection_id).of(entry.customer_id)
        planned, today, settings = _planned(entry, statement), hour.today(connection), hour.installation.settings
        policy = policy.chosen_for(statement.customer, today)
        words = mail_words.own(session, hour.connection_id, planned.step, statement.customer.language)
        earlier, said = _earlier_keys(session, entry), (entry.own_words or {}).get("lines", {})
        owner, link = team_of(session, connection).owner_of(entry.customer_id), partial(pay_link, hour)
    try:
        facts = gather(settings, connection, statement, policy, planned, today, link, owner)
        facts = replace(facts, earlier_keys=earlier, words=words, said=said)
        facts = _with_ways_back(hour, facts, statement.customer.id)
        papers = invoice_pdfs(hour, planned.about) if facts.step is not Step.THANK_YOU else ()
        drawn = _drawn(facts, statement, today) if facts.step in WITH_STATEMENT else None
        return make(replace(facts, attachments=papers, statement=drawn))
    except mails.MailError as error:
        message = f"The mail for {statement.customer.name} could not be written: {error}"
        raise CannotWrite(message) from error


def _about(entry: OutboxEntry, statement: Statement) -> list[Invoice]:
    """Give the invoices the words are about: those that take the mail's own step; what else it takes is listed.

    A discount has one sum and one last day, so its mail speaks of the leading invoice alone; one about a broken promise
    speaks of what was promised for the same day.
    """
    by_id = {invoice.id: invoice for invoice in statement.invoices}
    ids = [invoice_id for invoice_id, step in entry.payload["taken"] if step == entry.step]
    about = [by_id[invoice_id] for invoice_id in ids if invoice_id in by_id]
    if entry.step == Step.PROMISE_BROKEN:
        return [each for each in about if each.promised_on == about[0].promised_on]
    return about[:1] if entry.step == Step.DISCOUNT_ENDING else about


def _planned(entry: OutboxEntry, statement: Statement) -> Planned:
    suspension = entry.payload.get("suspension_on")
    return Planned(
        key=entry.key,
        step=Step(entry.step),
        to=entry.payload["to"],
        about=_about(entry, statement),
        listed=[invoice for invoice in statement.invoices if invoice.id in set(entry.payload["listed"])],
        attempt=entry.attempts + 1,
        suspension_on=date.fromisoformat(suspension) if suspension else None,
    )


def _with_ways_back(hour: Hour, facts: mails.MailFacts, customer_id: str) -> mails.MailFacts:
    """Add the customer's own links, to his page and to stop, and his own address for replies, where there are such."""
    settings = hour.installation.settings
    if not (settings.mail_reply_domain or reached_by_customers(settings.duewell_base_url)):
        return facts
    with hour.writing() as session:
        here = (hour.installation, session, hour.connection_id, customer_id)
        stop, page = stop_link(*here), links.in_mail(*here)
        return replace(facts, stop_link=stop, page_link=page, replies_to=reply_address(*here))


def _drawn(facts: mails.MailFacts, statement: Statement, today: date) -> Attachment:
    """Draw the statement: all that is open, also what the mail need not list yet."""
    return statement_pdf(replace(facts, invoices=[line_of(each, today) for each in owed(statement)]), today)


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
