"""Digest entries that need no email of their own: the reader has switched it off, or another company's has said it."""

from __future__ import annotations

from connector.auth.preferences import DEFAULT, load_preferences
from connector.db.tables import DailyDigest, OutboxEntry
from connector.delivery.circuit_breaker import log_fields
from connector.emails.outbound import digest_slots
from connector.outbox import entries
from connector.outbox.payloads import OwnerEmailPayload, payload_as
from connector.runtime.run_context import RunContext
from connector.vocabulary import LogKind, OutboxState


def _is_included(taken: DailyDigest, entry: OutboxEntry) -> bool:
    return taken.included.get(str(entry.connection_id)) == digest_slots.alerts_fingerprint(entry)


def stands_aside(ctx: RunContext, entry_id: int) -> bool:
    """Return whether nothing is to be sent for an entry now; what has been said by another digest is closed."""
    with ctx.reading() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        payload = payload_as(OwnerEmailPayload, entry)
        if not payload.slot:
            return False
        recipient = payload.to[0]
        if load_preferences(session, [recipient]).get(recipient.lower(), DEFAULT).digest_off:
            reason = f"{recipient} has switched the digest off."
        else:
            taken = digest_slots.find_taken(session, entry)
            if taken is None:
                return False
            sent = session.get_one(OutboxEntry, taken.outbox_id)
            if sent.state != OutboxState.DONE or not _is_included(taken, entry):
                return True  # it is not known yet whether that was sent; or this is news, for the next digest
            reason = f"Part of the digest over all companies of {recipient}."
        content = entry.content_hash
    with ctx.writing() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        if entry.state == OutboxState.PLANNED and entry.content_hash == content:
            entries.mark_sending(session, entry, at=ctx.now(), on=ctx.today(ctx.connection(session)))
            entries.mark_done(session, entry, at=ctx.now(), reference="", detail=reason)
            ctx.log(session, LogKind.OWNER_NOTIFIED, f"{entry.reason} {reason}", **log_fields(entry))
    return True
