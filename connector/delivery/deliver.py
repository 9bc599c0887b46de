"""Lets what is planned leave: re-read just before, mark, call, mark. Mails and fees first, then the notes they owe."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from connector.arrangements import suppressions
from connector.db.tables import OutboxEntry
from connector.delivery import after_restore, ledger_writes
from connector.delivery.circuit_breaker import (
    CONSECUTIVE_FAILURES_MAX,
    CircuitOpen,
    defer,
    log_fields,
    record_deferral,
    record_done,
    record_fault,
    record_rejection,
    record_unconfirmed,
)
from connector.emails.outbound import compose as letters
from connector.evaluation.evaluate import decide_again, refresh_entry
from connector.outbox import entries as outbox_entries
from connector.outbox.entries import StepAlreadyCompleted
from connector.runtime.lease import LeaseLost
from connector.runtime.run_context import RunContext
from connector.sync import pull
from connector.vocabulary import LogKind, OutboxState
from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, TransientError
from providers.mailer import Email, Mailer

ALL_KINDS = ("email", "late_fee", "owner_email", "fee_waiver", "note")
RECHECK_BATCH_SIZE = 25  # customers re-read by one look …
RECHECK_VALID_FOR = timedelta(seconds=60)  # … which is trusted for a minute
ORGANISATION_VALID_FOR = timedelta(days=1)
log = logging.getLogger("duewell.deliver")


def deliver_outbox(ctx: RunContext) -> None:
    """Deliver everything that may leave now. One refused or odd effect never stops the others."""
    if ctx.dry_run:
        return
    if not _ready_ids(ctx, ALL_KINDS):
        return
    closed: set[str] = set()
    _deliver_batches(ctx, ("email", "late_fee"), _rechecked_batches(ctx, closed), closed)
    _deliver_batches(ctx, ("owner_email",), _single_batches(ctx, "owner_email"), closed)
    deliver_follow_ups(ctx)


def deliver_follow_ups(ctx: RunContext) -> None:
    """Write what follows from deeds, whatever the books say by now: waivers, and notes of what has left.

    Notes last, in a fresh look at the outbox: mails, fees and waivers of this very run owe some.
    """
    if ctx.dry_run:
        return
    for kind in ("fee_waiver", "note"):
        _deliver_batches(ctx, (kind,), _single_batches(ctx, kind), set())


def deliver_owner_emails(ctx: RunContext) -> None:
    """Deliver the internal mails alone: the books cannot be read, and somebody must know."""
    if not ctx.dry_run:
        _deliver_batches(ctx, ("owner_email",), _single_batches(ctx, "owner_email"), set())


def _single_batches(ctx: RunContext, kind: str) -> Iterator[list[int]]:
    for entry_id in _ready_ids(ctx, (kind,)):
        yield [entry_id]


def _deliver_batches(
    ctx: RunContext, kinds: Sequence[str], batches: Iterable[Sequence[int]], halted_kinds: set[str]
) -> None:
    for batch in batches:
        for entry_id in batch:
            if ctx.app.is_stopping():
                return
            _deliver_entry(ctx, entry_id, halted_kinds)
        if halted_kinds >= set(kinds):
            return


def _ready_ids(ctx: RunContext, kinds: Collection[str]) -> list[int]:
    with ctx.reading() as session:
        ready = outbox_entries.find_ready(session, ctx.connection(session), kinds, ctx.now())
        return [entry.id for entry in ready if entry.id is not None]


def _rechecked_batches(ctx: RunContext, halted_kinds: set[str]) -> Iterator[list[int]]:
    """Yield ready mails and fees, a few customers at a time, each batch re-read from the ledger and decided again."""
    kinds = {"email", "late_fee"}
    with ctx.reading() as session:
        connection = ctx.connection(session)
        ready = outbox_entries.find_ready(session, connection, kinds, ctx.now())
        by_customer: dict[str, list[int]] = {}
        for entry in ready:
            by_customer.setdefault(entry.customer_id, []).append(entry.id or 0)
        old = (
            connection.company_info_read_at is None
            or ctx.now() - connection.company_info_read_at > ORGANISATION_VALID_FOR
        )
    if by_customer and old:
        pull.read_organisation(ctx)
    customers = list(by_customer)
    for start in range(0, len(customers), RECHECK_BATCH_SIZE):
        some = customers[start : start + RECHECK_BATCH_SIZE]
        for seen in _recheck_together(ctx, some, by_customer):
            looked_at = ctx.now()
            for customer in seen:
                if not _is_recent(ctx, looked_at) and not _recheck_one(ctx, customer, by_customer[customer]):
                    continue
                yield _still_ready(ctx, customer, kinds - halted_kinds)


def _recheck_together(
    ctx: RunContext, customer_ids: Sequence[str], entries: Mapping[str, list[int]]
) -> Iterator[Sequence[str]]:
    """Look at customers together, or, where the ledger refuses that because of one of them, at each by himself."""
    try:
        _recheck(ctx, customer_ids, [entry_id for customer in customer_ids for entry_id in entries[customer]])
    except PermanentError as no:
        if len(customer_ids) == 1:
            _log_recheck_failure(ctx, customer_ids[0], no)
            return
        yield from ([customer] for customer in customer_ids if _recheck_one(ctx, customer, entries[customer]))
        return
    yield customer_ids


def _recheck_one(ctx: RunContext, customer_id: str, entry_ids: Sequence[int]) -> bool:
    """Look at one customer; where the ledger refuses that, say so: nothing is sent to him."""
    try:
        _recheck(ctx, [customer_id], entry_ids)
    except PermanentError as no:
        _log_recheck_failure(ctx, customer_id, no)
        return False
    return True


def _log_recheck_failure(ctx: RunContext, customer_id: str, error: PermanentError) -> None:
    text = f"Nothing was sent to this customer, because the ledger would not show his invoices just before: {error}"
    with ctx.writing() as session:
        ctx.log(session, LogKind.ERROR, text, customer_id=customer_id)
    ctx.failures.append(f"The ledger would not show the invoices of customer {customer_id}: {error}")


def _is_recent(ctx: RunContext, checked_at: datetime) -> bool:
    return timedelta(0) <= ctx.now() - checked_at <= RECHECK_VALID_FOR


def _recheck(ctx: RunContext, customer_ids: Sequence[str], entry_ids: Sequence[int]) -> None:
    ctx.on_progress(f"looking again at {len(customer_ids)} customers before anything leaves")
    with ctx.reading() as session:
        entries = [session.get(OutboxEntry, entry_id) for entry_id in entry_ids]
        listed = {
            invoice_id
            for entry in entries
            if entry is not None
            for invoice_id in [*entry.payload.get("listed", []), *(pair[0] for pair in entry.payload["completed"])]
        }
    pull.store_recheck(ctx, ctx.ledger.reload_documents(sorted(listed), list(customer_ids), ctx.now()))
    with ctx.writing() as session:
        decide_again(ctx, session, customer_ids)


def _still_ready(ctx: RunContext, customer_id: str, kinds: Collection[str]) -> list[int]:
    with ctx.reading() as session:
        ready = outbox_entries.find_ready(session, ctx.connection(session), kinds, ctx.now())
        return [entry.id or 0 for entry in ready if entry.customer_id == customer_id]


def _deliver_entry(ctx: RunContext, entry_id: int, halted_kinds: set[str]) -> None:
    """Deliver one entry; whatever its vendor does becomes its state, never somebody else's problem."""
    with ctx.reading() as session:
        entry = session.get(OutboxEntry, entry_id)
        kind = entry.kind if entry is not None and entry.state == OutboxState.PLANNED else ""
    if not kind or kind in halted_kinds:
        return
    try:
        if after_restore.must_withhold(ctx, entry_id, kind):
            return
        if kind in {"email", "owner_email"}:
            _deliver_email(ctx, entry_id, kind)
        else:
            ledger_writes.write_entry(ctx, entry_id)
    except CircuitOpen:
        halted_kinds.add(kind)
    except (StepAlreadyCompleted, letters.NothingToSend) as gone:
        _cancel(ctx, entry_id, str(gone))
    except (LeaseLost, SQLAlchemyError):  # of the whole run, not of this entry
        raise
    except Exception as error:
        log.exception("outbox entry %s broke off", entry_id)
        record_fault(ctx, entry_id, error)


