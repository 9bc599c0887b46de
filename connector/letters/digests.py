"""The one internal mail of a day: for each person who minds customers of a company, what leaves, left, and waits.

It is planned on business days, an hour before mails may leave, and only where there is something to say. What it says
is gathered at the moment it leaves (``digest_mail.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from connector import outbox, policies_store
from connector.access import team
from connector.effects import Draft, short_key
from connector.hour import Hour
from connector.mirror.places import HolidayCalendar
from connector.settings import Settings
from connector.tables import Connection, OutboxEntry, Task
from policies.calendar import closed_why, opening
from policies.decisions import TellOwner
from policies.parts import Window
from policies.receivables import Step

KIND = "owner_mail"
MAILED = ("done", "doubt", "calling")
_DAYS_BACK_MAX = 10


@dataclass(frozen=True, slots=True)
class Readers:
    """Who reads about whom: mail addresses, the owner of a customer first, then his sales rep."""

    team: team.Team
    default: str

    def of(self, customer_id: str) -> tuple[str, ...]:
        """Give the readers of a customer."""
        owner = _address(self.team.owner_of(customer_id)) or self.default
        rep = _address(self.team.sales_reps.get(customer_id, ""))
        return tuple(dict.fromkeys(each for each in (owner, rep) if each))

    def of_task(self, task: Task) -> tuple[str, ...]:
        """Give who is to do a task: the one it was given to, else the owner of its customer."""
        given = _address(task.owner)
        return (given,) if given else self.of(task.customer_id)[:1]


def readers_of(session: Session, connection: Connection, settings: Settings) -> Readers:
    """Read who reads about whom in a company; who has no owner is the sender's."""
    return Readers(team.team_of(session, connection), settings.mail_reply_to or settings.mail_from)


def plan(
    hour: Hour, session: Session, connection: Connection, drafts: Sequence[Draft], told: Sequence[TellOwner], names: Any
) -> list[Draft]:
    """Draft today's digests; while a company is only observed, there is nothing but what its owner is to be told."""
    readers = readers_of(session, connection, hour.installation.settings)
    today, window = hour.today(connection), _window(session, connection)
    calendar, here = HolidayCalendar(), ZoneInfo(connection.time_zone)
    opens = opening(hour.now(), here, connection.country, window, calendar)
    if opens.at is not None and opens.at.astimezone(here).date() != today:
        return []
    news = {reader for action in told for reader in readers.of(action.customer_id)}
    if connection.mode != "observe":
        leaving = [
            draft for draft in drafts if draft.kind == "mail" and leaves_today(draft.leaves_from_at, today, here)
        ]
        news |= {reader for draft in leaving for reader in readers.of(draft.customer_id)}
        news |= set(_mailed(session, connection, readers, today)) | set(_waiting(session, connection, readers, today))
    made = [_draft(hour.books, reader, readers, told, names, today) for reader in sorted(news)]
    return [replace(draft, leaves_from_at=opens.at) for draft in made]


def leaves_today(leaves_from_at: datetime | None, today: date, here: ZoneInfo) -> bool:
    """Tell whether what may leave from an instant on may leave today."""
    return leaves_from_at is None or leaves_from_at.astimezone(here).date() <= today


def since(session: Session, connection: Connection, today: date) -> datetime:
    """Give the beginning of the last business day before today: what left since then has not been told yet."""
    window, calendar = _window(session, connection), HolidayCalendar()
    before = [today - timedelta(days=back) for back in range(1, _DAYS_BACK_MAX)]
    day = next((on for on in before if not closed_why(on, connection.country, window, calendar)), before[-1])
    return datetime.combine(day, time(), ZoneInfo(connection.time_zone)).astimezone(UTC)


