"""Files that customers send in the portal: checked for what they are, encrypted, and given out as downloads only.

A file is judged by its own bytes: never by the name or the type that a browser gives it. It must begin and end as a
PDF, PNG or JPEG does, but for what scanners and telephones put around it. It is not searched for viruses and never
opened here; it gets a name of ours, and whoever downloads it has their own scanner look at it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.db.tables import PortalFile, PortalResponse
from connector.portal.customer_response import ResponseRejected
from connector.secrets.keyring import Keyring, KeyringError
from connector.vocabulary import ResponseState

FILE_BYTES_MAX = 5 * 2**20
FILES_MAX = 30  # of one customer
CUSTOMER_BYTES_MAX = 40 * 2**20  # of all files of one customer
_END_BYTES = 64 * 2**10  # what follows the end of a file in practice: a telephone's data, a scanner's log
_PADDING = b"\0 \t\r\n"
_BEFORE_START = re.compile(rb"\A(?:\xef\xbb\xbf|\x1b%-12345X[^\x00-\x08]{0,500}?(?=%PDF-)|[\x00 \t\r\n]{1,1000})+")


class FileType(NamedTuple):
    """A type that is accepted: how such a file begins, and what is near its end."""

    content_type: str
    suffix: str
    start: bytes
    end: bytes


FILE_TYPES = (
    FileType("application/pdf", "pdf", b"%PDF-", b"%%EOF"),
    FileType("image/png", "png", b"\x89PNG\r\n\x1a\n", b"IEND"),
    FileType("image/jpeg", "jpg", b"\xff\xd8\xff", b"\xff\xd9"),
)


@dataclass(frozen=True, slots=True)
class FileItem:
    """A file of a customer, without its content."""

    id: int
    filename: str
    content_type: str
    size_bytes: int
    stored_at: datetime
    response_key: str


def find_type(content: bytes) -> FileType:
    """Return what a file is.

    Raises:
        ResponseRejected: it is too large, cut off, or none of the accepted types.

    """
    if len(content) > FILE_BYTES_MAX:
        raise ResponseRejected("error_file_size")
    start = _BEFORE_START.sub(b"", content[:2048], count=1)
    end = content.rstrip(_PADDING)[-_END_BYTES:]
    for each in FILE_TYPES:
        if start.startswith(each.start) and each.end in end[len(each.start) if len(end) == len(content) else 0 :]:
            return each
    raise ResponseRejected("error_file_type")


def keep_file(app: AppContext, session: Session, key: tuple[int, str], response_key: str, content: bytes) -> None:
    """Store a file of a customer, for a response that may still be a draft.

    Raises:
        ResponseRejected: the file is not accepted, or the customer has sent too many.

    """
    kind = find_type(content)
    query = select(func.count(), func.coalesce(func.sum(col(PortalFile.size_bytes)), 0)).where(*_of_customer(*key))
    count, size = session.execute(query).one()
    if count >= FILES_MAX or size + len(content) > CUSTOMER_BYTES_MAX:
        raise ResponseRejected("error_file_count")
    now = app.now()
    row = PortalFile(
        connection_id=key[0],
        customer_id=key[1],
        response_key=response_key,
        filename=f"payment-{now:%Y-%m-%d}-{response_key[:6]}.{kind.suffix}",
        content_type=kind.content_type,
        size_bytes=len(content),
        stored_at=now,
        content=b"",
    )
    row.content = app.keyring.encrypt(content, row.encryption_context)
    session.add(row)


def count_files(session: Session, response_key: str) -> int:
    """Count the files of a response."""
    return int(session.scalar(select(func.count()).where(col(PortalFile.response_key) == response_key)) or 0)


def delete_files(session: Session, response_key: str) -> None:
    """Delete the files of a response."""
    session.execute(delete(PortalFile).where(col(PortalFile.response_key) == response_key))


def list_files(session: Session, connection_id: int, customer_ids: Sequence[str]) -> list[FileItem]:
    """List the files that customers have sent, the newest first; not those of a draft."""
    columns = (
        col(PortalFile.id),
        col(PortalFile.filename),
        col(PortalFile.content_type),
        col(PortalFile.size_bytes),
        col(PortalFile.stored_at),
        col(PortalFile.response_key),
    )
    query = (
        select(*columns)
        .join(PortalResponse, col(PortalResponse.key) == col(PortalFile.response_key))
        .where(
            col(PortalFile.connection_id) == connection_id,
            col(PortalFile.customer_id).in_(customer_ids),
            col(PortalResponse.state) == ResponseState.SENT,
        )
    )
    rows = session.execute(query.order_by(col(PortalFile.id).desc()))
    return [FileItem(row[0] or 0, *row[1:]) for row in rows]


def open_file(session: Session, keyring: Keyring, file_id: int) -> bytes | None:
    """Return the content of a file; None where no key of this installation decrypts it."""
    row = session.get_one(PortalFile, file_id)
    try:
        return keyring.decrypt(row.content, row.encryption_context)
    except KeyringError:
        return None


def open_response_file(session: Session, keyring: Keyring, response_key: str) -> bytes:
    """Return the content of a response's file; b"" where it has none that can be decrypted."""
    file_id = session.scalar(select(col(PortalFile.id)).where(col(PortalFile.response_key) == response_key))
    return b"" if file_id is None else open_file(session, keyring, file_id) or b""


def _of_customer(connection_id: int, customer_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return col(PortalFile.connection_id) == connection_id, col(PortalFile.customer_id) == customer_id
