"""Lets what is planned leave: re-read just before, mark, call, mark. Mails and fees first, then the notes they owe."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from connector import ledger_writes, outbox, pull, restored
from connector.deciding import as_it_stands, decide_again
from connector.hour import Hour
from connector.lanes import SETBACKS_MAX, LaneClosed, about, done, doubt, odd, put_off, refused, wait
from connector.lease import LeaseLost
from connector.letters import suppression
from connector.letters import write as letters
from connector.outbox import StepTaken
from connector.tables import OutboxEntry
from providers.errors import Reconnect, Rejected, TryLater, Unknown
from providers.mailer import Mail, Mailer

ALL = ("mail", "late_fee", "owner_mail", "waive_fee", "note")
LOOK_SIZE = 25  # customers re-read by one look …
LOOK_LASTS = timedelta(seconds=60)  # … which is trusted for a minute
FACTS_LAST = timedelta(days=1)
log = logging.getLogger("duewell.deliver")


def deliver(hour: Hour) -> None:
    """Deliver everything that may leave now. One refused or odd effect never stops the others."""
    if hour.dry_run:
        return
    if not _ready_ids(hour, ALL):
        return
    closed: set[str] = set()
    _lane(hour, ("mail", "late_fee"), _batches(hour, closed), closed)
    _lane(hour, ("owner_mail",), _each(hour, "owner_mail"), closed)
    deliver_what_is_owed(hour)


def deliver_what_is_owed(hour: Hour) -> None:
    """Write what follows from deeds, whatever the books say by now: waivers, and notes of what has left.

    Notes last, in a fresh look at the outbox: mails, fees and waivers of this very run owe some.
    """
    if hour.dry_run:
        return
    for kind in ("waive_fee", "note"):
        _lane(hour, (kind,), _each(hour, kind), set())


def deliver_to_the_owner(hour: Hour) -> None:
    """Deliver the internal mails alone: the books cannot be read, and somebody must know."""
    if not hour.dry_run:
        _lane(hour, ("owner_mail",), _each(hour, "owner_mail"), set())


def _each(hour: Hour, kind: str) -> Iterator[list[int]]:
    for entry_id in _ready_ids(hour, (kind,)):
        yield [entry_id]


def _lane(hour: Hour, kinds: Sequence[str], batches: Iterable[Sequence[int]], closed: set[str]) -> None:
    for batch in batches:
        for entry_id in batch:
            if hour.installation.stopping():
                return
            _one(hour, entry_id, closed)
        if closed >= set(kinds):
            return


def _ready_ids(hour: Hour, kinds: Collection[str]) -> list[int]:
    with hour.reading() as session:
        ready = outbox.ready(session, hour.connection(session), kinds, hour.now())
        return [entry.id for entry in ready if entry.id is not None]


def _batches(hour: Hour, closed: set[str]) -> Iterator[list[int]]:
    """Yield ready mails and fees, a few customers at a time, each batch re-read from the ledger and decided again."""
    kinds = {"mail", "late_fee"}
    with hour.reading() as session:
        connection = hour.connection(session)
        ready = outbox.ready(session, connection, kinds, hour.now())
        by_customer: dict[str, list[int]] = {}
        for entry in ready:
            by_customer.setdefault(entry.customer_id, []).append(entry.id or 0)
        old = connection.facts_read_at is None or hour.now() - connection.facts_read_at > FACTS_LAST
    if by_customer and old:
        pull.read_facts(hour)
    customers = list(by_customer)
    for start in range(0, len(customers), LOOK_SIZE):
        some = customers[start : start + LOOK_SIZE]
        for seen in _looked_at(hour, some, by_customer):
            looked_at = hour.now()
            for customer in seen:
                if not _looked_lately(hour, looked_at) and not _seen(hour, customer, by_customer[customer]):
                    continue
                yield _still_ready(hour, customer, kinds - closed)


def _looked_at(hour: Hour, some: Sequence[str], entries: Mapping[str, list[int]]) -> Iterator[Sequence[str]]:
    """Look at customers together, or, where the ledger refuses that because of one of them, at each by himself."""
    try:
        _look(hour, some, [entry_id for customer in some for entry_id in entries[customer]])
    except Rejected as no:
        if len(some) == 1:
            _cannot_look(hour, some[0], no)
            return
        yield from ([customer] for customer in some if _seen(hour, customer, entries[customer]))
        return
    yield some


def _seen(hour: Hour, customer_id: str, entry_ids: Sequence[int]) -> bool:
    """Look at one customer; where the ledger refuses that, say so: nothing is sent to him."""
    try:
        _look(hour, [customer_id], entry_ids)
    except Rejected as no:
        _cannot_look(hour, customer_id, no)
        return False
    return True


def _cannot_look(hour: Hour, customer_id: str, no: Rejected) -> None:
    text = f"Nothing was sent to this customer, because the ledger would not show his invoices just before: {no}"
    with hour.writing() as session:
        hour.log(session, "odd", text, customer_id=customer_id)
    hour.failed.append(f"The ledger would not show the invoices of customer {customer_id}: {no}")


def _looked_lately(hour: Hour, looked_at: datetime) -> bool:
    return timedelta(0) <= hour.now() - looked_at <= LOOK_LASTS


def _look(hour: Hour, customer_ids: Sequence[str], entry_ids: Sequence[int]) -> None:
    hour.tell(f"looking again at {len(customer_ids)} customers before anything leaves")
    with hour.reading() as session:
        entries = [session.get(OutboxEntry, entry_id) for entry_id in entry_ids]
        listed = {
            invoice_id
            for entry in entries
            if entry is not None
            for invoice_id in [*entry.payload.get("listed", []), *(pair[0] for pair in entry.payload["taken"])]
        }
    pull.look_again(hour, hour.ledger.look(sorted(listed), list(customer_ids), hour.now()))
    with hour.writing() as session:
        decide_again(hour, session, customer_ids)


def _still_ready(hour: Hour, customer_id: str, kinds: Collection[str]) -> list[int]:
    with hour.reading() as session:
        ready = outbox.ready(session, hour.connection(session), kinds, hour.now())
        return [entry.id or 0 for entry in ready if entry.customer_id == customer_id]


def _one(hour: Hour, entry_id: int, closed: set[str]) -> None:
    """Deliver one entry; whatever its vendor does becomes its state, never somebody else's problem."""
    with hour.reading() as session:
        entry = session.get(OutboxEntry, entry_id)
        kind = entry.kind if entry is not None and entry.state == "planned" else ""
    if not kind or kind in closed:
        return
    try:
        if restored.settled(hour, entry_id, kind):
            return
        if kind in {"mail", "owner_mail"}:
            _mail(hour, entry_id, kind)
        else:
            ledger_writes.write(hour, entry_id)
    except LaneClosed:
        closed.add(kind)
    except (StepTaken, letters.NothingToSay) as gone:
        _drop(hour, entry_id, str(gone))
    except (LeaseLost, SQLAlchemyError):  # of the whole run, not of this entry
        raise
    except Exception as error:
        log.exception("outbox entry %s broke off", entry_id)
        odd(hour, entry_id, error)


