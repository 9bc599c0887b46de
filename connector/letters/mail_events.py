"""What became of mails, as the mail system tells: each event counts once, in any order, however late.

An event with an outbox key proves that its mail left: it settles a doubt, and it keeps a mail that was planned again
after a person's "it did not arrive" from leaving twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import or_, select
from sqlmodel import Session, col

from connector import outbox
from connector.access import bookkeeper
from connector.database import writing
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


def receive(installation: Installation, events: Iterable[Event]) -> int:
    """Take events in, in one commit; return how many of them are new."""
    with writing(installation.engine) as session:
        fresh = [event for event in events if _keep(installation, session, event)]
        for event in fresh:
            _apply(installation, session, event)
        return len(fresh)


def proof_of(session: Session, key: str) -> str | None:
    """Find the mail system's id of a mail that an event has told of: it left. None: nothing was told."""
    found = session.scalars(select(MailEvent).where(col(MailEvent.key) == key).limit(1)).first()
    return None if found is None else found.reference or found.id


def _keep(installation: Installation, session: Session, event: Event) -> bool:
    if session.get(MailEvent, event.id) is not None:
        return False
    row = MailEvent(
        id=event.id,
        key=event.key[:_KEY_MAX],
        kind=event.kind,
        address=event.address,
        reference=event.reference,
        at=event.at,
        received_at=installation.now(),
    )
    session.add(row)
    session.flush()
    return True


def _apply(installation: Installation, session: Session, event: Event) -> None:
    entry = session.scalars(select(OutboxEntry).where(col(OutboxEntry.key) == event.key)).first() if event.key else None
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
