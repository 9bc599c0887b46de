"""The circuit breaker of a run, and how the end of a delivery is recorded and logged.

A rate limit or an expired authorisation stops all further entries of a kind at once. What may concern a single entry
does so after a few failures in a row: one bad invoice must not hold up the others, and a provider that hangs must not
hold up the run for hours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TypedDict

from sqlmodel import Session

from connector.db.tables import OutboxEntry
from connector.emails.outbound import sent_emails
from connector.outbox import entries
from connector.runtime.run_context import RunContext
from connector.vocabulary import LogKind, OutboxKind, OutboxState
from providers.errors import AuthorizationExpired, OutcomeUnknown, RateLimited, TransientError

CONSECUTIVE_FAILURES_MAX = 3  # of one kind
MAX_DEFERRAL = timedelta(days=1)  # a clock that jumped must not defer an entry for a year

_DONE = {
    OutboxKind.EMAIL: (LogKind.EMAILED, "Emailed"),
    OutboxKind.OWNER_EMAIL: (LogKind.OWNER_NOTIFIED, "Account owner notified"),
    OutboxKind.NOTE: (LogKind.NOTED, "Note added"),
    OutboxKind.LATE_FEE: (LogKind.CHARGED, "Charged"),
    OutboxKind.FEE_WAIVER: (LogKind.WAIVED, "Waived"),
}


class CircuitOpen(Exception):
    """No more entries of this kind in this run: the provider deferred us, or somebody has to fix something."""


class LogFields(TypedDict):
    """The columns of a log line about an entry."""

    customer_id: str
    invoice_id: str
    facts: Mapping[str, object]


def update_entry(ctx: RunContext, entry_id: int, change: Callable[[Session, OutboxEntry], None]) -> None:
    """Change an entry in a transaction of its own."""
    with ctx.writing() as session:
        change(session, session.get_one(OutboxEntry, entry_id))


def record_done(ctx: RunContext, entry_id: int, reference: str, detail: str, *, given_message_id: str = "") -> None:
    """Record that an entry was sent; its notes are planned in the same commit."""

    def change(session: Session, entry: OutboxEntry) -> None:
        kind, verb = _DONE[OutboxKind(entry.kind)]
        at = ctx.now()
        entries.mark_done(session, entry, at=at, reference=reference, detail=detail, given_message_id=given_message_id)
        ctx.tally[kind] += 1
        ctx.consecutive_failures[entry.kind] = 0
        ctx.log(session, kind, f"{verb}: {entry.reason} {detail}.", **log_fields(entry))

    update_entry(ctx, entry_id, change)


def record_rejection(ctx: RunContext, entry_id: int, detail: str) -> None:
    """Record that the provider rejected an entry for good, and create a task about it."""

    def change(session: Session, entry: OutboxEntry) -> None:
        entries.mark_rejected(session, entry, at=ctx.now(), detail=detail)
        ctx.tally["rejected"] += 1
        ctx.log(session, LogKind.PROVIDER_REJECTED, f"Rejected, not sent: {detail}", **log_fields(entry))
        today = ctx.today(ctx.connection(session))
        entries.create_rejection_task(session, entry, at=ctx.now(), on=today, reason=detail)

    update_entry(ctx, entry_id, change)


def record_unconfirmed(ctx: RunContext, entry_id: int, detail: str) -> None:
    """Record that nobody knows whether an entry was sent; it is not sent again automatically."""

    def change(session: Session, entry: OutboxEntry) -> None:
        entries.mark_unconfirmed(entry, at=ctx.now(), detail=detail)
        ctx.tally["unconfirmed"] += 1
        text = f"{entry.reason} Delivery unconfirmed; it is not sent again automatically: {detail.rstrip('.')}."
        ctx.log(session, LogKind.UNCONFIRMED, text, **log_fields(entry))

    update_entry(ctx, entry_id, change)


def defer(ctx: RunContext, entry_id: int, kind: str, error: AuthorizationExpired | TransientError) -> None:
    """Plan an entry again of which nothing was sent, and open the circuit where the others would fare no better."""
    defer_all(ctx, [entry_id], kind, error)


def defer_all(
    ctx: RunContext, entry_ids: Sequence[int], kind: str, error: AuthorizationExpired | TransientError
) -> None:
    """Plan entries again that one call was to send together, and count it as one failure."""
    retry_at = error.retry_at if isinstance(error, TransientError) else None
    send_after = min(retry_at, ctx.now() + MAX_DEFERRAL) if retry_at is not None else None

    def change(session: Session, entry: OutboxEntry) -> None:
        if entry.kind in entries.EMAIL_KINDS:
            sent_emails.forget_attempt(session, entry)
        entries.mark_planned(session, entry, detail=str(error), send_after=send_after)

    for entry_id in entry_ids:
        update_entry(ctx, entry_id, change)
    record_deferral(ctx, kind, error)


def record_deferral(ctx: RunContext, kind: str, error: AuthorizationExpired | TransientError | OutcomeUnknown) -> None:
    """Record why an entry could not be sent now; raise ``CircuitOpen`` if that holds for the others too."""
    reason = str(error)
    reasons = ctx.action_required if isinstance(error, AuthorizationExpired) else ctx.deferred
    if reason not in reasons:
        reasons.append(reason)
    if kind not in entries.EMAIL_KINDS:
        ctx.budget.record_limit(error)
    ctx.consecutive_failures[kind] += 1
    too_many = ctx.consecutive_failures[kind] >= CONSECUTIVE_FAILURES_MAX
    if too_many or isinstance(error, AuthorizationExpired | RateLimited):
        raise CircuitOpen(reason) from error


def record_fault(ctx: RunContext, entry_id: int, error: Exception) -> None:
    """Set an entry aside on which our own code failed: the others are sent, and the run is marked as failed.

    The delivery of an email that was being sent is unconfirmed; a write to the ledger is looked up by the next run.
    """
    reason = f"{type(error).__name__} at outbox entry {entry_id}; please report this"

    def change(session: Session, entry: OutboxEntry) -> None:
        if entry.state == OutboxState.SENDING and entry.kind in entries.EMAIL_KINDS:
            entries.mark_unconfirmed(entry, at=ctx.now(), detail=reason)
            ctx.tally["unconfirmed"] += 1
        text = f"Not sent, because of an internal error: {entry.reason} {reason}"
        ctx.log(session, LogKind.ERROR, text, **log_fields(entry))

    update_entry(ctx, entry_id, change)
    ctx.failures.append(f"Internal error in duewell: {reason}.")


def log_fields(entry: OutboxEntry) -> LogFields:
    """Return the columns of a log line about an entry."""
    facts = {"entry": entry.id, "key": entry.key, "kind": entry.kind, "attempt": entry.attempts}
    return {"customer_id": entry.customer_id, "invoice_id": entry.invoice_id, "facts": facts}
