"""Shows what a step's mail about an invoice would say today, with the books' own figures; nothing is sent or kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

from sqlmodel import Session

from connector import policy_store
from connector.app_context import AppContext
from connector.connections.account_owners import load_team
from connector.db.engine import reading
from connector.db.tables import Connection, InvoiceRow
from connector.emails.outbound import email_templates, render
from connector.emails.outbound.email_templates import TemplateError
from connector.emails.outbound.facts_builder import PlannedEmail, build_facts, list_open_invoices
from connector.emails.outbound.ledger_documents import find_known_pay_link
from connector.geo import today_in
from connector.services.invoices import find_invoice
from connector.sync.mirror.pages import load_statements
from policies.receivables import Discount, Invoice, Statement, Step
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
    """Write the mail, with the words in force or those of ``document``. Raises ``TemplateError``."""
    if step not in render.EMAIL_STEPS:
        raise TemplateError(
            f"{step.value} is no mail; mails are: {', '.join(each.value for each in render.EMAIL_STEPS)}."
        )
    with reading(app.engine) as session:
        row = find_invoice(session, invoice_number, connection_id)
        connection = session.get_one(Connection, row.connection_id)
        statement, invoice = _find_statement(app, session, connection, row)
        today = today_in(connection.time_zone, app.now())
        followed, _version = policy_store.get_active_policy(session, row.connection_id).for_customer(row.customer_id)
        policy = followed.policy_for(statement.customer, today)
        language = language or statement.customer.language
        words = (
            email_templates.parse_document(document)
            if document
            else email_templates.find_custom_lines(session, row.connection_id, step, language)
        )
        planned = _plan_email(statement, invoice, step, today)
        facts = build_facts(
            app.settings,
            connection,
            statement,
            policy,
            planned,
            today,
            lambda each: (
                find_known_pay_link(session, row.connection_id, each) or ""
            ),  # the ledger is not asked for a look
            load_team(session, connection).owner_of(row.customer_id),
        )
    facts = replace(
        facts,
        sender=facts.sender or PLACEHOLDER_ADDRESS,
        language=language,
        tone=tone or facts.tone,
        template_lines=words,
    )
    try:
        return render.compose_email(_fill_missing_facts(facts, invoice, today))
    except render.EmailError as error:
        raise TemplateError(str(error)) from error


def _plan_email(statement: Statement, invoice: Invoice, step: Step, today: date) -> PlannedEmail:
    listed = {each.id: each for each in (*list_open_invoices(statement), invoice)}
    notice = today + timedelta(days=MIN_NOTICE_DAYS)
    return PlannedEmail(
        key="preview",
        step=step,
        to=statement.customer.emails or (PLACEHOLDER_ADDRESS,),
        about=[invoice],
        listed=list(listed.values()),
        suspension_on=notice if step is Step.FINAL_NOTICE else None,
    )


def _fill_missing_facts(facts: render.EmailFacts, invoice: Invoice, today: date) -> render.EmailFacts:
    """Add what this invoice has not, so that every mail can be seen: a discount of nothing, a promise for today."""
    if facts.step is Step.DISCOUNT_ENDING and facts.discount is None:
        return replace(facts, discount=Discount(invoice.due * 0, today))
    if facts.step is Step.PROMISE_BROKEN and facts.promised_on is None:
        return replace(facts, promised_on=today)
    return facts


def _find_statement(
    app: AppContext, session: Session, connection: Connection, row: InvoiceRow
) -> tuple[Statement, Invoice]:
    now, ids = app.now(), [row.customer_id]
    for statements in load_statements(session, connection, now=now, customer_ids=ids):
        for statement in statements:
            for invoice in statement.invoices:
                if invoice.id == row.external_id:
                    return statement, invoice
    raise TemplateError(f"Invoice {row.number} was settled long ago; no mail is written about it any more.")


def format_email(mail: Email) -> str:
    """Show a mail as a person reads it."""
    headers: Mapping[str, str] = {"To": ", ".join(mail.to), "Reply-To": mail.reply_to, "Subject": mail.subject}
    return "\n".join(f"{name}: {value}" for name, value in headers.items()) + f"\n\n{mail.text}"