def _deliver_email(ctx: RunContext, entry_id: int, kind: str) -> None:
    mailer = ctx.mailer
    if mailer is None:
        message = (
            "No mailer is set up: give SENDGRID_API_KEY (or SMTP_URL, or EML_FOLDER) and MAIL_FROM, then run again."
        )
        if message not in ctx.action_required:
            ctx.action_required.append(message)
        raise CircuitOpen(message)
    if suppressions.check_recipients(ctx, mailer, entry_id) and not _is_still_sendable(ctx, entry_id):
        return
    with ctx.reading() as session:
        told = _email_source(session.get_one(OutboxEntry, entry_id))
    written = _compose_email(ctx, entry_id, kind)
    if written is None:
        return
    with ctx.writing() as session:
        connection, entry = ctx.connection(session), refresh_entry(ctx, session, entry_id)
        if (
            entry is None
            or _email_source(entry) != told
            or not outbox_entries.is_dispatchable(connection, entry, ctx.now())
        ):
            return  # something else is right by now: the next run writes that
        outbox_entries.mark_sending(session, entry, at=ctx.now(), on=ctx.today(connection))
        ctx.log(session, LogKind.SENDING, f"Mailing: {entry.reason}", **log_fields(entry))
    _send(ctx, entry_id, kind, mailer, written)


