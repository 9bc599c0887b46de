"""Writes the notes of a run together where the ledger takes several in one call.

Each note keeps what makes it happen once: it is committed as ``sending`` before the call, its text holds its own key,
and after an unknown outcome it is looked for. Only first attempts go together: what is repeated goes alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy.exc import SQLAlchemyError

from connector.db.tables import OutboxEntry
from connector.delivery import after_restore, ledger_writes
from connector.delivery.circuit_breaker import (
    CircuitOpen,
    defer,
    defer_all,
    log_fields,
    record_done,
    record_fault,
    record_rejection,
)
from connector.evaluation.evaluate import refresh_entry
from connector.outbox import entries
from connector.runtime.lease import LeaseLost
from connector.runtime.run_context import RunContext
from connector.vocabulary import LogKind, OutboxKind
from connector.vocabulary.labels import in_sentence, label
from providers.capabilities import NotesInBatches
from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, ProviderError, TransientError
from providers.ledger import DocumentRef, NewNote

BATCHES_PER_RUN_MAX = 30  # QuickBooks takes 40 a minute; what is left goes with the next sync
log = logging.getLogger("duewell.notes")


def deliver_notes_together(ctx: RunContext) -> bool:
    """Write new notes in batches; return whether what is left may be tried one by one."""
    ledger = ctx.ledger
    if not isinstance(ledger, NotesInBatches):
        return True
    try:
        for batch in _batches(_new_notes(ctx), ledger.notes_per_batch):
            if ctx.app.is_stopping():
                return False
            _deliver_batch(ctx, ledger, batch)
    except CircuitOpen:
        return False
    return True


def _new_notes(ctx: RunContext) -> list[OutboxEntry]:
    with ctx.reading() as session:
        ready = entries.find_ready(session, ctx.connection(session), (OutboxKind.NOTE,), ctx.now())
    return [entry for entry in ready if entry.attempts == 0]


def _batches(notes: Sequence[OutboxEntry], size: int) -> Iterator[list[int]]:
    """Yield the ids of notes to write together, never two on one invoice: their writes would collide there."""
    waiting = list(notes)
    for _ in range(BATCHES_PER_RUN_MAX):
        chosen: dict[str, OutboxEntry] = {}
        for entry in waiting:
            if len(chosen) < size:
                chosen.setdefault(entry.invoice_id, entry)
        if len(chosen) < 2:  # alone, a note has an idempotency key of its own
            return
        yield [entry.id or 0 for entry in chosen.values()]
        waiting = [entry for entry in waiting if chosen.get(entry.invoice_id) is not entry]


def _deliver_batch(ctx: RunContext, ledger: NotesInBatches, entry_ids: Sequence[int]) -> None:
    allowed = [each for each in entry_ids if not after_restore.must_withhold(ctx, each, OutboxKind.NOTE)]
    notes = _mark_sending(ctx, allowed)
    if not notes:
        return
    ctx.on_progress(f"adding {len(notes)} notes in the accounting system")
    try:
        results = _call(ctx, ledger, notes)
    except PermanentError:  # it is about the batch and not about a note: they are written one by one
        for entry_id, note in notes.items():
            _write_alone(ctx, entry_id, note)
    except OutcomeUnknown as error:
        for entry_id in notes:
            ledger_writes.look_once(ctx, entry_id, OutboxKind.NOTE, error)
    except (AuthorizationExpired, TransientError) as error:
        defer_all(ctx, list(notes), OutboxKind.NOTE, error)
        raise CircuitOpen(str(error)) from error  # they would all meet the same
    else:
        _record_results(ctx, dict(zip(notes, results, strict=True)))


def _call(
    ctx: RunContext, ledger: NotesInBatches, notes: Mapping[int, NewNote]
) -> Sequence[DocumentRef | ProviderError]:
    """Make the call. After a fault of our own no more notes are written; the next run searches for these."""
    try:
        with ctx.dispatching(next(iter(notes))):
            return ledger_writes.call_with_retry(ctx, lambda: ledger.add_notes(list(notes.values())))
    except (ProviderError, LeaseLost, SQLAlchemyError):
        raise
    except Exception as error:
        log.exception("a batch of %s notes failed", len(notes))
        record_fault(ctx, next(iter(notes)), error)
        raise CircuitOpen(str(error)) from error


def _mark_sending(ctx: RunContext, entry_ids: Sequence[int]) -> Mapping[int, NewNote]:
    """Commit the notes as ``sending``; one whose text cannot be made is left to be written, and reported, alone."""
    notes: dict[int, NewNote] = {}
    with ctx.writing() as session:
        connection = ctx.connection(session)
        for entry_id in entry_ids:
            entry = refresh_entry(ctx, session, entry_id)
            if entry is None or not entries.is_dispatchable(connection, entry, ctx.now()):
                continue
            try:
                text = ledger_writes.format_note(session, connection, entry)
            except Exception:
                log.exception("the note of outbox entry %s could not be written", entry_id)
                continue
            notes[entry_id] = NewNote(entry.invoice_id, text, entry.key)
            entries.mark_sending(session, entry, at=ctx.now(), on=ctx.today(connection))
            kind = in_sentence(label(entry.kind, "outbox_kind"))
            text = f"Posting to the accounting system ({kind}): {entry.reason}"
            ctx.log(session, LogKind.SENDING, text, **log_fields(entry))
    return notes


def _write_alone(ctx: RunContext, entry_id: int, note: NewNote) -> None:
    try:
        ledger_writes.attempt(ctx, entry_id, OutboxKind.NOTE, lambda: ctx.ledger.add_note(*note))
    except (AuthorizationExpired, TransientError) as error:
        defer(ctx, entry_id, OutboxKind.NOTE, error)


def _record_results(ctx: RunContext, results: Mapping[int, DocumentRef | ProviderError]) -> None:
    """Record how each note of a batch ended, and only then that the others are not to be tried."""
    opened: CircuitOpen | None = None
    for entry_id, result in results.items():
        try:
            _record_result(ctx, entry_id, result)
        except CircuitOpen as circuit:
            opened = circuit
    if opened is not None:
        raise opened


def _record_result(ctx: RunContext, entry_id: int, result: DocumentRef | ProviderError) -> None:
    """Record how one note of a batch ended; what goes wrong in this touches no other."""
    try:
        if isinstance(result, DocumentRef):
            record_done(ctx, entry_id, result.external_id, f"Posted as {result.external_id}")
        elif isinstance(result, PermanentError):
            record_rejection(ctx, entry_id, str(result))
        elif isinstance(result, AuthorizationExpired | TransientError):
            defer(ctx, entry_id, OutboxKind.NOTE, result)
        else:
            unknown = result if isinstance(result, OutcomeUnknown) else OutcomeUnknown(str(result))
            ledger_writes.look_once(ctx, entry_id, OutboxKind.NOTE, unknown)
    except (CircuitOpen, LeaseLost, SQLAlchemyError):
        raise
    except Exception as error:
        log.exception("outbox entry %s failed", entry_id)
        record_fault(ctx, entry_id, error)
