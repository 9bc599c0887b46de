"""What ledgers' webhooks tell: taken in at once, worked off by an earlier run, and trusted only as far as it is proven.

A webhook is never believed: it says that something changed, and the run reads what. It saves reads where it has proven
that it tells of *every* change: then an hour of which nothing was told reads nothing. Each reading puts that to the
test, the nightly one at the latest: one change that was not told of, and the hours read again as without webhooks.
Whatever is about to leave is re-read in any case.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import delete, select
from sqlmodel import Session, col

from connector.access.connections import DISCONNECTED
from connector.database import writing
from connector.hour import Hour
from connector.installation import Installation
from connector.tables import Announcement, Connection, Stored
from policies.receivables import CreditKind
from providers.extras import Announced, Announcing
from providers.ledger import Page

SOON = timedelta(seconds=20)  # one entry of a bookkeeper makes several events: they are worked off together
RUNS_APART = timedelta(minutes=10)  # at least: a busy bookkeeper must not use up a day's calls
LATE = timedelta(minutes=10)  # how long an event may take to come
KEPT = timedelta(days=7)
READ_AT_LEAST_EVERY = timedelta(hours=26)  # a night's comparison, and two hours for a late start
_CUSTOMER = "customer:"
_OVERLAP = timedelta(minutes=10)  # of the two clocks, and of a pull with the one before


def key_of(installation: Installation, provider_name: str) -> str:
    """Give the key of a ledger's webhook; "" where it has none, or nobody gave it."""
    provider = installation.providers[provider_name]
    if not isinstance(provider, Announcing):
        return ""
    return str(getattr(installation.settings, provider.webhook_setting().lower(), ""))


def receive(installation: Installation, provider: str, told: Iterable[Announced]) -> None:
    """Keep what was told, once, and let the companies it is about run soon; strangers' events are only counted."""
    now = installation.now()
    with writing(installation.engine) as session:
        rows = session.scalars(select(Connection).where(col(Connection.provider) == provider))
        ours = {row.external_id: row for row in rows if row.health != DISCONNECTED}
        counted = {"told": 0, "again": 0, "foreign": 0}
        for event in told:
            row = ours.get(event.company_id)
            if row is None:
                counted["foreign"] += 1
            elif session.get(Announcement, event.id) is not None:
                counted["again"] += 1
            else:
                counted["told"] += 1
                about = f"{_CUSTOMER if event.of_customer else ''}{event.external_id}"
                session.add(Announcement(id=event.id, connection_id=row.id or 0, external_id=about, received_at=now))
                session.flush()
                _hasten(installation, row, now)
        _count(session, provider, counted, now)


def counts(session: Session) -> dict[str, dict[str, int]]:
    """Count events by ledger: taken in (``told``), repeated (``again``), and of companies not ours (``foreign``)."""
    prefix = "webhooks:"
    query = select(Stored).where(col(Stored.connection_id) == 0, col(Stored.name).startswith(prefix))
    return {row.name.removeprefix(prefix): dict(row.value) for row in session.scalars(query)}


def nothing_to_read(hour: Hour, connection: Connection, session: Session) -> bool:
    """Tell whether the books are known to be as they were last read: nothing was told, by one who tells everything."""
    now = hour.started_at
    interval = timedelta(minutes=hour.installation.settings.duewell_interval_minutes)
    if not key_of(hour.installation, connection.provider) or connection.announced_since_at is None:
        return False
    if connection.read_at is None or connection.last_run_at is None or connection.health != "ok":
        return False
    awake = now - connection.last_run_at <= 2 * interval + LATE  # asleep, we may have missed what was told
    if not awake or now - connection.read_at > READ_AT_LEAST_EVERY:
        return False
    if hour.lost_time is not None and connection.read_at <= hour.lost_time[1]:
        return False
    return not _told_since(session, hour.connection_id, connection.read_at)


