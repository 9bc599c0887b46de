"""The incremental pull: which of Xero's streams each sync reads, page by page, and where the next one continues.

* Pages are ordered by id, which never changes, and the next watermark is the *start* of this pull less an overlap: an
  edit while we read can return a record twice but never lose it. If the item count of a query shrinks between two
  pages, the page before is read again, because the following records have moved up.
* Contacts come last: the customer of every invoice read before exists by then, so it is in the same pull.
* Without changes, a sync reads three pages: invoices, credit notes, contacts. Payments, overpayments and prepayments
  are read only when an invoice has changed since the last pull (paying, applying and undoing change one).
  As the refund of a credit changes no invoice, once a day overpayments and prepayments are read instead of credit
  notes and contacts.
* A payment is part of its invoice, but only the payments endpoint names its account: one to an account that is not
  known to take money makes the pull read the chart of accounts (``write_offs.py``).
* Nothing is filtered by status, or an invoice that was paid or voided would never be returned again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from providers.calls import CallKind
from providers.ledger import ChangePage
from providers.xero.client import NOT_MODIFIED, Client
from providers.xero.mapping import PageSummary, read_page
from providers.xero.schemas import Stream
from providers.xero.write_offs import find_write_offs

PAGE_SIZE: Final = 1000
OVERLAP: Final = timedelta(minutes=5)
_CREDIT_CHECK_INTERVAL: Final = timedelta(hours=24)

_INITIAL_STREAMS: Final = (
    Stream.INVOICES,
    Stream.CREDIT_NOTES,
    Stream.OVERPAYMENTS,
    Stream.PREPAYMENTS,
    Stream.CONTACTS,
)
_STREAMS_AFTER_CHANGES: Final = (
    Stream.INVOICES,
    Stream.CREDIT_NOTES,
    Stream.OVERPAYMENTS,
    Stream.PREPAYMENTS,
    Stream.PAYMENTS,
    Stream.CONTACTS,
)
_STREAMS_WITHOUT_CHANGES: Final = (Stream.INVOICES, Stream.CREDIT_NOTES, Stream.CONTACTS)
_DAILY_STREAMS: Final = (Stream.INVOICES, Stream.OVERPAYMENTS, Stream.PREPAYMENTS)

_QUERIES: Final[dict[Stream, tuple[str, dict[str, Any]]]] = {
    Stream.INVOICES: ("get_invoices", {"order": "InvoiceID", "where": 'Type=="ACCREC"'}),
    Stream.CREDIT_NOTES: ("get_credit_notes", {"order": "CreditNoteID", "where": 'Type=="ACCRECCREDIT"'}),
    Stream.OVERPAYMENTS: ("get_overpayments", {"order": "OverpaymentID"}),
    Stream.PREPAYMENTS: ("get_prepayments", {"order": "PrepaymentID"}),
    Stream.PAYMENTS: ("get_payments", {"order": "PaymentID", "where": 'PaymentType=="ACCRECPAYMENT"'}),
    Stream.CONTACTS: ("get_contacts", {"order": "ContactID", "include_archived": "true"}),
}


class Cursor(msgspec.Struct, omit_defaults=True):
    """The position of the pull, stored as JSON with the connection.

    Attributes:
        watermarks: Per stream, from when on changes are still to be read.
        money_accounts: The ids of the accounts that are known to take money.
        latest_invoice_at: The latest change of all invoices ever read: distinguishes a change from a repetition.
        previous_item_count: How many items the query had, according to the page before.
        records_read: The records of the streams that are completely read.
    """

    version: int = 1
    watermarks: dict[str, datetime] = {}
    money_accounts: list[str] = []
    latest_invoice_at: datetime | None = None
    # only set in the middle of a pull
    started_at: datetime | None = None
    stream: Stream = Stream.INVOICES
    page: int = 1
    invoices_changed: bool = False
    previous_item_count: int | None = None
    records_read: int = 0

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """Parse a stored cursor; an unreadable one starts a full pull, which is slow but always correct."""
        try:
            return msgspec.json.decode(text or "{}", type=cls)
        except msgspec.DecodeError:
            return cls()

    def to_json(self) -> str:
        """Return the cursor as JSON text."""
        return msgspec.json.encode(self).decode()


def pull(client: Client, stored_cursor: str | None, now: datetime) -> Iterator[ChangePage]:
    """Yield what changed since the stored cursor, page by page; the cursor of each page resumes right after it."""
    cursor = Cursor.parse(stored_cursor)
    if cursor.started_at is None:
        cursor.started_at = now.astimezone(UTC).replace(microsecond=0)
    while True:
        page = ChangePage(cursor="")
        reply = read_stream(client, cursor.stream, cursor.page, page, cursor.watermarks.get(cursor.stream))
        summary = reply.summary
        if cursor.stream == Stream.PAYMENTS:
            page.write_offs, cursor.money_accounts = find_write_offs(client, reply.body, cursor.money_accounts)
        item_count = summary.item_count if summary.item_count is not None else summary.record_count
        page.expected_count = cursor.records_read + item_count
        page.is_last = _advance(cursor, summary)
        page.cursor = cursor.to_json()
        yield page
        if page.is_last:
            return


class StreamReply(NamedTuple):
    """One page of a stream, as Xero sent it, and its summary."""

    body: bytes
    summary: PageSummary


def read_stream(
    client: Client, stream: Stream, page_number: int, page: ChangePage, since: datetime | None
) -> StreamReply:
    """Read one page of what changed in a stream since then (of everything for None) into ``page``."""
    operation, query = _QUERIES[stream]
    changed = {} if since is None else {"if_modified_since": since.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return _read(page, client, stream, operation, page=page_number, page_size=PAGE_SIZE, **query, **changed)


def read_into(target: ChangePage, client: Client, stream: Stream, operation: str, **params: Any) -> PageSummary:
    """Read the records of one reply into ``target``."""
    return _read(target, client, stream, operation, **params).summary


def _read(target: ChangePage, client: Client, stream: Stream, operation: str, **params: Any) -> StreamReply:
    body = client.read(operation, **params)
    if body == NOT_MODIFIED:
        return StreamReply(b"{}", PageSummary(None, None, 0, None))
    try:
        return StreamReply(body, read_page(stream, body, target))
    except msgspec.DecodeError:
        raise client.unexpected_reply_error(CallKind.READ) from None


def _advance(cursor: Cursor, summary: PageSummary) -> bool:
    """Move the cursor behind the page just read; return whether the pull is complete."""
    if cursor.stream == Stream.INVOICES and _is_later(summary.latest_updated_at, cursor.latest_invoice_at):
        cursor.latest_invoice_at, cursor.invoices_changed = summary.latest_updated_at, True
    previous, cursor.previous_item_count = cursor.previous_item_count, summary.item_count
    has_shrunk = summary.item_count is not None and previous is not None and summary.item_count < previous
    if has_shrunk and cursor.page > 1:
        cursor.page -= 1
        return False
    if has_more(summary, cursor.page):
        cursor.page += 1
        return False
    return _next_stream(cursor, summary)


def _is_later(at: datetime | None, than: datetime | None) -> bool:
    return at is not None and (than is None or at > than)


def has_more(summary: PageSummary, page_number: int) -> bool:
    """Return whether another page follows; without a page count, until a page is empty."""
    return page_number < summary.page_count if summary.page_count is not None else summary.record_count > 0


def _next_stream(cursor: Cursor, summary: PageSummary) -> bool:
    assert cursor.started_at is not None  # noqa: S101 - set where the pull began
    streams = _streams_for(cursor, cursor.started_at)
    cursor.watermarks[cursor.stream] = cursor.started_at - OVERLAP
    cursor.records_read += summary.item_count or 0
    cursor.page, cursor.previous_item_count = 1, None
    position = streams.index(cursor.stream) + 1
    if position < len(streams):
        cursor.stream = streams[position]
        return False
    # before the first pull no payment was known that could have been deleted
    cursor.watermarks.setdefault(Stream.PAYMENTS, cursor.started_at - OVERLAP)
    cursor.started_at, cursor.stream, cursor.invoices_changed, cursor.records_read = None, Stream.INVOICES, False, 0
    return True


def _streams_for(cursor: Cursor, started_at: datetime) -> tuple[Stream, ...]:
    """Return the streams of this pull, always the same ones while it moves the watermarks one by one."""
    if Stream.PAYMENTS not in cursor.watermarks:
        return _INITIAL_STREAMS
    if cursor.invoices_changed:
        return _STREAMS_AFTER_CHANGES
    in_daily_check = cursor.stream in {Stream.OVERPAYMENTS, Stream.PREPAYMENTS}
    is_due = cursor.watermarks[Stream.OVERPAYMENTS] < started_at - _CREDIT_CHECK_INTERVAL
    return _DAILY_STREAMS if in_daily_check or is_due else _STREAMS_WITHOUT_CHANGES
