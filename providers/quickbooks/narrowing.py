"""Reads around records that spoil every reply: Intuit rejects any query or CDC that would hold one of them.

The page is narrowed by halves until each such record is found; it is set aside as malformed, with Intuit's own words,
and all others are read. A rejected reply names no record, but the records can still be counted: the id is found between
those of its neighbours. A read that fails instead (a server error, a time-out, too large a reply), again and again
while the same records can be counted, is narrowed in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from msgspec import Raw

from providers.calls import CallKind
from providers.errors import PermanentError, ProviderError, RateLimited, TransientError
from providers.ledger import MalformedRecord
from providers.quickbooks import decoding, faults, queries
from providers.quickbooks.client import Client
from providers.quickbooks.schemas import CdcReply, QueryReply, QueryResponse

SET_ASIDE_MAX: Final = 20  # of one page: more is not about single records
_GAP_MAX: Final = 3000  # ids between two neighbours that are searched
_NOT_ABOUT_A_RECORD: Final = frozenset(
    {"500", "610", "4000", "4001", "5020", "5030", "6190", "7001", "3100", "3200", "403", "404", "host"}
)  # about the statement, the right to ask, or the subscription


class PageRead(NamedTuple):
    """The records of a page, Intuit's time, how many positions were read, and what was set aside."""

    found: QueryResponse
    time: datetime | None
    positions: int
    set_aside: list[MalformedRecord]


def read_page(
    client: Client, entity: str, *conditions: str, start_position: int = 1, is_lasting: bool = True
) -> PageRead:
    """Read one page by query; one that is rejected because of a record is narrowed.

    So is one that fails, where that ``is_lasting``: the read is worth it only once failures do not pass.
    """
    reader = _Reader(client, entity, conditions, is_lasting=is_lasting)
    try:
        reply = reader.query(start_position, queries.PAGE_SIZE)
    except (PermanentError, TransientError) as error:
        if not reader.is_about_a_record(error):
            raise
        return reader.narrow(start_position)
    return PageRead(reply.query_response, reply.time, len(raw_records(reply.query_response, entity)), [])


def read_by_ids(client: Client, entity: str, ids: Iterable[str]) -> PageRead:
    """Read records by id; those that cannot be read are set aside."""
    merged = PageRead(QueryResponse(), None, 0, [])
    for chunk in queries.chunks(ids):
        _read_ids(client, entity, chunk, merged)
    return merged._replace(positions=len(raw_records(merged.found, entity)))


def read_changes(client: Client, entities: Sequence[str], since: str, *, is_lasting: bool = False) -> CdcReply | None:
    """Return the changes by CDC; None where a record spoils the reply: then they have to be queried.

    That is assumed of a failure that ``is_lasting`` as well, where other calls succeed.
    """
    try:
        reply = queries.decode_reply(client.changes(entities, since), CdcReply, CallKind.READ)
        for response in reply.cdc_response:
            for fault in (response.fault, *(found.fault for found in response.query_response)):
                faults.raise_inner_fault(fault)
    except (PermanentError, TransientError) as error:
        if _is_about_a_record(client, entities[0], error, is_lasting=is_lasting):
            return None
        raise
    return reply


def _is_about_a_record(client: Client, entity: str, error: ProviderError, *, is_lasting: bool) -> bool:
    """Return whether a failed read may be the fault of a record that the reply would hold."""
    if isinstance(error, PermanentError):
        return error.code not in _NOT_ABOUT_A_RECORD
    return is_lasting and not isinstance(error, RateLimited) and _can_count(client, entity)


def _can_count(client: Client, entity: str) -> bool:
    """Return whether QuickBooks answers what holds no record: then it is there, and well."""
    try:
        queries.decode_reply(client.query(queries.count(entity)), QueryReply, CallKind.READ)
    except ProviderError:
        return False
    return True


def raw_records(found: QueryResponse, entity: str) -> list[Raw]:
    """Return the undecoded records of one entity."""
    by_name = {
        "Customer": found.customer,
        "Term": found.term,
        "CreditMemo": found.credit_memo,
        "Payment": found.payment,
        "Invoice": found.invoice,
        "Deposit": found.deposit,
    }
    return by_name[entity]


