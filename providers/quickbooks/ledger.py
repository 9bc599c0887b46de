"""QuickBooks Online behind the ledger port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import available_timezones

from policies.receivables import Company
from providers.calls import CallKind
from providers.errors import PermanentError, ProviderError
from providers.geo import country_code, currency_of, holiday_region, time_zone
from providers.http import ambiguous_reply_error
from providers.ledger import (
    ChangePage,
    CompanyDetails,
    DeletedRecord,
    DocumentRef,
    FeePostingOption,
    LateFeeInvoice,
    NewNote,
    RecordKind,
    WaivedPart,
)
from providers.quickbooks import mapping, narrowing, queries, waivers
from providers.quickbooks.client import Client
from providers.quickbooks.faults import SUBSCRIPTION_ENDED
from providers.quickbooks.narrowing import PageRead
from providers.quickbooks.pull import CDC_OBJECTS_MAX, CDC_WINDOW, Pull
from providers.quickbooks.reader import RecordMapper, merge_responses
from providers.quickbooks.schemas import (
    CompanyInfo,
    InvoiceWithLink,
    Preferences,
    QueryReply,
    QueryResponse,
    SingleReply,
)
from providers.quickbooks.writes import LedgerWriter

_RELOADED = ("Customer", "Payment", "CreditMemo")
LINKS_PER_QUERY = 30  # Intuit makes the links one by one: longer lists have timed out
LINKS_COMPARED = 3  # invoices asked for one by one where a query tells no link
RELOAD_WINDOW = timedelta(days=2)  # where this run has not pulled: no mirror that may be acted on is older


class QuickBooksLedger:
    """The ledger of one company. What a pull learns (terms, payment dates, addresses) is used until the run ends."""

    notes_per_batch = 30  # what Intuit recommends at most

    def __init__(self, client: Client) -> None:
        self._client = client
        self._writer = LedgerWriter(client, lambda: self._country or self._cached_details().company.country)
        self._details: CompanyDetails | None = None
        self._reader: RecordMapper | None = None
        self._country = ""
        self._pulled_since = ""
        self._compared = 0
        self._queries_have_links: bool | None = None  # some have seen queries without them; None: not known yet

    def get_company_details(self) -> CompanyDetails:
        """Read company and preferences: two calls."""
        info = next(iter(self._query(queries.select_single("CompanyInfo")).company_info), None)
        preferences = next(iter(self._query(queries.select_single("Preferences")).preferences), None)
        if info is None or preferences is None:
            raise ambiguous_reply_error(CallKind.READ, "QuickBooks did not return the company")
        self._details = _build_company_details(info, preferences)
        return self._details

    def list_changes(self, cursor: str | None, now: datetime) -> Iterator[ChangePage]:
        """Yield what changed since the cursor."""
        pull = Pull(self._client, cursor, now, lambda: self._cached_details().company)
        self._country = pull.country
        for page in pull.pages():
            if page.is_last:
                self._reader, self._pulled_since = pull.reader, pull.started_at
            yield page

    def reload_documents(self, invoice_ids: Sequence[str], customer_ids: Sequence[str], now: datetime) -> ChangePage:
        """Read these invoices and what else has changed for these customers since the pull: usually two calls."""
        page = ChangePage(cursor="", is_last=True)
        reader = self._reader or self._reader_without_pull(page)
        reader.add_records(page, self._load_changed_since_pull(page, customer_ids, now))
        _filter_by_customer(page, set(customer_ids), with_address=self._reader is None)
        read = narrowing.read_by_ids(self._client, "Invoice", invoice_ids)
        reader.add_records(page, read.found)
        page.malformed += read.set_aside
        received = {one.external_id for one in page.invoices} | {one.external_id for one in page.malformed}
        gone = [invoice_id for invoice_id in dict.fromkeys(invoice_ids) if invoice_id not in received]
        page.deleted += [DeletedRecord(RecordKind.INVOICE, invoice_id, None) for invoice_id in gone]
        return page

    def list_open_documents(self, now: datetime) -> Iterator[ChangePage]:
        """Yield all invoices and credit memos with a balance, and all customers if this run has pulled."""
        first = ChangePage(cursor="")
        reader = self._reader or self._reader_without_pull(first)
        yield first
        for entity, condition in (("CreditMemo", "Balance > '0'"), ("Invoice", "Balance > '0'"), ("Customer", "")):
            if entity == "Customer" and self._reader is None:
                return  # only a pull knows the addresses that are on invoices alone
            for read in self._pages(entity, *filter(None, [condition])):
                page = ChangePage(cursor="", malformed=read.set_aside)
                reader.add_records(page, read.found)
                yield page

    def add_note(self, invoice_id: str, text: str, key: str) -> DocumentRef:
        """Write a note on an invoice."""
        return self._writer.add_note(invoice_id, text, key)

    def add_notes(self, notes: Sequence[NewNote]) -> list[DocumentRef | ProviderError]:
        """Write several notes in one call."""
        return self._writer.add_notes(notes)

    def find_note(self, invoice_id: str, short_key: str) -> DocumentRef | None:
        """Find a note by the short key that its text holds."""
        return self._writer.find_note(invoice_id, short_key)

    def post_late_fee(self, fee: LateFeeInvoice, key: str) -> DocumentRef:
        """Create the fee invoice."""
        return self._writer.post_late_fee(fee, key)

    def list_fee_posting_options(self) -> list[FeePostingOption]:
        """List the service items and tax codes a fee can have."""
        return self._writer.list_fee_posting_options()

    def find_invoice(self, number: str) -> DocumentRef | None:
        """Find an invoice by its number, unless it is void."""
        return self._writer.find_invoice(number)

    def waive_late_fee(
        self, invoice_id: str, key: str, *, reason: str = "", on: date | None = None, part: WaivedPart | None = None
    ) -> DocumentRef:
        """Void the fee invoice, or credit it where it cannot be voided, or only a part of it is waived."""
        return waivers.waive(self._client, invoice_id, key, reason, on, part)

    def get_payment_link(self, invoice_id: str) -> str | None:
        """Return Intuit's page for this invoice, if the company takes online payments."""
        try:
            body = self._client.read("Invoice", invoice_id, {"include": "invoiceLink"})
        except PermanentError:
            return None
        invoice = queries.decode_reply(body, SingleReply, CallKind.READ).invoice
        return _web_link(queries.decode_reply(bytes(invoice), InvoiceWithLink, CallKind.READ).invoice_link)

    def get_payment_links(self, invoice_ids: Sequence[str]) -> dict[str, str | None]:
        """Return the payment pages of many invoices by a query, one by one where that does not tell them."""
        links: dict[str, str | None] = {}
        for chunk in queries.chunks(invoice_ids, LINKS_PER_QUERY):
            found = self._query_payment_links(chunk) if self._queries_have_links is not False else {}
            for invoice_id in chunk:
                if self._queries_have_links:
                    links[invoice_id] = found.get(invoice_id)
                    continue
                links[invoice_id] = self.get_payment_link(invoice_id)
                if self._queries_have_links is None:
                    self._compare_with_query(links[invoice_id])
        return links

    def _compare_with_query(self, link: str | None) -> None:
        """Note whether an invoice has a link that no query has told; a few without one are taken for what they are."""
        self._compared += 1
        if link:
            self._queries_have_links = False
        elif self._compared >= LINKS_COMPARED:
            self._queries_have_links = True

    def _query_payment_links(self, invoice_ids: Sequence[str]) -> dict[str, str]:
        statement = queries.select("Invoice", queries.is_in("Id", invoice_ids))
        try:
            body = self._client.query(statement, {"include": "invoiceLink"})
        except PermanentError:  # a record spoils the reply
            self._queries_have_links = False
            return {}
        raw = queries.decode_reply(body, QueryReply, CallKind.READ).query_response.invoice
        found = [queries.decode_reply(bytes(each), InvoiceWithLink, CallKind.READ) for each in raw]
        links = {one.id: link for one in found if (link := _web_link(one.invoice_link))}
        if links:
            self._queries_have_links = True
        return links

    def get_invoice_pdf(self, invoice_id: str) -> bytes | None:
        """Return the invoice as QuickBooks prints it."""
        return self._client.pdf("Invoice", invoice_id)

    def _cached_details(self) -> CompanyDetails:
        return self._details or self.get_company_details()

    def _query(self, statement: str) -> QueryResponse:
        return queries.decode_reply(self._client.query(statement), QueryReply, CallKind.READ).query_response

    def _reader_without_pull(self, page: ChangePage) -> RecordMapper:
        reader = RecordMapper(self._client, self._cached_details().company.base_currency, {}, {}, {}, {})
        reader.add_records(page, self._query(queries.select("Term")))
        return reader

    def _load_changed_since_pull(self, page: ChangePage, customer_ids: Sequence[str], now: datetime) -> QueryResponse:
        """Return what has changed since the pull; if that is too much, all payments and credits of the customers.

        What cannot be read is added to ``page.malformed``.
        """
        since = self._pulled_since or mapping.to_utc(now - RELOAD_WINDOW).isoformat(timespec="seconds")
        if now - datetime.fromisoformat(since) < CDC_WINDOW:  # a computer may sleep for weeks in the middle of a run
            reply = narrowing.read_changes(self._client, _RELOADED, since)
            if reply is None:  # a record spoils it
                return self._load_pages(page, _RELOADED, [f"MetaData.LastUpdatedTime >= '{since}'"])
            found = merge_responses(found for response in reply.cdc_response for found in response.query_response)
            if len(found.customer) + len(found.payment) + len(found.credit_memo) < CDC_OBJECTS_MAX:
                return found
        conditions = [queries.is_in("CustomerRef", ids) for ids in queries.chunks(customer_ids)]
        return self._load_pages(page, ("CreditMemo", "Payment"), conditions)

    def _load_pages(self, page: ChangePage, entities: Sequence[str], conditions: Sequence[str]) -> QueryResponse:
        reads = [read for condition in conditions for entity in entities for read in self._pages(entity, condition)]
        for read in reads:
            page.malformed += read.set_aside
        return merge_responses(read.found for read in reads)

    def _pages(self, entity: str, *conditions: str) -> Iterator[PageRead]:
        start = 1
        while True:
            read = narrowing.read_page(self._client, entity, *conditions, start_position=start)
            yield read
            if read.positions < queries.PAGE_SIZE:
                return
            start += queries.PAGE_SIZE


