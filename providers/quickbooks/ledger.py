"""QuickBooks Online behind the ledger port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

from policies.receivables import Company
from providers.errors import Rejected
from providers.http import READ, unclear
from providers.ledger import Choice, Deleted, LateFeeInvoice, LedgerFacts, Page, Posted
from providers.quickbooks import countries, mapping, queries, waivers
from providers.quickbooks.client import Client
from providers.quickbooks.pull import CDC_FULL, CDC_REACH, Pull
from providers.quickbooks.reader import Reader, merged
from providers.quickbooks.shapes import CdcReply, CompanyInfo, Found, Linkable, Preferences, QueryReply, Single
from providers.quickbooks.writes import Writer

LOOK_BACK = timedelta(days=2)  # where this hour pulled nothing itself: no mirror that may act is older


class QuickBooksLedger:
    """One company's books. What a pull learns (terms, days, addresses) serves the looks of the same hour."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._writer = Writer(client, lambda: self._country or self._known().company.country)
        self._facts: LedgerFacts | None = None
        self._reader: Reader | None = None
        self._country = ""
        self._pulled_since = ""

    def facts(self) -> LedgerFacts:
        """Read the organisation; two calls, once a day at most."""
        info = next(iter(self._query(queries.only("CompanyInfo")).company_info), None)
        preferences = next(iter(self._query(queries.only("Preferences")).preferences), None)
        if info is None or preferences is None:
            raise unclear(READ, "QuickBooks did not say whose books these are")
        self._facts = _facts(info, preferences)
        return self._facts

    def changes(self, cursor: str | None, now: datetime) -> Iterator[Page]:
        """Yield what changed since the cursor."""
        pull = Pull(self._client, cursor, now, lambda: self._known().company)
        self._country = pull.country
        for page in pull.pages():
            if page.last:
                self._reader, self._pulled_since = pull.reader, pull.began
            yield page

    def look(self, invoice_ids: Sequence[str], customer_ids: Sequence[str], now: datetime) -> Page:
        """Re-read these invoices, and whatever else moved of these customers since the pull: two calls as a rule."""
        page = Page(cursor="", last=True)
        reader = self._reader or self._reader_without_pull(page)
        reader.add(page, self._moved(customer_ids, now))
        _keep_only(page, set(customer_ids), with_address=self._reader is None)
        found = Found()
        for some in queries.chunks(invoice_ids):
            found.invoice += self._query(queries.select("Invoice", queries.one_of("Id", some))).invoice
        reader.add(page, found)
        there = {one.external_id for one in page.invoices} | {one.external_id for one in page.malformed}
        page.deleted += [Deleted("invoice", one, None) for one in dict.fromkeys(invoice_ids) if one not in there]
        return page

    def open_documents(self, now: datetime) -> Iterator[Page]:
        """Yield all invoices and credit memos with a balance, and all customers as the pull of this hour knows them."""
        first = Page(cursor="")
        reader = self._reader or self._reader_without_pull(first)
        yield first
        for entity, open_ones in (("CreditMemo", "Balance > '0'"), ("Invoice", "Balance > '0'"), ("Customer", "")):
            if entity == "Customer" and self._reader is None:
                return  # addresses that stand on invoices only were learned by the pull
            for found in self._pages(entity, *filter(None, [open_ones])):
                page = Page(cursor="")
                reader.add(page, found)
                yield page

    def add_note(self, invoice_id: str, text: str, key: str) -> Posted:
        """Write a note on an invoice."""
        return self._writer.add_note(invoice_id, text, key)

    def find_note(self, invoice_id: str, short_key: str) -> Posted | None:
        """Find the note whose text holds the short key."""
        return self._writer.find_note(invoice_id, short_key)

    def post_late_fee(self, fee: LateFeeInvoice, key: str) -> Posted:
        """Create the fee invoice."""
        return self._writer.post_late_fee(fee, key)

    def fee_choices(self) -> list[Choice]:
        """List how fees can be booked."""
        return self._writer.fee_choices()

    def find_invoice(self, number: str) -> Posted | None:
        """Find a live invoice by its number."""
        return self._writer.find_invoice(number)

    def waive_late_fee(self, invoice_id: str, key: str, *, reason: str = "", on: date | None = None) -> Posted:
        """Void the fee invoice, or credit it where it cannot be voided."""
        return waivers.waive(self._client, invoice_id, key, reason, on)

    def pay_link(self, invoice_id: str) -> str | None:
        """Intuit's page for this invoice, where the company takes payments online."""
        try:
            body = self._client.read("Invoice", invoice_id, {"include": "invoiceLink"})
        except Rejected:
            return None
        link = queries.decoded(bytes(queries.decoded(body, Single, READ).invoice), Linkable, READ).invoice_link
        return link if link and link.startswith(("https://", "http://")) else None

    def invoice_pdf(self, invoice_id: str) -> bytes | None:
        """The invoice as the customer knows it."""
        return self._client.pdf("Invoice", invoice_id)

    def _known(self) -> LedgerFacts:
        return self._facts or self.facts()

    def _query(self, statement: str) -> Found:
        return queries.decoded(self._client.query(statement), QueryReply, READ).query_response

    def _reader_without_pull(self, page: Page) -> Reader:
        reader = Reader(self._client, self._known().company.base_currency, {}, {})
        reader.add(page, self._query(queries.select("Term")))
        return reader

    def _moved(self, customer_ids: Sequence[str], now: datetime) -> Found:
        """What moved since the pull, deletions too; where that is too much, all payments and credits of these."""
        since = self._pulled_since or mapping.utc(now - LOOK_BACK).isoformat(timespec="seconds")
        if now - datetime.fromisoformat(since) < CDC_REACH:  # a machine may sleep for weeks in the middle of an hour
            body = self._client.changes(("Customer", "Payment", "CreditMemo"), since)
            reply = queries.decoded(body, CdcReply, READ)
            found = merged(found for response in reply.cdc_response for found in response.query_response)
            if len(found.customer) + len(found.payment) + len(found.credit_memo) < CDC_FULL:
                return found
        some = [queries.one_of("CustomerRef", ids) for ids in queries.chunks(customer_ids)]
        return merged(part for of in some for entity in ("CreditMemo", "Payment") for part in self._pages(entity, of))

    def _pages(self, entity: str, *conditions: str) -> Iterator[Found]:
        start = 1
        while True:
            found = self._query(queries.select(entity, *conditions, start=start))
            yield found
            if sum(map(len, (found.payment, found.credit_memo, found.invoice, found.customer))) < queries.PAGE:
                return
            start += queries.PAGE


