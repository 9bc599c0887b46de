"""What a customer sees on his own page: what is open per currency, what was said about it, and how to pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from sqlmodel import Session

from connector import policies_store
from connector.access.team import address_of, team_of
from connector.database import reading
from connector.installation import Installation
from connector.letters import tongues
from connector.letters.languages import Language, accepted_language, language_of
from connector.letters.mail_facts import InvoiceLine, MailFacts
from connector.letters.mail_gathering import Planned, gather, owed
from connector.letters.mail_papers import known_pay_link
from connector.letters.plain_text import lines, one_line, web_link
from connector.letters.statement_pdf import statement_pdf
from connector.mirror.pages import customers_facts
from connector.mirror.places import today_in
from connector.portal.links import Opened
from connector.tables import Connection, CustomerRow, CustomerSetting
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, Statement, Step
from providers.mailer import Attachment

DISPUTED, PROMISED, PLAN, PAUSED = "disputed", "promised", "plan", "paused"


@dataclass(frozen=True, slots=True)
class Open:
    """One open invoice. ``pay_link`` is None where the ledger was never asked; ``said`` is one of the words above."""

    id: str
    line: InvoiceLine
    pay_link: str | None
    said: str
    said_on: date | None


@dataclass(frozen=True, slots=True)
class InCurrency:
    """What is open in one currency, the longest due first; sums are never mixed."""

    currency: str
    invoices: tuple[Open, ...]
    overdue: Decimal
    total: Decimal
    credit: Decimal
    ways_to_pay: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole page. ``today`` is the company's day, ``as_of`` that of the last reading of its books."""

    company: str
    customer: str
    reply_to: str
    language: Language
    today: date
    as_of: date
    stopped: bool
    open: tuple[InCurrency, ...]

    @property
    def invoices(self) -> list[Open]:
        """Every open invoice, whatever its currency."""
        return [each for part in self.open for each in part.invoices]


def picture(installation: Installation, who: Opened, accepted: str = "") -> Picture:
    """Draw the page of a customer; ``accepted`` is what his browser reads, where nobody chose a language for him."""
    with reading(installation.engine) as session:
        connection = session.get_one(Connection, who.connection_id)
        customer = session.get_one(CustomerRow, (who.connection_id, who.customer_id))
        setting = session.get(CustomerSetting, (who.connection_id, who.customer_id))
        today, owed_by_him = today_in(connection.time_zone, installation.now()), statements(installation, session, who)
        chosen = tongues.of_customer(connection, customer, setting)
        _owner, owners_address = address_of(team_of(session, connection).owner_of(who.customer_id))
        parts = tuple(_part(session, who, each, today) for each in owed_by_him)
        return Picture(
            company=one_line(connection.name),
            customer=one_line(customer.name),
            reply_to=owners_address or installation.settings.mail_reply_to or installation.settings.mail_from,
            language=language_of(chosen) if chosen else accepted_language(accepted),
            today=today,
            as_of=today_in(connection.time_zone, connection.pulled_at) if connection.pulled_at else today,
            stopped=bool(setting and setting.no_reminders),
            open=tuple(part for part in parts if part.invoices or part.credit),
        )


def statements(installation: Installation, session: Session, who: Opened) -> Sequence[Statement]:
    """Read what the customer owes, one statement per currency."""
    connection = session.get_one(Connection, who.connection_id)
    facts = customers_facts(session, connection, now=installation.now(), customer_ids=[who.customer_id])
    return next(iter(facts), ())


def statement_paper(installation: Installation, who: Opened, currency: str, language: str) -> Attachment | None:
    """Draw the customer's statement in one currency as PDF; None where nothing is open in it."""
    with reading(installation.engine) as session:
        connection = session.get_one(Connection, who.connection_id)
        today = today_in(connection.time_zone, installation.now())
        for each in statements(installation, session, who):
            if each.currency == currency and owed(each):
                return statement_pdf(_facts(installation, session, connection, each, language), today)
    return None


def _facts(
    installation: Installation, session: Session, connection: Connection, statement: Statement, language: str
) -> MailFacts:
    """Gather what the statement says as for the mail that brings one."""
    planned = Planned("", Step.SECOND_NOTICE, statement.customer.emails, (), owed(statement))
    today = today_in(connection.time_zone, installation.now())
    policy = _policy(session, statement, today, connection.id or 0)
    owner = team_of(session, connection).owner_of(statement.customer.id)
    facts = gather(installation.settings, connection, statement, policy, planned, today, lambda _id: "", owner)
    return replace(facts, language=language)


def _policy(session: Session, statement: Statement, today: date, connection_id: int) -> ReminderPolicy:
    policy, _version = policies_store.in_force(session, connection_id).of(statement.customer.id)
    return policy.chosen_for(statement.customer, today)


def _part(session: Session, who: Opened, statement: Statement, today: date) -> InCurrency:
    invoices = sorted(owed(statement), key=lambda each: (each.due_on or each.issued_on, each.number))
    late = [each.due for each in invoices if each.due_on is not None and each.due_on < today]
    return InCurrency(
        currency=statement.currency,
        invoices=tuple(_open(session, who, each, today) for each in invoices),
        overdue=sum(late, Decimal(0)),
        total=sum((each.due for each in invoices), Decimal(0)),
        credit=sum((credit.remaining for credit in statement.credits), Decimal(0)),
        ways_to_pay=lines(_policy(session, statement, today, who.connection_id).ways_to_pay.of(statement.currency)),
    )


def _open(session: Session, who: Opened, invoice: Invoice, today: date) -> Open:
    link = known_pay_link(session, who.connection_id, invoice.id)
    line = InvoiceLine(
        number=one_line(invoice.number, 40),
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        total=invoice.total,
        due=invoice.due,
        days_late=(today - invoice.due_on).days if invoice.due_on else 0,
    )
    return Open(invoice.id, line, web_link(link) if link else link, *_said(invoice, today))


def _said(invoice: Invoice, today: date) -> tuple[str, date | None]:
    """Tell what counts now of all that was said about an invoice."""
    if invoice.disputed_on is not None:
        return DISPUTED, invoice.disputed_on
    if invoice.promised_on is not None and invoice.promised_on >= today:
        return PROMISED, invoice.promised_on
    if invoice.plan is not None:
        return PLAN, None
    if invoice.paused_until_on is not None and invoice.paused_until_on > today:
        return PAUSED, invoice.paused_until_on
    return "", None
