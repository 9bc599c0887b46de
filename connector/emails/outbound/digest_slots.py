"""One digest for a person on a day: the sync of one company sends it for all of them, and the others stand aside.

The slot is taken in the commit that marks the email as being sent. Whatever dies afterwards, nobody else takes it: a
digest whose delivery is unconfirmed is not sent again by another company. Where the email was certainly not sent, the
slot is free again, with the steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from connector.auth.preferences import Preferences
from connector.db.tables import Connection, DailyDigest, OutboxEntry
from connector.geo import HolidayCalendar
from connector.outbox.drafts import short_key
from connector.outbox.entries import is_permitted
from connector.outbox.payloads import OwnerEmailPayload, payload_as
from connector.vocabulary import OutboxKind, OutboxState
from policies.calendar import closed_reason, find_send_slot
from policies.sections import SendWindow

_KEPT = timedelta(days=30)


class DigestTaken(Exception):
    """Another company's sync is sending this person's digest."""


class DigestTime(NamedTuple):
    """When a digest may be sent, and the slot that it takes."""

    send_after: datetime | None
    on: date
    slot: str


def digest_time(
    now: datetime, connection: Connection, window: SendWindow, preferences: Preferences
) -> DigestTime | None:
    """Return when a company's digest of today may be sent; None on a day without one.

    Args:
        now: The current instant.
        connection: The company.
        window: When digests are sent unless their reader has chosen a time.
        preferences: The reader's.

    """
    calendar, zone = HolidayCalendar(), ZoneInfo(preferences.time_zone or connection.time_zone)
    on = now.astimezone(zone).date()
    # Readers without a zone of their own have one digest for each part of the world, since its mornings are not others'
    slot = on.isoformat() if preferences.time_zone else f"{on}:{_part_of_the_world(connection)}"
    if preferences.time_zone or preferences.digest_at is not None:
        if closed_reason(on, connection.country, window, calendar):
            return None
        at = preferences.digest_at or time(window.opens.hour, window.opens.minute)
        return DigestTime(datetime.combine(on, at, zone), on, slot)
    opens = find_send_slot(now, zone, connection.country, window, calendar).at
    if opens is not None and opens.astimezone(zone).date() != on:
        return None
    return DigestTime(opens, on, slot)


def is_digest(entry: OutboxEntry) -> bool:
    """Return whether an entry is a company's part of a person's digest."""
    return entry.kind == OutboxKind.OWNER_EMAIL and bool(payload_as(OwnerEmailPayload, entry).slot)


def find_peers(session: Session, entry: OutboxEntry) -> list[tuple[Connection, OutboxEntry]]:
    """Find the entries of the same person that wait in other companies, by company, also from an earlier day.

    A company that is synced once a day may plan its part after the digest of the day was sent.
    """
    payload = payload_as(OwnerEmailPayload, entry)
    if not payload.slot:
        return []
    query = (
        select(OutboxEntry, Connection)
        .join(Connection, col(Connection.id) == col(OutboxEntry.connection_id))
        .where(
            col(OutboxEntry.kind) == OutboxKind.OWNER_EMAIL,
            col(OutboxEntry.state) == OutboxState.PLANNED,
            col(OutboxEntry.connection_id) != entry.connection_id,
        )
        .order_by(func.lower(col(Connection.name)), col(Connection.id))
    )
    found = []
    for row, connection in session.execute(query):
        other = payload_as(OwnerEmailPayload, row)
        if other.to == payload.to and _may_join(other.slot, payload.slot) and is_permitted(connection, row):
            found.append((connection, row))
    return found


def belongs_to(connection: Connection, slot: str) -> bool:
    """Return whether a company is reported in the digest of a slot."""
    part = slot.partition(":")[2]
    return not part or part == _part_of_the_world(connection)


def _part_of_the_world(connection: Connection) -> str:
    return connection.time_zone.partition("/")[0]


def _may_join(slot: str, of: str) -> bool:
    """Return whether what was planned for a slot, perhaps on an earlier day, belongs to another."""
    day, _, part = slot.partition(":")
    other_day, _, other_part = of.partition(":")
    return bool(slot) and day <= other_day and part == other_part


def included_alerts(session: Session, entry: OutboxEntry) -> dict[str, str]:
    """Return the other companies that an entry speaks for, by id, each with a fingerprint of its alerts."""
    return {str(row.connection_id): alerts_fingerprint(row) for _connection, row in find_peers(session, entry)}


def alerts_fingerprint(entry: OutboxEntry) -> str:
    """Return what tells the alerts of an entry from those of another."""
    return hashlib.sha256(msgspec.json.encode(payload_as(OwnerEmailPayload, entry).items)).hexdigest()[:16]


def find_taken(session: Session, entry: OutboxEntry) -> DailyDigest | None:
    """Return the digest that was, or is being, sent to this person for this slot."""
    payload = payload_as(OwnerEmailPayload, entry)
    return session.get(DailyDigest, (short_key(payload.to[0]), payload.slot)) if payload.slot else None


def take(session: Session, entry: OutboxEntry, included: Mapping[str, str]) -> None:
    """Take the slot, in the transaction that marks the entry as being sent. Raises ``DigestTaken``."""
    payload = payload_as(OwnerEmailPayload, entry)
    if find_taken(session, entry) is not None:
        raise DigestTaken
    recipient_key = short_key(payload.to[0])
    oldest = (entry.dispatched_at or entry.planned_at).date() - _KEPT
    session.execute(
        delete(DailyDigest).where(
            col(DailyDigest.recipient_key) == recipient_key, col(DailyDigest.slot) < oldest.isoformat()
        )
    )
    session.add(
        DailyDigest(recipient_key=recipient_key, slot=payload.slot, outbox_id=entry.id or 0, included=dict(included))
    )
    try:
        session.flush()
    except IntegrityError as error:  # on PostgreSQL, another company took it at this moment
        raise DigestTaken from error
