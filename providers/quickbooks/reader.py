"""Fills pages with records, and keeps what later records need: the days of payments, addresses of the address-less."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from msgspec import Raw

from providers.http import READ
from providers.ledger import CustomerRecord, Deleted, Malformed, Page
from providers.quickbooks import mapping
from providers.quickbooks.client import Client
from providers.quickbooks.mapping import Books, Offer
from providers.quickbooks.queries import chunks, decoded, one_of, select
from providers.quickbooks.shapes import CreditMemo, Customer, Found, Invoice, Payment, QueryReply, Term


class Reader:
    """Maps what one pull (or one look) finds.

    ``bill_to`` holds, per customer without a mail address of his own, the last address one of his invoices was billed
    to; it lives on in the cursor, because customer and invoice seldom come in the same hour.
    """

    def __init__(self, client: Client, home_currency: str, offers: dict[str, Offer], bill_to: dict[str, str]) -> None:
        self._client = client
        self.offers = offers
        self.bill_to = bill_to
        self._paid_on: dict[str, date | None] = {}
        self._books = Books(home_currency, offers, self._paid_on)
        self._without_address: dict[str, CustomerRecord] = {}

    def add(self, page: Page, found: Found) -> None:
        """Add everything found to the page, in the order in which one record needs another."""
        self._customers(page, found.customer)
        self._terms(page, found.term)
        self._credits(page, found.credit_memo)
        self._payments(page, found.payment)
        self._invoices(page, found.invoice)

    def _customers(self, page: Page, raws: list[Raw]) -> None:
        for record in mapping.read(raws, Customer):
            if not isinstance(record, Customer):
                _put_aside(page, record)
                continue
            mapped = mapping.customer(record, self.bill_to.get(record.id, ""))
            page.customers.append(mapped)
            own = record.primary_email_addr and mapping.addresses(record.primary_email_addr.address)
            if own:
                self.bill_to.pop(record.id, None)
            else:
                self.bill_to.setdefault(record.id, "")
                self._without_address[record.id] = mapped

    def _terms(self, page: Page, raws: list[Raw]) -> None:
        for record in mapping.read(raws, Term):
            if isinstance(record, Malformed):
                page.malformed.append(record)
            elif isinstance(record, Term) and (offer := mapping.offer(record)):
                self.offers[record.id] = offer
            else:
                self.offers.pop(record.external_id if isinstance(record, Deleted) else record.id, None)

    def _credits(self, page: Page, raws: list[Raw]) -> None:
        for record in mapping.read(raws, CreditMemo):
            if isinstance(record, CreditMemo):
                page.credits.append(mapping.credit(record, self._books))
            else:
                _put_aside(page, record)

    def _payments(self, page: Page, raws: list[Raw]) -> None:
        for record in mapping.read(raws, Payment):
            if isinstance(record, Payment):
                self._paid_on[record.id] = record.txn_date
                page.payments.append(mapping.payment(record, self._books))
                page.applications += mapping.applications(record)
                page.applications_of_sources.append(("payment", record.id))
                continue
            _put_aside(page, record)
            if isinstance(record, Deleted):
                page.applications_of_sources.append(("payment", record.external_id))

    def _invoices(self, page: Page, raws: list[Raw]) -> None:
        records: list[Invoice] = []
        for record in mapping.read(raws, Invoice):
            if isinstance(record, Invoice):
                records.append(record)
            else:
                _put_aside(page, record)
        self._learn_days(records)
        page.invoices += [mapping.invoice(record, self._books) for record in records]
        self._take_addresses(page, records)

    def _learn_days(self, records: list[Invoice]) -> None:
        """Ask for payments that settled one of these and came in an earlier hour; the day of an edit is no pay day."""
        ids = [one for record in records for one in mapping.unsettled_payments(record, self._paid_on)]
        for some in chunks(ids):
            self._paid_on.update(dict.fromkeys(some, None))
            body = self._client.query(select("Payment", one_of("Id", some)))
            for payment in mapping.read(decoded(body, QueryReply, READ).query_response.payment, Payment):
                if isinstance(payment, Payment):
                    self._paid_on[payment.id] = payment.txn_date

    def _take_addresses(self, page: Page, records: list[Invoice]) -> None:
        """Give a customer without an address the one that his newest invoice was billed to."""
        changed: dict[str, None] = {}
        for record in records if self.bill_to else ():
            customer_id = record.customer_ref.value
            if customer_id not in self.bill_to or record.bill_email is None:
                continue
            address = mapping.addresses(record.bill_email.address)
            if address and self.bill_to[customer_id] != address:
                self.bill_to[customer_id] = address
                changed[customer_id] = None
        if not changed:
            return
        page.customers = [one for one in page.customers if one.external_id not in changed]
        for some in chunks(one for one in changed if one not in self._without_address):
            body = self._client.query(select("Customer", one_of("Id", some)))
            self._customers(page, decoded(body, QueryReply, READ).query_response.customer)
        for customer_id in changed.keys() & self._without_address.keys():
            known = self._without_address[customer_id]._replace(emails=self.bill_to[customer_id])
            page.customers = [*(one for one in page.customers if one.external_id != customer_id), known]


def merged(founds: Iterable[Found]) -> Found:
    """The answers about several entities as one."""
    whole = Found()
    for found in founds:
        whole.customer += found.customer
        whole.term += found.term
        whole.credit_memo += found.credit_memo
        whole.payment += found.payment
        whole.invoice += found.invoice
    return whole


def _put_aside(page: Page, record: Deleted | Malformed) -> None:
    if isinstance(record, Deleted):
        page.deleted.append(record)
    else:
        page.malformed.append(record)