def _web_link(link: str | None) -> str | None:
    return link if link and link.startswith(("https://", "http://")) else None


def _filter_by_customer(page: ChangePage, customer_ids: set[str], *, with_address: bool) -> None:
    """Remove what belongs to other customers: the next pull returns it, with everything that belongs to it."""
    page.customers = [
        one for one in page.customers if one.external_id in customer_ids and (one.emails or not with_address)
    ]
    page.credits = [one for one in page.credits if one.customer_id in customer_ids]
    page.payments = [one for one in page.payments if one.customer_id in customer_ids]
    kept = {one.external_id for one in page.payments}
    kept |= {one.external_id for one in page.deleted if one.kind == RecordKind.PAYMENT}
    page.applications = [one for one in page.applications if one.source_id in kept]
    page.replaced_sources = [one for one in page.replaced_sources if one[1] in kept]


def _build_company_details(info: CompanyInfo, preferences: Preferences) -> CompanyDetails:
    address = info.company_addr
    country = country_code(info.country or "") or country_code((address.country or "") if address else "")
    region = (address.country_sub_division_code or "") if address else ""
    currency, accounting = preferences.currency_prefs, preferences.accounting_info_prefs
    company = Company(
        name=info.company_name,
        base_currency=currency.home_currency.value if currency and currency.home_currency else currency_of(country),
        country=country,
        time_zone=_company_time_zone(info.default_time_zone or "", country, region),
        lock_on=accounting.book_close_date if accounting else None,
        holiday_region=holiday_region(country, region),
    )
    named = {one.name: one.value or "" for one in info.name_value}
    return CompanyDetails(
        company, named.get("OfferingSku", ""), tuple(_warnings(preferences, named, company.base_currency))
    )


def _company_time_zone(name: str, country: str, region: str) -> str:
    """Return the IANA zone that a company has set, else the likeliest one of its address, else UTC."""
    return name if name in available_timezones() else time_zone(country, region) or "UTC"


def _warnings(preferences: Preferences, name_values: dict[str, str], currency: str) -> Iterator[str]:
    if not currency:
        yield (
            "QuickBooks names no home currency for this company, and its country has none of its own. Invoices without"
            " a currency are not read until one is set there (Account and settings, Advanced, Currency)."
        )
    charges = preferences.finance_charges_prefs
    if charges and charges.annual_interest_rate:
        yield (
            f"QuickBooks' own finance charges are switched on ({charges.annual_interest_rate} % a year)."
            " Switch off either those or the late fees here."
        )
    if name_values.get("SubscriptionStatus", "").upper() in {"EXPIRED", "SUSPENDED", "CANCELLED", "CANCELED"}:
        yield f"{SUBSCRIPTION_ENDED}."