class _Reader:
    """Reads one page of one entity."""

    def __init__(self, client: Client, entity: str, conditions: tuple[str, ...], *, is_lasting: bool) -> None:
        self._client = client
        self._entity = entity
        self._conditions = conditions
        self._is_lasting = is_lasting
        self._found = 0
        self._time: datetime | None = None

    def is_about_a_record(self, error: ProviderError) -> bool:
        return _is_about_a_record(self._client, self._entity, error, is_lasting=self._is_lasting)

    def query(self, start: int, size: int) -> QueryReply:
        statement = queries.select(self._entity, *self._conditions, start_position=start, size=size)
        reply = queries.decode_reply(self._client.query(statement), QueryReply, CallKind.READ)
        faults.raise_inner_fault(reply.query_response.fault)
        self._time = self._time or reply.time
        return reply

    def narrow(self, start: int) -> PageRead:
        """Read the page by halves and set aside what cannot be read."""
        parts = self._read_half(start, queries.PAGE_SIZE // 2)
        if len(parts) == queries.PAGE_SIZE // 2:
            parts += self._read_half(start + queries.PAGE_SIZE // 2, queries.PAGE_SIZE - queries.PAGE_SIZE // 2)
        found = QueryResponse()
        raw_records(found, self._entity).extend(part for part in parts if isinstance(part, Raw))
        return PageRead(found, self._time, len(parts), list(self._name(parts)))

    def _read_half(self, start: int, size: int) -> list[Raw | ProviderError]:
        """Return the records at these positions in order, with an error in the place of each that cannot be read."""
        try:
            return list(raw_records(self.query(start, size).query_response, self._entity))
        except (PermanentError, TransientError) as error:
            if not self.is_about_a_record(error):
                raise
            if size == 1:
                self._found += 1
                if self._found > SET_ASIDE_MAX:
                    raise
                return [error]
        parts = self._read_half(start, size // 2)
        if len(parts) < size // 2:  # the records end here
            return parts
        return parts + self._read_half(start + size // 2, size - size // 2)

    def _name(self, parts: Sequence[Raw | ProviderError]) -> Iterable[MalformedRecord]:
        """Yield the records that cannot be read, each with its id as far as it can be found."""
        previous_id, waiting = "", list[ProviderError]()
        for part in (*parts, None):
            if isinstance(part, ProviderError):
                waiting.append(part)
                continue
            next_id = decoding.record_id(part) if part is not None else ""
            if waiting:
                ids = self._find_ids_between(previous_id, next_id)
                for n, error in enumerate(waiting):
                    external_id = ids[n] if n < len(ids) else f"after {previous_id or 0}, number {n + 1}"
                    yield set_aside(self._entity, external_id, error)
            previous_id, waiting = next_id, []

    def _find_ids_between(self, previous_id: str, next_id: str) -> list[str]:
        """Return the ids between two neighbours; at either end of the page, those that are near."""
        below = int(previous_id) if previous_id.isdecimal() else None
        above = int(next_id) if next_id.isdecimal() else None
        if below is None:
            below = max(0, above - queries.IDS_PER_QUERY - 1) if above is not None else 0
        if above is None:
            above = below + queries.IDS_PER_QUERY + 1
        ids = [str(number) for number in range(below + 1, min(above, below + 1 + _GAP_MAX))]
        try:
            return [one for chunk in queries.chunks(ids) for one in self._find_existing(chunk)]
        except PermanentError:  # not even a count is answered
            return []

    def _find_existing(self, ids: Sequence[str]) -> list[str]:
        """Return which of the ids exist, by counting ever fewer of them: a count holds no record."""
        statement = queries.count(self._entity, queries.is_in("Id", ids), *self._conditions)
        reply = queries.decode_reply(self._client.query(statement), QueryReply, CallKind.READ)
        if not reply.query_response.total_count:
            return []
        if len(ids) == 1:
            return list(ids)
        half = len(ids) // 2
        return self._find_existing(ids[:half]) + self._find_existing(ids[half:])


def _read_ids(client: Client, entity: str, ids: Sequence[str], merged: PageRead) -> None:
    try:
        body = client.query(queries.select(entity, queries.is_in("Id", ids)))
        found = queries.decode_reply(body, QueryReply, CallKind.READ).query_response
        faults.raise_inner_fault(found.fault)
    except (PermanentError, TransientError) as error:
        is_about_one = _is_about_a_record(client, entity, error, is_lasting=True)
        if not is_about_one or len(merged.set_aside) >= SET_ASIDE_MAX:
            raise
        if len(ids) == 1:
            merged.set_aside.append(set_aside(entity, ids[0], error))
            return
        _read_ids(client, entity, ids[: len(ids) // 2], merged)
        _read_ids(client, entity, ids[len(ids) // 2 :], merged)
        return
    raw_records(merged.found, entity).extend(raw_records(found, entity))


def set_aside(entity: str, external_id: str, error: ProviderError) -> MalformedRecord:
    """Return the record that cannot be read, with Intuit's own words."""
    does = "rejects" if isinstance(error, PermanentError) else "fails with"
    reason = f"QuickBooks {does} every reply that holds it. Open and correct it there. {error}"
    return MalformedRecord(decoding.RECORD_KINDS[entity], external_id, reason, b"")