def _compose_email(ctx: RunContext, entry_id: int, kind: str) -> Email | None:
    """Write the mail. Where the ledger's links and PDFs took long, look at its customer once more."""
    begun_at = ctx.now()
    try:
        mail = letters.compose_entry(ctx, entry_id)
        if kind == "owner_email" or _is_recent(ctx, begun_at):
            return mail
        with ctx.reading() as session:
            customer_id = session.get_one(OutboxEntry, entry_id).customer_id
        return mail if _recheck_one(ctx, customer_id, [entry_id]) else None
    except letters.CannotCompose as error:
        record_rejection(ctx, entry_id, str(error))
    except (AuthorizationExpired, TransientError) as unread:
        record_deferral(ctx, kind, unread)
    return None


def _email_source(entry: OutboxEntry) -> tuple[str, Any]:
    """Give what a mail is written from: its facts, and the words a person gave it."""
    return entry.content_hash, entry.custom_text


def _send(ctx: RunContext, entry_id: int, kind: str, mailer: Mailer, email: Email) -> None:
    ctx.on_progress(f"mailing {email.to_name or email.to[0]}")
    try:
        with ctx.dispatching(entry_id):
            accepted = mailer.send(email)
    except OutcomeUnknown as unknown:
        record_unconfirmed(ctx, entry_id, str(unknown))
        ctx.consecutive_failures[kind] += 1
        if (
            ctx.consecutive_failures[kind] >= CONSECUTIVE_FAILURES_MAX
        ):  # a mail system that hangs must not make a doubt of every mail
            ctx.deferred.append(f"Mail after mail came to nothing; the rest waits: {unknown}")
            raise CircuitOpen from unknown
    except PermanentError as no:
        record_rejection(ctx, entry_id, str(no))
    except (AuthorizationExpired, TransientError) as nothing_left:
        defer(ctx, entry_id, kind, nothing_left)
    else:
        record_done(ctx, entry_id, accepted.message_id, f"{mailer.name} took it for {', '.join(email.to)}")


def _is_still_sendable(ctx: RunContext, entry_id: int) -> bool:
    """Decide about the customer once more, an address of his gets no mail; tell whether the mail still leaves."""
    with ctx.writing() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        decide_again(ctx, session, [entry.customer_id])
    with ctx.reading() as session:
        left = session.get(OutboxEntry, entry_id)
        return left is not None and outbox_entries.is_dispatchable(ctx.connection(session), left, ctx.now())


def _cancel(ctx: RunContext, entry_id: int, reason: str) -> None:
    with ctx.writing() as session:
        entry = session.get(OutboxEntry, entry_id)
        if entry is not None and entry.state in outbox_entries.UNSENT_STATES:
            ctx.log(session, LogKind.CANCELLED, f"Dropped: {reason}.", facts={"key": entry.key})
            session.delete(entry)
