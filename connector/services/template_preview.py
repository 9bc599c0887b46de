"""Preview a step's email about a real invoice with today's figures; nothing is sent or stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from sqlmodel import Session

from connector import policy_store
from connector.app_context import AppContext
from connector.branding.brand import load_brand
from connector.connections.account_owners import load_team
from connector.db.engine import reading
from connector.db.invoice_names import title_of
from connector.db.tables import Connection, InvoiceRow
from connector.emails.outbound import email_templates, render
from connector.emails.outbound.email_facts import EmailFacts, PaidLine
from connector.emails.outbound.email_templates import TemplateError
from connector.emails.outbound.facts_builder import (
    PlannedEmail,
    build_facts,
    list_open_invoices,
    with_bank_details,
    with_brand,
)
from connector.emails.outbound.ledger_documents import KnownDocuments
from connector.geo import HolidayCalendar, today_in
from connector.services.invoices import find_invoice
from connector.sync.mirror.pages import load_statements
from policies.payable_dates import common_business_day, with_payable_dates
from policies.receivables import Discount, Invoice, Statement, Step
from policies.recipients import recipients_of
from policies.schedule_rules import MIN_NOTICE_DAYS
from providers.mailer import Email

PLACEHOLDER_ADDRESS = "nobody@example.invalid"


def preview_email(
    app: AppContext,
    step: Step,
    invoice_number: str,
    *,
    connection_id: int | None = None,
    document: str = "",
    tone: str = "",
    language: str = "",
) -> Email:
    """Compose the email with the texts in force, or with those of ``document``. Raises ``TemplateError``."""
    email_templates.require_email_step(step)
    with reading(app.engine) as session:
        row = find_invoice(session, invoice_number, connection_id)
        connection = session.get_one(Connection, row.connection_id)
        statement, invoice = _find_statement(app, session, connection, row)
        today = today_in(connection.time_zone, app.now())
        policies = policy_store.get_active_policy(session, row.connection_id)
        policy = policies.for_customer(row.customer_id)[0].policy_for(statement.customer, today)
        statement = with_payable_dates(statement, policy, HolidayCalendar())
        invoice = next(each for each in statement.invoices if each.id == invoice.id)
        language = language or statement.customer.language
        if document:
            lines = email_templates.parse_document(document)
        else:
            lines = email_templates.find_custom_lines(session, row.connection_id, step, language)
        planned = _plan_email(statement, invoice, step, today)
        pay_link = KnownDocuments(app, row.connection_id).pay_link
        owner = load_team(session, connection).owner_of(row.customer_id)
        facts = build_facts(app.settings, connection, statement, policy, planned, today, pay_link, owner)
        facts = with_bank_details(facts, session, connection, statement, app.now())
        facts = with_brand(facts, load_brand(session, row.connection_id), owner)
    facts = replace(
        facts,
        sender=facts.sender or PLACEHOLDER_ADDRESS,
        language=language,
        tone=tone or facts.tone,
        template_lines=lines,
    )
    try:
        return render.compose_email(_fill_missing_facts(facts, invoice, today))
    except render.EmailError as error:
        raise TemplateError(str(error)) from error


def format_email(email: Email) -> str:
    """Return an email as plain text with its main headers."""
    copies = {"Cc": ", ".join(email.cc), "Bcc": ", ".join(email.bcc)}
    shown = {name: text for name, text in copies.items() if text}
    headers = {"To": ", ".join(email.to), **shown, "Reply-To": email.reply_to, "Subject": email.subject}
    return "\n".join(f"{name}: {value}" for name, value in headers.items()) + f"\n\n{email.text}"


def _plan_email(statement: Statement, invoice: Invoice, step: Step, today: date) -> PlannedEmail:
    listed = {each.id: each for each in (*list_open_invoices(statement), invoice)}
    return PlannedEmail(
        key="preview",
        step=step,
        to=recipients_of(statement.customer, [invoice]).to or (PLACEHOLDER_ADDRESS,),
        about=[invoice],
        listed=list(listed.values()),
        suspension_on=_suspension_on(statement, today) if step is Step.FINAL_NOTICE else None,
    )


def _suspension_on(statement: Statement, today: date) -> date:
    """Return a date for a final notice to name."""
    regions = {statement.holiday_region, statement.company.country}
    return common_business_day(today + timedelta(days=MIN_NOTICE_DAYS), regions, HolidayCalendar())


def _fill_missing_facts(facts: EmailFacts, invoice: Invoice, today: date) -> EmailFacts:
    """Add what this invoice lacks, so that every email can be previewed: a discount of 0, a promise for today."""
    if facts.step is Step.DISCOUNT_ENDING and facts.discount is None:
        return replace(facts, discount=Discount(invoice.due * 0, today))
    if facts.step is Step.PROMISE_BROKEN and facts.promised_on is None:
        return replace(facts, promised_on=today)
    if facts.step is Step.PAYMENT_RETURNED and facts.thanked_on is None:
        return replace(facts, thanked_on=today)
    if facts.step is Step.THANK_YOU and not facts.paid:
        return replace(facts, paid=[PaidLine(invoice.number, invoice.total, today, invoice.issued_on)])
    return facts


def _find_statement(
    app: AppContext, session: Session, connection: Connection, row: InvoiceRow
) -> tuple[Statement, Invoice]:
    for statements in load_statements(session, connection, now=app.now(), customer_ids=[row.customer_id]):
        for statement in statements:
            for invoice in statement.invoices:
                if invoice.id == row.external_id:
                    return statement, invoice
    title = title_of(session, row)
    raise TemplateError(f"{title[:1].upper()}{title[1:]} was closed long ago; no emails are sent about it any more.")
