"""What a customer sees on his own page: what is open per currency, what was said about it, and how to pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from sqlmodel import Session

from connector import policy_store
from connector.app_context import AppContext
from connector.connections.account_owners import load_team, split_mailbox
from connector.db.engine import reading
from connector.db.tables import Connection, CustomerRow, CustomerSetting
from connector.emails import recipient_language
from connector.emails.outbound.email_facts import EmailFacts, InvoiceLine
from connector.emails.outbound.facts_builder import PlannedEmail, build_facts, list_open_invoices
from connector.emails.outbound.ledger_documents import find_known_pay_link
from connector.emails.outbound.statement_pdf import draw_statement
from connector.emails.portal_links import PortalVisitor
from connector.geo import today_in
from connector.languages import Language, browser_language, language_of
from connector.plain_text import clean_lines, one_line, safe_link
from connector.sync.mirror.pages import load_statements
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, Statement, Step
from providers.mailer import Attachment

DISPUTED, PROMISED, PLAN, PAUSED = "disputed", "promised", "payment_plan", "paused"


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """One open invoice. ``pay_link`` is None where the ledger was never asked; ``said`` is one of the words above."""

    id: str
    line: InvoiceLine
    pay_link: str | None
    status: str
    status_on: date | None


@dataclass(frozen=True, slots=True)
class CurrencyBalance:
    """What is open in one currency, the longest due first; sums are never mixed."""

    currency: str
    invoices: tuple[OpenInvoice, ...]
    overdue: Decimal
    total: Decimal
    credit: Decimal
    ways_to_pay: str


@dataclass(frozen=True, slots=True)
class CustomerPage:
    """The whole page. ``today`` is the company's day, ``as_of`` that of the last reading of its books."""

    company: str
    customer: str
    reply_to: str
    language: Language
    today: date
    as_of: date
    reminders_stopped: bool
    balances: tuple[CurrencyBalance, ...]

    @property
    def invoices(self) -> list[OpenInvoice]:
        """Every open invoice, whatever its currency."""
        return [each for part in self.balances for each in part.invoices]


def build_customer_page(app: AppContext, visitor: PortalVisitor, accept_language: str = "") -> CustomerPage:
    """Draw the page of a customer; ``accepted`` is what his browser reads, where nobody chose a language for him."""
    with reading(app.engine) as session:
        connection = session.get_one(Connection, visitor.connection_id)
        customer = session.get_one(CustomerRow, (visitor.connection_id, visitor.customer_id))
        setting = session.get(CustomerSetting, (visitor.connection_id, visitor.customer_id))
        today, owed_by_him = today_in(connection.time_zone, app.now()), _customer_statements(app, session, visitor)
        chosen = recipient_language.customer_language(connection, customer, setting)
        _owner, owners_address = split_mailbox(load_team(session, connection).owner_of(visitor.customer_id))
        parts = tuple(_build_balance(session, visitor, each, today) for each in owed_by_him)
        return CustomerPage(
            company=one_line(connection.name),
            customer=one_line(customer.name),
            reply_to=owners_address or app.settings.mail_reply_to or app.settings.mail_from,
            language=language_of(chosen) if chosen else browser_language(accept_language),
            today=today,
            as_of=today_in(connection.time_zone, connection.pulled_at) if connection.pulled_at else today,
            reminders_stopped=bool(setting and setting.no_reminders),
            balances=tuple(part for part in parts if part.invoices or part.credit),
        )


def _customer_statements(app: AppContext, session: Session, visitor: PortalVisitor) -> Sequence[Statement]:
    """Read what the customer owes, one statement per currency."""
    connection = session.get_one(Connection, visitor.connection_id)
    facts = load_statements(session, connection, now=app.now(), customer_ids=[visitor.customer_id])
    return next(iter(facts), ())


def build_statement_pdf(app: AppContext, visitor: PortalVisitor, currency: str, language: str) -> Attachment | None:
    """Draw the customer's statement in one currency as PDF; None where nothing is open in it."""
    with reading(app.engine) as session:
        connection = session.get_one(Connection, visitor.connection_id)
        today = today_in(connection.time_zone, app.now())
        for each in _customer_statements(app, session, visitor):
            if each.currency == currency and list_open_invoices(each):
                return draw_statement(_statement_facts(app, session, connection, each, language), today)
    return None


def _statement_facts(
    app: AppContext, session: Session, connection: Connection, statement: Statement, language: str
) -> EmailFacts:
    """Gather what the statement says as for the mail that brings one."""
    planned = PlannedEmail("", Step.SECOND_NOTICE, statement.customer.emails, (), list_open_invoices(statement))
    today = today_in(connection.time_zone, app.now())
    policy = _find_policy(session, statement, today, connection.id or 0)
    owner = load_team(session, connection).owner_of(statement.customer.id)
    facts = build_facts(app.settings, connection, statement, policy, planned, today, lambda _id: "", owner)
    return replace(facts, language=language)


def _find_policy(session: Session, statement: Statement, today: date, connection_id: int) -> ReminderPolicy:
    policy, _version = policy_store.get_active_policy(session, connection_id).for_customer(statement.customer.id)
    return policy.policy_for(statement.customer, today)


def _build_balance(session: Session, visitor: PortalVisitor, statement: Statement, today: date) -> CurrencyBalance:
    invoices = sorted(list_open_invoices(statement), key=lambda each: (each.due_on or each.issued_on, each.number))
    late = [each.due for each in invoices if each.due_on is not None and each.due_on < today]
    return CurrencyBalance(
        currency=statement.currency,
        invoices=tuple(_build_open_invoice(session, visitor, each, today) for each in invoices),
        overdue=sum(late, Decimal(0)),
        total=sum((each.due for each in invoices), Decimal(0)),
        credit=sum((credit.remaining for credit in statement.credits), Decimal(0)),
        ways_to_pay=clean_lines(
            _find_policy(session, statement, today, visitor.connection_id).payment_instructions.for_currency(
                statement.currency
            )
        ),
    )


def _build_open_invoice(session: Session, visitor: PortalVisitor, invoice: Invoice, today: date) -> OpenInvoice:
    link = find_known_pay_link(session, visitor.connection_id, invoice.id)
    line = InvoiceLine(
        number=one_line(invoice.number, 40),
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        total=invoice.total,
        due=invoice.due,
        days_late=(today - invoice.due_on).days if invoice.due_on else 0,
    )
    return OpenInvoice(invoice.id, line, safe_link(link) if link else link, *_invoice_status(invoice, today))


def _invoice_status(invoice: Invoice, today: date) -> tuple[str, date | None]:
    """Tell what counts now of all that was said about an invoice."""
    if invoice.disputed_on is not None:
        return DISPUTED, invoice.disputed_on
    if invoice.promised_on is not None and invoice.promised_on >= today:
        return PROMISED, invoice.promised_on
    if invoice.payment_plan is not None:
        return PLAN, None
    if invoice.paused_until_on is not None and invoice.paused_until_on > today:
        return PAUSED, invoice.paused_until_on
    return "", None
