"""Shows what a step's mail about an invoice would say today, with the books' own figures; nothing is sent or kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

from sqlmodel import Session

from connector import policies_store
from connector.access.team import team_of
from connector.database import reading
from connector.installation import Installation
from connector.letters import mail_words, mails
from connector.letters.mail_gathering import Planned, gather, owed
from connector.letters.mail_papers import known_pay_link
from connector.letters.mail_words import TemplateError
from connector.mirror.pages import customers_facts
from connector.mirror.places import today_in
from connector.people.invoices import find_invoice
from connector.tables import Connection, InvoiceRow
from policies.receivables import Discount, Invoice, Statement, Step
from policies.rules import NOTICE_DAYS
from providers.mailer import Mail

NOBODY = "nobody@example.invalid"


def preview(
    installation: Installation,
    step: Step,
    invoice_number: str,
    *,
    connection_id: int | None = None,
    document: str = "",
    tone: str = "",
    language: str = "",
) -> Mail:
    """Write the mail, with the words in force or those of ``document``. Raises ``TemplateError``."""
    if step not in mails.MAILED:
        raise TemplateError(f"{step.value} is no mail; mails are: {', '.join(each.value for each in mails.MAILED)}.")
    with reading(installation.engine) as session:
        row = find_invoice(session, invoice_number, connection_id)
        connection = session.get_one(Connection, row.connection_id)
        statement, invoice = _statement(installation, session, connection, row)
        today = today_in(connection.time_zone, installation.now())
        followed, _version = policies_store.in_force(session, row.connection_id).of(row.customer_id)
        policy = followed.chosen_for(statement.customer, today)
        language = language or statement.customer.language
        words = mail_words.parse(document) if document else mail_words.own(session, row.connection_id, step, language)
        planned = _planned(statement, invoice, step, today)
        facts = gather(
            installation.settings,
            connection,
            statement,
            policy,
            planned,
            today,
            lambda each: known_pay_link(session, row.connection_id, each) or "",  # the ledger is not asked for a look
            team_of(session, connection).owner_of(row.customer_id),
        )
    facts = replace(facts, sender=facts.sender or NOBODY, language=language, tone=tone or facts.tone, words=words)
    try:
        return mails.compose(_completed(facts, invoice, today))
    except mails.MailError as error:
        raise TemplateError(str(error)) from error


def _planned(statement: Statement, invoice: Invoice, step: Step, today: date) -> Planned:
    listed = {each.id: each for each in (*owed(statement), invoice)}
    notice = today + timedelta(days=NOTICE_DAYS)
    return Planned(
        key="preview",
        step=step,
        to=statement.customer.emails or (NOBODY,),
        about=[invoice],
        listed=list(listed.values()),
        suspension_on=notice if step is Step.FINAL_NOTICE else None,
    )


def _completed(facts: mails.MailFacts, invoice: Invoice, today: date) -> mails.MailFacts:
    """Add what this invoice has not, so that every mail can be seen: a discount of nothing, a promise for today."""
    if facts.step is Step.DISCOUNT_ENDING and facts.discount is None:
        return replace(facts, discount=Discount(invoice.due * 0, today))
    if facts.step is Step.PROMISE_BROKEN and facts.promised_on is None:
        return replace(facts, promised_on=today)
    return facts


def _statement(
    installation: Installation, session: Session, connection: Connection, row: InvoiceRow
) -> tuple[Statement, Invoice]:
    now, ids = installation.now(), [row.customer_id]
    for statements in customers_facts(session, connection, now=now, customer_ids=ids):
        for statement in statements:
            for invoice in statement.invoices:
                if invoice.id == row.external_id:
                    return statement, invoice
    raise TemplateError(f"Invoice {row.number} was settled long ago; no mail is written about it any more.")


def as_text(mail: Mail) -> str:
    """Show a mail as a person reads it."""
    headers: Mapping[str, str] = {"To": ", ".join(mail.to), "Reply-To": mail.reply_to, "Subject": mail.subject}
    return "\n".join(f"{name}: {value}" for name, value in headers.items()) + f"\n\n{mail.text}"
