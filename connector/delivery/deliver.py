"""Sends what is planned: recheck, mark as sending, call, mark as done. Emails and fees come first, then their notes."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from connector.db.tables import OutboxEntry
from connector.delivery import (
    address_checks,
    after_restore,
    digest_delivery,
    documents_ahead,
    email_pause,
    ledger_writes,
    note_batches,
)
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
from connector.delivery.recheck import RECHECK_BATCH_SIZE, ensure_recent_reading, recheck_customers
from connector.emails.outbound import compose, digest_slots, sent_emails
from connector.emails.outbound.ledger_documents import LedgerDocuments
from connector.evaluation.evaluate import refresh_entry
from connector.guides import guide
from connector.outbox import entries
from connector.outbox.entries import EMAIL_KINDS, StepAlreadyCompleted
from connector.runtime.lease import LeaseLost
from connector.runtime.run_context import RunContext
from connector.sync import pull
from connector.vocabulary import LogKind, OutboxKind, OutboxState
from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, RateLimited, TransientError
from providers.mailer import Email, Mailer, PacedMailer

RECHECKED_KINDS = frozenset({OutboxKind.EMAIL, OutboxKind.LATE_FEE})  # sent only after their customer is read again
ORGANISATION_VALID_FOR = timedelta(days=1)
log = logging.getLogger("duewell.deliver")


def deliver_outbox(ctx: RunContext) -> None:
    """Send everything that may be sent now; one rejected or faulty entry never stops the others."""
    if ctx.dry_run or not _ready_ids(ctx, list(OutboxKind)):
        return
    halted: set[str] = set()
    _deliver_batches(ctx, RECHECKED_KINDS, _rechecked_batches(ctx, halted), halted)
    _deliver_batches(ctx, {OutboxKind.OWNER_EMAIL}, _single_batches(ctx, OutboxKind.OWNER_EMAIL), halted)
    deliver_follow_ups(ctx)


def deliver_follow_ups(ctx: RunContext) -> None:
    """Post waivers and notes, which follow from what was done, whatever the ledger says by now.

    Notes come last: the emails, fees and waivers of this very run have planned some.
    """
    if ctx.dry_run:
        return
    _deliver_batches(ctx, {OutboxKind.FEE_WAIVER}, _single_batches(ctx, OutboxKind.FEE_WAIVER), set())
    if note_batches.deliver_notes_together(ctx):
        _deliver_batches(ctx, {OutboxKind.NOTE}, _single_batches(ctx, OutboxKind.NOTE), set())


def deliver_owner_emails(ctx: RunContext) -> None:
    """Send the emails to account owners only: the ledger cannot be read, and somebody must know."""
    if not ctx.dry_run:
        _deliver_batches(ctx, {OutboxKind.OWNER_EMAIL}, _single_batches(ctx, OutboxKind.OWNER_EMAIL), set())


def _single_batches(ctx: RunContext, kind: OutboxKind) -> Iterator[list[int]]:
    for entry_id in _ready_ids(ctx, (kind,)):
        yield [entry_id]


def _deliver_batches(
    ctx: RunContext, kinds: Collection[str], batches: Iterable[Sequence[int]], halted: set[str]
) -> None:
    """Send batch after batch until all ``kinds`` are halted; adds to ``halted`` the kinds whose circuit opens."""
    for batch in batches:
        for entry_id in batch:
            if ctx.app.is_stopping():
                return
            _deliver_entry(ctx, entry_id, halted)
        if halted >= set(kinds):
            return


def _ready_ids(ctx: RunContext, kinds: Collection[str]) -> list[int]:
    with ctx.reading() as session:
        ready = entries.find_ready(session, ctx.connection(session), kinds, ctx.now())
        return [entry.id for entry in ready if entry.id is not None]


def _rechecked_batches(ctx: RunContext, halted: set[str]) -> Iterator[list[int]]:
    """Yield the ready emails and fees customer by customer, right after each was read and decided about again."""
    with ctx.reading() as session:
        connection = ctx.connection(session)
        by_customer: dict[str, list[int]] = {}
        for entry in entries.find_ready(session, connection, RECHECKED_KINDS, ctx.now()):
            by_customer.setdefault(entry.customer_id, []).append(entry.id or 0)
        read_at = connection.company_info_read_at
    if by_customer and (read_at is None or ctx.now() - read_at > ORGANISATION_VALID_FOR):
        pull.read_organisation(ctx)
    customers = list(by_customer)
    for start in range(0, len(customers), RECHECK_BATCH_SIZE):
        batch = {customer: by_customer[customer] for customer in customers[start : start + RECHECK_BATCH_SIZE]}
        entry_ids = [entry_id for some in batch.values() for entry_id in some]
        documents_ahead.fetch_for(ctx, entry_ids)  # first, as it may take a while
        if ctx.mailer is not None:
            address_checks.check_batch(ctx, ctx.mailer, entry_ids)
        for customer in recheck_customers(ctx, batch):
            yield _still_ready(ctx, customer, RECHECKED_KINDS - halted)
            if halted >= RECHECKED_KINDS:
                return


def _still_ready(ctx: RunContext, customer_id: str, kinds: Collection[str]) -> list[int]:
    with ctx.reading() as session:
        ready = entries.find_ready(session, ctx.connection(session), kinds, ctx.now())
        return [entry.id or 0 for entry in ready if entry.customer_id == customer_id]


def _deliver_entry(ctx: RunContext, entry_id: int, halted: set[str]) -> None:
    """Send one entry; whatever its provider does becomes its state and touches no other entry."""
    with ctx.reading() as session:
        entry = session.get(OutboxEntry, entry_id)
        kind = entry.kind if entry is not None and entry.state == OutboxState.PLANNED else ""
    if not kind or kind in halted:
        return
    try:
        if after_restore.must_withhold(ctx, entry_id, kind):
            return
        if kind in EMAIL_KINDS:
            _deliver_email(ctx, entry_id, kind)
        elif kind != OutboxKind.LATE_FEE or _may_be_charged(ctx, entry_id):
            ledger_writes.write_entry(ctx, entry_id)
    except CircuitOpen:
        halted.add(kind)
    except digest_slots.DigestTaken:
        log.info("outbox entry %s: another company's sync is sending this digest", entry_id)
    except (StepAlreadyCompleted, compose.NothingToSend) as reason:
        _cancel(ctx, entry_id, str(reason))
    except (LeaseLost, SQLAlchemyError):  # these concern the whole run
        raise
    except Exception as error:
        log.exception("outbox entry %s failed", entry_id)
        record_fault(ctx, entry_id, error)


def _may_be_charged(ctx: RunContext, entry_id: int) -> bool:
    """Return whether a fee's warnings have reached somebody, and its customer was read within the last minute."""
    if ctx.mailer is not None and not address_checks.is_reachable(ctx, ctx.mailer, entry_id):
        return False
    try:
        return ensure_recent_reading(ctx, entry_id)
    except (AuthorizationExpired, TransientError) as error:
        record_deferral(ctx, OutboxKind.LATE_FEE, error)
        return False


