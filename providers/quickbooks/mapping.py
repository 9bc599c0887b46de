"""Maps Intuit's records to those of the port: one by one, tolerant of unexpected values and exact with amounts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from policies.currencies import round_amount
from policies.receivables import CreditKind, InvoiceStatus
from providers.addresses import ParsedAddresses, parse_addresses
from providers.geo import country_code
from providers.ledger import CreditRecord, CustomerRecord, InvoiceRecord, PaymentRecord
from providers.phones import PhoneKind, join_phones
from providers.quickbooks.decoding import AMOUNT_MAX
from providers.quickbooks.schemas import CreditMemo, Customer, EmailAddress, Invoice, Line, Payment, Term
from providers.record_values import is_far_off, parse_currency, utc_instant

FEE_NAME: Final = "Late fee"  # items and accounts of QuickBooks' automatic fees and of ours start with this
FEE_NOTE: Final = (
    "Late fee for invoice "  # starts the private note of our fee invoices; the original invoice's number follows
)
_LATE_FEE = FEE_NAME.casefold()
# What QuickBooks appends to the name of a customer who is made inactive, in the language of the user who does it
_DELETED_SUFFIX = re.compile(
    r"(?:\s*\((?:deleted|gelöscht|supprimée?s?|effacée?s?|eliminad[oa]|eliminat[oa]|verwijderd)(?:[ -]?\d+)?\))+\s*$",
    re.IGNORECASE,
)
_PERCENT_MAX: Final = 100
_DISCOUNT_DAYS_MAX: Final = 366

_ZERO = Decimal(0)


class EarlyPaymentDiscount(NamedTuple):
    """The discount of payment terms: ``percent`` off within ``days`` of the invoice date."""

    percent: Decimal
    days: int


class MappingContext(NamedTuple):
    """What the mapping needs to know besides the record itself; ``payment_dates`` are by payment id."""

    home_currency: str
    discounts: Mapping[str, EarlyPaymentDiscount]
    payment_dates: Mapping[str, date | None]


def map_customer(record: Customer, emails: str = "", home_currency: str = "") -> CustomerRecord:
    """Map a customer; ``emails`` (of the latest invoice) are used if the customer has none."""
    currency = _customer_currency(record) or home_currency
    address = record.bill_addr
    contact = " ".join(filter(None, (record.given_name, record.family_name)))
    own = email_addresses(record.primary_email_addr)
    is_active = record.active is not False
    return CustomerRecord(
        external_id=record.id,
        name=record.display_name if is_active else _DELETED_SUFFIX.sub("", record.display_name),
        contact_name=contact,
        emails=own.joined if own.valid else emails or own.joined,
        country=country_code(address.country or "") if address else "",
        region=(address.country_sub_division_code or "") if address else "",
        language="",
        active=is_active,
        merged_into=None,
        updated_at=to_utc(record.meta_data.last_updated_time),
        groups=(kind.name or kind.value) if (kind := record.customer_type_ref) else "",
        parent_id=record.parent_ref.value if record.parent_ref else None,
        bill_with_parent=record.bill_with_parent is True,
        balance=_balance(record.balance, currency),
        family_balance=_balance(record.balance_with_jobs, currency),
        balance_currency=currency,
        phones=_phones(record),
    )


def _customer_currency(record: Customer) -> str:
    try:
        return parse_currency(record.currency_ref.value if record.currency_ref else "")
    except ValueError:  # no reason to lose the customer
        return ""


def _phones(record: Customer) -> str:
    numbers = (
        (PhoneKind.PHONE, record.primary_phone),
        (PhoneKind.MOBILE, record.mobile),
        (PhoneKind.OTHER, record.alternate_phone),
    )
    return join_phones((kind, each.free_form_number) for kind, each in numbers if each)


def _balance(amount: Decimal | None, currency: str) -> Decimal | None:
    """Return a customer's balance; one that cannot be stored is left out, and the customer kept."""
    is_storable = amount is not None and amount.is_finite() and abs(amount) < AMOUNT_MAX
    return round_amount(amount, currency) if amount is not None and is_storable else None


def map_invoice(record: Invoice, context: MappingContext) -> InvoiceRecord:
    """Map an invoice; its currency is "" where it names none."""
    currency = record.currency_ref.value if record.currency_ref else ""
    status = _status(record)
    discount = (
        context.discounts.get(record.sales_term_ref.value) if record.sales_term_ref and context.discounts else None
    )
    note = record.private_note or ""
    lines_json, late_fee = encode_lines(record.line)
    return InvoiceRecord(
        record.id,
        (record.doc_number or "").strip(),
        record.customer_ref.value,
        currency,
        record.txn_date,
        record.due_date if record.due_date and not is_far_off(record.due_date) else None,
        record.total_amt,
        record.balance,
        status,
        record.email_status != "NeedToSend" or record.print_status == "PrintComplete",
        _closed_on(record, context.payment_dates) if status == InvoiceStatus.PAID else None,
        None,
        _discount(record.total_amt, discount.percent, currency or context.home_currency) if discount else None,
        record.txn_date + timedelta(days=discount.days) if discount else None,
        note.removeprefix(FEE_NOTE).split(" (", 1)[0] if note.startswith(FEE_NOTE) else "",
        late_fee,
        record.sync_token,
        lines_json,
        to_utc(record.meta_data.last_updated_time),
        _created_at(record.meta_data.create_time),
        email_addresses(record.bill_email).joined,
        email_addresses(record.bill_email_cc).joined,
        email_addresses(record.bill_email_bcc).joined,
    )


