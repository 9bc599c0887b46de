"""What became of mails, as the mail system tells: each event counts once, in any order, however late.

An event with an outbox key proves that its mail left: it settles a doubt, and it keeps a mail that was planned again
after a person's "it did not arrive" from leaving twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import insert, or_, select
from sqlmodel import Session, col

from connector import outbox
from connector.access import bookkeeper
from connector.database import reading, writing
from connector.installation import Installation
from connector.letters import suppression
from connector.letters.plain_text import one_line
from connector.mirror.places import today_in
from connector.outbox import StepTaken
from connector.tables import Connection, CustomerRow, CustomerSetting, MailEvent, OutboxEntry
from providers.sendgrid.webhook import FATES, Event

_WORDS = {
    "blocked": "was turned away by its receiver",
    "bounce": "bounced",
    "dropped": "was not sent on by SendGrid",
    "spamreport": "was reported as spam",
    "unsubscribe": "was answered by unsubscribing from everything",
}
_KEY_MAX = 500
_AT_ONCE = 5000  # so many ids fit into one query on both databases


def receive(installation: Installation, events: Iterable[Event]) -> int:
    """Take events in, in one commit; return how many of them are new.

    Most are copies of what is known: a batch of those is answered without waiting for anybody who writes.
    """
    told: dict[str, Event] = {}
    for event in events:
        told.setdefault(event.id, event)
    with reading(installation.engine) as session:
        told = _new(session, told)
    if not told:
        return 0
    with writing(installation.engine) as session:
        told = _new(session, told)
        if not told:  # a copy that came at the same time was faster
            return 0
        session.execute(insert(MailEvent), [_row(event, installation.now()) for event in told.values()])
        entries = _entries(session, {event.key for event in told.values() if event.key})
        for event in told.values():
            _apply(installation, session, entries.get(event.key), event)
        return len(told)


def proof_of(session: Session, key: str) -> str | None:
    """Find the mail system's id of a mail that an event has told of: it left. None: nothing was told."""
    found = session.scalars(select(MailEvent).where(col(MailEvent.key) == key).limit(1)).first()
    return None if found is None else found.reference or found.id


def _new(session: Session, told: dict[str, Event]) -> dict[str, Event]:
    """Leave out what is known already."""
    known: set[str] = set()
    for some in _chunks(told):
        known.update(session.scalars(select(col(MailEvent.id)).where(col(MailEvent.id).in_(some))))
    return {name: event for name, event in told.items() if name not in known}


def _entries(session: Session, keys: Collection[str]) -> dict[str, OutboxEntry]:
    found: dict[str, OutboxEntry] = {}
    for some in _chunks(keys):
        rows = session.scalars(select(OutboxEntry).where(col(OutboxEntry.key).in_(some)))
        found |= {row.key: row for row in rows}
    return found


def _chunks(names: Collection[str]) -> Iterator[list[str]]:
    every = sorted(names)
    for start in range(0, len(every), _AT_ONCE):
        yield every[start : start + _AT_ONCE]


def _row(event: Event, now: datetime) -> dict[str, Any]:
    return {
        "id": event.id,
        "key": event.key[:_KEY_MAX],
        "kind": event.kind,
        "address": event.address,
        "reference": event.reference,
        "at": event.at,
        "received_at": now,
    }


def _apply(installation: Installation, session: Session, entry: OutboxEntry | None, event: Event) -> None:
    if entry is not None:
        _settle(installation, session, entry, event)
        if not entry.delivery or FATES.index(event.kind) > FATES.index(entry.delivery):
            entry.delivery = event.kind
    if event.kind in _WORDS:
        _tell(installation, session, entry, event)


def _settle(installation: Installation, session: Session, entry: OutboxEntry, event: Event) -> None:
    """Take the event as proof that the mail left. What is under way now is settled by its own run."""
    reference, answer = event.reference or event.id, "an event of the mail system shows that it left"
    if entry.state == "doubt":
        outbox.mark_done(session, entry, at=installation.now(), reference=reference, answer=answer)
    elif entry.state in outbox.UNSENT and entry.attempts:
        zone = session.get_one(Connection, entry.connection_id).time_zone
        try:
            with session.begin_nested():
                outbox.mark_calling(session, entry, at=event.at, on=today_in(zone, event.at))
        except StepTaken:
            return
        outbox.mark_done(session, entry, at=installation.now(), reference=reference, answer=answer)
    else:
        return
    customer = session.get(CustomerRow, (entry.connection_id, entry.customer_id))
    if customer is not None:
        text = f"Settled: {answer}. {entry.why}"
        bookkeeper.tell(installation, session, customer, kind="resolved", text=text)


def _tell(installation: Installation, session: Session, entry: OutboxEntry | None, event: Event) -> None:
    """Say that a mail did not reach its reader, to the people who mind the customers at that address."""
    words = f"mail to {one_line(event.address, 120)} {_WORDS[event.kind]}"
    why = f"{words}{': ' if event.why else ''}{one_line(event.why, 200)}"
    if event.final:
        suppression.suppress(session, event.address, _WORDS[event.kind].removeprefix("was "), installation.now())
    for customer in _concerned(session, entry, event.address):
        name = one_line(customer.name)
        text = f"{name}: {why}. Find out how to reach him"
        hint = f"; a new address: duewell customers set {customer.external_id} --contact"
        occasion = f"{event.kind}:{event.address}:{event.at:%Y-%m-%d}"
        bookkeeper.ask(installation, session, customer, code="undelivered", occasion=occasion, why=f"{text}{hint}")
        bookkeeper.tell(installation, session, customer, kind="undelivered", text=f"{why[:1].upper()}{why[1:]}.")


def _concerned(session: Session, entry: OutboxEntry | None, address: str) -> Sequence[CustomerRow]:
    """Find the customers that are mailed at an address; the mail's own where the event names its mail."""
    if entry is not None:
        customer = session.get(CustomerRow, (entry.connection_id, entry.customer_id))
        return [customer] if customer is not None else []
    if not address:
        return []
    here = (col(CustomerSetting.connection_id) == CustomerRow.connection_id) & (
        col(CustomerSetting.customer_id) == CustomerRow.external_id
    )
    parts = [col(each).icontains(address, autoescape=True) for each in (CustomerRow.emails, CustomerSetting.emails)]
    rows = session.execute(select(CustomerRow, CustomerSetting).outerjoin(CustomerSetting, here).where(or_(*parts)))
    found = []
    for customer, setting in rows:
        used = (setting.emails if setting is not None else "") or customer.emails
        if address in {each.strip().lower() for each in used.split(",")}:
            found.append(customer)
    return found
