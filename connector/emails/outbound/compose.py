"""Compose the email of an outbox entry, from the mirror, the policy and the documents of the ledger.

``Composing`` is what this takes from its surroundings. A sync under way is one (its transactions hold the lease); a
preview is another.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from sqlalchemy import select
from sqlmodel import Session, col

from connector import policy_store
from connector.app_context import AppContext
from connector.bank_details.store import find_in_use
from connector.branding.brand import load_brand
from connector.connections import mailboxes
from connector.connections.account_owners import load_team
from connector.db.engine import reading
from connector.db.tables import CompletedStep, Connection, OutboxEntry
from connector.emails import portal_links
from connector.emails.inbound.email_stops import EmailStopLink, store_links
from connector.emails.inbound.reminder_stops import stop_link
from connector.emails.inbound.replies import reply_address
from connector.emails.outbound import (
    bank_details_alert,
    digest_email,
    email_templates,
    reconnect_email,
    render,
    since_last,
)
from connector.emails.outbound.email_facts import EmailFacts
from connector.emails.outbound.facts_builder import PlannedEmail, build_facts, with_brand
from connector.emails.outbound.invoice_table import ROWS_MAX
from connector.emails.outbound.ledger_documents import PDFS_MAX, Documents
from connector.emails.outbound.statement_pdf import draw_statement
from connector.geo import HolidayCalendar, today_in
from connector.outbox.payloads import EmailPayload, invoice_ids, payload_as
from connector.setting_types import is_publicly_reachable
from connector.sync.mirror.pages import load_statements
from connector.vocabulary import OutboxKind, OutboxState
from connector.vocabulary.outbox import BANK_DETAILS_STEP
from policies.payable_dates import with_payable_dates
from policies.receivables import Invoice, Statement, Step
from providers.mailer import Attachment, Email

WITHOUT_INVOICE = frozenset({Step.THANK_YOU, Step.WITHHOLDING_CERTIFICATE})
ATTACHED_BYTES_MAX = 4_500_000  # of invoices; with statement, pictures and their encoding an email stays below 7 MB
STATEMENT_STEPS = frozenset({Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE})


class Composing(Protocol):
    """For whom emails are composed, and how what composing has to keep is written."""

    @property
    def app(self) -> AppContext:
        """The installation."""
        ...

    @property
    def connection_id(self) -> int:
        """The company."""
        ...

    def writing(self) -> AbstractContextManager[Session]:
        """Open a transaction."""
        ...


class CannotCompose(Exception):
    """This email cannot be composed; ``str()`` says what is missing. Other emails are not affected."""


class NothingToSend(Exception):
    """What this email was planned to report has resolved itself."""


def compose_entry(composing: Composing, documents: Documents, entry_id: int, *, all_companies: bool = False) -> Email:
    """Compose the email of an outbox entry. Raises ``CannotCompose`` or ``NothingToSend``.

    A digest is about its reader's other companies only with ``all_companies``: whoever looks at the entry may not see
    those.
    """
    with reading(composing.app.engine) as session:
        kind = session.get_one(OutboxEntry, entry_id).kind
    if kind == OutboxKind.OWNER_EMAIL:
        return _compose_owner_email(composing, entry_id, all_companies=all_companies)
    facts = _gather_facts(composing, documents, entry_id)
    try:
        return render.compose_email(facts)
    except render.EmailError as error:
        raise _cannot_compose(facts, error) from error


def compose_entry_with_lines(composing: Composing, documents: Documents, entry_id: int) -> tuple[Email, dict[str, str]]:
    """Compose a customer's email, and the lines of it that a user may edit. Raises ``CannotCompose``."""
    facts = _gather_facts(composing, documents, entry_id)
    try:
        return render.compose_email(facts), render.compose_lines(facts)
    except render.EmailError as error:
        raise _cannot_compose(facts, error) from error


def _compose_owner_email(composing: Composing, entry_id: int, *, all_companies: bool) -> Email:
    stop_links: Sequence[EmailStopLink] = ()
    with reading(composing.app.engine) as session:
        entry = session.get_one(OutboxEntry, entry_id)
        connection = session.get_one(Connection, composing.connection_id)
        if entry.step == reconnect_email.STEP:
            email = reconnect_email.compose(composing.app, session, connection, entry)
        elif entry.step == BANK_DETAILS_STEP:
            email = bank_details_alert.compose(composing.app, session, connection, entry)
        else:
            email, stop_links = digest_email.compose(
                composing.app, session, connection, entry, all_companies=all_companies
            )
    if email is None:
        raise NothingToSend("there is nothing left to report today")
    if stop_links:
        with composing.writing() as session:
            store_links(session, stop_links)
    return email


def _cannot_compose(facts: EmailFacts, error: render.EmailError) -> CannotCompose:
    return CannotCompose(f"The email to {facts.customer_name} could not be composed: {error}")


