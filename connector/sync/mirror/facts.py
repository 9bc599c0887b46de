"""Conversion of mirror rows, with what users set for them, into the facts that policies decide on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Row

from connector.db.money import from_e4
from connector.db.tables import ApplicationRow, Connection
from policies.receivables import (
    BalanceChange,
    Company,
    Credit,
    CreditKind,
    Customer,
    Discount,
    Instalment,
    Invoice,
    PaymentBehaviour,
    PaymentPlan,
    RevenueRank,
    SettlementKind,
)
from providers.addresses import parse_addresses
from providers.geo import country_code, holiday_region, language_in, time_zone

SqlRow = Row[Any]


def build_company(connection: Connection) -> Company:
    """Return the facts of a company."""
    return Company(
        name=connection.name,
        base_currency=connection.base_currency,
        country=connection.country,
        time_zone=connection.time_zone,
        lock_on=connection.lock_on,
        ledger_reminders=connection.ledger_reminders,
        holiday_region=connection.holiday_region,
        default_owner=connection.owner,
    )


def build_customer(
    customer_id: str,
    row: SqlRow | None,
    setting: SqlRow | None,
    history: SqlRow | None,
    revenue_ranks: tuple[RevenueRank, ...],
    company: Company,
    payment_behaviour: PaymentBehaviour | None = None,
) -> Customer:
    """Return the facts of a customer. Settings take precedence; without a country, the company's is assumed."""
    named, region = (row.country, row.region) if row else ("", "")
    country = country_code(named) if named else company.country
    addresses = parse_addresses(_first_non_empty(setting and setting.emails, row and row.emails))
    return Customer(
        id=customer_id,
        name=row.name if row else "(unknown customer)",
        contact_name=_first_non_empty(setting and setting.contact_name, row and row.contact_name),
        emails=addresses.valid,
        invalid_emails=addresses.invalid,
        country=country,
        holiday_region=holiday_region(country, region),
        time_zone=time_zone(country, region, company.country, company.time_zone) or company.time_zone,
        language=_first_non_empty(setting and setting.language, row and row.language, language_in(country)),
        active=bool(row and row.active and not row.deleted),
        segment=setting.segment if setting else None,
        hold_until_on=setting.hold_until_on if setting else None,
        no_reminders=bool(setting and setting.no_reminders),
        no_fees=bool(setting and setting.no_fees),
        fees_agreed_on=setting.fees_agreed_on if setting else None,
        suppression_reason=setting.suppression_reason if setting else "",
        withholding_percent=Decimal(setting.withholding_percent or 0) if setting else Decimal(0),
        tags=_split_commas(setting.tags) if setting else (),
        groups=tuple(filter(None, row.groups.split("\n"))) if row else (),
        owner_email=_address_of(setting and setting.owner, company.default_owner),
        sales_rep_email=_address_of(setting and setting.sales_rep),
        second_contact=_address_of(setting and setting.second_contact)
        or _first_other(row.contacts if row else "", addresses.valid),
        first_invoiced_on=history.first_on if history else None,
        paid_invoices=history.paid if history else 0,
        revenue_ranks=revenue_ranks,
        payment_behaviour=payment_behaviour,
    )


_STOPPED = "its reader asked for no reminders"


def with_stops_of(customer: Customer, setting: SqlRow | None) -> Customer:
    """Return a customer to whom the stops and holds of another one's settings apply as well."""
    if setting is None:
        return customer
    holds = [each for each in (customer.hold_until_on, setting.hold_until_on) if each is not None]
    return replace(
        customer,
        hold_until_on=max(holds, default=None),
        no_reminders=bool(customer.no_reminders or setting.no_reminders),
        no_fees=bool(customer.no_fees or setting.no_fees),
    )


def email_addresses(row: SqlRow | None, setting: SqlRow | None) -> tuple[str, ...]:
    """Return a customer's email addresses; those a user set take precedence."""
    return parse_addresses(_first_non_empty(setting and setting.emails, row and row.emails)).valid


def _address_of(*mailboxes: str | None) -> str:
    """Return the address of the first mailbox that is set: of "Ann Lee <ann@example.com>" or an address alone."""
    return next(iter(parse_addresses(_first_non_empty(*mailboxes)).valid), "")


def _first_other(contacts: str, emails: Sequence[str]) -> str:
    """Return the address of the first further contact in the ledger that gets no emails yet."""
    known = {each.casefold() for each in emails}
    found = (each for line in contacts.splitlines() for each in parse_addresses(line).valid)
    return next((each for each in found if each.casefold() not in known), "")


def with_stopped_addresses(suppressed: Mapping[str, str], stopped: str) -> Mapping[str, str]:
    """Return suppressed addresses (reasons by address) and those whose readers want no reminders about a customer."""
    addresses = [each.lower() for each in parse_addresses(stopped).valid] if stopped else []
    return {**suppressed, **dict.fromkeys(addresses, _STOPPED)} if addresses else suppressed


