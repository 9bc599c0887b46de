"""What a customer sees in the portal: the open invoices by currency, what was agreed about them, and how to pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import select
from sqlmodel import Session, col

from connector import policy_store
from connector.app_context import AppContext
from connector.bank_details.accounts import BankDetails
from connector.bank_details.payment_codes import BankTransfer, build_transfer
from connector.bank_details.store import find_in_use
from connector.branding.brand import Brand, load_brand
from connector.connections.account_owners import load_team, split_mailbox
from connector.db.engine import reading
from connector.db.tables import Agreement, Connection, CustomerRow, CustomerSetting
from connector.emails import recipient_language
from connector.emails.outbound.bank_transfer import names_of
from connector.emails.outbound.email_facts import EmailFacts, InvoiceLine
from connector.emails.outbound.email_sums import sum_covered, sum_overdue, sum_to_pay
from connector.emails.outbound.facts_builder import (
    PlannedEmail,
    build_facts,
    build_invoice_line,
    list_open_invoices,
    with_bank_details,
    with_brand,
)
from connector.emails.outbound.ledger_documents import find_known_pay_link
from connector.emails.outbound.statement_pdf import draw_statement
from connector.emails.portal_links import PortalVisitor
from connector.geo import HolidayCalendar, today_in
from connector.languages import Language, browser_language, language_of
from connector.plain_text import clean_lines, one_line, safe_link
from connector.portal import payment_plans
from connector.portal.history import HistoryItem, load_history
from connector.portal.payment_plans import PlanLimits
from connector.portal.response_context import PORTAL_SUFFIX
from connector.sync.mirror.pages import load_statements
from connector.vocabulary import AgreementKind, AgreementState
from policies.payable_dates import with_payable_dates
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, Statement, Step
from policies.unapplied_credit import allocate_credit, allocate_money
from providers.mailer import Attachment

_IN_MAX = 500  # ids in one query


class PortalStatus(StrEnum):
    """What applies to an open invoice now; the names are those of the texts in ``[portal]``."""

    NONE = ""
    DISPUTED = "disputed"
    PROMISED = "promised"
    PART_PROMISED = "part_promised"
    PAYMENT_PLAN = "payment_plan"
    PAUSED = "paused"


_NOT_TO_PAY_NOW = (PortalStatus.DISPUTED, PortalStatus.PAYMENT_PLAN)


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """One open invoice. ``pay_link`` is "" where it cannot be paid online, None where the ledger was never asked."""

    id: str
    line: InvoiceLine
    pay_link: str | None
    status: PortalStatus
    status_on: date | None
    status_amount: Decimal | None = None  # of a promise of a part
    plan_limits: PlanLimits | None = None
    can_take_back: bool = False  # the customer recorded it themselves


@dataclass(frozen=True, slots=True)
class CurrencyBalance:
    """What is open in one currency, the invoice due longest first.

    ``deducted`` is the unapplied credit that the amounts to be paid are less for, ``credit`` what is left of it.
    ``bank_details`` is the company's account for the currency; ``payer_country`` decides between two codes for it.
    ``is_selection`` is true where these are the invoices that the customer is about to pay.
    """

    currency: str
    invoices: tuple[OpenInvoice, ...]
    overdue: Decimal
    total: Decimal
    deducted: Decimal
    credit: Decimal
    payment_instructions: str
    bank_details: BankDetails | None = None
    payer_country: str = ""
    is_selection: bool = False

    @property
    def transfer(self) -> BankTransfer | None:
        """The bank transfer that pays a selection, else what is overdue, else everything; None without an account.

        An invoice in dispute is not to be paid, and one on a payment plan not all at once.
        """
        if self.bank_details is None:
            return None
        lines = [each.line for each in self.invoices if self.is_selection or each.status not in _NOT_TO_PAY_NOW]
        if not self.is_selection:
            lines = [line for line in lines if line.days_late > 0] or lines
        asked = [line for line in lines if line.to_pay > 0]
        return build_transfer(self.bank_details, sum_to_pay(asked), names_of(asked), self.payer_country)


@dataclass(frozen=True, slots=True)
class CustomerPage:
    """The whole page. ``today`` is the date where the company is, ``as_of`` that of the last sync."""

    company: str
    customer: str
    reply_to: str
    language: Language
    today: date
    as_of: date
    reminders_stopped: bool
    balances: tuple[CurrencyBalance, ...]
    brand: Brand
    time_zone: str
    history: tuple[HistoryItem, ...] = ()

    @property
    def invoices(self) -> list[OpenInvoice]:
        """Every open invoice, in all currencies."""
        return [each for balance in self.balances for each in balance.invoices]


def build_customer_page(app: AppContext, visitor: PortalVisitor, accept_language: str = "") -> CustomerPage:
    """Return the page of a customer; the browser's ``accept_language`` counts where no language is known."""
    with reading(app.engine) as session:
        connection = session.get_one(Connection, visitor.connection_id)
        customer = session.get_one(CustomerRow, (visitor.connection_id, visitor.customer_id))
        setting = session.get(CustomerSetting, (visitor.connection_id, visitor.customer_id))
        today = today_in(connection.time_zone, app.now())
        language = recipient_language.customer_language(connection, customer, setting)
        owner_address = split_mailbox(load_team(session, connection).owner_of(visitor.customer_id))[1]
        statements = _load_customer_statements(app, session, visitor)
        balances = tuple(_build_balance(session, visitor, each, today, app.now()) for each in statements)
        return CustomerPage(
            company=one_line(connection.name),
            customer=one_line(customer.name),
            reply_to=owner_address or app.settings.mail_reply_to or app.settings.mail_from,
            language=language_of(language) if language else browser_language(accept_language),
            today=today,
            as_of=today_in(connection.time_zone, connection.synced_at) if connection.synced_at else today,
            reminders_stopped=bool(setting and setting.no_reminders),
            brand=load_brand(session, visitor.connection_id),
            balances=tuple(each for each in balances if each.invoices or each.credit),
            time_zone=connection.time_zone,
            history=tuple(load_history(app, session, visitor)),
        )