def _deliver_email(ctx: RunContext, entry_id: int, kind: str) -> None:
    mailer = ctx.mailer
    if mailer is None:
        services = f"one of the services in {guide('operations.md')}"
        message = f"Email is not set up: set MAIL_FROM and {services}, then sync again."
        if message not in ctx.action_required:
            ctx.action_required.append(message)
        raise CircuitOpen(message)
    with ctx.reading() as session:
        limit = email_pause.find(session, mailer.name, ctx.now())
    if limit is not None:
        record_deferral(ctx, kind, limit)  # which opens the circuit
    if kind == OutboxKind.OWNER_EMAIL and digest_delivery.stands_aside(ctx, entry_id):
        return
    if not address_checks.is_reachable(ctx, mailer, entry_id):
        return
    if isinstance(mailer, PacedMailer):
        try:
            mailer.wait_for_room()  # neither while it counts as being sent, nor while what was read grows old
        except TransientError as error:
            record_deferral(ctx, kind, error)
            return
    with ctx.reading() as session:
        source = _email_source(session, session.get_one(OutboxEntry, entry_id))
    email = _compose_email(ctx, entry_id, kind)
    if email is not None and _mark_sending(ctx, entry_id, email, source):
        _send(ctx, entry_id, kind, mailer, email)


def _mark_sending(ctx: RunContext, entry_id: int, email: Email, source: _EmailSource) -> bool:
    """Commit that an email is about to be sent, unless that has become wrong or its facts or text have changed."""
    with ctx.writing() as session:
        connection, entry = ctx.connection(session), refresh_entry(ctx, session, entry_id)
        if entry is None or _email_source(session, entry) != source:
            return False  # the next run sends that
        if not entries.is_dispatchable(connection, entry, ctx.now()):
            return False
        if digest_slots.is_digest(entry):  # not kept: it is about companies, too, that not everybody here may see
            digest_slots.take(session, entry, source.included)
        entries.mark_sending(session, entry, at=ctx.now(), on=ctx.today(connection))
        if not digest_slots.is_digest(entry):
            sent_emails.keep(session, ctx.app.keyring, entry, email, at=ctx.now())
        ctx.log(session, LogKind.SENDING, f"Sending: {entry.reason}", **log_fields(entry))
        return True


