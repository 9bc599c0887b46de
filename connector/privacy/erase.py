"""Erasure of one customer's personal data; keys, amounts and dates are kept for bookkeeping and against duplicates.

Log texts about the customer are removed without breaking the hash chain (``sync_log.erase_texts``). The ledger is not
changed: it follows its own rules. What it still sends about the customer is ignored (``mirror/erased.py``), and the
customer is not chased (``policies/holds.py``), until a user undoes the erasure.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, func, select, update
from sqlmodel import Session, SQLModel, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.engine import writing
from connector.db.tables import (
    Agreement,
    ApiRequest,
    Connection,
    ContactToken,
    CustomerRow,
    EmailEvent,
    ErasedCustomer,
    InvoiceRow,
    KeyValue,
    OutboxEntry,
    PolicyVersion,
    SentEmail,
    SuppressedAddress,
    Task,
)
from connector.outbox import entries
from connector.outbox.drafts import FEE_NUMBER_PREFIX
from connector.privacy.export import key_value_names, malformed_records
from connector.privacy.personal_data import (
    REDACTED,
    RULES,
    Subject,
    TableRule,
    find_log_lines,
    find_owner_digests,
    find_subject,
    row_conditions,
)
from connector.results import Result
from connector.runtime import lease
from connector.sync.mirror.erased import erased_name
from connector.vocabulary import LogKind, OutboxKind, OutboxState, TaskState

_IN_MAX = 500  # ids in one query


class EraseError(Exception):
    """The customer cannot be erased now; ``str()`` says what to do first."""


class ReasonNamesCustomerError(EraseError):
    """The reason for an erasure contains what is erased."""


class ErasureResult(Result):
    """What was erased and is left to the user: versions of the policy that name the customer, and a failed clean-up."""

    id: str
    pseudonym: str
    log_texts_erased: int
    invoices_kept: int
    policies_naming_customer: list[int]
    incomplete: str = ""


def erase(app: AppContext, connection_id: int, customer_id: str, *, by: str, reason: str = "") -> ErasureResult:
    """Erase a customer's personal data, and return what was done and what is left to the user.

    The ``reason`` is logged and kept.

    Raises:
        EraseError: a run is in progress, an outbox entry of the customer is being sent or unconfirmed, or the reason
            names the customer.

    """
    with _hold_lease(app, connection_id) as held:
        result = _erase(app, held, customer_id, by, reason)
    return result.model_copy(update={"incomplete": _vacuum(app)})


def format_result(result: ErasureResult) -> list[str]:
    """Return what was done and what is left to the user, as sentences."""
    counts = f"Log texts erased: {result.log_texts_erased}; invoices kept without their texts: {result.invoices_kept}."
    sentences = [f"Erased. The customer is now shown as “{result.pseudonym}”. {counts}"]
    if result.policies_naming_customer:
        sentences.append(
            "Your policy names the customer. Remove the name from the current version on the Policy page or with"
            " `duewell policy set`; earlier versions are kept."
        )
    if result.incomplete:
        sentences.append(f"However, {result.incomplete}.")
    return [
        *sentences,
        "Older backups still contain the data, and so does your accounting system: erase it there as well.",
    ]


def undo_erasure(app: AppContext, connection_id: int, customer_id: str, *, by: str) -> None:
    """Undo an erasure: the customer can be chased again, and the next run reads the whole ledger for their data.

    Raises:
        EraseError: the customer was not erased, or a run is in progress, which would continue from its cursor.

    """
    with _hold_lease(app, connection_id) as held, writing(app.engine) as session:
        held.renew(session)
        row = session.get(ErasedCustomer, (connection_id, customer_id))
        if row is None:
            raise EraseError(f"Customer {customer_id} has not been erased.")
        session.delete(row)
        connection = session.get_one(Connection, connection_id)
        connection.cursor, connection.decision_fingerprint = "", ""
        message = f"{by} undid the erasure of customer {customer_id}: the next sync reads their data again."
        sync_log.write(
            session,
            at=app.now(),
            kind=LogKind.ERASURE_UNDONE,
            text=message,
            connection_id=connection_id,
            customer_id=customer_id,
        )


@contextmanager
def _hold_lease(app: AppContext, connection_id: int) -> Iterator[lease.Lease]:
    try:
        with lease.acquire(app, connection_id) as held:
            yield held
    except lease.RunInProgress as busy:
        raise EraseError("This company is being synced. Try again when the sync has ended.") from busy


def _erase(app: AppContext, run_lease: lease.Lease, customer_id: str, by: str, reason: str) -> ErasureResult:
    with writing(app.engine) as session:
        run_lease.renew(session)
        customer = session.get_one(CustomerRow, (run_lease.connection_id, customer_id))
        subject = find_subject(session, customer)
        _require_nothing_in_progress(session, subject)
        if subject.is_named_in(reason):
            raise ReasonNamesCustomerError("The reason is kept, so it must not name the customer.")
        lines = [row.id for row in find_log_lines(session, subject)]
        _erase_special_tables(app, session, subject)
        for name, rule in RULES.items():
            if rule.key_column and (rule.redact or rule.delete_row):
                _apply(session, SQLModel.metadata.tables[name], rule, subject)
        _replace_names(session, subject)
        for each in subject.ids:
            mark = ErasedCustomer(
                connection_id=run_lease.connection_id, customer_id=each, erased_at=app.now(), erased_by=by
            )
            session.merge(mark)
        session.get_one(Connection, run_lease.connection_id).decision_fingerprint = ""
        done, why = f"{by} erased the personal data of customer {customer_id}", ""
        if reason:
            why = f" Reason: {reason.rstrip('.')}."
        line: dict[str, Any] = {
            "at": app.now(),
            "connection_id": run_lease.connection_id,
            "customer_id": customer_id,
        }
        erased = sync_log.erase_texts(
            session, lines, text=f"{done}, including the texts of these log entries.{why}", **line
        )
        if not erased:  # the erasure is on record even where no line was about them
            sync_log.write(session, kind=LogKind.ERASED, text=f"{done}.{why}", facts={"entries": []}, **line)
        return ErasureResult(
            id=customer_id,
            pseudonym=erased_name(customer_id),
            log_texts_erased=erased,
            invoices_kept=len(subject.invoices),
            policies_naming_customer=_policies_naming(session, subject),
        )


def _require_nothing_in_progress(session: Session, subject: Subject) -> None:
    """Raise ``EraseError`` while an entry is being sent or unconfirmed: a retry has to send the same content."""
    query = select(func.count()).where(
        *_of_subject(OutboxEntry, subject), col(OutboxEntry.state).in_([OutboxState.SENDING, OutboxState.UNCONFIRMED])
    )
    if session.scalar(query):
        raise EraseError(
            "Something is being sent to this customer, or its delivery is unconfirmed. Wait for the sync to end, and"
            " resolve what the outbox shows as unconfirmed (`duewell outbox list`)."
        )


def _apply(session: Session, table: Table, rule: TableRule, subject: Subject) -> None:
    for condition in row_conditions(table, rule, subject):
        if rule.delete_row:
            session.execute(delete(table).where(condition))
        else:
            session.execute(update(table).where(condition).values(**rule.redact))


def _replace_names(session: Session, subject: Subject) -> None:
    for each in subject.ids:
        session.execute(
            update(CustomerRow)
            .where(col(CustomerRow.connection_id) == subject.connection_id, col(CustomerRow.external_id) == each)
            .values(name=erased_name(each))
        )


def _erase_special_tables(app: AppContext, session: Session, subject: Subject) -> None:
    """Erase what no column rule covers: unsent entries, open tasks, links, addresses, references, raw records."""
    now, here = app.now(), subject.connection_id
    entries_sent = session.scalars(select(OutboxEntry).where(*_of_subject(OutboxEntry, subject))).all()
    events = col(EmailEvent.key).in_([row.key for row in entries_sent]) | col(EmailEvent.address).in_(subject.addresses)
    session.execute(update(EmailEvent).where(events).values(address=""))
    for row in entries_sent:
        if row.state in entries.UNSENT_STATES:
            session.delete(row)
        else:
            row.payload = _redact_payload(row)
    digests = find_owner_digests(session, subject)
    _forget_sent_emails(session, subject, [row.id for row in (*entries_sent, *digests)])
    for row in digests:
        row.payload, row.reason = (
            {**row.payload, "items": _redact_digest_items(row.payload["items"], subject)},
            REDACTED,
        )
    open_tasks = (col(Task.state) == TaskState.OPEN, *_of_subject(Task, subject))
    session.execute(update(Task).where(*open_tasks).values(state=TaskState.CANCELLED, ended_at=now, ended_by=""))
    session.execute(
        update(ContactToken)
        .where(*_of_subject(ContactToken, subject), col(ContactToken.revoked_at).is_(None))
        .values(revoked_at=now)
    )
    own = col(InvoiceRow.number).startswith(FEE_NUMBER_PREFIX)
    session.execute(update(InvoiceRow).where(*_of_subject(InvoiceRow, subject), ~own).values(reference=""))
    _redact_agreements(session, subject)
    for record in malformed_records(session, subject):
        record.raw, record.reason = b"", "of an erased customer"
    for name in key_value_names(subject):
        session.execute(delete(KeyValue).where(col(KeyValue.name) == name, col(KeyValue.connection_id).in_([0, here])))
    _unsuppress_addresses(session, subject)
    for reply in session.scalars(select(ApiRequest)).all():  # kept for a day, for repeated requests
        if subject.is_named_in(json.dumps(reply.response, ensure_ascii=False, default=str)):
            session.delete(reply)


def _forget_sent_emails(session: Session, subject: Subject, entry_ids: Sequence[int | None]) -> None:
    """Delete the emails as they were sent: those to the customer, and those to account owners that name them."""
    for start in range(0, len(entry_ids), _IN_MAX):
        some = col(SentEmail.outbox_id).in_(entry_ids[start : start + _IN_MAX])
        session.execute(delete(SentEmail).where(col(SentEmail.connection_id) == subject.connection_id, some))


def _redact_agreements(session: Session, subject: Subject) -> None:
    for row in session.scalars(select(Agreement).where(*_of_subject(Agreement, subject))):
        row.recorded_by = REDACTED if subject.is_named_in(row.recorded_by) else row.recorded_by
        row.ended_by = REDACTED if subject.is_named_in(row.ended_by) else row.ended_by


def _unsuppress_addresses(session: Session, subject: Subject) -> None:
    """Delete the suppression of an address, unless another customer of any company has the same address."""
    for address in subject.addresses:
        others = select(func.count()).where(
            col(CustomerRow.emails).icontains(address, autoescape=True),
            ~(
                (col(CustomerRow.connection_id) == subject.connection_id)
                & col(CustomerRow.external_id).in_(subject.ids)
            ),
        )
        if not session.scalar(others):
            session.execute(delete(SuppressedAddress).where(col(SuppressedAddress.address) == address))


_REDACTED_ADDRESSES: dict[str, object] = {"to": [REDACTED], "cc": [], "bcc": []}


def _redact_payload(entry: OutboxEntry) -> dict[str, object]:
    redacted: dict[str, object] = {"text": REDACTED} if entry.kind == OutboxKind.NOTE else _REDACTED_ADDRESSES
    return {name: redacted.get(name, value) for name, value in entry.payload.items()}


def _redact_digest_items(items: list[dict[str, object]], subject: Subject) -> list[dict[str, object]]:
    return [
        {**each, "name": erased_name(each["customer"])} if each["customer"] in subject.ids else each for each in items
    ]


def _policies_naming(session: Session, subject: Subject) -> list[int]:
    """Return the ids of the policy versions that name the customer; only a user can change a policy."""
    rows = session.scalars(select(PolicyVersion))
    return [row.id or 0 for row in rows if subject.is_named_in(row.document)]


def _of_subject(table: Any, subject: Subject) -> Sequence[ColumnElement[bool]]:
    return (col(table.connection_id) == subject.connection_id, col(table.customer_id).in_(subject.ids))


def _vacuum(app: AppContext) -> str:
    """Rewrite the database file, so that deleted data is gone from it; return why if that was not possible."""
    if app.engine.dialect.name != "sqlite":
        return ""  # a server vacuums on its own
    raw = app.engine.raw_connection()
    try:
        raw.cursor().execute("VACUUM")
        (busy,) = raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[:1]  # reports it in its result
        problem = "it is being read" if busy else ""
    except sqlite3.OperationalError as refused:
        problem = str(refused)
    finally:
        raw.close()
    return f"the database file could not be rewritten ({problem}): erase the customer again later" if problem else ""
