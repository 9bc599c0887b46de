"""Everything stored about one customer as one document, for a data subject request or before an erasure."""

from __future__ import annotations

import base64
import json
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Row, select
from sqlmodel import Session, SQLModel, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.engine import reading, writing
from connector.db.money import format_e4
from connector.db.tables import (
    Connection,
    CustomerRow,
    DecisionRecord,
    KeyValue,
    MalformedRow,
    PortalFile,
    SuppressedAddress,
)
from connector.emails.outbound import sent_emails
from connector.emails.outbound.sent_emails import EmailContent
from connector.evaluation.decision_records import unpack
from connector.json_format import json_default
from connector.privacy.personal_data import RULES, Subject, find_log_lines, find_owner_digests, find_rows, find_subject
from connector.secrets.keyring import KeyringError
from connector.vocabulary import LogKind

_HIDDEN = {"token", "token_hash", "salt", "digest", "hash", "previous_hash", "snapshot"} | {  # secrets, the log's chain
    "content"  # of PDFs, which the ledger prints again; and of files, which are encrypted
}


def build_document(app: AppContext, connection_id: int, customer_id: str, *, by: str) -> dict[str, object]:
    """Collect everything stored about a customer; the export is logged."""
    with writing(app.engine) as session:
        sync_log.write(
            session,
            at=app.now(),
            kind=LogKind.EXPORTED,
            text=f"{by} exported everything stored about this customer.",
            connection_id=connection_id,
            customer_id=customer_id,
        )
    with reading(app.engine) as session:
        customer = session.get_one(CustomerRow, (connection_id, customer_id))
        subject = find_subject(session, customer)
        document: dict[str, Any] = {
            "customer": customer.name,
            "company": session.get_one(Connection, connection_id).name,
            "exported_at": app.now(),
            "exported_by": by,
        }
        for name, rule in RULES.items():
            if rule.key_column:
                document[name] = [_row_as_dict(row) for row in find_rows(session, subject, name)]
        document |= _read_special_tables(session, subject, app)
        for file in document["portal_file"]:
            file["content_base64"] = _file_content(session, app, file["id"])
        document["decision_record"] = [_decision(session, row["id"]) for row in document["decision_record"]]
        document["sync_log"] = [_row_as_dict(row) for row in find_log_lines(session, subject)]
    return document


def to_json(document: Mapping[str, object]) -> bytes:
    """Format the document as JSON."""
    return json.dumps(document, indent=2, ensure_ascii=False, default=json_default).encode()


def write_file(path: Path, document: Mapping[str, object]) -> None:
    """Write the document to a new file that only its owner can read: JSON, zipped if the name ends in ``.zip``.

    Raises:
        FileExistsError: an existing file is never overwritten.

    """
    text = to_json(document)
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "wb") as file:
        if path.suffix.lower() != ".zip":
            file.write(text)
            return
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("customer.json", text)
            for sent in document.get("portal_file", []):  # type: ignore[attr-defined]
                archive.writestr(f"files/{sent['id']}-{sent['filename']}", base64.b64decode(sent["content_base64"]))


def _read_special_tables(session: Session, subject: Subject, app: AppContext) -> dict[str, list[dict[str, object]]]:
    """Read what is found by an address, an invoice or the key of an email."""
    base_url = app.settings.duewell_base_url
    entries = list(find_rows(session, subject, "outbox"))
    keys = [row.key for row in entries]
    events = SQLModel.metadata.tables["email_event"]
    of_customer = events.c.key.in_(keys) | events.c.address.in_(subject.addresses)
    return {
        "email_event": [_row_as_dict(row) for row in session.execute(select(events).where(of_customer))],
        "sent_email": [
            {"key": row.key, "attempt": kept.attempt, "sent_at": kept.stored_at}
            | (_sent_email(kept.content, base_url) if kept.content else {})
            for row in entries
            for kept in sent_emails.load_kept(session, app.keyring, subject.connection_id, row.id)
        ],
        "owner_email": [
            {"planned_at": row.planned_at, "content": each}
            for row in find_owner_digests(session, subject)
            for each in row.payload["items"]
            if each["customer"] in subject.ids
        ],
        "suppressed_address": [
            {"address": row.address, "reason": row.reason, "since_at": row.since_at}
            for row in session.scalars(select(SuppressedAddress))
            if row.address in subject.addresses
        ],
        "key_value": [
            {"name": name, "value": stored.value}
            for name in key_value_names(subject)
            for stored in session.scalars(
                select(KeyValue).where(
                    col(KeyValue.name) == name, col(KeyValue.connection_id).in_([0, subject.connection_id])
                )
            )
        ],
        "malformed_record": [
            {"kind": row.kind, "id": row.external_id, "reason": row.reason, "raw": row.raw.decode("utf-8", "replace")}
            for row in malformed_records(session, subject)
        ],
    }


def _file_content(session: Session, app: AppContext, file_id: int) -> str:
    """Return a file that the customer sent; "" where no key of this installation decrypts it."""
    row = session.get_one(PortalFile, file_id)
    try:
        content = app.keyring.decrypt(row.content, row.encryption_context)
    except KeyringError:
        return ""
    return base64.b64encode(content).decode()


def _sent_email(content: EmailContent, base_url: str) -> dict[str, object]:
    """Return what an email said, without the links to this installation: whoever has them is taken for the customer."""
    return {
        "sender": content.sender,
        "recipients": [*content.to, *content.cc, *content.bcc],
        "subject": content.subject,
        "text": re.sub(rf"{re.escape(base_url)}\S+", "(link)", content.text),
        "attachments": [each.filename for each in content.attachments],
    }


def key_value_names(subject: Subject) -> list[str]:
    """Return the names of the key-value pairs stored for the customer's invoices and addresses."""
    links = [f"pay_link:{each}" for each in subject.invoices]
    return links + [f"suppressed:{each}" for each in subject.addresses]


def malformed_records(session: Session, subject: Subject) -> list[MalformedRow]:
    """Return the unreadable records that belong to the customer or name them."""
    query = select(MalformedRow).where(col(MalformedRow.connection_id) == subject.connection_id)
    keys = {*subject.ids, *subject.invoices}
    return [
        row
        for row in session.scalars(query)
        if row.external_id in keys or subject.is_named_in(row.raw.decode("utf-8", "replace"))
    ]


def _decision(session: Session, decision_id: int) -> dict[str, object]:
    row = session.get_one(DecisionRecord, decision_id)
    return {"decided_at": row.decided_at, "facts": msgspec.to_builtins(unpack(row))}


def _row_as_dict(row: Row[Any]) -> dict[str, object]:
    shown = {name: value for name, value in row._mapping.items() if name not in _HIDDEN}  # noqa: SLF001
    currency = shown.get("currency", "")
    return {
        name.removesuffix("_e4"): format_e4(value, currency) if name.endswith("_e4") and value is not None else value
        for name, value in shown.items()
    }