def select_to_pay(page: CustomerPage, invoice_ids: Sequence[str]) -> list[CurrencyBalance]:
    """Return what is left to pay of these invoices, by currency; of all that is open where none is named.

    What has been paid since the email was sent is no longer open, and a disputed invoice is not to be paid.
    """
    wanted = set(invoice_ids) or {each.id for each in page.invoices}
    found = []
    for balance in page.balances:
        chosen = [
            each
            for each in balance.invoices
            if each.id in wanted and each.line.to_pay > 0 and each.status is not PortalStatus.DISPUTED
        ]
        if chosen:
            lines = [each.line for each in chosen]
            overdue, total, deducted = sum_overdue(lines), sum_to_pay(lines), sum_covered(lines)
            chosen_balance = replace(balance, invoices=tuple(chosen), overdue=overdue, total=total, deducted=deducted)
            found.append(replace(chosen_balance, is_selection=True))
    return found


def build_statement_pdf(app: AppContext, visitor: PortalVisitor, currency: str, language: str) -> Attachment | None:
    """Return the customer's statement in one currency as PDF; None where nothing is open in it."""
    with reading(app.engine) as session:
        connection = session.get_one(Connection, visitor.connection_id)
        today = today_in(connection.time_zone, app.now())
        for statement in _load_customer_statements(app, session, visitor):
            if statement.currency == currency and list_open_invoices(statement):
                facts = _statement_facts(app, session, connection, statement, today)
                return draw_statement(replace(facts, language=language), today)
    return None


def _load_customer_statements(app: AppContext, session: Session, visitor: PortalVisitor) -> Sequence[Statement]:
    """Return the customer's statements, one per currency."""
    connection = session.get_one(Connection, visitor.connection_id)
    loaded = load_statements(session, connection, now=app.now(), customer_ids=[visitor.customer_id])
    return [own for each in next(iter(loaded), ()) if (own := restrict_to_visitor(each, visitor.customer_id))]


def restrict_to_visitor(statement: Statement, customer_id: str) -> Statement | None:
    """Return what a visitor may see: a sub-customer sees their own invoices, not those of the whole family."""
    if statement.customer.id == customer_id:
        return statement
    own = [each for each in statement.invoices if each.sub_customer is not None and each.sub_customer.id == customer_id]
    sub_customer = own[0].sub_customer if own else None
    if sub_customer is None:
        return None
    credits = tuple(each for each in statement.credits if each.customer_id == customer_id)
    return replace(statement, customer=sub_customer, invoices=tuple(own), credits=credits)


def _statement_facts(
    app: AppContext, session: Session, connection: Connection, statement: Statement, today: date
) -> EmailFacts:
    """Return the facts for a statement, as for an email that has one attached."""
    policy = _find_policy(session, statement, today, connection.id or 0)
    statement = with_payable_dates(statement, policy, HolidayCalendar())
    invoices = list_open_invoices(statement)
    about = [each for each in invoices if _invoice_status(each, today)[0] not in _NOT_TO_PAY_NOW]
    planned = PlannedEmail("", Step.SECOND_NOTICE, statement.customer.emails, about, invoices)
    owner = load_team(session, connection).owner_of(statement.customer.id)
    facts = build_facts(app.settings, connection, statement, policy, planned, today, lambda _id: "", owner)
    if about:  # else nothing is asked for at once
        facts = with_bank_details(facts, session, connection, statement, app.now())
    return with_brand(facts, load_brand(session, connection.id or 0), owner)