def without_suppressed_addresses(customer: Customer, suppressed: Mapping[str, str]) -> Customer:
    """Return a customer without the suppressed addresses (reasons by address in lower case).

    A customer who has no other address keeps them, with the reason. Copies go to none of them.
    """
    own = (customer.owner_email, customer.sales_rep_email, customer.second_contact)
    if any(address.lower() in suppressed for address in own):
        owner, rep, second = ("" if address.lower() in suppressed else address for address in own)
        customer = replace(customer, owner_email=owner, sales_rep_email=rep, second_contact=second)
    usable = tuple(address for address in customer.emails if address.lower() not in suppressed)
    if len(usable) == len(customer.emails):
        return customer
    if usable:
        return replace(customer, emails=usable)
    first = customer.emails[0]
    return replace(customer, suppression_reason=customer.suppression_reason or f"{first}: {suppressed[first.lower()]}")


class InvoiceOverrides(NamedTuple):
    """What a user set for an invoice, named like the columns of ``InvoiceSetting``; by default nothing."""

    disputed_on: date | None = None
    dispute_reason: str = ""
    promised_on: date | None = None
    promised_e4: int | None = None
    paused: bool = False
    paused_until_on: date | None = None


class KnownDates(NamedTuple):
    """Since when the customer can know of an invoice, its due date and its total, and when that date last changed."""

    known_on: date | None = None
    due_changed_on: date | None = None
    raised_on: date | None = None
    former_total: Decimal | None = None


def build_known_dates(row: Row[*tuple[Any, ...]], contacted_at: datetime | None, zone: ZoneInfo) -> KnownDates:
    """Return the dates in the company's time zone.

    An invoice that was sent after the customer had been contacted about it (``contacted_at``) was only sent again.
    """
    known_at, sent_at, changed_at = row.known_at, row.sent_at, row.due_changed_at
    if sent_at is not None and (contacted_at is None or contacted_at > sent_at):
        known_at = max(known_at or sent_at, sent_at)
    instants = (known_at, changed_at, row.raised_at)
    known_on, changed_on, raised_on = (at.astimezone(zone).date() if at is not None else None for at in instants)
    former_total = None if row.former_total_e4 is None else from_e4(row.former_total_e4)
    return KnownDates(known_on, changed_on, raised_on, former_total)


def _known_on(known: KnownDates, total: Decimal, due: Decimal) -> date | None:
    """Return since when the customer can know of what is due: of a raise, once all before it is settled."""
    if known.raised_on is None or known.former_total is None or due > total - known.former_total:
        return known.known_on
    return max(known.raised_on, known.known_on or known.raised_on)


NO_OVERRIDES = InvoiceOverrides()
NEVER_CHANGED = KnownDates()
# In the order in which ``build_invoice`` unpacks them, because access by a row's names is slow.
INVOICE_COLUMNS = (
    "external_id", "number", "customer_id", "currency", "issued_on", "due_on", "total_e4", "due_e4", "status",
    "sent_to_customer", "closed_on", "promised_on", "discount_e4", "discount_until_on", "ledger_fee",
    "emails", "cc_emails", "bcc_emails",
)  # fmt: skip


def build_invoice(
    row: Sequence[Any],
    overrides: InvoiceOverrides | SqlRow,
    changes: tuple[BalanceChange, ...],
    size_percentile: int,
    *,
    fee_of: str | None,
    unreadable: bool,
    payment_plan: PaymentPlan | None = None,
    known: KnownDates = NEVER_CHANGED,
) -> Invoice:
    """Return the facts of an invoice. With an ``unreadable`` newer version it is paused: it may be paid by now."""
    (
        external_id, number, customer_id, currency, issued_on, due_on, total_e4, due_e4, status,
        sent_to_customer, closed_on, promised_on, discount_e4, discount_until_on, ledger_fee,
        emails, cc_emails, bcc_emails,
    ) = row  # fmt: skip
    total, due = from_e4(total_e4), from_e4(due_e4)
    has_discount = discount_e4 is not None and discount_until_on is not None
    return Invoice(
        id=external_id,
        number=number,
        customer_id=customer_id,
        currency=currency,
        issued_on=issued_on,
        due_on=due_on,
        total=total,
        due=due,
        status=status,
        sent_to_customer=sent_to_customer,
        size_percentile=size_percentile,
        closed_on=closed_on,
        discount=Discount(from_e4(discount_e4), discount_until_on) if has_discount else None,
        fee_of=fee_of,
        ledger_fee=ledger_fee,
        disputed_on=overrides.disputed_on,
        dispute_reason=overrides.dispute_reason,
        promised_on=overrides.promised_on or promised_on,
        promised_amount=None if overrides.promised_e4 is None else from_e4(overrides.promised_e4),
        paused=unreadable or overrides.paused,
        paused_until_on=None if unreadable else overrides.paused_until_on,
        unreadable=unreadable,
        balance_changes=changes,
        payment_plan=payment_plan,
        known_on=_known_on(known, total, due),
        due_changed_on=known.due_changed_on,
        raised_on=known.raised_on,
        known_before_raise_on=known.known_on,
        former_total=known.former_total,
        emails=parse_addresses(emails).valid,
        cc_emails=parse_addresses(cc_emails).valid,
        bcc_emails=parse_addresses(bcc_emails).valid,
        invalid_emails=parse_addresses(emails).invalid,
    )


