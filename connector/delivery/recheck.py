"""The last reading before something is sent: customers and their invoices are read and decided about once more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from connector.bank import bank_step
from connector.db.tables import OutboxEntry
from connector.evaluation.evaluate import decide_again
from connector.outbox.payloads import EmailPayload, invoice_ids, load_payload
from connector.runtime.run_context import RunContext
from connector.sync import pull
from connector.sync.mirror.families import load_families
from connector.vocabulary import LogKind
from providers.errors import PermanentError

RECHECK_BATCH_SIZE = 40  # customers read again at once: as many ids as Xero takes in one call …
RECHECK_VALID_FOR = timedelta(seconds=60)  # … and trusted for a minute since the reading began
RECHECK_CALLS = 6  # of a reading at Xero, and one more for every forty invoices


def recheck_customers(ctx: RunContext, entry_ids: Mapping[str, list[int]]) -> Iterator[str]:
    """Yield customers that were rechecked less than a minute ago: together, and what is left by then once more.

    Where the ledger rejects that because of one of them, and where it is slow, they are rechecked in smaller parts.
    """
    waiting, size = list(entry_ids), len(entry_ids)
    while waiting:
        together = waiting[:size]
        try:
            read_again(ctx, together, [entry_id for customer in together for entry_id in entry_ids[customer]])
        except PermanentError as error:
            if size == 1:
                _log_recheck_failure(ctx, waiting.pop(0), error)
            size = max(1, size // 2)
            continue
        if not _is_recent(ctx, together[0], RECHECK_VALID_FOR / 2):
            size = max(1, size // 2)
        for n, customer in enumerate(together):
            if n and not _is_recent(ctx, customer):
                break
            yield waiting.pop(0)


def ensure_recent_reading(ctx: RunContext, entry_id: int) -> bool:
    """Recheck an entry's customer once more if their reading is older than a minute; return whether it is recent now.

    Where the ledger rejects that, it is logged, and they are sent nothing.
    """
    with ctx.reading() as session:
        customer_id = session.get_one(OutboxEntry, entry_id).customer_id
    if _is_recent(ctx, customer_id):
        return True
    try:
        read_again(ctx, [customer_id], [entry_id])
    except PermanentError as error:
        _log_recheck_failure(ctx, customer_id, error)
        return False
    return True


def _log_recheck_failure(ctx: RunContext, customer_id: str, error: PermanentError) -> None:
    text = f"Nothing was sent to this customer, because their invoices could not be read right before: {error}"
    with ctx.writing() as session:
        ctx.log(session, LogKind.ERROR, text, customer_id=customer_id)
    ctx.failures.append(f"The invoices of customer {customer_id} could not be read: {error}")


def _is_recent(ctx: RunContext, customer_id: str, within: timedelta = RECHECK_VALID_FOR) -> bool:
    """Return whether the last reading of a customer in this run began so short a time ago."""
    read_at = ctx.rechecked_at.get(customer_id)
    return read_at is not None and timedelta(0) <= ctx.now() - read_at <= within


def read_again(ctx: RunContext, customer_ids: Sequence[str], entry_ids: Sequence[int]) -> None:
    """Read the customers' invoices again, and decide about them again."""
    ctx.on_progress(f"rechecking {len(customer_ids)} customers before anything is sent")
    with ctx.reading() as session:
        rows = [session.get(OutboxEntry, entry_id) for entry_id in entry_ids]
        ids = sorted({invoice_id for row in rows if row is not None for invoice_id in _mentioned_invoices(row)})
        families = load_families(session, ctx.connection_id)
    relatives = sorted(families.with_relatives(customer_ids))  # their money counts, too
    ctx.pacer.wait_for_room(RECHECK_CALLS + (len(ids) + len(relatives)) // 40)  # not in the middle of it
    started_at = ctx.now()
    pull.store_recheck(ctx, ctx.ledger.reload_documents(ids, relatives, ctx.now()))
    with ctx.writing() as session:
        bank_step.match_changed(ctx, session)  # what is booked by now is not deducted twice
        decide_again(ctx, session, customer_ids)
    ctx.rechecked_at |= dict.fromkeys(customer_ids, started_at)


def _mentioned_invoices(entry: OutboxEntry) -> list[str]:
    payload = load_payload(entry)
    listed = payload.listed if isinstance(payload, EmailPayload) else ()
    return [*listed, *invoice_ids(payload.completed)]
