"""Lets what is planned leave: re-read just before, mark, call, mark. Mails and fees first, then the notes they owe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from connector import ledger_writes, letters, outbox, pull, suppression
from connector.deciding import decide_again
from connector.hour import Hour
from connector.lanes import LaneClosed, about, done, doubt, put_off, refused
from connector.outbox import StepTaken
from connector.tables import OutboxEntry
from providers.errors import Reconnect, Rejected, TryLater, Unknown

ALL = ("mail", "late_fee", "owner_mail", "waive_fee", "note")
LOOK_SIZE = 25  # customers re-read by one look …
LOOK_LASTS = timedelta(seconds=60)  # … which is trusted for a minute
FACTS_LAST = timedelta(days=1)


def deliver(hour: Hour) -> None:
    """Deliver everything that may leave now. One refused or odd effect never stops the others."""
    if hour.dry_run:
        return
    if not _ready_ids(hour, ALL):
        return
    _lane(hour, ("mail", "late_fee"), _batches(hour))
    _lane(hour, ("owner_mail",), ([entry_id] for entry_id in _ready_ids(hour, ("owner_mail",))))
    _lane(hour, ("waive_fee",), ([entry_id] for entry_id in _ready_ids(hour, ("waive_fee",))))
    # Notes last, in a fresh look at the outbox: mails, fees and waivers of this very run owe some.
    _lane(hour, ("note",), ([entry_id] for entry_id in _ready_ids(hour, ("note",))))


def _lane(hour: Hour, kinds: Sequence[str], batches: Iterable[Sequence[int]]) -> None:
    closed: set[str] = set()
    for batch in batches:
        for entry_id in batch:
            if hour.installation.stopping():
                return
            _one(hour, entry_id, closed)
        if closed >= set(kinds):
            return


def _ready_ids(hour: Hour, kinds: Sequence[str]) -> list[int]:
    with hour.reading() as session:
        ready = outbox.ready(session, hour.connection(session), kinds, hour.now())
        return [entry.id for entry in ready if entry.id is not None]


def _batches(hour: Hour) -> Iterator[list[int]]:
    """Yield ready mails and fees, a few customers at a time, each batch re-read from the ledger and decided again."""
    kinds = ("mail", "late_fee")
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
        _look(hour, some, [entry_id for customer in some for entry_id in by_customer[customer]])
        looked_at = hour.now()
        for customer in some:
            if hour.now() - looked_at > LOOK_LASTS:
                _look(hour, [customer], by_customer[customer])
            yield _still_ready(hour, customer, kinds)


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


def _still_ready(hour: Hour, customer_id: str, kinds: Sequence[str]) -> list[int]:
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
        if kind in {"mail", "owner_mail"}:
            _mail(hour, entry_id)
        else:
            ledger_writes.write(hour, entry_id)
    except LaneClosed:
        closed.add(kind)
    except StepTaken as twice:
        _drop(hour, entry_id, str(twice))


def _mail(hour: Hour, entry_id: int) -> None:
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
    try:
        mail = letters.write(hour, entry_id)
    except letters.CannotWrite as error:
        refused(hour, entry_id, str(error))
        return
    with hour.writing() as session:
        entry, connection = session.get_one(OutboxEntry, entry_id), hour.connection(session)
        if not outbox.may_leave(connection, entry, hour.now()):
            return
        outbox.mark_calling(session, entry, at=hour.now(), on=hour.today(connection))
        hour.log(session, "calling", f"Mailing: {entry.why}", **about(entry))
    hour.tell(f"mailing {mail.to_name or mail.to[0]}")
    try:
        accepted = mailer.send(mail)
    except Unknown as unknown:
        doubt(hour, entry_id, str(unknown))
    except Rejected as no:
        refused(hour, entry_id, str(no))
    except (Reconnect, TryLater) as wait:
        raise put_off(hour, entry_id, wait) from wait
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
