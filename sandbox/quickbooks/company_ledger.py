"""The ledger of a simulated company: its objects, their ids and versions, and consistent balances.

The balance of an invoice is its total less the payments applied to it; a payment applies no more than its amount and
linked credits; a customer's balance is that of the invoices less unapplied payments and credits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sandbox.core import JsonObject
from sandbox.quickbooks.api_errors import invalid_id, not_found
from sandbox.quickbooks.entity_store import EntityStore, Entry
from sandbox.quickbooks.formats import ZERO, format_instant, format_number, round_to_cents, round_up_to_second
from sandbox.quickbooks.properties import FILTERABLE, TRANSACTIONS

REALM = "9341450000000001"  # of the company with a history
CURRENCIES = {
    "USD": "United States Dollar", "CAD": "Canadian Dollar", "EUR": "Euro", "GBP": "British Pound Sterling",
    "AUD": "Australian Dollar", "NZD": "New Zealand Dollar", "CHF": "Swiss Franc", "JPY": "Japanese Yen",
    "MXN": "Mexican Peso", "SEK": "Swedish Krona", "DKK": "Danish Krone", "NOK": "Norwegian Krone",
}  # fmt: skip


@dataclass(slots=True)
class CompanyProfile:
    """The properties of a company, which tests may change; ``rates`` are home units per foreign unit."""

    name: str
    country: str = "US"
    currency: str = "USD"
    time_zone: str = "America/Los_Angeles"
    multicurrency: bool = True
    custom_numbers: bool = False
    books_closed_on: date | None = None
    rates: dict[str, Decimal] = field(default_factory=dict)
    region: str = ""


class CompanyLedger:
    """The objects of one company (realm). Changes are dated by ``clock``, or by ``set_time`` for the history."""

    def __init__(self, realm: str, profile: CompanyProfile, now: Callable[[], datetime]) -> None:
        self.realm = realm
        self.profile = profile
        self.replies: dict[str, bytes] = {}
        self.stores = {entity: EntityStore() for entity in FILTERABLE}
        self.numbers: dict[tuple[str, str], int] = {}
        self.names: dict[tuple[str, str], int] = {}
        self.next_number = 1001
        self.poisoned: dict[tuple[str, int], int] = {}  # records that spoil every reply, with the status of that
        self.faults_inside_cdc = False  # on: such a record makes its entity a fault inside a CDC reply with status 200
        self.merges: dict[int, tuple[int, datetime]] = {}  # into whom a customer was merged, and when
        self.index_lag = timedelta()  # how long queries do not find a new note yet
        self.links_in_queries = True  # off: queries leave pay links out whatever they are asked, as some have reported
        self.clock = now
        self._fixed_time: datetime | None = None
        self._ids: dict[str, int] = {}
        self._applied_by_target: dict[tuple[str, int], dict[int, Decimal]] = {}
        self._references: dict[tuple[str, int], JsonObject] = {}
        self._applied_by_payment: dict[int, dict[tuple[str, int], Decimal]] = {}
        self._balance_shares: dict[tuple[str, int], tuple[int, Decimal]] = {}
        self._customer_balances: dict[int, Decimal] = {}
        self._sub_customers: dict[int, set[int]] = {}  # those whose balance has changed, by parent

    # Time and ids

    def current_time(self) -> datetime:
        """Return the time of changes that are made now."""
        return self._fixed_time or self.clock()

    def set_time(self, instant: datetime | None) -> None:
        """Date all following changes to ``instant`` (for the history), or to the clock's time for None."""
        self._fixed_time = instant

    def today(self) -> date:
        """Return the date in the company's time zone."""
        return self.current_time().astimezone(ZoneInfo(self.profile.time_zone)).date()

    def new_id(self, entity: str) -> int:
        """Return the next id: transactions share a sequence, every list has its own."""
        sequence = "Transaction" if entity in TRANSACTIONS else entity
        self._ids[sequence] = self._ids.get(sequence, 0) + 1
        return self._ids[sequence]

    # Finding

    def get(self, entity: str, external_id: object) -> Entry:
        """Return an object that is not deleted. Raises ``ApiFault`` if there is none."""
        text = str(external_id)
        if not text.isascii() or not text.isdigit():
            raise invalid_id(external_id)
        entry = self.stores[entity].entries.get(int(text))
        if entry is None:
            raise not_found()
        return entry

    def find(self, entity: str, external_id: object) -> Entry | None:
        """Return an object that is not deleted, or None."""
        text = str(external_id)
        return self.stores[entity].entries.get(int(text)) if text.isascii() and text.isdigit() else None

    def all(self, entity: str) -> Iterator[Entry]:
        """Yield all objects that are not deleted, by id."""
        return self.stores[entity].by_id()

    def reference(self, entry: Entry) -> JsonObject:
        """Return the reference to a list entity; all documents share its dictionary."""
        name = entry.body.get("DisplayName") or entry.body.get("Name", "")
        key = (entry.entity, entry.number)
        known = self._references.get(key)
        if known is None or known["name"] != name:
            known = self._references[key] = {"value": str(entry.number), "name": name}
        return known

    @property
    def default_tax_code(self) -> str | None:
        """The tax code of a line without one; there is none outside the United States."""
        return "NON" if self.profile.country == "US" else None

    def next_free_number(self, entity: str) -> str:
        """Return the next unused document number."""
        while (entity, str(self.next_number)) in self.numbers:
            self.next_number += 1
        self.next_number += 1
        return str(self.next_number - 1)

    # Changing

    def add(self, entity: str, body: JsonObject) -> Entry:
        """Add an object: id, version 0 and times are put in front of ``body``."""
        number, at = self.new_id(entity), round_up_to_second(self.current_time())
        times = {"CreateTime": format_instant(at), "LastUpdatedTime": format_instant(at)}
        head = {"domain": "QBO", "sparse": False, "Id": str(number), "SyncToken": "0", "MetaData": times}
        entry = Entry(entity, number, {**head, **body}, at)
        self.stores[entity].put(entry)
        return entry

    def change(self, entry: Entry, body: JsonObject, *, version: bool = True) -> None:
        """Replace the body of an object and its timestamp; ``version`` increments its SyncToken."""
        at = round_up_to_second(self.current_time())
        times = {**entry.body["MetaData"], "LastUpdatedTime": format_instant(at)}
        if version:
            suffix = self.realm[-4:]
            times["LastModifiedByRef"] = {"value": f"91303556{suffix}"}
        token = str(int(entry.body["SyncToken"]) + version)
        entry.body = {**body, "SyncToken": token, "MetaData": times}
        entry.updated_at = at
        self.stores[entry.entity].put(entry)

    def remove(self, entry: Entry) -> None:
        """Remove an object whose links and balances have been removed before."""
        key = (entry.entity, str(entry.body.get("DocNumber", "")))
        if self.numbers.get(key) == entry.number:
            del self.numbers[key]
        at = round_up_to_second(self.current_time())
        times = {"LastUpdatedTime": format_instant(at)}
        body = {"domain": "QBO", "status": "Deleted", "Id": str(entry.number), "MetaData": times}
        self.stores[entry.entity].mark_deleted(Entry(entry.entity, entry.number, body, at))

    # Links and balances

    def amount_applied_to(self, entity: str, number: int, *, except_payment: int | None = None) -> Decimal:
        """Return what payments apply to an invoice or take from a credit memo, except one payment."""
        parts = self._applied_by_target.get((entity, number), {})
        return sum((part for payment, part in parts.items() if payment != except_payment), ZERO)

    def payments_of(self, entity: str, number: int) -> list[int]:
        """Return the ids of the payments linked to an invoice or credit memo."""
        return list(self._applied_by_target.get((entity, number), ()))

    def set_applications(self, payment: Entry, applications: dict[tuple[str, int], Decimal]) -> None:
        """Replace the applications of a payment and update the balances of all affected invoices and credit memos."""
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
            store = self.stores.get(target[0])  # journal entries have none
            entry = store.entries.get(target[1]) if store is not None else None
            if entry is not None:
                self.change(entry, self.with_balance(entry.body, entry.entity, entry.number))
                self.update_customer_balance(entry)

    def with_balance(self, body: JsonObject, entity: str, number: int) -> JsonObject:
        """Return the body of an invoice or credit memo with its current balance and links."""
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
        """Update the customer's balance with this document's current share."""
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
        for affected, amount in ((old_customer, -old_share), (customer, share)):
            self._customer_balances[affected] = self._customer_balances.get(affected, ZERO) + amount
        for affected in {old_customer, customer}:
            self._refresh_customer_balance(affected)

    def _refresh_customer_balance(self, customer: int) -> None:
        entry = self.stores["Customer"].entries.get(customer)
        if entry is None:
            return
        balances = {
            "Balance": format_number(self._customer_balances.get(customer, ZERO)),
            "BalanceWithJobs": format_number(self._family_balance(customer)),
        }
        if any(entry.body[name] != amount for name, amount in balances.items()):
            # As recorded: a new balance changes the time of the customer's last change, but not the version.
            self.change(entry, {**entry.body, **balances}, version=False)
        parent = entry.body.get("ParentRef")
        if parent:
            self._sub_customers.setdefault(int(parent["value"]), set()).add(customer)
            self._refresh_customer_balance(int(parent["value"]))

    def move_to_parent(self, customer: Entry, old_parent: int | None) -> None:
        """Update the balances of the families that a customer has left and joined."""
        if old_parent is not None:
            self._sub_customers.get(old_parent, set()).discard(customer.number)
            self._refresh_customer_balance(old_parent)
        self._refresh_customer_balance(customer.number)

    def is_in_family_of(self, customer: int, head: int) -> bool:
        """Return whether a customer is another one, or one of its sub-customers, whose invoices it may pay."""
        entry = self.stores["Customer"].entries.get(customer)
        parent = (entry.body.get("ParentRef") or {}).get("value") if entry is not None else None
        return customer == head or (parent is not None and self.is_in_family_of(int(parent), head))

    def _family_balance(self, customer: int) -> Decimal:
        """Return the balance of a customer and all sub-customers."""
        own = self._customer_balances.get(customer, ZERO)
        return own + sum(map(self._family_balance, self._sub_customers.get(customer, ())), ZERO)

    def book_on_no_invoice(self, customer: int, amount: Decimal) -> None:
        """Book a deposit or a journal entry of a customer on accounts receivable: no invoice is linked to it."""
        self._customer_balances[customer] = self._customer_balances.get(customer, ZERO) - amount
        self._refresh_customer_balance(customer)
