"""Who gets no mail: asked of the mail system before an address is used, and told by its events.

The look-up is a kindness, not a condition: SendGrid takes a mail to a dropped address with the same 202 as any other.
What cannot be asked is said in the log, and the mail leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlmodel import Session

from connector.hour import Hour
from connector.tables import Connection, OutboxEntry, Stored, SuppressedAddress
from providers.errors import ProviderError
from providers.mailer import Mailer

LASTS = timedelta(days=1)
_NAME_LENGTH_MAX = 320
_UNASKED = "suppressions_unasked"


def known(session: Session) -> Mapping[str, str]:
    """Give every address that gets no mail, in lower case, with the reason."""
    return {row.address: row.why for row in session.scalars(select(SuppressedAddress))}


def suppress(session: Session, address: str, why: str, at: datetime) -> bool:
    """Keep an address from getting mail in every company; tell whether that is news."""
    address = address.strip().lower()
    if not address or len(address) > _NAME_LENGTH_MAX or session.get(SuppressedAddress, address) is not None:
        return False
    session.add(SuppressedAddress(address=address, why=why, since_at=at))
    session.execute(update(Connection).values(decided_on=""))  # whom it concerns is decided anew
    return True


def release(session: Session, addresses: Iterable[str]) -> None:
    """Mail these addresses again: a person says that they work. If the mail system disagrees, it says so once more."""
    for address in addresses:
        row = session.get(SuppressedAddress, address.strip().lower())
        if row is not None:
            session.delete(row)
        stored = session.get(Stored, (0, _name(address)))
        if stored is not None:
            session.delete(stored)


def found(hour: Hour, mailer: Mailer, entry_id: int) -> list[str]:
    """Ask about the addresses of a mail that is about to leave; return those that get none, now marked as such.

    Asked at most once a day for an address, and no more in a run once an answer has failed.
    """
    with hour.reading() as session:
        entry = session.get(OutboxEntry, entry_id)
        to = list(entry.payload.get("to", ())) if entry is not None and entry.kind == "mail" else []
        asked = [address for address in to if not _fresh(session, address, hour.now())]
    answers = {address: why for address in asked if (why := _ask(hour, mailer, address)) is not None}
    if not answers:
        return []
    with hour.writing() as session:
        for address, why in answers.items():
            name = _name(address)
            session.merge(Stored(connection_id=0, name=name, value=why, stored_at=hour.now()))
            if why and suppress(session, address, why, hour.now()):
                hour.log(session, "suppressed", f"{address} gets no mail any more: {why}.")
    return [address for address, why in answers.items() if why]


def _ask(hour: Hour, mailer: Mailer, address: str) -> str | None:
    if hour.tally[_UNASKED]:
        return None
    try:
        return mailer.suppressed(address)
    except ProviderError as error:
        hour.tally[_UNASKED] = 1
        text = f"{mailer.name} could not be asked whether it still mails the addresses of this run; mails leave all the"
        with hour.writing() as session:
            hour.log(session, "warning", f"{text} same. {error}")
        return None


def _fresh(session: Session, address: str, now: datetime) -> bool:
    stored = session.get(Stored, (0, _name(address)))
    return stored is not None and now - stored.stored_at < LASTS


def _name(address: str) -> str:
    return f"suppressed:{address.strip().lower()}"
