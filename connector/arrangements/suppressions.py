"""Suppressed addresses, which receive no emails: learnt from SendGrid's events, and checked before an email or a fee.

The check only saves a futile email: SendGrid accepts an email to a suppressed address with the same 202 as any other.
If the check fails, the log says so and the email is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlmodel import Session

from connector.db.tables import Connection, KeyValue, SuppressedAddress
from connector.runtime.run_context import RunContext
from connector.vocabulary import LogKind
from providers.errors import ProviderError
from providers.mailer import Mailer, Suppression

CACHE_LIFETIME = timedelta(days=1)
GROUP_UNSUBSCRIBE = (
    "the recipient unsubscribed from this kind of email"  # the one reason that its recipient can take back
)
_ADDRESS_LENGTH_MAX = 320
_CHECK_FAILED = "suppression_check_failed"


def suppress(session: Session, address: str, reason: str, at: datetime) -> bool:
    """Suppress an address for every company; return whether it was not suppressed before.

    The reason stays the first one, unless that could be taken back and the new one cannot.
    """
    address = address.strip().lower()
    if not address or len(address) > _ADDRESS_LENGTH_MAX:
        return False
    known = session.get(SuppressedAddress, address)
    if known is not None:
        if known.reason == GROUP_UNSUBSCRIBE != reason:
            known.reason = reason
            _decide_anew(session)
        return False
    session.add(SuppressedAddress(address=address, reason=reason, since_at=at))
    _decide_anew(session)
    return True


def unsuppress(session: Session, addresses: Iterable[str]) -> None:
    """Email these addresses again: a user says that they work. SendGrid may suppress them again."""
    for address in addresses:
        row = session.get(SuppressedAddress, address.strip().lower())
        if row is not None:
            session.delete(row)
        stored = session.get(KeyValue, (0, _cache_key(address)))
        if stored is not None:
            session.delete(stored)
    _decide_anew(session)


def release(session: Session, address: str) -> bool:
    """Email an address again whose owner takes back their choice; return whether it was suppressed for that alone."""
    row = session.get(SuppressedAddress, address.strip().lower())
    if row is None or row.reason != GROUP_UNSUBSCRIBE:
        return False
    unsuppress(session, [address])
    return True


def _decide_anew(session: Session) -> None:
    """Have the customers of all companies decided about again: any of them may have the address."""
    session.execute(update(Connection).values(decision_fingerprint=""))


def check_addresses(ctx: RunContext, mailer: Mailer, addresses: Iterable[str]) -> dict[str, Suppression]:
    """Ask the mailer about addresses, all at once; return those that are suppressed, now stored as such.

    An address is checked at most once a day; after a failed check a run checks no more.
    """
    with ctx.reading() as session:
        distinct = {address.strip().lower(): address for address in addresses}
        unchecked = [address for address in distinct.values() if not _is_fresh(session, address, ctx.now())]
    if not unchecked:
        return {}
    suppressed = _query_mailer(ctx, mailer, unchecked)
    if suppressed is None:
        return {}
    with ctx.writing(beyond_company=True) as session:
        for address in unchecked:
            reason = suppressed[address].reason if address in suppressed else ""
            checked = KeyValue(connection_id=0, name=_cache_key(address), value=reason, stored_at=ctx.now())
            session.merge(checked)
            if reason and suppress(session, address, reason, ctx.now()):
                ctx.log(session, LogKind.SUPPRESSED, f"{address} receives no more emails: {reason}.")
    return suppressed


def _query_mailer(ctx: RunContext, mailer: Mailer, addresses: Sequence[str]) -> dict[str, Suppression] | None:
    """Return which of the addresses are suppressed; None without an answer."""
    if ctx.tally[_CHECK_FAILED]:
        return None
    try:
        return mailer.find_suppressions(addresses)
    except ProviderError as error:
        ctx.tally[_CHECK_FAILED] = 1
        text = f"{mailer.name} could not check for suppressed addresses; emails are sent without the check. {error}"
        with ctx.writing() as session:
            ctx.log(session, LogKind.WARNING, text)
        return None


def _is_fresh(session: Session, address: str, now: datetime) -> bool:
    stored = session.get(KeyValue, (0, _cache_key(address)))
    return stored is not None and now - stored.stored_at < CACHE_LIFETIME


def _cache_key(address: str) -> str:
    return f"suppressed:{address.strip().lower()}"