def _compose_email(ctx: RunContext, entry_id: int, kind: str) -> Email | None:
    """Compose the email; where its customer was read too long ago by then, they are rechecked once more."""
    try:
        documents = LedgerDocuments(ctx.app, ctx.connection_id, ctx.ledger, ctx.writing, ctx.on_progress)
        email = compose.compose_entry(ctx, documents, entry_id, all_companies=True)
        return email if kind == OutboxKind.OWNER_EMAIL or ensure_recent_reading(ctx, entry_id) else None
    except compose.CannotCompose as error:
        record_rejection(ctx, entry_id, str(error))
    except (AuthorizationExpired, TransientError) as error:
        record_deferral(ctx, kind, error)
    return None


class _EmailSource(NamedTuple):
    """What an email is composed from: its facts, a user's own text, the last change, other companies' alerts."""

    content_hash: str
    custom_text: Mapping[str, object] | None
    changed_at: datetime | None
    included: dict[str, str]


def _email_source(session: Session, entry: OutboxEntry) -> _EmailSource:
    included = digest_slots.included_alerts(session, entry) if digest_slots.is_digest(entry) else {}
    return _EmailSource(entry.content_hash, entry.custom_text, entry.changed_at, included)


def _send(ctx: RunContext, entry_id: int, kind: str, mailer: Mailer, email: Email) -> None:
    ctx.on_progress(f"emailing {email.to_name or email.to[0]}")
    try:
        with ctx.dispatching(entry_id):
            receipt = mailer.send(email)
    except OutcomeUnknown as error:
        record_unconfirmed(ctx, entry_id, str(error))
        ctx.consecutive_failures[kind] += 1
        if ctx.consecutive_failures[kind] >= CONSECUTIVE_FAILURES_MAX:  # a hanging service must not get all of them
            ctx.deferred.append(f"Several emails in a row got no answer; the others wait: {error}")
            raise CircuitOpen from error
    except PermanentError as error:
        record_rejection(ctx, entry_id, str(error))
    except (AuthorizationExpired, TransientError) as error:
        if isinstance(error, RateLimited):
            email_pause.remember(ctx, mailer.name, error)
        defer(ctx, entry_id, kind, error)
    else:
        detail = f"{mailer.name} accepted it for {', '.join(email.recipients)}"
        record_done(ctx, entry_id, receipt.message_id, detail, given_message_id=receipt.given_message_id)


def _cancel(ctx: RunContext, entry_id: int, reason: str) -> None:
    with ctx.writing() as session:
        entry = session.get(OutboxEntry, entry_id)
        if entry is not None and entry.state in entries.UNSENT_STATES:
            ctx.log(session, LogKind.CANCELLED, f"Cancelled: {reason}.", facts={"key": entry.key})
            session.delete(entry)
