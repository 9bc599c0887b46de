"""Reads what changed: everything by query the first time, then one change data capture an hour.

Pages go by ``ORDERBY Id`` and begin with the last record of the page before: if it is not there, something before it
was deleted meanwhile and the pages have shifted; then it is read from further up. Edits can only repeat records.
The next pull starts at this one's start (by the earlier of both clocks) less an overlap; the mirror's upserts are
idempotent. Intuit remembers deletions for 30 days and 1,000 changes; beyond either, everything is read afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from policies.receivables import Company
from providers.http import READ
from providers.ledger import Page
from providers.quickbooks import mapping, queries
from providers.quickbooks.client import Client
from providers.quickbooks.mapping import Offer
from providers.quickbooks.reader import Reader, merged
from providers.quickbooks.shapes import CdcReply, Found, QueryReply

ENTITIES: Final = ("Customer", "Term", "CreditMemo", "Payment", "Invoice")  # in the order of need: invoices know all
OVERLAP: Final = timedelta(minutes=5)
CDC_REACH: Final = timedelta(days=29)  # Intuit's is 30 days; one is left for clocks
CDC_FULL: Final = 1000  # objects in one answer, which has no second page
STEP_BACK: Final = 900  # positions, when a page has shifted
SWEEP_AFTER: Final = timedelta(hours=20)


class Cursor(Struct, omit_defaults=True):
    """Where the next page starts; between pulls only ``since`` and what is known of the company remain.

    ``since`` is "" where everything is read; ``entity`` is set while a pull by query is under way. ``sweep_after`` is
    set where deletions may have been missed: the first pull after it reads everything afresh.
    """

    since: str = ""
    sweep_after: str = ""
    began: str = ""
    entity: str = ""
    start: int = 1
    last_id: str = ""
    expected: int | None = None
    home: str = ""  # currency
    country: str = ""
    offers: dict[str, Offer] = {}
    bill_to: dict[str, str] = {}

    def text(self) -> str:
        """The cursor as the connector keeps it."""
        return str(msgspec.json.encode(self), "utf-8")

    def rest(self) -> Cursor:
        """Where the pull after this one starts."""
        return Cursor(
            since=self.began,
            sweep_after=self.sweep_after,
            home=self.home,
            country=self.country,
            offers=self.offers,
            bill_to=self.bill_to,
        )


class Pull:
    """One pull, possibly resumed."""

    def __init__(self, client: Client, stored: str | None, now: datetime, company: Callable[[], Company]) -> None:
        self._client = client
        self._now = now
        self._at = msgspec.json.decode(stored, type=Cursor) if stored else Cursor()
        if not self._at.home:
            self._at.home, self._at.country = company().base_currency, company().country
        self.reader = Reader(client, self._at.home, self._at.offers, self._at.bill_to)

    @property
    def began(self) -> str:
        """The start of this pull less the overlap."""
        return self._at.began

    @property
    def country(self) -> str:
        """The company's country."""
        return self._at.country

    def pages(self) -> Iterator[Page]:
        """Yield the pages from where the cursor stands."""
        if self._at.entity:
            yield from self._by_query(afresh=False)
        elif not self._at.since:
            yield from self._everything(afresh=False)
        elif self._now - datetime.fromisoformat(self._at.since) > CDC_REACH or self._sweeps():
            yield from self._everything(afresh=True)
        else:
            yield from self._by_capture()

    def _sweeps(self) -> bool:
        return bool(self._at.sweep_after) and self._now >= datetime.fromisoformat(self._at.sweep_after)

    def _everything(self, *, afresh: bool) -> Iterator[Page]:
        self._at.since, self._at.sweep_after, self._at.entity = "", "", ENTITIES[0]
        self._at.expected = self._count()
        yield from self._by_query(afresh=afresh)

    def _by_capture(self) -> Iterator[Page]:
        reply = queries.decoded(self._client.changes(ENTITIES, self._at.since), CdcReply, READ)
        self._begin(reply.time)
        founds = [found for response in reply.cdc_response for found in response.query_response]
        whole = merged(founds)
        page = self._page(whole)
        page.expected = size = sum(len(_raws(whole, entity)) for entity in ENTITIES)
        if size < CDC_FULL:
            page.last = True
            page.cursor = self._at.rest().text()
            yield page
            return
        # Full, so some are missing: changes come by query now, deletions that are not here by a sweep later, once a day
        # at most. Until then the look before anything leaves finds a deleted invoice.
        self._at.entity, self._at.expected = ENTITIES[0], None
        self._at.sweep_after = self._at.sweep_after or (self._now + SWEEP_AFTER).isoformat(timespec="seconds")
        page.cursor = self._at.text()
        yield page
        yield from self._by_query(afresh=False)

    def _by_query(self, *, afresh: bool) -> Iterator[Page]:
        while self._at.entity:
            page = self._next()
            page.afresh, afresh = afresh, False
            yield page

    def _next(self) -> Page:
        """Read one page by query and move the cursor behind it."""
        at = self._at
        found, asked = self._found()
        raws = _raws(found, at.entity)
        if raws:
            last_id = mapping.id_of(raws[-1])
            if mapping.id_of(raws[0]) == at.last_id:
                del raws[0]
            at.last_id = last_id
        page = self._page(found)
        if asked == queries.PAGE:
            at.start += queries.PAGE - 1
        else:
            at.entity, at.start, at.last_id = _after(at.entity), 1, ""
        page.last = not at.entity
        page.cursor = (at.rest() if page.last else at).text()
        return page

    def _found(self) -> tuple[Found, int]:
        """The page at the cursor, and how many records it has; read again from further up where pages have shifted."""
        at = self._at
        changed = [f"MetaData.LastUpdatedTime >= '{at.since}'"] if at.since else []
        while True:
            body = self._client.query(queries.select(at.entity, *changed, start=at.start))
            reply = queries.decoded(body, QueryReply, READ)
            self._begin(reply.time)
            raws = _raws(reply.query_response, at.entity)
            if at.start == 1 or (raws and _not_behind(mapping.id_of(raws[0]), at.last_id)):
                return reply.query_response, len(raws)
            at.start = max(1, at.start - STEP_BACK)

    def _page(self, found: Found) -> Page:
        page = Page(cursor="", expected=self._at.expected)
        self.reader.add(page, found)
        return page

    def _begin(self, theirs: datetime | None) -> None:
        """Remember when the pull began; a fast clock of ours must not lose what happens meanwhile."""
        if not self._at.began:
            began = min(self._now, mapping.utc(theirs)) if theirs else self._now
            self._at.began = mapping.utc(began - OVERLAP).isoformat(timespec="seconds")

    def _count(self) -> int:
        """How many records there are: four short calls, once in the life of a connection."""
        total = 0
        for entity in ENTITIES:
            if entity != "Term":
                reply = queries.decoded(self._client.query(queries.count(entity)), QueryReply, READ)
                total += reply.query_response.total_count or 0
        return total


def _raws(found: Found, entity: str) -> list[msgspec.Raw]:
    """The records of one entity."""
    by_name = {
        "Customer": found.customer,
        "Term": found.term,
        "CreditMemo": found.credit_memo,
        "Payment": found.payment,
        "Invoice": found.invoice,
    }
    return by_name[entity]


def _after(entity: str) -> str:
    return dict(zip(ENTITIES, (*ENTITIES[1:], ""), strict=True))[entity]


def _not_behind(first_id: str, last_id: str) -> bool:
    """Whether a page that begins with ``first_id`` joins on to one that ended with ``last_id``."""
    if first_id == last_id:
        return True
    return first_id.isdecimal() and last_id.isdecimal() and int(first_id) <= int(last_id)
