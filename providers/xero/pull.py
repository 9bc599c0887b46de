"""The incremental pull: which of Xero's streams are read in which hour, page by page, and where to go on.

* Pages are ordered by id, which never changes, and the next watermark is this pull's *start* less an overlap: an edit
  while we read can bring a record twice, never lose it. Where the count of a query shrinks between two pages, the page
  before is read again, because what followed has moved up.
* Contacts come last: whoever an invoice of this pull belongs to existed when the invoice was read, so he is in it too.
* A quiet hour costs three reads: invoices, credit notes, contacts. Deleted payments, over- and prepayments are read
  only when an invoice changed since the last pull (paying, applying or undoing changes one). As a refund of a credit
  changes no invoice, they take the place of credit notes and contacts in one quiet hour a day.
* Nothing is filtered by status, else an invoice that was paid or voided would never come back.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from providers.http import READ
from providers.ledger import ChangePage
from providers.xero.client import Client
from providers.xero.mapping import PageSummary, read_page

PAGE_SIZE: Final = 1000
OVERLAP: Final = timedelta(minutes=5)
_CREDIT_CHECK_INTERVAL: Final = timedelta(hours=24)

_INVOICES, _CREDIT_NOTES, _CONTACTS = "invoices", "credit_notes", "contacts"
_OVERPAYMENTS, _PREPAYMENTS, _PAYMENTS = "overpayments", "prepayments", "payments"
_INITIAL_STREAMS = (_INVOICES, _CREDIT_NOTES, _OVERPAYMENTS, _PREPAYMENTS, _CONTACTS)
_STREAMS_AFTER_CHANGES = (_INVOICES, _CREDIT_NOTES, _OVERPAYMENTS, _PREPAYMENTS, _PAYMENTS, _CONTACTS)
_STREAMS_WITHOUT_CHANGES = (_INVOICES, _CREDIT_NOTES, _CONTACTS)
_DAILY_STREAMS = (_INVOICES, _OVERPAYMENTS, _PREPAYMENTS)

_QUERIES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    _INVOICES: ("get_invoices", {"order": "InvoiceID", "where": 'Type=="ACCREC"'}),
    _CREDIT_NOTES: ("get_credit_notes", {"order": "CreditNoteID", "where": 'Type=="ACCRECCREDIT"'}),
    _OVERPAYMENTS: ("get_overpayments", {"order": "OverpaymentID"}),
    _PREPAYMENTS: ("get_prepayments", {"order": "PrepaymentID"}),
    _PAYMENTS: ("get_payments", {"order": "PaymentID", "where": 'Status=="DELETED"'}),
    _CONTACTS: ("get_contacts", {"order": "ContactID", "include_archived": "true"}),
}


class Cursor(msgspec.Struct, omit_defaults=True):
    """Where the pull stands: JSON in the connection's row. ``since`` holds a watermark per stream."""

    version: int = 1
    watermarks: dict[str, datetime] = {}
    latest_invoice_at: datetime | None = None  # of all invoices ever read: tells a change from the overlap's repetition
    # the rest only in the middle of a pull
    started_at: datetime | None = None
    stream: str = _INVOICES
    page: int = 1
    invoices_changed: bool = False
    previous_item_count: int | None = None  # what the page before said the query holds
    records_read: int = 0  # records of the streams already read to their end

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """Read a stored cursor; one that cannot be read starts a full pull, which is slow but never wrong."""
        try:
            return msgspec.json.decode(text or "{}", type=cls)
        except msgspec.DecodeError:
            return cls()

    def to_json(self) -> str:
        """Write it for storing."""
        return msgspec.json.encode(self).decode()


def pull(client: Client, stored_cursor: str | None, now: datetime) -> Iterator[ChangePage]:
    """Yield what changed since the stored cursor, page by page; every page's cursor resumes right after it."""
    cursor = Cursor.parse(stored_cursor)
    if cursor.started_at is None:
        cursor.started_at = now.astimezone(UTC).replace(microsecond=0)
    while True:
        page = ChangePage(cursor="")
        found = read_stream(client, cursor.stream, cursor.page, page, cursor.watermarks.get(cursor.stream))
        page.expected_count = cursor.records_read + (
            found.item_count if found.item_count is not None else found.record_count
        )
        page.is_last = _advance(cursor, found)
        page.cursor = cursor.to_json()
        yield page
        if page.is_last:
            return


def read_stream(client: Client, stream: str, page_number: int, page: ChangePage, since: datetime | None) -> PageSummary:
    """Read one page of what changed in a stream since then (of all there is, for None) into ``page``."""
    operation, query = _QUERIES[stream]
    changed = {} if since is None else {"if_modified_since": since.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return read_into(page, client, stream, operation, page=page_number, page_size=PAGE_SIZE, **query, **changed)


def read_into(target: ChangePage, client: Client, stream: str, operation: str, **params: Any) -> PageSummary:
    """Read a reply of a stream's records into a page."""
    body = client.read(operation, **params)
    try:
        return read_page(stream, body, target)
    except msgspec.DecodeError:
        raise client.unexpected_reply_error(READ) from None


def _advance(cursor: Cursor, summary: PageSummary) -> bool:
    """Move the cursor behind the page just read; True if the pull is at its end."""
    if (
        cursor.stream == _INVOICES
        and summary.latest_updated_at
        and (not cursor.latest_invoice_at or summary.latest_updated_at > cursor.latest_invoice_at)
    ):
        cursor.latest_invoice_at, cursor.invoices_changed = summary.latest_updated_at, True
    shrunk = (
        summary.item_count is not None
        and cursor.previous_item_count is not None
        and summary.item_count < cursor.previous_item_count
    )
    cursor.previous_item_count = summary.item_count
    if shrunk and cursor.page > 1:
        cursor.page -= 1
        return False
    if has_more(summary, cursor.page):
        cursor.page += 1
        return False
    return _next_stream(cursor, summary)


def has_more(summary: PageSummary, page_number: int) -> bool:
    """Whether another page follows; a reply that doesn't say is followed until one comes empty."""
    return page_number < summary.page_count if summary.page_count is not None else summary.record_count > 0


def _next_stream(cursor: Cursor, summary: PageSummary) -> bool:
    assert cursor.started_at is not None  # noqa: S101 - set where the pull began
    plan = _streams_for(cursor, cursor.started_at)
    cursor.watermarks[cursor.stream] = cursor.started_at - OVERLAP
    cursor.records_read += summary.item_count or 0
    cursor.page, cursor.previous_item_count = 1, None
    at = plan.index(cursor.stream) + 1
    if at < len(plan):
        cursor.stream = plan[at]
        return False
    cursor.watermarks.setdefault(_PAYMENTS, cursor.started_at - OVERLAP)  # before the first pull no payment was known
    cursor.started_at, cursor.stream, cursor.invoices_changed, cursor.records_read = None, _INVOICES, False, 0
    return True


def _streams_for(cursor: Cursor, started_at: datetime) -> tuple[str, ...]:
    """The streams of this pull. It must stay the same while the pull moves the watermarks, one by one."""
    if _PAYMENTS not in cursor.watermarks:
        return _INITIAL_STREAMS
    if cursor.invoices_changed:
        return _STREAMS_AFTER_CHANGES
    waiting = cursor.stream in {_OVERPAYMENTS, _PREPAYMENTS}
    return (
        _DAILY_STREAMS
        if waiting or cursor.watermarks[_OVERPAYMENTS] < started_at - _CREDIT_CHECK_INTERVAL
        else _STREAMS_WITHOUT_CHANGES
    )
