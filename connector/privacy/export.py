"""Everything held about one customer as one document: for the customer who asks for it, and before he is erased."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Row, select
from sqlmodel import Session, SQLModel, col

from connector import sync_log
from connector.database import reading, writing
from connector.installation import Installation
from connector.money import from_e4
from connector.people.recorded import facts_of
from connector.privacy.held import RULES, Subject, digests_of, log_lines, rows_of, subject_of
from connector.tables import Connection, CustomerRow, DecisionRow, MalformedRow, Stored, SuppressedAddress

_HIDDEN = {"token", "salt", "digest", "hash", "previous_hash", "recorded"}  # secrets, and what proves the log


def document(installation: Installation, connection_id: int, customer_id: str, *, by: str) -> dict[str, Any]:
    """Gather everything; that somebody asked for it is told in the log."""
    with writing(installation.engine) as session:
        sync_log.write(
            session,
            at=installation.now(),
            kind="exported",
            text=f"{by} exported everything held about this customer.",
            connection_id=connection_id,
            customer_id=customer_id,
        )
    with reading(installation.engine) as session:
        customer = session.get_one(CustomerRow, (connection_id, customer_id))
        subject = subject_of(session, customer)
        told: dict[str, Any] = {
            "customer": customer.name,
            "company": session.get_one(Connection, connection_id).name,
            "exported_at": installation.now(),
            "exported_by": by,
        }
        for name, rule in RULES.items():
            if rule.by:
                told[name] = [_shown(row) for row in rows_of(session, subject, name)]
        told |= _elsewhere(session, subject)
        told["decision"] = [_decision(session, row["id"]) for row in told["decision"]]
        told["sync_log"] = [_shown(row) for row in log_lines(session, subject)]
    return told


def as_json(told: Mapping[str, Any]) -> bytes:
    """Write the document as people and programs can read it."""
    return json.dumps(told, indent=2, ensure_ascii=False, default=_plain).encode()


def write_to(path: Path, told: Mapping[str, Any]) -> None:
    """Write the document to a new file that its owner alone may read: JSON, in a zip where the name ends so.

    Raises ``FileExistsError``: nothing is written over.
    """
    text = as_json(told)
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "wb") as file:
        if path.suffix.lower() != ".zip":
            file.write(text)
            return
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("customer.json", text)


def _elsewhere(session: Session, subject: Subject) -> dict[str, list[dict[str, Any]]]:
    """Read what is found by an address, an invoice or the key of a mail."""
    keys = [row.key for row in rows_of(session, subject, "outbox")]
    events = SQLModel.metadata.tables["mail_event"]
    his = events.c.key.in_(keys) | events.c.address.in_(subject.addresses)
    return {
        "mail_event": [_shown(row) for row in session.execute(select(events).where(his))],
        "owner_mail": [
            {"planned_at": row.planned_at, "said_of_him": each}
            for row in digests_of(session, subject)
            for each in row.payload["items"]
            if each["customer"] in subject.ids
        ],
        "suppressed_address": [
            {"address": row.address, "why": row.why, "since_at": row.since_at}
            for row in session.scalars(select(SuppressedAddress))
            if row.address in subject.addresses
        ],
        "stored_fact": [
            {"name": name, "value": stored.value}
            for name in stored_names(subject)
            for stored in session.scalars(
                select(Stored).where(
                    col(Stored.name) == name, col(Stored.connection_id).in_([0, subject.connection_id])
                )
            )
        ],
        "malformed_record": [
            {"kind": row.kind, "id": row.external_id, "why": row.why, "raw": row.raw.decode("utf-8", "replace")}
            for row in malformed(session, subject)
        ],
    }


def stored_names(subject: Subject) -> list[str]:
    """Name the small facts that are kept under his invoices and addresses."""
    links = [f"pay_link:{each}" for each in subject.invoices]
    return links + [f"suppressed:{each}" for each in subject.addresses]


def malformed(session: Session, subject: Subject) -> list[MalformedRow]:
    """Find the unreadable records that are his, or that name him."""
    query = select(MalformedRow).where(col(MalformedRow.connection_id) == subject.connection_id)
    keys = {*subject.ids, *subject.invoices}
    return [
        row
        for row in session.scalars(query)
        if row.external_id in keys or subject.is_named_in(row.raw.decode("utf-8", "replace"))
    ]


def _decision(session: Session, decision_id: int) -> dict[str, Any]:
    row = session.get_one(DecisionRow, decision_id)
    return {"decided_at": row.decided_at, "facts": msgspec.to_builtins(facts_of(row))}


def _shown(row: Row[Any]) -> dict[str, Any]:
    shown = {name: value for name, value in row._mapping.items() if name not in _HIDDEN}  # noqa: SLF001
    return {
        name.removesuffix("_e4"): str(from_e4(value)) if name.endswith("_e4") and value is not None else value
        for name, value in shown.items()
    }


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)
