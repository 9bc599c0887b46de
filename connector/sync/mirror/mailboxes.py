"""Which of a company's customers have an email address in common: one person reads the emails of all of them.

They share the contact limits, a stop and a pause. Whose data were erased, or who was merged into another, is left out.
An address of more than ``SHARING_MAX`` customers is a placeholder, which no one person reads: it is nobody's in common,
and an exception.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from connector.db.tables import Connection
from connector.sync.mirror.customer_batch import TABLES
from connector.sync.mirror.families import load_families
from policies.receivables import Customer
from providers.addresses import parse_addresses

SHARING_MAX = 1000
_CACHE_MAX = 64
_IDS_PER_QUERY = 5000  # both databases accept as many
_Key = tuple[int, int, int, datetime | None]  # connection, version of its mirror, count and last change of settings
Peers = Mapping[str, tuple[str, ...]]  # the other customers with an address of a customer, by the customer's id


class SharedAddresses(NamedTuple):
    """Who shares an address with whom; ``fingerprint`` changes when that does, or the name of one of them.

    ``placeholders`` are addresses of too many customers to be shared, each with how many that are.
    """

    peers: Peers
    fingerprint: str
    placeholders: Mapping[str, int]


_cache: WeakKeyDictionary[Pool, dict[_Key, SharedAddresses]] = WeakKeyDictionary()  # per open database


class PeerStop(NamedTuple):
    """A customer with a common address: its name, and what users set that applies to all of them."""

    name: str
    no_reminders: bool
    hold_until_on: date | None


def load_peers(session: Session, connection: Connection) -> Peers:
    """Load who shares an address with whom."""
    return load_shared_addresses(session, connection).peers


def load_shared_addresses(session: Session, connection: Connection) -> SharedAddresses:
    """Load who shares an address with whom; it is kept in memory until the mirror or a setting changes."""
    assert connection.id is not None  # noqa: S101 - it was read from the database
    setting = TABLES["customer_setting"]
    count, changed_at = session.execute(
        select(func.count(), func.max(setting.c.set_at)).where(setting.c.connection_id == connection.id)
    ).one()
    cached = _cache.setdefault(session.connection().engine.pool, {})
    key = (connection.id, connection.mirror_version, count, changed_at)
    if key not in cached:
        if len(cached) >= _CACHE_MAX:
            cached.clear()
        cached[key] = _find_shared_addresses(session, connection.id)
    return cached[key]


def load_stops(session: Session, connection_id: int, ids: Collection[str]) -> dict[str, PeerStop]:
    """Return the names of these customers, and their stops and pauses."""
    customer, setting = TABLES["customer"], TABLES["customer_setting"]
    same = (setting.c.connection_id == customer.c.connection_id) & (setting.c.customer_id == customer.c.external_id)
    query = select(customer.c.external_id, customer.c.name, setting.c.no_reminders, setting.c.hold_until_on)
    query = query.join_from(customer, setting, same, isouter=True).where(customer.c.connection_id == connection_id)
    wanted = list(ids)
    rows = [
        row
        for start in range(0, len(wanted), _IDS_PER_QUERY)
        for row in session.execute(query.where(customer.c.external_id.in_(wanted[start : start + _IDS_PER_QUERY])))
    ]
    return {row.external_id: PeerStop(row.name, bool(row.no_reminders), row.hold_until_on) for row in rows}


def load_stopped_addresses(session: Session, connection_id: int) -> frozenset[str]:
    """Return the addresses, in lower case, of the customers who receive no reminders."""
    customer, setting = TABLES["customer"], TABLES["customer_setting"]
    same = (setting.c.connection_id == customer.c.connection_id) & (setting.c.customer_id == customer.c.external_id)
    query = select(setting.c.emails, customer.c.emails.label("known")).join_from(setting, customer, same)
    query = query.where(setting.c.connection_id == connection_id, setting.c.no_reminders)
    rows = session.execute(query)
    return frozenset(each.lower() for row in rows for each in parse_addresses(row.emails or row.known).valid)


def with_peers(customer: Customer, peers: Collection[PeerStop]) -> Customer:
    """Return a customer to whom the stops and pauses of those with the same address apply."""
    if not peers:
        return customer
    stopped_by = next((each.name for each in peers if each.no_reminders), "")
    longest = max((each for each in peers if each.hold_until_on), key=_pause_end, default=None)
    is_longer = longest is not None and _pause_end(longest) > (customer.hold_until_on or date.min)
    return replace(
        customer,
        shares_mailbox_with=tuple(sorted(each.name for each in peers)),
        no_reminders=customer.no_reminders or bool(stopped_by),
        stopped_by="" if customer.no_reminders else stopped_by,
        hold_until_on=longest.hold_until_on if longest and is_longer else customer.hold_until_on,
        paused_by=longest.name if longest and is_longer else "",
    )


def _pause_end(stop: PeerStop) -> date:
    return stop.hold_until_on or date.min


def _find_shared_addresses(session: Session, connection_id: int) -> SharedAddresses:
    by_address: dict[str, set[str]] = {}
    for customer_id, emails in _addresses_in_use(session, connection_id):
        for address in parse_addresses(emails).valid:
            by_address.setdefault(address.casefold(), set()).add(customer_id)
    peers: dict[str, set[str]] = {}
    groups = [sharing for sharing in by_address.values() if 1 < len(sharing) <= SHARING_MAX]
    for sharing in groups:
        for each in sharing:
            peers.setdefault(each, set()).update(sharing - {each})
    names = load_stops(session, connection_id, peers)
    named = sorted({tuple(sorted((each, names[each].name) for each in sharing)) for sharing in groups})
    fingerprint = hashlib.sha256(repr(named).encode()).hexdigest()[:32]
    placeholders = {address: len(sharing) for address, sharing in by_address.items() if len(sharing) > SHARING_MAX}
    return SharedAddresses({each: tuple(sorted(others)) for each, others in peers.items()}, fingerprint, placeholders)


def _addresses_in_use(session: Session, connection_id: int) -> list[tuple[str, str]]:
    """Return the customers with the addresses that emails to them go to."""
    customer, setting, invoice = TABLES["customer"], TABLES["customer_setting"], TABLES["invoice"]
    set_by_user = dict(
        session.execute(
            select(setting.c.customer_id, setting.c.emails).where(
                setting.c.connection_id == connection_id, setting.c.emails != ""
            )
        ).all()
    )
    rows = session.execute(
        select(customer.c.external_id, customer.c.emails).where(
            customer.c.connection_id == connection_id, customer.c.deleted.is_(False), customer.c.merged_into.is_(None)
        )
    ).all()
    families = load_families(session, connection_id)  # who is billed with a parent is written to at the parent's
    own = {each: set_by_user.get(each) or emails for each, emails in rows}
    of_customers = [
        (each, emails or next((own[parent] for parent in families.address_holders(each) if own.get(parent)), ""))
        for each, emails in own.items()
        if families.payer(each) == each
    ]
    known = {each for each, _emails in of_customers}
    rows = session.execute(
        select(invoice.c.customer_id, invoice.c.emails)
        .where(invoice.c.connection_id == connection_id, invoice.c.is_open, invoice.c.emails != "")
        .distinct()
    ).all()
    return of_customers + [(each, emails) for each, emails in rows if each in known and each not in set_by_user]
