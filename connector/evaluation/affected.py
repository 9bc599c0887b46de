"""Who has to be decided about after a change of the mirror: whoever's facts changed, unless the company's own did.

A decision is about the customer's own records, those of their family and of whoever shares their mailbox, and about a
few facts that all customers of a company have in common: how large its invoices are, how its customers pay, who
belongs together. While those stay as they were, everybody else's decision stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date

from sqlalchemy import or_, select, union
from sqlmodel import Session

from connector.db.tables import Connection
from connector.policy_store import ActivePolicy
from connector.runtime.mirror_changes import MirrorChanges
from connector.sync.mirror import mailboxes, merges
from connector.sync.mirror.customer_batch import TABLES
from connector.sync.mirror.families import load_families
from connector.sync.mirror.portfolio_stats import load_portfolio_stats
from connector.vocabulary import OutboxKind

_AFFECTED_MAX = 300  # customers: with more, everybody is decided about


def company_facts(session: Session, connection: Connection, policies: ActivePolicy, today: date) -> str:
    """Hash what the decisions about all customers of a company depend on."""
    connection_id = connection.id or 0
    stats = load_portfolio_stats(session, connection, today)
    last_on = stats.last_payment_on
    limits = [each for each in _staleness_limits(policies) if each is not None]
    is_recent = not limits or last_on is None or (today - last_on).days <= min(limits)
    former = merges.load_former_addresses(session, connection_id)
    facts = (
        stats.percentiles,
        sorted(stats.revenue_ranks.items()),
        stats.baseline,
        sorted(stats.repeated_numbers),
        "recent" if is_recent else last_on,  # while it is, nothing depends on the date
        mailboxes.load_shared_addresses(session, connection).fingerprint,
        load_families(session, connection_id).links,
        sorted((each, sorted(addresses)) for each, addresses in former.items()),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def find_affected(session: Session, connection: Connection, changes: MirrorChanges) -> set[str] | None:
    """Return the customers whose decisions the changes of a run's pages can touch; None for everybody."""
    connection_id = connection.id or 0
    invoice, decision = TABLES["invoice"].c, TABLES["invoice_decision"].c
    names_invoice = [
        select(invoice.customer_id).where(
            invoice.connection_id == connection_id, invoice.external_id.in_(changes.invoice_ids)
        ),
        select(decision.customer_id).where(  # about whose email it was until now
            decision.connection_id == connection_id, decision.invoice_id.in_(changes.invoice_ids)
        ),
    ]
    found = changes.customer_ids | set(session.execute(union(*names_invoice)).scalars())
    found |= _survivors(session, connection_id, found)
    families = load_families(session, connection_id)
    peers = mailboxes.load_peers(session, connection)
    affected: set[str] = set()
    while found - affected:
        affected |= found
        if len(affected) > _AFFECTED_MAX:
            return None
        found = families.with_relatives(affected) | {peer for each in affected for peer in peers.get(each, ())}
    return None if _have_late_fees(session, connection_id, affected, changes.invoice_ids) else affected


def _staleness_limits(policies: ActivePolicy) -> Iterator[int | None]:
    for policy in (policies.policy, policies.previous):
        for each in (policy, *(own for _applies_to, own in policy.customer_policies)):
            yield each.data_freshness.payments_stale_after_days


def _survivors(session: Session, connection_id: int, customer_ids: set[str]) -> set[str]:
    """Return into whom these customers were merged: a document may name the merged record for some time."""
    customer = TABLES["customer"].c
    query = select(customer.external_id, customer.merged_into).where(
        customer.connection_id == connection_id, customer.merged_into.is_not(None)
    )
    into = {row[0]: row[1] for row in session.execute(query)}
    found: set[str] = set()
    ids = customer_ids
    while ids := {into[each] for each in ids if each in into} - found:
        found |= ids
    return found


def _have_late_fees(session: Session, connection_id: int, customer_ids: set[str], invoice_ids: set[str]) -> bool:
    """Return whether late fees were charged to these customers, or one of the invoices is one: it may be another's."""
    outbox = TABLES["outbox"].c
    query = select(outbox.id).where(
        outbox.connection_id == connection_id,
        outbox.kind == OutboxKind.LATE_FEE,
        outbox.reference != "",
        or_(outbox.customer_id.in_(customer_ids), outbox.reference.in_(invoice_ids)),
    )
    return session.execute(query.limit(1)).first() is not None
