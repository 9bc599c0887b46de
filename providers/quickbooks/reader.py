"""Maps records onto pages, and keeps what later ones need: payment dates, and addresses that only invoices have."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from msgspec import Raw

from policies.receivables import CreditKind
from providers.ledger import ChangePage, CustomerRecord, DeletedRecord, MalformedRecord
from providers.quickbooks import applications, decoding, mapping
from providers.quickbooks.client import Client
from providers.quickbooks.deposits import DepositSource, map_deposits
from providers.quickbooks.mapping import EarlyPaymentDiscount, MappingContext
from providers.quickbooks.narrowing import read_by_ids
from providers.quickbooks.schemas import CreditMemo, Customer, Deposit, Invoice, Payment, QueryResponse, Term
from providers.quickbooks.write_offs import find_write_offs


class RecordMapper:
    """Maps the records of one pull or reload.

    ``billing_emails`` holds, per customer without an email address of its own, the address of its latest invoice. It is
    kept in the cursor, because customer and invoice seldom change in the same sync. So is ``write_off_accounts``:
    whether the accounts to which payments were deposited are of bad debts; and ``deposit_sources``.
    """

    def __init__(
        self,
        client: Client,
        home_currency: str,
        discounts: dict[str, EarlyPaymentDiscount],
        billing_emails: dict[str, str],
        write_off_accounts: dict[str, bool],
        deposit_sources: dict[str, DepositSource],
    ) -> None:
        self._client = client
        self._write_off_accounts = write_off_accounts
        self._deposit_sources = deposit_sources
        self.discounts = discounts
        self.billing_emails = billing_emails
        self._payment_dates: dict[str, date | None] = {}
        self._context = MappingContext(home_currency, discounts, self._payment_dates)
        self._customers_without_email: dict[str, CustomerRecord] = {}

    def add_records(self, page: ChangePage, found: QueryResponse) -> None:
        """Add all records to the page, in the order in which they depend on each other."""
        self._customers(page, found.customer)
        self._terms(page, found.term)
        self._credits(page, found.credit_memo)
        self._payments(page, found.payment)
        self._invoices(page, found.invoice)
        self._deposits(page, found.deposit)

    def _customers(self, page: ChangePage, raws: list[Raw]) -> None:
        for record in decoding.decode_records(raws, Customer):
            if not isinstance(record, Customer):
                _add_unmapped(page, record)
                continue
            mapped = mapping.map_customer(record, self.billing_emails.get(record.id, ""), self._context.home_currency)
            page.customers.append(mapped)
            if mapping.email_addresses(record.primary_email_addr).valid:
                self.billing_emails.pop(record.id, None)
            else:
                self.billing_emails.setdefault(record.id, "")
                self._customers_without_email[record.id] = mapped

    def _terms(self, page: ChangePage, raws: list[Raw]) -> None:
        for record in decoding.decode_records(raws, Term):
            if isinstance(record, MalformedRecord):
                page.malformed.append(record)
            elif isinstance(record, Term) and (discount := mapping.map_discount(record)):
                self.discounts[record.id] = discount
            else:
                self.discounts.pop(record.external_id if isinstance(record, DeletedRecord) else record.id, None)

    def _credits(self, page: ChangePage, raws: list[Raw]) -> None:
        for record in decoding.decode_records(raws, CreditMemo, self._context.home_currency):
            if isinstance(record, CreditMemo):
                page.credits.append(mapping.map_credit_memo(record))
            else:
                _add_unmapped(page, record)

    def _payments(self, page: ChangePage, raws: list[Raw]) -> None:
        found: list[Payment] = []
        for record in decoding.decode_records(raws, Payment, self._context.home_currency):
            if isinstance(record, Payment):
                found.append(record)
                self._payment_dates[record.id] = record.txn_date
                page.payments.append(mapping.map_payment(record))
                page.applications += applications.map_applications(record)
                page.replaced_sources.append((CreditKind.PAYMENT, record.id))
                continue
            _add_unmapped(page, record)
            if isinstance(record, DeletedRecord):
                page.replaced_sources.append((CreditKind.PAYMENT, record.external_id))
        write_offs = find_write_offs(self._client, found, self._write_off_accounts)
        page.write_offs += write_offs
        page.no_write_offs += [each.id for each in found if each.id not in write_offs]

    def _invoices(self, page: ChangePage, raws: list[Raw]) -> None:
        records: list[Invoice] = []
        for record in decoding.decode_records(raws, Invoice, self._context.home_currency):
            if isinstance(record, Invoice):
                records.append(record)
            else:
                _add_unmapped(page, record)
        self._load_payment_dates(records)
        page.invoices += [mapping.map_invoice(record, self._context) for record in records]
        for record in records:
            if record.deposit is not None:
                page.applications += applications.map_deposit(record)
                page.replaced_sources.append((CreditKind.PAYMENT, applications.deposit_id(record)))
        self._fill_missing_emails(page, records)

    def _deposits(self, page: ChangePage, raws: list[Raw]) -> None:
        found: list[Deposit] = []
        for record in decoding.decode_records(raws, Deposit, self._context.home_currency):
            if isinstance(record, MalformedRecord):
                page.malformed.append(record)
                continue
            page.replaced_deposits.append(record.external_id if isinstance(record, DeletedRecord) else record.id)
            if isinstance(record, Deposit):
                found.append(record)
        page.deposits += map_deposits(self._client, found, self._deposit_sources, self._context.home_currency)

    def _load_payment_dates(self, records: list[Invoice]) -> None:
        """Read the payments of these invoices that came in an earlier sync: the date of an edit is no payment date."""
        ids = [one for record in records for one in mapping.payments_without_date(record, self._payment_dates)]
        self._payment_dates.update(dict.fromkeys(ids, None))
        found = read_by_ids(self._client, "Payment", ids).found  # one that cannot be read has no date
        for payment in decoding.decode_records(found.payment, Payment):
            if isinstance(payment, Payment):
                self._payment_dates[payment.id] = payment.txn_date

    def _fill_missing_emails(self, page: ChangePage, records: list[Invoice]) -> None:
        """Set the address of customers without one to that of their latest invoice."""
        changed: dict[str, None] = {}
        for record in records if self.billing_emails else ():
            customer_id = record.customer_ref.value
            if customer_id not in self.billing_emails or record.bill_email is None:
                continue
            address = ",".join(mapping.email_addresses(record.bill_email).valid)
            if address and self.billing_emails[customer_id] != address:
                self.billing_emails[customer_id] = address
                changed[customer_id] = None
        if not changed:
            return
        page.customers = [one for one in page.customers if one.external_id not in changed]
        unknown = [one for one in changed if one not in self._customers_without_email]
        self._customers(page, read_by_ids(self._client, "Customer", unknown).found.customer)
        for customer_id in changed.keys() & self._customers_without_email.keys():
            customer = self._customers_without_email[customer_id]._replace(emails=self.billing_emails[customer_id])
            page.customers = [*(one for one in page.customers if one.external_id != customer_id), customer]


def merge_responses(responses: Iterable[QueryResponse]) -> QueryResponse:
    """Return the responses for several entities as one."""
    merged = QueryResponse()
    for found in responses:
        merged.customer += found.customer
        merged.term += found.term
        merged.credit_memo += found.credit_memo
        merged.payment += found.payment
        merged.invoice += found.invoice
        merged.deposit += found.deposit
    return merged


def _add_unmapped(page: ChangePage, record: DeletedRecord | MalformedRecord) -> None:
    if isinstance(record, DeletedRecord):
        page.deleted.append(record)
    else:
        page.malformed.append(record)
