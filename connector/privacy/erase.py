"""Erases one customer's personal data, and keeps what book-keeping and the once-only effects need: keys, amounts, days.

The log loses the texts that are about him and stays whole (``sync_log.erase``). The ledger is not touched: it is the
books, and has rules of its own. What it goes on telling of him is left out (``mirror/erased.py``), and he is not chased
(``policies/holds.py``), until a person takes him back.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, func, select, update
from sqlmodel import Session, SQLModel, col

from connector import lease, outbox, sync_log
from connector.database import writing
from connector.installation import Installation
from connector.mirror.erased import name_of
from connector.privacy.export import malformed, stored_names
from connector.privacy.held import RULES, TAKEN, Rule, Subject, conditions, digests_of, log_lines, subject_of
from connector.tables import (
    Agreement,
    ApiRequest,
    Connection,
    ContactToken,
    CustomerRow,
    ErasedCustomer,
    InvoiceRow,
    MailEvent,
    OutboxEntry,
    PolicyVersion,
    Stored,
    SuppressedAddress,
    Task,
)

_FEE_NUMBERS = "LF-"


class EraseError(Exception):
    """The customer cannot be erased now; ``str()`` says what has to come first."""


def erase(installation: Installation, connection_id: int, customer_id: str, *, by: str) -> dict[str, Any]:
    """Erase a customer's personal data, and say what was done and what is left to a person.

    Raises ``EraseError`` where a run is under way, or an effect of his has no end yet.
    """
    with _no_run(installation, connection_id) as held:
        told = _erase(installation, held, customer_id, by)
    return {**told, "left_over": _leave_no_trace(installation)}


def in_words(told: dict[str, Any]) -> list[str]:
    """Say to whoever erased what was done, and what is left to him."""
    counts = f"Texts of the log that went: {told['log_texts']}; invoices kept, without texts: {told['invoices_kept']}."
    said = [f"Erased; he is known as “{told['erased']}” from now on. {counts}"]
    if told["policies_that_name_him"]:
        said.append(
            "Versions of your policy name him: take his name out of the one in force, on its page or with"
            " `duewell policy set`."
        )
    if told["left_over"]:
        said.append(f"But {told['left_over']}.")
    return [*said, "Backups made before still hold him. The ledger does too: erase him there by its own rules."]


def undo(installation: Installation, connection_id: int, customer_id: str, *, by: str) -> None:
    """Take an erased customer back: he may be chased again, and the next run reads the whole ledger for his data.

    Raises ``EraseError`` where he was not erased, or a run is under way: it would go on from where it is reading.
    """
    with _no_run(installation, connection_id) as held, writing(installation.engine) as session:
        held.renew(session)
        row = session.get(ErasedCustomer, (connection_id, customer_id))
        if row is None:
            raise EraseError(f"Customer {customer_id} was not erased.")
        session.delete(row)
        connection = session.get_one(Connection, connection_id)
        connection.cursor, connection.decided_on = "", ""
        said = f"{by} took back customer {customer_id}, whose data had been erased: the next run reads them again."
        sync_log.write(
            session,
            at=installation.now(),
            kind="erasure_undone",
            text=said,
            connection_id=connection_id,
            customer_id=customer_id,
        )


@contextmanager
def _no_run(installation: Installation, connection_id: int) -> Iterator[lease.Lease]:
    try:
        with lease.hold(installation, connection_id) as held:
            yield held
    except lease.Busy as busy:
        raise EraseError("A run of this company is under way: try again when it has ended.") from busy


def _erase(installation: Installation, held: lease.Lease, customer_id: str, by: str) -> dict[str, Any]:
    with writing(installation.engine) as session:
        held.renew(session)
        customer = session.get_one(CustomerRow, (held.connection_id, customer_id))
        subject = subject_of(session, customer)
        _refuse_what_is_under_way(session, subject)
        lines = [row.id for row in log_lines(session, subject)]
        _elsewhere(installation, session, subject)
        for name, rule in RULES.items():
            if rule.by and (rule.blank or rule.goes):
                _apply(session, SQLModel.metadata.tables[name], rule, subject)
        _name_by_key(session, subject)
        for each in subject.ids:
            mark = ErasedCustomer(
                connection_id=held.connection_id, customer_id=each, erased_at=installation.now(), erased_by=by
            )
            session.merge(mark)
        session.get_one(Connection, held.connection_id).decided_on = ""
        said = f"{by} erased the personal data of customer {customer_id}; the texts of these lines went with them."
        erased = sync_log.erase(
            session, lines, at=installation.now(), text=said, connection_id=held.connection_id, customer_id=customer_id
        )
        return {
            "id": customer_id,
            "erased": name_of(customer_id),
            "log_texts": erased,
            "invoices_kept": len(subject.invoices),
            "policies_that_name_him": _policies(session, subject),
        }


def _refuse_what_is_under_way(session: Session, subject: Subject) -> None:
    """An effect without an end is settled by its own words: a retry has to say the same."""
    query = select(func.count()).where(*_of(OutboxEntry, subject), col(OutboxEntry.state).in_(["calling", "doubt"]))
    if session.scalar(query):
        raise EraseError(
            "Something of this customer is under way or in doubt: let the run come to its end, and settle what the"
            " outbox shows in doubt (`duewell outbox list`)."
        )


def _apply(session: Session, table: Table, rule: Rule, subject: Subject) -> None:
    for condition in conditions(table, rule, subject):
        if rule.goes:
            session.execute(delete(table).where(condition))
        else:
            session.execute(update(table).where(condition).values(**rule.blank))


def _name_by_key(session: Session, subject: Subject) -> None:
    for each in subject.ids:
        session.execute(
            update(CustomerRow)
            .where(col(CustomerRow.connection_id) == subject.connection_id, col(CustomerRow.external_id) == each)
            .values(name=name_of(each))
        )


def _elsewhere(installation: Installation, session: Session, subject: Subject) -> None:
    """Take what no column rule finds: un-sent effects, open tasks, links, addresses, references, raw records."""
    now, here = installation.now(), subject.connection_id
    mails = session.scalars(select(OutboxEntry).where(*_of(OutboxEntry, subject))).all()
    events = col(MailEvent.key).in_([row.key for row in mails]) | col(MailEvent.address).in_(subject.addresses)
    session.execute(update(MailEvent).where(events).values(address=""))
    for row in mails:
        if row.state in outbox.UNSENT:
            session.delete(row)
        else:
            row.payload = _without_words(row.payload)
    for row in digests_of(session, subject):
        row.payload, row.why = {**row.payload, "items": _unnamed(row.payload["items"], subject)}, TAKEN
    unsaid = (col(Task.state) == "open", *_of(Task, subject))
    session.execute(update(Task).where(*unsaid).values(state="moot", ended_at=now, ended_by=""))
    session.execute(
        update(ContactToken)
        .where(*_of(ContactToken, subject), col(ContactToken.revoked_at).is_(None))
        .values(revoked_at=now)
    )
    own = col(InvoiceRow.number).startswith(_FEE_NUMBERS)
    session.execute(update(InvoiceRow).where(*_of(InvoiceRow, subject), ~own).values(reference=""))
    _said_by_him(session, subject)
    for record in malformed(session, subject):
        record.raw, record.why = b"", "of an erased customer"
    for name in stored_names(subject):
        session.execute(delete(Stored).where(col(Stored.name) == name, col(Stored.connection_id).in_([0, here])))
    _addresses(session, subject)
    for reply in session.scalars(select(ApiRequest)).all():  # kept for a day, for a program that asks twice
        if subject.is_named_in(json.dumps(reply.reply, ensure_ascii=False, default=str)):
            session.delete(reply)


def _said_by_him(session: Session, subject: Subject) -> None:
    for row in session.scalars(select(Agreement).where(*_of(Agreement, subject))):
        row.said_by = TAKEN if subject.is_named_in(row.said_by) else row.said_by
        row.ended_by = TAKEN if subject.is_named_in(row.ended_by) else row.ended_by


def _addresses(session: Session, subject: Subject) -> None:
    """Forget that an address gets no mail, unless another customer, in any company, has it too."""
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


def _without_words(payload: dict[str, Any]) -> dict[str, Any]:
    his = {"to": [TAKEN], **({"text": TAKEN} if payload.get("of") == "said" else {})}
    return {name: his.get(name, value) for name, value in payload.items()}


def _unnamed(items: list[dict[str, Any]], subject: Subject) -> list[dict[str, Any]]:
    return [{**each, "name": name_of(each["customer"])} if each["customer"] in subject.ids else each for each in items]


def _policies(session: Session, subject: Subject) -> list[int]:
    """Find the policy documents that name him: they are a person's to change, and versions are kept."""
    rows = session.scalars(select(PolicyVersion))
    return [row.id or 0 for row in rows if subject.is_named_in(row.document)]


def _of(table: Any, subject: Subject) -> Sequence[ColumnElement[bool]]:
    return (col(table.connection_id) == subject.connection_id, col(table.customer_id).in_(subject.ids))


def _leave_no_trace(installation: Installation) -> str:
    """Write the file anew, without what was deleted in it ever before; says why where that could not be done."""
    if installation.engine.dialect.name != "sqlite":
        return ""  # a server's own vacuum does it
    raw = installation.engine.raw_connection()
    try:
        raw.cursor().execute("VACUUM")
        (busy,) = raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[:1]  # says so, and raises nothing
        problem = "it is being read" if busy else ""
    except sqlite3.OperationalError as refused:
        problem = str(refused)
    finally:
        raw.close()
    return f"the file could not be written anew ({problem}): erase him once more a little later" if problem else ""