def with_shared_numbers(invoices: Sequence[Invoice], repeated: Collection[str]) -> list[Invoice]:
    """Return the invoices of a customer, marking numbers that are not theirs alone; ``repeated`` are the company's."""
    if not any(each.number in repeated for each in invoices):
        return list(invoices)
    counts = Counter(each.number for each in invoices)
    return [
        replace(each, number_is_unique=False, shares_number=counts[each.number] > 1)
        if each.number in repeated
        else each
        for each in invoices
    ]


def with_usable_addresses(
    invoice: Invoice, suppressed: Mapping[str, str], stopped: frozenset[str], *, is_overridden: bool
) -> Invoice:
    """Return an invoice without its suppressed addresses; without any where a user has set the customer's.

    One whose own addresses are all suppressed goes to the customer's. ``stopped`` are addresses of customers who
    receive no reminders: they get no copy of another customer's either.
    """
    if not stopped.isdisjoint(map(str.lower, (*invoice.cc_emails, *invoice.bcc_emails))):
        copies = (
            [each for each in some if each.lower() not in stopped] for some in (invoice.cc_emails, invoice.bcc_emails)
        )
        cc_emails, bcc_emails = map(tuple, copies)
        invoice = replace(invoice, cc_emails=cc_emails, bcc_emails=bcc_emails)
    own = (invoice.emails, invoice.cc_emails, invoice.bcc_emails)
    if is_overridden:
        return replace(invoice, emails=(), cc_emails=(), bcc_emails=(), invalid_emails=()) if any(own) else invoice
    if not suppressed or all(address.lower() not in suppressed for each in own for address in each):
        return invoice
    emails, cc, bcc = (tuple(each for each in some if each.lower() not in suppressed) for some in own)
    return replace(invoice, emails=emails, cc_emails=cc, bcc_emails=bcc)


def without_former_addresses(invoice: Invoice, former: Collection[str], current: Collection[str]) -> Invoice:
    """Return an invoice without addresses that are only those of a record merged into its customer.

    The ledger copies a customer's addresses onto each invoice; a merge leaves them there. Where the surviving record
    has an address, that is the one the bookkeeper has kept. An address that somebody gave the invoice itself stays.
    """
    own = {address.lower() for address in invoice.emails}
    is_a_copy = bool(own) and own <= set(former) and not own & set(current)
    return replace(invoice, emails=()) if is_a_copy and current else invoice


def build_payment_plan(row: SqlRow) -> PaymentPlan:
    """Return a payment plan as agreed."""
    instalments = tuple(Instalment(date.fromisoformat(on), Decimal(amount)) for on, amount in row.instalments)
    agreed_total = None if row.invoice_total_e4 is None else from_e4(row.invoice_total_e4)
    return PaymentPlan(row.since_on, from_e4(row.amount_e4), instalments, agreed_total)


def build_balance_changes(row: SqlRow | ApplicationRow) -> Iterator[BalanceChange]:
    """Yield how a payment or credit changed an invoice's balance: its money, and what else it linked to the invoice."""
    is_credit = row.source_kind == CreditKind.CREDIT_NOTE
    parts = {
        SettlementKind.PAYMENT: 0 if is_credit else row.amount_e4 - row.credited_e4 - row.adjusted_e4,
        SettlementKind.CREDIT: row.amount_e4 if is_credit else row.credited_e4,
        SettlementKind.ADJUSTMENT: 0 if is_credit else row.adjusted_e4,
    }
    for kind, amount_e4 in parts.items():
        if amount_e4:
            yield BalanceChange(row.applied_on, -from_e4(amount_e4), kind)


def build_credit(row: SqlRow) -> Credit:
    """Return the facts of a credit note, overpayment or prepayment with a remaining balance."""
    remaining = from_e4(row.remaining_e4)
    return Credit(row.external_id, row.kind, row.customer_id, row.currency, remaining, row.dated_on)


def build_unapplied_payment(row: SqlRow) -> Credit:
    """Return the unapplied part of a payment."""
    unapplied = from_e4(row.unapplied_e4)
    return Credit(row.external_id, CreditKind.PAYMENT, row.customer_id, row.currency, unapplied, row.paid_on)


def _first_non_empty(*texts: str | None) -> str:
    return next((text for text in texts if text), "")


def _split_commas(joined: str) -> tuple[str, ...]:
    return tuple(address.strip() for address in joined.split(",") if address.strip())
