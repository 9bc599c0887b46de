"""The incremental pull: everything by query the first time, then one change data capture (CDC) per sync.

Pages are ordered by id, and each starts with the last record of the page before: if that is missing, something before
it was deleted meanwhile, the pages have shifted, and reading continues further up. Edits can only repeat records. The
next pull starts where this one started (by the earlier of both clocks) less an overlap; the mirror's upserts are
idempotent. Intuit lists deletions for 30 days and 1,000 changes; beyond either, everything is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from policies.receivables import Company
from providers.calls import CallKind
from providers.ledger import ChangePage
from providers.quickbooks import decoding, mapping, narrowing, queries
from providers.quickbooks.client import Client
from providers.quickbooks.deposits import DepositSource
from providers.quickbooks.mapping import EarlyPaymentDiscount
from providers.quickbooks.narrowing import PageRead
from providers.quickbooks.reader import RecordMapper, merge_responses
from providers.quickbooks.schemas import QueryReply, QueryResponse

ENTITIES: Final = (
    "Customer",
    "Term",
    "CreditMemo",
    "Payment",
    "Invoice",
)  # invoices last: mapping them needs all the others
CHANGING: Final = (*ENTITIES, "Deposit")  # deposits only as they change: old ones are nobody's open money
OVERLAP: Final = timedelta(minutes=5)
CDC_WINDOW: Final = timedelta(days=29)  # Intuit's is 30 days; clocks may differ by one
CDC_OBJECTS_MAX: Final = 1000  # the objects of one reply, which has no second page
REREAD_STEP: Final = 900  # positions to go back when a page has shifted
LASTING_AFTER: Final = timedelta(hours=3)  # a failure that has kept pulls from ending for so long does not pass
FULL_RESYNC_DELAY: Final = timedelta(hours=20)


class Cursor(Struct, omit_defaults=True):
    """Where the next page starts, and what is known of the company; between pulls the rest is empty.

    Attributes:
        changed_since: ISO text; "" to read everything.
        full_resync_after: ISO text, set when deletions may have been missed: the first pull after it reads everything.
        entity: Set while a pull by query is in progress.
        billing_emails: Per customer without an address of its own, that of its latest invoice.
        write_off_accounts: Per account to which a payment was deposited, whether it is one of bad debts.
        deposit_sources: Per account that a deposit was booked from, what that says about the money.
    """

    changed_since: str = ""
    full_resync_after: str = ""
    started_at: str = ""
    entity: str = ""
    start_position: int = 1
    last_id: str = ""
    expected_count: int | None = None
    home_currency: str = ""
    country: str = ""
    discounts: dict[str, EarlyPaymentDiscount] = {}
    billing_emails: dict[str, str] = {}
    write_off_accounts: dict[str, bool] = {}
    deposit_sources: dict[str, DepositSource] = {}

    def to_json(self) -> str:
        """Return the cursor as JSON text."""
        return str(msgspec.json.encode(self), "utf-8")

    def for_next_pull(self) -> Cursor:
        """Return the cursor with which the next pull starts."""
        return Cursor(
            changed_since=self.started_at,
            full_resync_after=self.full_resync_after,
            home_currency=self.home_currency,
            country=self.country,
            discounts=self.discounts,
            billing_emails=self.billing_emails,
            write_off_accounts=self.write_off_accounts,
            deposit_sources=self.deposit_sources,
        )


class Pull:
    """One pull, possibly resumed."""

    def __init__(
        self, client: Client, stored_cursor: str | None, now: datetime, get_company: Callable[[], Company]
    ) -> None:
        self._client = client
        self._now = now
        self._cursor = msgspec.json.decode(stored_cursor, type=Cursor) if stored_cursor else Cursor()
        if not self._cursor.home_currency:
            self._cursor.home_currency, self._cursor.country = get_company().base_currency, get_company().country
        self.reader = RecordMapper(
            client,
            self._cursor.home_currency,
            self._cursor.discounts,
            self._cursor.billing_emails,
            self._cursor.write_off_accounts,
            self._cursor.deposit_sources,
        )

    @property
    def started_at(self) -> str:
        """The start of this pull less the overlap, as ISO text."""
        return self._cursor.started_at

    @property
    def country(self) -> str:
        """The company's country."""
        return self._cursor.country

    def pages(self) -> Iterator[ChangePage]:
        """Yield the pages, starting at the cursor."""
        if self._cursor.entity:
            yield from self._pull_by_query(full_resync=False)
        elif not self._cursor.changed_since:
            yield from self._pull_everything(full_resync=False)
        elif self._now - datetime.fromisoformat(self._cursor.changed_since) > CDC_WINDOW or self._full_resync_due():
            yield from self._pull_everything(full_resync=True)
        else:
            yield from self._pull_by_cdc()

    def _full_resync_due(self) -> bool:
        return bool(self._cursor.full_resync_after) and self._now >= datetime.fromisoformat(
            self._cursor.full_resync_after
        )

    def _is_failure_lasting(self) -> bool:
        """Return whether no pull has come to its end for hours: a first one never has."""
        since = self._cursor.changed_since
        return not since or self._now - datetime.fromisoformat(since) > LASTING_AFTER

    def _pull_everything(self, *, full_resync: bool) -> Iterator[ChangePage]:
        self._cursor.changed_since, self._cursor.full_resync_after, self._cursor.entity = "", "", ENTITIES[0]
        self._cursor.expected_count = self._count_records()
        yield from self._pull_by_query(full_resync=full_resync)

    def _pull_by_cdc(self) -> Iterator[ChangePage]:
        reply = narrowing.read_changes(
            self._client, CHANGING, self._cursor.changed_since, is_lasting=self._is_failure_lasting()
        )
        if reply is None:  # a record spoils it: each entity is queried, around that record
            self._query_what_changed()
            yield from self._pull_by_query(full_resync=False)
            return
        self._set_started_at(reply.time)
        merged = merge_responses(found for response in reply.cdc_response for found in response.query_response)
        page = self._map_page(merged)
        page.expected_count = size = sum(len(narrowing.raw_records(merged, entity)) for entity in CHANGING)
        if size < CDC_OBJECTS_MAX:
            page.is_last = True
            page.cursor = self._cursor.for_next_pull().to_json()
            yield page
            return
        self._query_what_changed()  # the reply is full, so some changes are missing
        page.cursor = self._cursor.to_json()
        yield page
        yield from self._pull_by_query(full_resync=False)

    def _query_what_changed(self) -> None:
        """Turn to queries. Missing deletions are found later by a full resync, at most once a day.

        Until then, reloading before anything is sent finds a deleted invoice.
        """
        self._cursor.entity, self._cursor.expected_count = ENTITIES[0], None
        self._cursor.full_resync_after = self._cursor.full_resync_after or (self._now + FULL_RESYNC_DELAY).isoformat(
            timespec="seconds"
        )

    def _pull_by_query(self, *, full_resync: bool) -> Iterator[ChangePage]:
        while self._cursor.entity:
            page = self._read_next_page()
            page.full_resync, full_resync = full_resync, False
            yield page

    def _read_next_page(self) -> ChangePage:
        """Read one page by query and move the cursor behind it."""
        cursor = self._cursor
        found, _time, count, set_aside = self._read_page_at_cursor()
        raws = narrowing.raw_records(found, cursor.entity)
        if raws:
            last_id = decoding.record_id(raws[-1])
            if decoding.record_id(raws[0]) == cursor.last_id:
                del raws[0]
            cursor.last_id = last_id
        page = self._map_page(found)
        page.malformed += set_aside
        if count == queries.PAGE_SIZE:
            cursor.start_position += queries.PAGE_SIZE - 1
        else:
            entities = CHANGING if cursor.changed_since else ENTITIES
            cursor.entity, cursor.start_position, cursor.last_id = _entity_after(cursor.entity, entities), 1, ""
        page.is_last = not cursor.entity
        page.cursor = (cursor.for_next_pull() if page.is_last else cursor).to_json()
        return page

    def _read_page_at_cursor(self) -> PageRead:
        """Return the page at the cursor; further up where pages have shifted."""
        cursor = self._cursor
        changed = [f"MetaData.LastUpdatedTime >= '{cursor.changed_since}'"] if cursor.changed_since else []
        while True:
            read = narrowing.read_page(
                self._client,
                cursor.entity,
                *changed,
                start_position=cursor.start_position,
                is_lasting=self._is_failure_lasting(),
            )
            self._set_started_at(read.time)
            raws = narrowing.raw_records(read.found, cursor.entity)
            if cursor.start_position == 1 or (raws and _continues_from(decoding.record_id(raws[0]), cursor.last_id)):
                return read
            cursor.start_position = max(1, cursor.start_position - REREAD_STEP)

    def _map_page(self, found: QueryResponse) -> ChangePage:
        page = ChangePage(cursor="", expected_count=self._cursor.expected_count)
        self.reader.add_records(page, found)
        return page

    def _set_started_at(self, server_time: datetime | None) -> None:
        """Record when the pull started, so that a fast local clock does not lose what changes meanwhile."""
        if not self._cursor.started_at:
            started_at = min(self._now, mapping.to_utc(server_time)) if server_time else self._now
            self._cursor.started_at = mapping.to_utc(started_at - OVERLAP).isoformat(timespec="seconds")

    def _count_records(self) -> int:
        """Return how many records there are: four short calls, once per connection."""
        total = 0
        for entity in ENTITIES:
            if entity != "Term":
                reply = queries.decode_reply(self._client.query(queries.count(entity)), QueryReply, CallKind.READ)
                total += reply.query_response.total_count or 0
        return total


def _entity_after(entity: str, entities: Sequence[str]) -> str:
    return dict(zip(entities, (*entities[1:], ""), strict=True))[entity]


def _continues_from(first_id: str, last_id: str) -> bool:
    """Return whether a page that starts with ``first_id`` continues one that ended with ``last_id``."""
    if first_id == last_id:
        return True
    return first_id.isdecimal() and last_id.isdecimal() and int(first_id) <= int(last_id)