def _keep_only(page: Page, customer_ids: set[str], *, with_address: bool) -> None:
    """Leave out what belongs to other customers: the next pull brings it, with all that belongs to it."""
    page.customers = [
        one for one in page.customers if one.external_id in customer_ids and (one.emails or not with_address)
    ]
    page.credits = [one for one in page.credits if one.customer_id in customer_ids]
    page.payments = [one for one in page.payments if one.customer_id in customer_ids]
    kept = {one.external_id for one in page.payments}
    kept |= {one.external_id for one in page.deleted if one.kind == "payment"}
    page.applications = [one for one in page.applications if one.source_id in kept]
    page.applications_of_sources = [one for one in page.applications_of_sources if one[1] in kept]


def _facts(info: CompanyInfo, preferences: Preferences) -> LedgerFacts:
    address = info.company_addr
    country = countries.alpha2(info.country or "") or countries.alpha2((address.country or "") if address else "")
    region = (address.country_sub_division_code or "") if address else ""
    currency, books = preferences.currency_prefs, preferences.accounting_info_prefs
    company = Company(
        name=info.company_name,
        base_currency=currency.home_currency.value if currency and currency.home_currency else "USD",
        country=country,
        time_zone=countries.time_zone(info.default_time_zone or "", country, region),
        lock_on=books.book_close_date if books else None,
    )
    named = {one.name: one.value or "" for one in info.name_value}
    return LedgerFacts(company, named.get("OfferingSku", ""), tuple(_warnings(preferences, named)))


def _warnings(preferences: Preferences, named: dict[str, str]) -> Iterator[str]:
    charges = preferences.finance_charges_prefs
    if charges and charges.annual_interest_rate:
        yield (
            f"QuickBooks has finance charges of its own switched on ({charges.annual_interest_rate} % a year)."
            " Switch off either those or the late fees here."
        )
    if named.get("SubscriptionStatus", "").upper() in {"EXPIRED", "SUSPENDED", "CANCELLED", "CANCELED"}:
        yield f"The company's QuickBooks subscription is {named['SubscriptionStatus'].lower()}."
