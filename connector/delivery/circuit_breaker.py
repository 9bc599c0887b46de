"""What all deliveries share: when a lane closes, how an entry's end is recorded and told in the log.

A limit or a dead grant closes a lane for this run at once. What may concern one entry alone does so after a few in a
row: one odd invoice must not hold up the others, and a vendor that hangs must not hold up the run for hours.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlmodel import Session

from connector.db.tables import OutboxEntry
from connector.outbox import entries
from connector.runtime.run_context import RunContext
from connector.vocabulary import LogKind, OutboxKind, OutboxState
from providers.errors import AuthorizationExpired, OutcomeUnknown, RateLimited, TransientError

CONSECUTIVE_FAILURES_MAX = 3  # in a row, of one kind
MAX_DEFERRAL = timedelta(days=1)  # a clock that jumped must not put an effect off for a year

_DONE_LABELS = {
    OutboxKind.EMAIL: (LogKind.EMAILED, "Emailed"),
    OutboxKind.OWNER_EMAIL: (LogKind.OWNER_NOTIFIED, "Account owner notified"),
    OutboxKind.NOTE: (LogKind.NOTED, "Noted in the ledger"),
    OutboxKind.LATE_FEE: (LogKind.CHARGED, "Charged"),
    OutboxKind.FEE_WAIVER: (LogKind.WAIVED, "Waived"),
}


class CircuitOpen(Exception):
    """No more effects of this kind in this run: the vendor put us off, or a person must mend something."""


def update_entry(ctx: RunContext, entry_id: int, change: Callable[[Session, OutboxEntry], None]) -> None:
    """Record an entry's end in one transaction of the lease's owner."""
    with ctx.writing() as session:
        change(session, session.get_one(OutboxEntry, entry_id))


def record_done(ctx: RunContext, entry_id: int, reference: str, detail: str) -> None:
    """Record that it happened; the notes it owes are planned in the same commit."""

    def how(session: Session, entry: OutboxEntry) -> None:
        kind, word = _DONE_LABELS[entry.kind]
        entries.mark_done(session, entry, at=ctx.now(), reference=reference, detail=detail)
        ctx.tally[kind] += 1
        ctx.consecutive_failures[entry.kind] = 0
        ctx.log(session, kind, f"{word}: {entry.reason} {detail}.", **log_fields(entry))

    update_entry(ctx, entry_id, how)


def record_rejection(ctx: RunContext, entry_id: int, detail: str) -> None:
    """Record that it was refused for good, and give a person the task to look at it."""

    def how(session: Session, entry: OutboxEntry) -> None:
        entries.mark_rejected(session, entry, at=ctx.now(), detail=detail)
        ctx.tally["rejected"] += 1
        ctx.log(session, LogKind.REJECTED, f"Refused, not done: {detail}", **log_fields(entry))
        entries.create_rejection_task(
            session, entry, at=ctx.now(), on=ctx.today(ctx.connection(session)), reason=detail
        )

    update_entry(ctx, entry_id, how)


def record_unconfirmed(ctx: RunContext, entry_id: int, detail: str) -> None:
    """Record that nobody knows; it is not tried again by itself."""

    def how(session: Session, entry: OutboxEntry) -> None:
        entries.mark_unconfirmed(entry, at=ctx.now(), detail=detail)
        ctx.tally["unconfirmed"] += 1
        text = f"It is not known whether this happened, and it is not tried again by itself: {entry.reason} {detail}"
        ctx.log(session, LogKind.UNCONFIRMED, text, **log_fields(entry))

    update_entry(ctx, entry_id, how)


def defer(ctx: RunContext, entry_id: int, kind: str, error: AuthorizationExpired | TransientError) -> None:
    """Take back an intent of which nothing has left; close the lane where the others would fare no better."""
    until = getattr(error, "not_before_at", None)
    if until is not None:
        until = min(until, ctx.now() + MAX_DEFERRAL)
    update_entry(
        ctx,
        entry_id,
        lambda session, entry: entries.mark_planned(session, entry, detail=str(error), send_after=until),
    )
    record_deferral(ctx, kind, error)


def record_deferral(ctx: RunContext, kind: str, error: AuthorizationExpired | TransientError | OutcomeUnknown) -> None:
    """Tell the run why an effect did not come about now, and close its lane if that holds for the others too."""
    reason = str(error)
    reasons = ctx.action_required if isinstance(error, AuthorizationExpired) else ctx.deferred
    if reason not in reasons:
        reasons.append(reason)
    if kind not in {"email", "owner_email"}:
        ctx.budget.record_limit(error)
    ctx.consecutive_failures[kind] += 1
    if (
        isinstance(error, (AuthorizationExpired, RateLimited))
        or ctx.consecutive_failures[kind] >= CONSECUTIVE_FAILURES_MAX
    ):
        raise CircuitOpen(reason) from error


def record_fault(ctx: RunContext, entry_id: int, error: Exception) -> None:
    """Put an entry aside that breaks our own code: the others go on, and the run says that it failed.

    A mail that was being sent is in doubt; a write into the ledger is looked for by the next run; else nothing changes.
    """
    reason = f"{type(error).__name__} at outbox entry {entry_id}; please report this"

    def how(session: Session, entry: OutboxEntry) -> None:
        if entry.state == OutboxState.SENDING and entry.kind in {OutboxKind.EMAIL, OutboxKind.OWNER_EMAIL}:
            entries.mark_unconfirmed(entry, at=ctx.now(), detail=reason)
            ctx.tally["unconfirmed"] += 1
        ctx.log(
            session,
            LogKind.ERROR,
            f"Not done, because of a fault of duewell: {entry.reason} {reason}",
            **log_fields(entry),
        )

    update_entry(ctx, entry_id, how)
    ctx.failures.append(f"A fault of duewell: {reason}.")


def log_fields(entry: OutboxEntry) -> dict[str, Any]:
    """Give the log's columns for an entry."""
    facts = {"entry": entry.id, "key": entry.key, "kind": entry.kind, "attempt": entry.attempts}
    return {"customer_id": entry.customer_id, "invoice_id": entry.invoice_id, "facts": facts}