def left_since(session: Session, connection: Connection, today: date) -> list[OutboxEntry]:
    """List the mails to customers that left since the last business day, and before today."""
    until = datetime.combine(today, time(), ZoneInfo(connection.time_zone)).astimezone(UTC)
    query = select(OutboxEntry).where(
        col(OutboxEntry.connection_id) == connection.id,
        col(OutboxEntry.kind) == "mail",
        col(OutboxEntry.state).in_(MAILED),
        col(OutboxEntry.called_at) >= since(session, connection, today),
        col(OutboxEntry.called_at) < until,
    )
    return list(session.scalars(query.order_by(col(OutboxEntry.called_at))))


def waiting_entries(session: Session, connection: Connection) -> list[OutboxEntry]:
    """List what waits for an approval, and doubts."""
    return _entries(session, connection, ("waiting", "doubt"), ("mail", "late_fee", "waive_fee"))


def waiting_tasks(session: Session, connection: Connection, today: date) -> list[Task]:
    """List the open tasks that are due."""
    query = select(Task).where(
        col(Task.connection_id) == connection.id, col(Task.state) == "open", col(Task.due_on) <= today
    )
    return list(session.scalars(query.order_by(col(Task.due_on), col(Task.id))))


def unsent_mails(session: Session, connection: Connection, today: date) -> list[OutboxEntry]:
    """List the mails to customers that leave, or may leave, today."""
    here = ZoneInfo(connection.time_zone)
    found = _entries(session, connection, outbox.UNSENT, ("mail",))
    return [entry for entry in found if leaves_today(entry.leaves_from_at, today, here)]


def _entries(
    session: Session, connection: Connection, states: Collection[str], kinds: Collection[str]
) -> list[OutboxEntry]:
    query = select(OutboxEntry).where(
        col(OutboxEntry.connection_id) == connection.id,
        col(OutboxEntry.state).in_(states),
        col(OutboxEntry.kind).in_(kinds),
    )
    return list(session.scalars(query.order_by(col(OutboxEntry.id))))


def _mailed(session: Session, connection: Connection, readers: Readers, today: date) -> Iterable[str]:
    for entry in left_since(session, connection, today):
        yield from readers.of(entry.customer_id)


def _waiting(session: Session, connection: Connection, readers: Readers, today: date) -> Iterable[str]:
    for entry in waiting_entries(session, connection):
        yield from readers.of(entry.customer_id)[:1]
    for task in waiting_tasks(session, connection, today):
        yield from readers.of_task(task)


def _draft(books: str, reader: str, readers: Readers, told: Sequence[TellOwner], names: Any, today: date) -> Draft:
    """Draft one digest. The steps of what is told are taken by the owner's alone: his sales rep reads them as well."""
    items: list[dict[str, Any]] = []
    for action in sorted(told, key=lambda action: (names[action.customer_id], action.currency)):
        if reader in readers.of(action.customer_id):
            owned = reader == readers.of(action.customer_id)[0]
            taken = [[invoice, step.value] for invoice, step in action.taken] if owned else []
            said = {"name": names[action.customer_id], "invoices": [invoice for invoice, _step in action.taken]}
            items.append({"customer": action.customer_id, "taken": taken, **said})
    ours = "" if reader == readers.default else f":{short_key(reader)}"
    return Draft(
        key=f"{books}:owner_mail:{today.isoformat()}{ours}",
        kind=KIND,
        customer_id="",
        step=Step.TELL_OWNER.value,
        why=_why(items, reader),
        payload={"to": [reader], "items": items, "taken": [pair for item in items for pair in item["taken"]]},
    )


def _why(items: Sequence[dict[str, Any]], reader: str) -> str:
    if len(items) == 1:
        return f"{items[0]['name']} is late enough that the owner should know."
    if items:
        return f"{len(items)} customers are late enough that their owner should know."
    return f"The digest of the day for {reader}."


def _window(session: Session, connection: Connection) -> Window:
    """Take the policy's window, an hour earlier: who reads in the morning can still stop a mail."""
    window = policies_store.current(session, connection.id)[0].window
    return replace(window, opens=window.opens.replace(hour=max(window.opens.hour - 1, 0)))


def _address(person: str) -> str:
    return team.address_of(person)[1] if person else ""
