"""Who gets no mail: asked of the mail system before an address is used, and told by its events.

The look-up is a kindness, not a condition: SendGrid takes a mail to a dropped address with the same 202 as any other.
What cannot be asked is said in the log, and the mail leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlmodel import Session

from connector.db.tables import Connection, KeyValue, OutboxEntry, SuppressedAddress
from connector.outbox.payloads import EmailPayload, payload_as
from connector.runtime.run_context import RunContext
from connector.vocabulary import LogKind, OutboxKind
from providers.errors import ProviderError
from providers.mailer import Mailer

CACHE_LIFETIME = timedelta(days=1)
_ADDRESS_LENGTH_MAX = 320
_CHECK_FAILED = "suppression_check_failed"


def load_suppressed(session: Session) -> Mapping[str, str]:
    """Give every address that gets no mail, in lower case, with the reason."""
    return {row.address: row.reason for row in session.scalars(select(SuppressedAddress))}


def suppress(session: Session, address: str, reason: str, at: datetime) -> bool:
    """Keep an address from getting mail in every company; tell whether that is news."""
    address = address.strip().lower()
    if not address or len(address) > _ADDRESS_LENGTH_MAX or session.get(SuppressedAddress, address) is not None:
        return False
    session.add(SuppressedAddress(address=address, reason=reason, since_at=at))
    session.execute(update(Connection).values(decision_fingerprint=""))  # whom it concerns is decided anew
    return True


def unsuppress(session: Session, addresses: Iterable[str]) -> None:
    """Mail these addresses again: a person says that they work. If the mail system disagrees, it says so once more."""
    for address in addresses:
        row = session.get(SuppressedAddress, address.strip().lower())
        if row is not None:
            session.delete(row)
        stored = session.get(KeyValue, (0, _cache_key(address)))
        if stored is not None:
            session.delete(stored)


def check_recipients(ctx: RunContext, mailer: Mailer, entry_id: int) -> list[str]:
    """Ask about the addresses of a mail that is about to leave; return those that get none, now marked as such.

    Asked at most once a day for an address, and no more in a run once an answer has failed.
    """
    with ctx.reading() as session:
        entry = session.get(OutboxEntry, entry_id)
        to = payload_as(EmailPayload, entry).to if entry is not None and entry.kind == OutboxKind.EMAIL else ()
        asked = [address for address in to if not _is_fresh(session, address, ctx.now())]
    answers = {address: reason for address in asked if (reason := _query_mailer(ctx, mailer, address)) is not None}
    if not answers:
        return []
    with ctx.writing() as session:
        for address, reason in answers.items():
            name = _cache_key(address)
            session.merge(KeyValue(connection_id=0, name=name, value=reason, stored_at=ctx.now()))
            if reason and suppress(session, address, reason, ctx.now()):
                ctx.log(session, LogKind.SUPPRESSED, f"{address} gets no mail any more: {reason}.")
    return [address for address, reason in answers.items() if reason]


def _query_mailer(ctx: RunContext, mailer: Mailer, address: str) -> str | None:
    if ctx.tally[_CHECK_FAILED]:
        return None
    try:
        return mailer.get_suppression_reason(address)
    except ProviderError as error:
        ctx.tally[_CHECK_FAILED] = 1
        text = f"{mailer.name} could not be asked whether it still mails the addresses of this run; mails leave all the"
        with ctx.writing() as session:
            ctx.log(session, LogKind.WARNING, f"{text} same. {error}")
        return None


def _is_fresh(session: Session, address: str, now: datetime) -> bool:
    stored = session.get(KeyValue, (0, _cache_key(address)))
    return stored is not None and now - stored.stored_at < CACHE_LIFETIME


def _cache_key(address: str) -> str:
    return f"suppressed:{address.strip().lower()}"
