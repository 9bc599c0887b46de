"""Rotation of encryption keys while duewell is running: add a new key, re-encrypt everything, remove old keys.

A key is removed only once nothing in the database needs it. Everything can be decrypted after each step, so an
interrupted rotation is simply run again. Running processes notice the new key file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import inspect, select, text, tuple_
from sqlmodel import Session

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.connections import tokens
from connector.connections.consent import consent_associated_data
from connector.db.engine import writing
from connector.db.tables import Grant, PendingConsent, PortalFile, SentEmail, WebhookEndpoint
from connector.emails.outbound import sent_emails
from connector.secrets.keyring import Keyring, KeyringError, key_id, new_key, read_key_file, write_key_file
from connector.vocabulary import LogKind
from connector.webhooks import endpoints


def _consent_associated_data(row: PendingConsent) -> str:
    return consent_associated_data(row.state_hash, row.provider)


_BATCH_SIZE = 200  # rows in memory at once
# Everything stored encrypted: table, column, and the associated data of a row's secret.
ENCRYPTED_COLUMNS: tuple[tuple[Any, str, Callable[[Any], str]], ...] = (
    (Grant, "token", tokens.associated_data),
    (PendingConsent, "encrypted_state", _consent_associated_data),
    (WebhookEndpoint, "secret", endpoints.secret_context),
    (WebhookEndpoint, "url", endpoints.url_context),
    (SentEmail, "content", sent_emails.encryption_context),
    (PortalFile, "content", lambda row: row.encryption_context),
)


class RotationResult(NamedTuple):
    """The result of a rotation; keys are named by their ids, which reveal nothing about them."""

    current_key: str
    reencrypted: int
    undecryptable: list[str]  # messages, one for each secret that no key decrypts
    removed_keys: list[str]
    unused_keys: list[str]  # keys that are still installed but no longer needed in the database


def rotate(app: AppContext, *, keep_old: bool = False) -> RotationResult:
    """Create a key, re-encrypt everything with it, and remove the keys that nothing needs any more.

    Keys in ``DUEWELL_SECRET_KEYS`` are managed by the user, who puts the new one first and removes those returned as
    unused.
    """
    file = app.keyring.file
    if file is None:
        return _reencrypt_all(app)
    with app.keyring.unchanged():
        write_key_file(file, [new_key(), *read_key_file(file)])
        done = _reencrypt_all(app)
        if keep_old or not done.unused_keys:
            return done
        needed = [key for key in read_key_file(file) if Keyring([key]).key_ids()[0] not in done.unused_keys]
        write_key_file(file, needed)
        return done._replace(removed_keys=done.unused_keys, unused_keys=[])


def _reencrypt_all(app: AppContext) -> RotationResult:
    ring, unopened, count = app.keyring, list[str](), 0
    with writing(app.engine) as session:
        _lock_tables(session)
        used = set()
        for table, name, context_of in ENCRYPTED_COLUMNS:
            for row in _list_encrypted(session, table, name):
                sealed = getattr(row, name)
                anew = _reencrypt(ring, sealed, context_of(row), unopened)
                used.add(key_id(anew))
                if anew != sealed:
                    setattr(row, name, anew)
                    count += 1
        newest, *older = ring.key_ids()
        message = f"Encryption keys rotated: {count} secrets were re-encrypted with the key {newest}."
        sync_log.write(session, at=app.now(), kind=LogKind.KEYS_ROTATED, text=message)
    return RotationResult(newest, count, unopened, [], [each for each in older if each not in used])


def _list_encrypted(session: Session, table: Any, column_name: str) -> Iterator[Any]:
    """Yield the rows of a table with something encrypted, some at a time: there are many emails."""
    keys = list(inspect(table).primary_key)
    query = select(*keys).where(getattr(table, column_name) != b"").order_by(*keys)
    found = [tuple(row) for row in session.execute(query)]
    for start in range(0, len(found), _BATCH_SIZE):
        yield from session.scalars(select(table).where(tuple_(*keys).in_(found[start : start + _BATCH_SIZE])))
        session.flush()
        session.expunge_all()


def _lock_tables(session: Session) -> None:
    """Block writers, so that no secret encrypted with an older key is committed later; SQLite has one writer anyway.

    Code that encrypts a secret locks its row or table before it asks for the key.
    """
    if session.get_bind().dialect.name == "postgresql":
        tables = ", ".join(table.__tablename__ for table, _name, _context in ENCRYPTED_COLUMNS)
        session.execute(text(f"LOCK TABLE {tables} IN EXCLUSIVE MODE"))


def _reencrypt(ring: Keyring, sealed: bytes, associated_data: str, undecryptable: list[str]) -> bytes:
    if not ring.needs_rotation(sealed):
        return sealed
    try:
        return ring.encrypt(ring.decrypt(sealed, associated_data), associated_data)
    except KeyringError as problem:
        undecryptable.append(str(problem))
        return sealed