def _find_policy(session: Session, statement: Statement, today: date, connection_id: int) -> ReminderPolicy:
    policies = policy_store.get_active_policy(session, connection_id)
    return policies.for_customer(statement.customer.id)[0].policy_for(statement.customer, today)


def _build_balance(
    session: Session, visitor: PortalVisitor, statement: Statement, today: date, now: datetime
) -> CurrencyBalance:
    policy = _find_policy(session, statement, today, visitor.connection_id)
    statement = with_payable_dates(statement, policy, HolidayCalendar())
    invoices = sorted(list_open_invoices(statement), key=lambda each: (each.due_on or each.issued_on, each.number))
    coverage, money = allocate_credit(statement), allocate_money(statement)
    lines = {
        each.id: build_invoice_line(each, today, coverage.get(each.id, Decimal(0)), money.get(each.id, Decimal(0)))
        for each in invoices
    }
    deducted = sum_covered(lines.values())
    own = _find_own_agreements(session, visitor.connection_id, [each.id for each in invoices])
    instructions = policy.payment_instructions
    return CurrencyBalance(
        currency=statement.currency,
        invoices=tuple(
            _build_open_invoice(session, visitor, each, lines[each.id], policy, today, is_own=each.id in own)
            for each in invoices
        ),
        overdue=sum_overdue(lines.values()),
        total=sum_to_pay(lines.values()),
        deducted=deducted,
        credit=sum((credit.remaining for credit in statement.credits), Decimal(0)) - deducted,
        payment_instructions=clean_lines(instructions.for_currency(statement.currency)),
        bank_details=find_in_use(session, visitor.connection_id, statement.currency, now),
        payer_country=statement.customer.country,
    )


def _find_own_agreements(session: Session, connection_id: int, invoice_ids: Sequence[str]) -> set[str]:
    """Return the invoices about which something applies that the customer recorded and can take back."""
    found: set[str] = set()
    for start in range(0, len(invoice_ids), _IN_MAX):
        query = select(col(Agreement.invoice_id)).where(
            col(Agreement.connection_id) == connection_id,
            col(Agreement.invoice_id).in_(invoice_ids[start : start + _IN_MAX]),
            col(Agreement.state) == AgreementState.OPEN,
            col(Agreement.kind) != AgreementKind.PAYMENT_PLAN,
            col(Agreement.recorded_by).endswith(PORTAL_SUFFIX, autoescape=True),
        )
        found |= set(session.scalars(query))
    return found


def _build_open_invoice(
    session: Session,
    visitor: PortalVisitor,
    invoice: Invoice,
    line: InvoiceLine,
    policy: ReminderPolicy,
    today: date,
    *,
    is_own: bool,
) -> OpenInvoice:
    link = find_known_pay_link(session, visitor.connection_id, invoice.id)
    status, status_on = _invoice_status(invoice, today)
    return OpenInvoice(
        id=invoice.id,
        line=replace(line, number=one_line(line.number, 40) or "-"),  # its date stands beside it
        pay_link=safe_link(link) if link else link,
        status=status,
        status_on=status_on,
        status_amount=invoice.promised_amount if status is PortalStatus.PART_PROMISED else None,
        plan_limits=payment_plans.find_limits(policy, invoice.due, invoice.currency, today)
        if invoice.payment_plan is None and invoice.disputed_on is None
        else None,
        can_take_back=is_own,
    )


def _invoice_status(invoice: Invoice, today: date) -> tuple[PortalStatus, date | None]:
    """Return what applies to an invoice now, and its date."""
    if invoice.disputed_on is not None:
        return PortalStatus.DISPUTED, invoice.disputed_on
    if invoice.promised_on is not None and invoice.promised_on >= today:
        is_part = invoice.promised_amount is not None and invoice.promised_amount < invoice.due
        return PortalStatus.PART_PROMISED if is_part else PortalStatus.PROMISED, invoice.promised_on
    if invoice.payment_plan is not None:
        return PortalStatus.PAYMENT_PLAN, None
    if invoice.paused_until_on is not None and invoice.paused_until_on > today:
        return PortalStatus.PAUSED, invoice.paused_until_on
    return PortalStatus.NONE, None