def _gather_facts(composing: Composing, documents: Documents, entry_id: int) -> EmailFacts:
    app, connection_id = composing.app, composing.connection_id
    with reading(app.engine) as session:
        entry = session.get_one(OutboxEntry, entry_id)
        connection = session.get_one(Connection, connection_id)
        statement = _find_statement(app, session, connection, entry)
        today = today_in(connection.time_zone, app.now())
        policies = policy_store.get_active_policy(session, connection_id)
        policy = policies.for_customer(entry.customer_id)[0].policy_for(statement.customer, today)
        statement = with_payable_dates(statement, policy, HolidayCalendar())
        planned = _build_planned(entry, statement)
        language = statement.customer.language
        template_lines = email_templates.find_custom_lines(session, connection_id, planned.step, language)
        custom_lines = (entry.custom_text or {}).get("lines", {})
        given_ids = _load_earlier_ids(session, entry)
        owner = load_team(session, connection).owner_of(entry.customer_id)
        brand = load_brand(session, connection_id)
        bank_details = find_in_use(session, connection_id, statement.currency, app.now())
        earlier = since_last.count_earlier(session, connection_id, entry.customer_id, planned.step, entry.key)
        since = since_last.load_since_last(session, connection, statement, planned.step, planned.about, today)
    facts = build_facts(app.settings, connection, statement, policy, planned, today, documents.pay_link, owner)
    facts = replace(
        with_brand(facts, brand, owner),
        bank_details=bank_details,
        payer_country=statement.customer.country,
        earlier_keys=list(given_ids),
        given_ids=given_ids,
        template_lines=template_lines,
        custom_lines=custom_lines,
        earlier_of_step=earlier,
        since=since,
    )
    facts = _with_customer_links(composing, facts, statement.customer.id)
    files = documents.invoice_pdfs(planned.about) if facts.step not in WITHOUT_INVOICE else ()
    attached = _fit(files)
    return replace(
        facts,
        attachments=attached,
        more_files=bool(files) and (len(attached) < len(files) or len(planned.about) > PDFS_MAX),
        statement=draw_statement(facts, today) if _needs_statement(facts) else None,
    )


def _fit(files: Sequence[Attachment]) -> tuple[Attachment, ...]:
    """Return those files that are small enough together: companies refuse large emails, and telephones load them."""
    fitting: list[Attachment] = []
    for file in files:
        if sum(len(each.content) for each in (*fitting, file)) <= ATTACHED_BYTES_MAX:
            fitting.append(file)
    return tuple(fitting)


def _subject_invoices(entry: OutboxEntry, statement: Statement) -> list[Invoice]:
    """Return the invoices the text is about: those that this step is for; the entry's others are only listed.

    A discount has one amount and one last day, so its email is about the leading invoice alone; one about a broken
    promise is about what was promised for the same day.
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
    listed = set(payload.listed)
    return PlannedEmail(
        key=entry.key,
        step=Step(entry.step),
        to=payload.to,
        cc=payload.cc,
        bcc=payload.bcc,
        about=_subject_invoices(entry, statement),
        listed=[each for each in statement.invoices if each.id in listed and not each.waiver_proposed],
        attempt=entry.attempts + 1,
        suspension_on=payload.suspension_on,
        completed=[invoice for invoice in statement.invoices if invoice.id in invoice_ids(payload.completed)],
    )


def _with_customer_links(composing: Composing, facts: EmailFacts, customer_id: str) -> EmailFacts:
    """Add the customer's own links and reply address, where customers can reach this installation."""
    app = composing.app
    if not (app.settings.mail_reply_domain or is_publicly_reachable(app.settings.duewell_base_url)):
        with reading(app.engine) as session:
            return replace(facts, tracked_reply_to=mailboxes.reply_address(app, session))
    with composing.writing() as session:
        key = (app, session, composing.connection_id, customer_id)
        return replace(
            facts,
            stop_link=stop_link(*key, [*facts.to, *facts.cc, *facts.bcc]),
            portal_link=portal_links.link_for_email(*key),
            tracked_reply_to=reply_address(*key),
        )


def _needs_statement(facts: EmailFacts) -> bool:
    """Return whether a statement is attached: where its text says so, or the table lists no more than its first."""
    return facts.step in STATEMENT_STEPS or len(facts.invoices) > ROWS_MAX


def _find_statement(app: AppContext, session: Session, connection: Connection, entry: OutboxEntry) -> Statement:
    for statements in load_statements(session, connection, now=app.now(), customer_ids=[entry.customer_id]):
        for statement in statements:
            if statement.currency == entry.currency:
                return statement
    message = f"Customer {entry.customer_id} no longer has a statement in {entry.currency}."
    raise CannotCompose(message)


def _load_earlier_ids(session: Session, entry: OutboxEntry) -> dict[str, str]:
    """Return the emails already sent about the leading invoice, oldest first, to make them one thread.

    Each is its key with the Message-ID that the service gave it instead of ours, "" where it kept ours.
    """
    rows = session.execute(
        select(col(OutboxEntry.key), col(OutboxEntry.given_message_id))
        .join(CompletedStep, col(CompletedStep.outbox_id) == OutboxEntry.id)
        .where(
            col(CompletedStep.connection_id) == entry.connection_id,
            col(CompletedStep.invoice_id) == entry.invoice_id,
            col(OutboxEntry.kind) == OutboxKind.EMAIL,
            col(OutboxEntry.state) == OutboxState.DONE,
        )
        .order_by(col(OutboxEntry.id))
    )
    return {row.key: row.given_message_id for row in rows}