def map_payment(record: Payment) -> PaymentRecord:
    """Map a payment."""
    return PaymentRecord(
        record.id,
        record.customer_ref.value,
        record.currency_ref.value if record.currency_ref else "",
        record.txn_date,
        record.total_amt,
        record.unapplied_amt or _ZERO,
        to_utc(record.meta_data.last_updated_time),
    )


def map_credit_memo(record: CreditMemo) -> CreditRecord:
    """Map a credit memo."""
    return CreditRecord(
        record.id,
        CreditKind.CREDIT_NOTE,
        record.doc_number or "",
        record.customer_ref.value,
        record.currency_ref.value if record.currency_ref else "",
        record.txn_date,
        record.total_amt,
        record.balance,
        to_utc(record.meta_data.last_updated_time),
    )


def map_discount(record: Term) -> EarlyPaymentDiscount | None:
    """Return the discount of these terms, if any. Date-driven terms are skipped: none is better than a wrong one."""
    if not record.discount_percent or not record.discount_days or record.type == "DATE_DRIVEN":
        return None
    if not record.discount_percent.is_finite():
        return None
    if not 0 < record.discount_percent < _PERCENT_MAX or not 0 < record.discount_days < _DISCOUNT_DAYS_MAX:
        return None
    return EarlyPaymentDiscount(record.discount_percent, record.discount_days)


def payments_without_date(record: Invoice, known: Mapping[str, date | None]) -> list[str]:
    """Return the ids of the payments of this paid invoice whose date is not known yet."""
    if record.balance > 0:
        return []
    return [one.txn_id for one in record.linked_txn if one.txn_type == "Payment" and one.txn_id not in known]


def is_voided(record: Invoice) -> bool:
    """Return whether this invoice is void: QuickBooks keeps it without amounts, its private note marked "Voided"."""
    return not record.total_amt and not record.balance and (record.private_note or "").lstrip().startswith("Voided")


def email_addresses(field: EmailAddress | None) -> ParsedAddresses:
    """Return the addresses of a field, which may hold several."""
    return parse_addresses(field.address) if field is not None else ParsedAddresses()


def encode_lines(found: list[Line]) -> tuple[str, bool]:
    """Return the lines as compact JSON, ``[description, amount as text, item]`` each, and whether one is a late fee."""
    rows, late_fee = [], False
    for line in found:
        if line.amount is None or not line.amount.is_finite() or line.detail_type == "SubTotalLineDetail":
            continue
        detail, item, amount = line.sales_item_line_detail, "", str(line.amount)
        if detail is not None:
            account = detail.item_account_ref
            item = detail.item_ref.name or "" if detail.item_ref else ""
            late_fee = late_fee or is_late_fee(item) or (account is not None and is_late_fee(account.name or ""))
        elif line.group_line_detail is not None:
            item = line.group_line_detail.group_item_ref.name or "" if line.group_line_detail.group_item_ref else ""
            late_fee = late_fee or encode_lines(line.group_line_detail.line)[1]
        elif line.detail_type == "DiscountLineDetail" and line.amount:
            amount = f"-{amount}"
        rows.append((line.description or "", amount, item))
    return str(msgspec.json.encode(rows), "utf-8"), late_fee


@lru_cache(maxsize=4096)
def is_late_fee(name: str) -> bool:
    """Return whether an item or account is one for late fees; an item's name starts with its categories."""
    return name.rsplit(":", 1)[-1].casefold().startswith(_LATE_FEE)


def to_utc(at: datetime) -> datetime:
    """Return the instant in UTC; Intuit always has an offset, a missing one is taken as UTC."""
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _created_at(text: str | None) -> datetime | None:
    """Return when a record was created; None where that cannot be read, which makes nothing else unreadable."""
    try:
        return utc_instant(datetime.fromisoformat(text)) if text else None
    except ValueError:
        return None


def _status(record: Invoice) -> InvoiceStatus:
    if record.balance > 0:
        return InvoiceStatus.OPEN
    return InvoiceStatus.VOIDED if is_voided(record) else InvoiceStatus.PAID


def _closed_on(record: Invoice, payment_dates: Mapping[str, date | None]) -> date:
    """Return the date of the last payment; an invoice of 0, or paid by its own deposit, was closed when issued."""
    days = [day for one in record.linked_txn if (day := payment_dates.get(one.txn_id)) and one.txn_type == "Payment"]
    if days:
        return max(days)
    if (record.deposit or _ZERO) >= record.total_amt:
        return record.txn_date
    return record.meta_data.last_updated_time.date()


def _discount(total: Decimal, percent: Decimal, currency: str) -> Decimal:
    return round_amount(total * percent / 100, currency)
