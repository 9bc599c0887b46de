"""One make-believe company's books: its objects, their ids and versions, and the balances that always add up.

For every invoice, Balance = TotalAmt - what payments apply to it; a payment applies no more than it brings in money and
in credit; a customer owes the balances of his invoices less what is unapplied and less his open credits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.quickbooks.api_errors import invalid_id, not_found
from sandbox.quickbooks.entity_store import EntityStore, Entry
from sandbox.quickbooks.formats import ZERO, format_instant, format_number, round_to_cents, round_up_to_second
from sandbox.quickbooks.properties import FILTERABLE, TRANSACTIONS

JsonObject = dict[str, Any]
REALM = "9341450000000001"  # of the company that has a history
CURRENCIES = {
    "USD": "United States Dollar", "CAD": "Canadian Dollar", "EUR": "Euro", "GBP": "British Pound Sterling",
    "AUD": "Australian Dollar", "NZD": "New Zealand Dollar", "CHF": "Swiss Franc", "JPY": "Japanese Yen",
    "MXN": "Mexican Peso", "SEK": "Swedish Krona", "DKK": "Danish Krone", "NOK": "Norwegian Krone",
}  # fmt: skip


@dataclass(slots=True)
class CompanyProfile:
    """What kind of company this is; tests may change every bit of it. ``rates`` are home units per foreign unit."""

    name: str
    country: str = "US"
    currency: str = "USD"
    time_zone: str = "America/Los_Angeles"
    multicurrency: bool = True
    custom_numbers: bool = False
    books_closed_on: date | None = None
    rates: dict[str, Decimal] = field(default_factory=dict)


class CompanyLedger:
    """The objects of one company (realm). Time is asked of ``clock``; history passes its own instant to ``at``."""

    def __init__(self, realm: str, profile: CompanyProfile, now: Callable[[], datetime]) -> None:
        self.realm = realm
        self.profile = profile
        self.replies: dict[str, bytes] = {}
        self.stores = {entity: EntityStore() for entity in FILTERABLE}
        self.numbers: dict[tuple[str, str], int] = {}
        self.names: dict[tuple[str, str], int] = {}
        self.next_number = 1001
        self.clock = now
        self._fixed_time: datetime | None = None
        self._ids: dict[str, int] = {}
        self._applied_by_target: dict[tuple[str, int], dict[int, Decimal]] = {}
        self._references: dict[tuple[str, int], JsonObject] = {}
        self._applied_by_payment: dict[int, dict[tuple[str, int], Decimal]] = {}
        self._balance_shares: dict[tuple[str, int], tuple[int, Decimal]] = {}
        self._customer_balances: dict[int, Decimal] = {}

    # time and identity

    def current_time(self) -> datetime:
        """Return the instant at which changes happen now."""
        return self._fixed_time or self.clock()

    def set_time(self, instant: datetime | None) -> None:
        """Let the following changes happen at ``instant`` (the making of history); ``None`` ends that."""
        self._fixed_time = instant

    def today(self) -> date:
        """Return the company's own calendar day."""
        return self.current_time().astimezone(ZoneInfo(self.profile.time_zone)).date()

    def new_id(self, entity: str) -> int:
        """Hand out the next id: transactions share one sequence, every list has its own."""
        sequence = "Transaction" if entity in TRANSACTIONS else entity
        self._ids[sequence] = self._ids.get(sequence, 0) + 1
        return self._ids[sequence]

    # finding

    def get(self, entity: str, external_id: object) -> Entry:
        """Return the living object or refuse as the vendor does."""
        text = str(external_id)
        if not text.isascii() or not text.isdigit():
            raise invalid_id(external_id)
        entry = self.stores[entity].entries.get(int(text))
        if entry is None:
            raise not_found()
        return entry

    def find(self, entity: str, external_id: object) -> Entry | None:
        """Return the living object, or None."""
        text = str(external_id)
        return self.stores[entity].entries.get(int(text)) if text.isascii() and text.isdigit() else None

    def all(self, entity: str) -> Iterator[Entry]:
        """Yield all living objects by id."""
        return self.stores[entity].by_id()

    def reference(self, entry: Entry) -> JsonObject:
        """Return the reference that documents hold to a name; one dictionary for all of them."""
        name = entry.body.get("DisplayName") or entry.body.get("Name", "")
        key = (entry.entity, entry.number)
        known = self._references.get(key)
        if known is None or known["name"] != name:
            known = self._references[key] = {"value": str(entry.number), "name": name}
        return known

    @property
    def default_tax_code(self) -> str | None:
        """What a line without a tax code gets: outside the United States there is no default."""
        return "NON" if self.profile.country == "US" else None

    def next_free_number(self, entity: str) -> str:
        """Hand out the next document number that is not taken."""
        while (entity, str(self.next_number)) in self.numbers:
            self.next_number += 1
        self.next_number += 1
        return str(self.next_number - 1)

    # changing

    def add(self, entity: str, body: JsonObject) -> Entry:
        """Put a new object into the books: identity, version 0 and times are added in front of ``body``."""
        number, at = self.new_id(entity), round_up_to_second(self.current_time())
        times = {"CreateTime": format_instant(at), "LastUpdatedTime": format_instant(at)}
        head = {"domain": "QBO", "sparse": False, "Id": str(number), "SyncToken": "0", "MetaData": times}
        entry = Entry(entity, number, {**head, **body}, at)
        self.stores[entity].put(entry)
        return entry

    def change(self, entry: Entry, body: JsonObject, *, version: bool = True) -> None:
        """Give an object a new body and stamp it; ``version`` raises its SyncToken."""
        at = round_up_to_second(self.current_time())
        times = {**entry.body["MetaData"], "LastUpdatedTime": format_instant(at)}
        if version:
            who = self.realm[-4:]
            times["LastModifiedByRef"] = {"value": f"91303556{who}"}
        token = str(int(entry.body["SyncToken"]) + version)
        entry.body = {**body, "SyncToken": token, "MetaData": times}
        entry.updated_at = at
        self.stores[entry.entity].put(entry)

    def remove(self, entry: Entry) -> None:
        """Take an object out of the books; links and balances were undone before."""
        key = (entry.entity, str(entry.body.get("DocNumber", "")))
        if self.numbers.get(key) == entry.number:
            del self.numbers[key]
        at = round_up_to_second(self.current_time())
        times = {"LastUpdatedTime": format_instant(at)}
        body = {"domain": "QBO", "status": "Deleted", "Id": str(entry.number), "MetaData": times}
        self.stores[entry.entity].mark_deleted(Entry(entry.entity, entry.number, body, at))

    # links and balances

    def amount_applied_to(self, entity: str, number: int, *, except_payment: int | None = None) -> Decimal:
        """Return what payments apply to an invoice, or take from a credit memo, leaving out one payment."""
        parts = self._applied_by_target.get((entity, number), {})
        return sum((part for payment, part in parts.items() if payment != except_payment), ZERO)

    def payments_of(self, entity: str, number: int) -> list[int]:
        """Return the ids of the payments linked to an invoice or credit memo."""
        return list(self._applied_by_target.get((entity, number), ()))

    def set_applications(self, payment: Entry, applications: dict[tuple[str, int], Decimal]) -> None:
        """Replace what a payment applies; every invoice and credit memo it touches or touched is settled anew."""
        before = self._applied_by_payment.pop(payment.number, {})
        if applications:
            self._applied_by_payment[payment.number] = applications
        for target in {**before, **applications}:
            if before.get(target) == applications.get(target):
                continue
            by = self._applied_by_target.setdefault(target, {})
            by.pop(payment.number, None)
            if target in applications:
                by[payment.number] = applications[target]
            entry = self.stores[target[0]].entries.get(target[1])
            if entry is not None:
                self.change(entry, self.with_balance(entry.body, entry.entity, entry.number))
                self.update_customer_balance(entry)

    def with_balance(self, body: JsonObject, entity: str, number: int) -> JsonObject:
        """Return an invoice's or credit memo's body with the balance and links that payments leave it."""
        by = self._applied_by_target.get((entity, number), {})
        balance = body["TotalAmt"] - sum(by.values(), ZERO)
        links = [{"TxnId": str(payment), "TxnType": "Payment"} for payment in by]
        body = {**body, "LinkedTxn": links, "Balance": format_number(balance)}
        if entity == "CreditMemo":
            body["RemainingCredit"] = format_number(balance)
        if "ExchangeRate" in body:
            body["HomeBalance"] = format_number(round_to_cents(balance * body["ExchangeRate"]))
        return body

    def update_customer_balance(self, entry: Entry, *, removed: bool = False) -> None:
        """Bring the customer's balance up to date with what this document now adds to it."""
        body = entry.body
        share = ZERO if removed else body["UnappliedAmt"] if entry.entity == "Payment" else body["Balance"]
        if entry.entity != "Invoice":
            share = -share
        customer = int(body["CustomerRef"]["value"])
        key = (entry.entity, entry.number)
        old_customer, old_share = self._balance_shares.get(key, (customer, ZERO))
        if (old_customer, old_share) == (customer, share):
            return
        self._balance_shares[key] = (customer, share)
        for who, amount in ((old_customer, -old_share), (customer, share)):
            self._customer_balances[who] = self._customer_balances.get(who, ZERO) + amount
        for who in {old_customer, customer}:
            self._refresh_customer_balance(who)

    def _refresh_customer_balance(self, customer: int) -> None:
        entry = self.stores["Customer"].entries.get(customer)
        if entry is None:
            return
        balance = format_number(self._customer_balances.get(customer, ZERO))
        if entry.body["Balance"] != balance:
            # As recorded: a balance moves the time of the customer's last change, but not his version.
            self.change(entry, {**entry.body, "Balance": balance, "BalanceWithJobs": balance}, version=False)
