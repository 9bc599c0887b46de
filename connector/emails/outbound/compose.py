"""Gathers what a planned mail must say, from the mirror and the ledger, and has it written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from typing import TypeVar

from sqlalchemy import select
from sqlmodel import Session, col

from connector import policy_store
from connector.connections.account_owners import load_team
from connector.db.tables import CompletedStep, Connection, OutboxEntry
from connector.emails import portal_links
from connector.emails.inbound.reminder_stops import stop_link
from connector.emails.inbound.replies import reply_address
from connector.emails.outbound import digest_email, email_templates, reconnect_email, render
from connector.emails.outbound.facts_builder import PlannedEmail, build_facts, build_invoice_line, list_open_invoices
from connector.emails.outbound.ledger_documents import get_invoice_pdfs, get_pay_link
from connector.emails.outbound.statement_pdf import draw_statement
from connector.outbox.payloads import EmailPayload, payload_as
from connector.runtime.run_context import RunContext
from connector.settings import is_publicly_reachable
from connector.sync.mirror.pages import load_statements
from connector.vocabulary import OutboxKind, OutboxState
from policies.receivables import Invoice, Statement, Step
from providers.mailer import Attachment, Email

T = TypeVar("T")
STATEMENT_STEPS = frozenset({Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE})


class CannotCompose(Exception):
    """This mail cannot be written; the message says what is missing. Other mails are not concerned."""


class NothingToSend(Exception):
    """What this mail was to tell has come to nothing since it was planned."""


def compose_entry(ctx: RunContext, entry_id: int) -> Email:
    """Write the mail of an outbox entry, with pay links and PDFs as far as the ledger has them."""
    with ctx.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        if entry.kind == OutboxKind.OWNER_EMAIL:
            connection = session.get_one(Connection, ctx.connection_id)
            compose = reconnect_email.compose if entry.step == reconnect_email.STEP else digest_email.compose
            told = compose(ctx.app, session, connection, entry)
            if told is None:
                raise NothingToSend("nothing is left to tell today")
            return told
    return _compose(ctx, entry_id, render.compose_email)


def compose_entry_with_lines(ctx: RunContext, entry_id: int) -> tuple[Email, dict[str, str]]:
    """Write a customer's mail, and by themselves the lines of it that a person may change."""
    return _compose(ctx, entry_id, lambda facts: (render.compose_email(facts), render.compose_lines(facts)))


def _compose(ctx: RunContext, entry_id: int, build: Callable[[render.EmailFacts], T]) -> T:
    with ctx.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        connection = session.get_one(Connection, ctx.connection_id)
        statement = _find_statement(ctx, session, connection, entry)
        policy, _version = policy_store.get_active_policy(session, ctx.connection_id).for_customer(entry.customer_id)
        planned, today, settings = _build_planned(entry, statement), ctx.today(connection), ctx.app.settings
        policy = policy.policy_for(statement.customer, today)
        words = email_templates.find_custom_lines(session, ctx.connection_id, planned.step, statement.customer.language)
        earlier, said = _list_earlier_keys(session, entry), (entry.custom_text or {}).get("lines", {})
        owner, link = load_team(session, connection).owner_of(entry.customer_id), partial(get_pay_link, ctx)
    try:
        facts = build_facts(settings, connection, statement, policy, planned, today, link, owner)
        facts = replace(facts, earlier_keys=earlier, template_lines=words, custom_lines=said)
        facts = _with_customer_links(ctx, facts, statement.customer.id)
        papers = get_invoice_pdfs(ctx, planned.about) if facts.step is not Step.THANK_YOU else ()
        drawn = _draw_full_statement(facts, statement, today) if facts.step in STATEMENT_STEPS else None
        return build(replace(facts, attachments=papers, statement=drawn))
    except render.EmailError as error:
        message = f"The mail for {statement.customer.name} could not be written: {error}"
        raise CannotCompose(message) from error


def _subject_invoices(entry: OutboxEntry, statement: Statement) -> list[Invoice]:
    """Give the invoices the words are about: those that take the mail's own step; what else it takes is listed.

    A discount has one sum and one last day, so its mail speaks of the leading invoice alone; one about a broken promise
    speaks of what was promised for the same day.
    """
    by_id = {invoice.id: invoice for invoice in statement.invoices}
    completed = payload_as(EmailPayload, entry).completed
    ids = [invoice_id for invoice_id, step in completed if step == entry.step]
    about = [by_id[invoice_id] for invoice_id in ids if invoice_id in by_id]
    if entry.step == Step.PROMISE_BROKEN:
        return [each for each in about if each.promised_on == about[0].promised_on]
    return about[:1] if entry.step == Step.DISCOUNT_ENDING else about


def _build_planned(entry: OutboxEntry, statement: Statement) -> PlannedEmail:
    payload = payload_as(EmailPayload, entry)
    return PlannedEmail(
        key=entry.key,
        step=Step(entry.step),
        to=payload.to,
        about=_subject_invoices(entry, statement),
        listed=[invoice for invoice in statement.invoices if invoice.id in set(payload.listed)],
        attempt=entry.attempts + 1,
        suspension_on=payload.suspension_on,
    )


def _with_customer_links(ctx: RunContext, facts: render.EmailFacts, customer_id: str) -> render.EmailFacts:
    """Add the customer's own links, to his page and to stop, and his own address for replies, where there are such."""
    settings = ctx.app.settings
    if not (settings.mail_reply_domain or is_publicly_reachable(settings.duewell_base_url)):
        return facts
    with ctx.writing() as session:
        here = (ctx.app, session, ctx.connection_id, customer_id)
        stop, page = stop_link(*here), portal_links.link_for_email(*here)
        return replace(facts, stop_link=stop, portal_link=page, tracked_reply_to=reply_address(*here))


def _draw_full_statement(facts: render.EmailFacts, statement: Statement, today: date) -> Attachment:
    """Draw the statement: all that is open, also what the mail need not list yet."""
    return draw_statement(
        replace(facts, invoices=[build_invoice_line(each, today) for each in list_open_invoices(statement)]), today
    )


def _find_statement(ctx: RunContext, session: Session, connection: Connection, entry: OutboxEntry) -> Statement:
    for statements in load_statements(session, connection, now=ctx.now(), customer_ids=[entry.customer_id]):
        for statement in statements:
            if statement.currency == entry.currency:
                return statement
    message = f"Customer {entry.customer_id} has no statement in {entry.currency} any more."
    raise CannotCompose(message)


def _list_earlier_keys(session: Session, entry: OutboxEntry) -> list[str]:
    """List the keys of the mails about the leading invoice so far, oldest first: one thread per chain."""
    rows = session.scalars(
        select(OutboxEntry)
        .join(CompletedStep, col(CompletedStep.outbox_id) == OutboxEntry.id)
        .where(
            col(CompletedStep.connection_id) == entry.connection_id,
            col(CompletedStep.invoice_id) == entry.invoice_id,
            col(OutboxEntry.kind) == OutboxKind.EMAIL,
            col(OutboxEntry.state) == OutboxState.DONE,
        )
        .order_by(col(OutboxEntry.id))
    )
    return [row.key for row in rows]
