"""Build the facts of one email from a statement, for sending and for previews alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from sqlmodel import Session

from connector.bank_details.store import find_in_use
from connector.branding.brand import Brand
from connector.connections.account_owners import split_mailbox
from connector.db.tables import Connection
from connector.emails.outbound.email_facts import EmailFacts, InvoiceLine, PaidLine
from connector.emails.outbound.email_sums import in_order
from connector.emails.outbound.fee_warning import fee_warning
from connector.emails.outbound.invoice_table import ROWS_MAX
from connector.settings import Settings
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, InvoiceStatus, Statement, Step
from policies.settlement import is_worth_thanks
from policies.unapplied_credit import allocate_credit, allocate_money


@dataclass(frozen=True, slots=True)
class PlannedEmail:
    """An email as it was planned: which step, to whom, about which invoices, and which invoices it lists.

    ``completed`` are the invoices one of whose steps it completes; its text is about those of the leading step.
    """

    key: str
    step: Step
    to: Sequence[str]
    about: Sequence[Invoice]
    listed: Sequence[Invoice]
    attempt: int = 1
    suspension_on: date | None = None
    completed: Sequence[Invoice] = ()
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()


def build_facts(
    settings: Settings,
    connection: Connection,
    statement: Statement,
    policy: ReminderPolicy,
    planned: PlannedEmail,
    today: date,
    pay_link: Callable[[str], str],
    owner: str = "",
) -> EmailFacts:
    """Return what an email says.

    ``pay_link`` returns where an invoice can be paid online, by the invoice's id, or "". ``owner`` is the customer's
    account owner, as ``Ann Lee <ann@example.com>``, who signs and answers questions.
    """
    customer, about, is_thank_you = statement.customer, planned.about, planned.step is Step.THANK_YOU
    coverage = allocate_credit(statement)
    money = allocate_money(statement)
    is_listed = {each.id for each in planned.listed}

    def line(invoice: Invoice) -> InvoiceLine:
        covered = coverage.get(invoice.id, Decimal(0))
        found = build_invoice_line(invoice, today, covered=covered, money=money.get(invoice.id, Decimal(0)))
        minimum = policy.minimum_balance.for_currency(invoice.currency)
        return found if is_worth_thanks(found.paid, found.total, minimum) else replace(found, paid=Decimal(0))

    name, address = split_mailbox(owner)
    return EmailFacts(
        key=planned.key,
        attempt=planned.attempt,
        step=planned.step,
        to=planned.to,
        cc=planned.cc,
        bcc=planned.bcc,
        company_name=connection.name,
        customer_name=customer.name,
        sender=settings.mail_from,
        sender_name=name or settings.mail_from_name or connection.name,
        reply_to=address or settings.mail_reply_to,
        currency=statement.currency,
        contact_name=customer.contact_name,
        language=customer.language,
        tone=policy.tone,
        track_opens=policy.tracking.opens,
        track_clicks=policy.tracking.clicks,
        invoices=[]
        if is_thank_you
        else _with_pay_links(map(line, planned.listed), {each.id for each in about}, pay_link),
        unlisted=[line(each) for each in list_open_invoices(statement) if each.id not in is_listed],
        about=[invoice.id for invoice in about],
        payment_instructions=policy.payment_instructions.for_currency(statement.currency),
        fee=fee_warning(policy, statement, planned.completed or about, planned.step, today),
        discount=next((invoice.discount for invoice in about if invoice.discount), None),
        suspension_on=planned.suspension_on,
        thanked_on=_last_thanked_on(statement, about),
        promised_on=max((invoice.promised_on for invoice in about if invoice.promised_on), default=None),
        promised_amount=_promised_part(about),
        paid=_paid_lines(about, today) if is_thank_you else (),
    )


def _paid_lines(about: Sequence[Invoice], today: date) -> list[PaidLine]:
    """Return the invoices that an email thanks for."""
    return [
        PaidLine(each.number, each.paid, each.last_paid_on or today, each.issued_on, each.shares_number)
        for each in about
        if each.paid > 0
    ]


def with_brand(facts: EmailFacts, brand: Brand, owner: str) -> EmailFacts:
    """Return facts of an email that looks as its company does; without an account owner, the brand's signer signs."""
    signer = split_mailbox(owner)[0] or brand.signer_name or facts.sender_name
    return replace(facts, brand=brand, sender_name=signer)


def _promised_part(about: Sequence[Invoice]) -> Decimal | None:
    """Return what was promised of the invoices, None where all of it was."""
    if not any(each.promised_amount for each in about):
        return None
    return sum((each.promised_amount or each.due for each in about), Decimal(0))


def with_bank_details(
    facts: EmailFacts, session: Session, connection: Connection, statement: Statement, now: datetime
) -> EmailFacts:
    """Return the facts with the account for the statement's currency, where the company has one in use."""
    bank_details = find_in_use(session, connection.id or 0, statement.currency, now)
    return replace(facts, bank_details=bank_details, payer_country=statement.customer.country)


def _last_thanked_on(statement: Statement, about: Sequence[Invoice]) -> date | None:
    """Return when the customer was last thanked for a payment of these invoices."""
    ids = {invoice.id for invoice in about}
    return max(
        (each.on for each in statement.past_actions if each.acknowledged and each.invoice_id in ids), default=None
    )


def _with_pay_links(
    lines: Iterable[InvoiceLine], about: Collection[str], pay_link: Callable[[str], str]
) -> list[InvoiceLine]:
    """Return the invoices, those that the table shows with their pay link: each link may cost a call of its own."""
    listed = list(lines)
    shown = {each.id for each in sorted(in_order(listed), key=lambda each: each.id not in about)[:ROWS_MAX]}
    return [replace(each, pay_link=pay_link(each.id)) if each.id in shown else each for each in listed]


def build_invoice_line(
    invoice: Invoice,
    today: date,
    covered: Decimal = Decimal(0),
    money: Decimal = Decimal(0),
) -> InvoiceLine:
    """Return an invoice as an email shows it; unapplied credit covers a part of it, ``money`` of that is a payment."""
    payable_on, known_on = invoice.payable_until_on or invoice.due_on, invoice.known_on
    is_known_late = payable_on is not None and known_on is not None and payable_on < known_on < today
    payable_by_on = payable_on if payable_on != invoice.due_on else None
    days_late = _count_days_late(invoice, today)
    return InvoiceLine(
        id=invoice.id,
        number=invoice.number,
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        total=invoice.total,
        due=invoice.due,
        days_late=days_late,
        disputed=invoice.disputed_on is not None,
        paid=invoice.paid_by(today) + min(covered, money),
        covered=covered,
        shares_number=invoice.shares_number,
        counted_from_on=known_on if is_known_late else payable_by_on if days_late > 0 else None,
        payable_by_on=payable_by_on,
    )


def _count_days_late(invoice: Invoice, today: date) -> int:
    """Return how many days late an invoice is, negative before: no days before the customer could know of it."""
    if invoice.due_on is None:
        return 0
    late = (today - (invoice.payable_until_on or invoice.due_on)).days
    return late if late <= 0 or invoice.known_on is None else max(1, min(late, (today - invoice.known_on).days))


def list_open_invoices(statement: Statement) -> list[Invoice]:
    """Return every invoice with an open balance, without late fees that somebody is asked to waive."""
    found = (each for each in statement.invoices if each.status is InvoiceStatus.OPEN and each.due > 0)
    return [each for each in found if not each.waiver_proposed]
