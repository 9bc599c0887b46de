"""The stamp and the seal of a backup: when it was made, and that nobody has changed it since.

A backup lies where others may be able to write, and what it says becomes who may sign in and what is sent. So it holds
a digest of every byte of itself, encrypted with a key of this installation (AES-256-GCM, bound to the stamp): whoever
lacks the key can neither change the file nor make another one. The seal lies inside the file, as text of fixed length,
and counts as zeros in the digest.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from sqlmodel import Session

from connector.db.engine import DatabaseError
from connector.db.tables import KeyValue
from connector.secrets.keyring import SEALED_OVERHEAD_BYTES, Keyring, KeyringError
from policies.formatting import format_datetime

_APP_WIDE = 0  # connection_id of values that belong to no connection
_NAME = "backup"
_SEAL_LENGTH = 2 * (SEALED_OVERHEAD_BYTES + hashlib.sha256().digest_size)  # hexadecimal digits
_CHUNK_BYTES = 1 << 20
_CLOCK_SKEW_MAX = timedelta(days=1)  # between the clock of then and the clock of now
_HEX = "^[0-9a-f]+$"


class Stamp(msgspec.Struct, frozen=True):
    """The stamp inside a backup; ``seal`` is "" in one that was made without."""

    id: Annotated[str, msgspec.Meta(pattern=_HEX, max_length=64)]
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]
    schema: Annotated[str, msgspec.Meta(max_length=32)]
    seal: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]*$", max_length=_SEAL_LENGTH)] = ""

    @property
    def sealed_for(self) -> str:
        """What the seal is bound to."""
        return f"backup|{self.id}|{self.created_at.astimezone(UTC).isoformat()}|{self.schema}|v1"


def new_stamp(at: datetime, schema: str) -> Stamp:
    """Return the stamp of a backup made now, with room for its seal."""
    return Stamp(secrets.token_hex(16), at.astimezone(UTC), schema, secrets.token_hex(_SEAL_LENGTH // 2))


def store_stamp(session: Session, stamp: Stamp) -> None:
    """Write a stamp into the database of a backup."""
    value = msgspec.to_builtins(stamp)
    session.merge(KeyValue(connection_id=_APP_WIDE, name=_NAME, value=value, stored_at=stamp.created_at))


def seal_file(file: Path, stamp: Stamp, keyring: Keyring) -> Stamp:
    """Replace the room for the seal in a finished backup with the seal, durably, and return the sealed stamp."""
    room = stamp.seal.encode()
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as content:
        at = content.find(room)
        seal = keyring.encrypt(_digest(content, at, len(room)), stamp.sealed_for).hex()
        content[at : at + len(room)] = seal.encode()
        content.flush()
        os.fsync(opened.fileno())
    return msgspec.structs.replace(stamp, seal=seal)


def why_unsealed(file: Path, stamp: Stamp | None, keyring: Keyring) -> str:
    """Return why a file does not count as a backup of this installation, "" where its seal is intact."""
    if stamp is None or not stamp.seal:
        return "it has no seal: it is a plain copy of a database, or was made before backups were sealed"
    try:
        expected = keyring.decrypt(bytes.fromhex(stamp.seal), stamp.sealed_for)
    except (KeyringError, ValueError):
        return (
            "its seal was not made with a key of this installation: it comes from another one, or was made before the"
            " key was changed (then put the old key back into secret.key first), or was changed"
        )
    seal = stamp.seal.encode()
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(seal)
        found = _digest(content, at, len(seal)) if at >= 0 else b""
    return "" if found == expected else "it was changed or damaged after it was made"


def read_stamp(connection: sqlite3.Connection, file: Path, *, now: datetime) -> Stamp | None:
    """Return the stamp of a file, None where it has none. Raises ``DatabaseError`` for one that makes no sense."""
    row = connection.execute(
        "SELECT value FROM key_value WHERE connection_id = ? AND name = ?", (_APP_WIDE, _NAME)
    ).fetchone()
    if row is None or row[0] is None:
        return None
    try:
        stamp = msgspec.json.decode(row[0], type=Stamp)
    except (msgspec.MsgspecError, UnicodeError, TypeError, RecursionError) as error:
        message = f"{file} holds a stamp that `duewell backup` does not write; choose another backup"
        raise DatabaseError(message) from error
    if stamp.created_at > now + _CLOCK_SKEW_MAX:
        message = (
            f"{file} says that it was made on {format_datetime(stamp.created_at)}, which is still to come; set this"
            " machine's clock right, or choose another backup"
        )
        raise DatabaseError(message)
    return stamp


def _digest(content: mmap.mmap, at: int, length: int) -> bytes:
    """Return the digest of a file in which ``length`` bytes from ``at`` on count as zeros."""
    digest = hashlib.sha256()
    with memoryview(content) as view:
        for first, last in ((0, at), (at + length, len(view))):
            for start in range(first, last, _CHUNK_BYTES):
                digest.update(view[start : min(start + _CHUNK_BYTES, last)])
    digest.update(f"{at}+{length}".encode())
    return digest.digest()