def sooner(session: Session, connection: Connection, planned: datetime, began_at: datetime, now: datetime) -> datetime:
    """Give a run's next turn: soon, if a change was told of while it was under way, else as planned."""
    told = _told_since(session, connection.id or 0, began_at)
    return min(planned, max(now + SOON, began_at + RUNS_APART)) if told else planned


class Proof:
    """Compares what one reading finds with what was told before it."""

    def __init__(self, hour: Hour, session: Session, connection: Connection) -> None:
        """Remember what was told since the reading before; nothing is judged where there is no webhook."""
        watched = bool(key_of(hour.installation, connection.provider))
        self._since = connection.read_at if watched else None
        self._until = hour.started_at - LATE
        self._told = _told_since(session, hour.connection_id, self._since - _OVERLAP) if self._since else {}
        self._announced = 0
        self._silent = 0

    def see(self, page: Page) -> None:
        """Look at what changed since the reading before: was it told of?"""
        if self._since is None:
            return
        notes = [one for one in page.credits if one.kind == CreditKind.CREDIT_NOTE]
        gone = [one for one in page.deleted if one.kind == "invoice"]
        for prefix, records in ((_CUSTOMER, page.customers), ("", page.invoices), ("", notes), ("", gone)):
            for record in cast("list[Any]", records):
                self._judge(f"{prefix}{record.external_id}", record.updated_at)

    def _judge(self, about: str, changed_at: datetime | None) -> None:
        if changed_at is None or self._since is None or changed_at <= self._since:
            return
        told_at = self._told.get(about)
        if told_at is not None and told_at >= changed_at - _OVERLAP:
            self._announced += 1
        elif changed_at < self._until:  # else its event may be on its way
            self._silent += 1

    def conclude(self, hour: Hour, session: Session, connection: Connection) -> None:
        """Trust the webhook, or stop trusting it, in the caller's transaction."""
        if self._silent and connection.announced_since_at is not None:
            connection.announced_since_at = None
            hour.tally["untold"] += self._silent
            text = f"{self._silent} changes were found that no webhook had told of: every run reads the books again."
            hour.log(session, "warning", text, facts={"untold": self._silent})
        elif self._announced and not self._silent and connection.announced_since_at is None:
            connection.announced_since_at = hour.started_at
            text = "The ledger's webhook told of every change: from now on a run reads the books when it tells of one."
            hour.log(session, "webhook", text, facts={"told": self._announced})


def forget_old(session: Session, connection_id: int, now: datetime) -> None:
    """Drop what was worked off long ago; the vendors send nothing again after days."""
    session.execute(
        delete(Announcement).where(
            col(Announcement.connection_id) == connection_id, col(Announcement.received_at) < now - KEPT
        )
    )


def _told_since(session: Session, connection_id: int, since: datetime) -> dict[str, datetime]:
    """Find what was told since then, and when it was told last."""
    query = (
        select(col(Announcement.external_id), col(Announcement.received_at))
        .where(col(Announcement.connection_id) == connection_id, col(Announcement.received_at) >= since)
        .order_by(col(Announcement.received_at))
    )
    return dict(session.execute(query).all())


def _hasten(installation: Installation, row: Connection, now: datetime) -> None:
    """Bring a company's next run forward, unless it was put off on purpose: by a vendor's limit, or a short day."""
    interval = timedelta(minutes=installation.settings.duewell_interval_minutes)
    planned = row.next_run_at
    if planned is None or row.health == "limited" or planned > now + interval + LATE:
        return
    row.next_run_at = min(planned, max(now + SOON, (row.last_run_at or now - RUNS_APART) + RUNS_APART))


def _count(session: Session, provider: str, counted: dict[str, int], now: datetime) -> None:
    name = f"webhooks:{provider}"
    row = session.get(Stored, (0, name)) or Stored(connection_id=0, name=name, value={}, stored_at=now)
    row.value = {each: row.value.get(each, 0) + count for each, count in counted.items()}
    row.stored_at = now
    session.add(row)