def _mail(hour: Hour, entry_id: int, kind: str) -> None:
    mailer = hour.mailer
    if mailer is None:
        message = (
            "No mailer is set up: give SENDGRID_API_KEY (or SMTP_URL, or EML_FOLDER) and MAIL_FROM, then run again."
        )
        if message not in hour.person:
            hour.person.append(message)
        raise LaneClosed(message)
    if suppression.found(hour, mailer, entry_id) and not _decided_again(hour, entry_id):
        return
    with hour.reading() as session:
        told = _told(session.get_one(OutboxEntry, entry_id))
    written = _written(hour, entry_id, kind)
    if written is None:
        return
    with hour.writing() as session:
        connection, entry = hour.connection(session), as_it_stands(hour, session, entry_id)
        if entry is None or _told(entry) != told or not outbox.may_leave(connection, entry, hour.now()):
            return  # something else is right by now: the next run writes that
        outbox.mark_calling(session, entry, at=hour.now(), on=hour.today(connection))
        hour.log(session, "calling", f"Mailing: {entry.why}", **about(entry))
    _send(hour, entry_id, kind, mailer, written)


def _written(hour: Hour, entry_id: int, kind: str) -> Mail | None:
    """Write the mail. Where the ledger's links and PDFs took long, look at its customer once more."""
    begun_at = hour.now()
    try:
        mail = letters.write(hour, entry_id)
        if kind == "owner_mail" or _looked_lately(hour, begun_at):
            return mail
        with hour.reading() as session:
            customer_id = session.get_one(OutboxEntry, entry_id).customer_id
        return mail if _seen(hour, customer_id, [entry_id]) else None
    except letters.CannotWrite as error:
        refused(hour, entry_id, str(error))
    except (Reconnect, TryLater) as unread:
        wait(hour, kind, unread)
    return None


def _told(entry: OutboxEntry) -> tuple[str, Any]:
    """Give what a mail is written from: its facts, and the words a person gave it."""
    return entry.content, entry.own_words


def _send(hour: Hour, entry_id: int, kind: str, mailer: Mailer, mail: Mail) -> None:
    hour.tell(f"mailing {mail.to_name or mail.to[0]}")
    try:
        with hour.leaves(entry_id):
            accepted = mailer.send(mail)
    except Unknown as unknown:
        doubt(hour, entry_id, str(unknown))
        hour.setbacks[kind] += 1
        if hour.setbacks[kind] >= SETBACKS_MAX:  # a mail system that hangs must not make a doubt of every mail
            hour.later.append(f"Mail after mail came to nothing; the rest waits: {unknown}")
            raise LaneClosed from unknown
    except Rejected as no:
        refused(hour, entry_id, str(no))
    except (Reconnect, TryLater) as nothing_left:
        put_off(hour, entry_id, kind, nothing_left)
    else:
        done(hour, entry_id, accepted.reference, f"{mailer.name} took it for {', '.join(mail.to)}")


def _decided_again(hour: Hour, entry_id: int) -> bool:
    """Decide about the customer once more, an address of his gets no mail; tell whether the mail still leaves."""
    with hour.writing() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        decide_again(hour, session, [entry.customer_id])
    with hour.reading() as session:
        left = session.get(OutboxEntry, entry_id)
        return left is not None and outbox.may_leave(hour.connection(session), left, hour.now())


def _drop(hour: Hour, entry_id: int, why: str) -> None:
    with hour.writing() as session:
        entry = session.get(OutboxEntry, entry_id)
        if entry is not None and entry.state in outbox.UNSENT:
            hour.log(session, "unplanned", f"Dropped: {why}.", facts={"key": entry.key})
            session.delete(entry)
