"""Right before an email or a fee: are the addresses good that it goes to, or that the fee's warnings went to?

Where SendGrid's events are not received, its suppression lists are the only place that tells of a bounce.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlmodel import Session, col

from connector.arrangements import suppressions
from connector.db.tables import CompletedStep, OutboxEntry
from connector.emails.inbound.events import receive_events
from connector.evaluation.evaluate import decide_again
from connector.outbox import entries
from connector.outbox.payloads import EmailPayload, invoice_ids, load_payload
from connector.runtime.run_context import RunContext
from connector.vocabulary import OutboxKind, OutboxState
from providers.delivery_events import DeliveryEvent, EventKind
from providers.mailer import Mailer, RefusalCause, Suppression


def check_batch(ctx: RunContext, mailer: Mailer, entry_ids: Sequence[int]) -> bool:
    """Check all addresses of these emails and fees at once; return whether a bad one changed what is decided."""
    with ctx.reading() as session:
        rows = [entry for entry_id in entry_ids if (entry := session.get(OutboxEntry, entry_id)) is not None]
        addresses = {row.id: _addresses(session, row) for row in rows}
    suppressed = suppressions.check_addresses(ctx, mailer, [each for some in addresses.values() for each in some])
    if not suppressed:
        return False
    receive_events(ctx.app, _bounces(suppressed))
    bad = {address.strip().lower() for address in suppressed}
    affected = {row.customer_id for row in rows if any(each.strip().lower() in bad for each in addresses[row.id])}
    with ctx.writing() as session:
        decide_again(ctx, session, sorted(affected))
    return True


def is_reachable(ctx: RunContext, mailer: Mailer, entry_id: int) -> bool:
    """Return whether an email or a fee is still sent; not where an address that is bad changes the decision."""
    if not check_batch(ctx, mailer, [entry_id]):
        return True
    with ctx.reading() as session:
        remaining = session.get(OutboxEntry, entry_id)
        return remaining is not None and entries.is_dispatchable(ctx.connection(session), remaining, ctx.now())


def _addresses(session: Session, entry: OutboxEntry) -> list[str]:
    """Return the recipients of an email; of a fee, those of the emails about its invoices of which no event came."""
    payload = load_payload(entry)
    if isinstance(payload, EmailPayload):
        return list(payload.recipients) if entry.kind == OutboxKind.EMAIL else []
    emails = session.scalars(
        select(OutboxEntry)
        .join(CompletedStep, col(CompletedStep.outbox_id) == col(OutboxEntry.id))
        .where(
            col(CompletedStep.connection_id) == entry.connection_id,
            col(CompletedStep.invoice_id).in_(invoice_ids(payload.completed)),
            col(OutboxEntry.kind) == OutboxKind.EMAIL,
            col(OutboxEntry.state) == OutboxState.DONE,
            col(OutboxEntry.delivery_status) == "",
        )
    )
    found = (load_payload(email) for email in emails)
    return list(dict.fromkeys(each for email in found if isinstance(email, EmailPayload) for each in email.recipients))


def _bounces(suppressed: Mapping[str, Suppression]) -> list[DeliveryEvent]:
    """Return what events would have told: to which addresses an email came back, and when."""
    return [
        DeliveryEvent(
            id=f"listed:{address}:{found.refused_at.isoformat()}",
            kind=EventKind.BOUNCE,
            address=address,
            at=found.refused_at,
            reason=found.reason,
            suppresses_address=True,
            refusal=RefusalCause.ADDRESS,
        )
        for address, found in suppressed.items()
        if found.refused_at is not None
    ]
