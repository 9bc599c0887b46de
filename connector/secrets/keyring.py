"""Encryption of secrets at rest: AES-256-GCM, each bound to its row, with several keys for rotation."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from filelock import FileLock

from connector.secrets.private_files import private_folder, refuse_if_shared, sync_folder
from connector.setting_types import parse_secret_keys
from connector.settings import Settings, SettingsError

KEY_FILE = "secret.key"
_FORMAT = b"\x01"
_ID_BYTES = 8
_NONCE_BYTES = 12
_TAG_BYTES = 16
SEALED_OVERHEAD_BYTES = len(_FORMAT) + _ID_BYTES + _NONCE_BYTES + _TAG_BYTES  # of encrypted over plain


class KeyringError(Exception):
    """A secret that cannot be decrypted: its key is missing, it was changed, or it belongs to another row."""


@dataclass(frozen=True, slots=True)
class _Key:
    id: bytes
    cipher: AESGCM
    signing: bytes

    @classmethod
    def from_secret(cls, secret: bytes) -> Self:
        key_id = hashlib.sha256(b"duewell key id" + secret).digest()[:_ID_BYTES]
        return cls(key_id, AESGCM(secret), hashlib.sha256(b"duewell signing" + secret).digest())


class Keyring:
    """The keys of this installation, newest first: the newest encrypts, all of them decrypt.

    A key file is read again when it has changed, so that keys rotate while everything is running.
    """

    def __init__(self, keys: list[bytes], file: Path | None = None) -> None:
        """Build a keyring of 32-byte keys, newest first; ``file`` is where they were read from."""
        self.file = file
        self._keys = list(map(_Key.from_secret, keys))
        self._file_state = _file_state_of(file)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Read the keys from the settings, otherwise from the key file, which is created where it is missing."""
        if settings.duewell_secret_keys:
            return cls(parse_secret_keys(settings.duewell_secret_keys))
        file = private_folder(settings.duewell_home) / KEY_FILE
        return cls(read_key_file(file), file)

    @classmethod
    def existing(cls, settings: Settings) -> Self:
        """Read the keys like ``from_settings``, but create none: without any, nothing can be decrypted."""
        is_missing = not settings.duewell_secret_keys and not (settings.duewell_home / KEY_FILE).exists()
        return cls([]) if is_missing else cls.from_settings(settings)

    def encrypt(self, plain: bytes, bound_to: str) -> bytes:
        """Encrypt with the newest key, for decryption with the same ``bound_to`` only."""
        newest = self._current()[0]
        header = _FORMAT + newest.id
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return header + nonce + newest.cipher.encrypt(nonce, plain, header + bound_to.encode())

    def signature(self, text: str) -> bytes:
        """Return a signature by the newest key."""
        return hmac.digest(self._current()[0].signing, text.encode(), "sha256")

    def decrypt(self, sealed: bytes, bound_to: str) -> bytes:
        """Decrypt what ``encrypt`` returned for the same ``bound_to``. Raises ``KeyringError``."""
        header, body = sealed[: 1 + _ID_BYTES], sealed[1 + _ID_BYTES :]
        key = next((each for each in self._current() if each.id == header[1:]), None)
        if key is None or header[:1] != _FORMAT:
            message = f"the key that encrypted {bound_to} is not one of this installation's keys"
            raise KeyringError(message)
        try:
            return key.cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], header + bound_to.encode())
        except (InvalidTag, ValueError) as error:  # ValueError: truncated within the nonce
            message = f"the secret stored for {bound_to} was changed, or belongs to something else"
            raise KeyringError(message) from error

    def needs_rotation(self, sealed: bytes) -> bool:
        """Return whether something was encrypted with another key than the newest."""
        return sealed[: 1 + _ID_BYTES] != _FORMAT + self._current()[0].id

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Wait until nobody changes the key file, and let nobody change it meanwhile."""
        if self.file is None:
            yield
            return
        with FileLock(self.file.with_name("keys.lock"), mode=0o600):
            yield

    def key_ids(self) -> list[str]:
        """Return the keys' ids, newest first."""
        return [key.id.hex() for key in self._current()]

    def _current(self) -> list[_Key]:
        """Return the current keys; the file is read only where its date or size has changed."""
        if self.file is not None and (state := _file_state_of(self.file)) != self._file_state:
            self._keys, self._file_state = list(map(_Key.from_secret, read_key_file(self.file))), state
        return self._keys


def key_id(sealed: bytes) -> str:
    """Return the id of the key that something was encrypted with."""
    return sealed[1 : 1 + _ID_BYTES].hex()


def write_key_file(path: Path, keys: list[bytes]) -> None:
    """Replace the key file in one step: private, and on disk before anything is encrypted with the keys."""
    draft = _write_draft(path, keys)
    draft.replace(path)
    sync_folder(path.parent)


def _file_state_of(path: Path | None) -> tuple[int, ...]:
    if path is None or not path.exists():
        return ()
    state = path.stat()
    return state.st_mtime_ns, state.st_ino, state.st_size


def read_key_file(path: Path) -> list[bytes]:
    """Read the keys, newest first. A missing file is created with a first key."""
    if not path.exists():
        _create_key_file(path)
    refuse_if_shared(path)
    try:
        keys = parse_secret_keys(path.read_text(encoding="ascii").replace("\n", ","))
    except ValueError as error:
        message = f"{path} does not hold keys: {error}"
        raise SettingsError(message) from error
    if not keys:
        message = f"{path} is empty; restore this installation's key from a copy"
        raise SettingsError(message)
    return keys


def _create_key_file(path: Path) -> None:
    """Write a new key to a draft and link it: whole or not at all, and of two processes the first wins."""
    draft = _write_draft(path, [new_key()])
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first, and its key is used
    finally:
        draft.unlink()
    sync_folder(path.parent)


def new_key() -> bytes:
    """Return a new random key."""
    return secrets.token_bytes(32)


def _write_draft(path: Path, keys: list[bytes]) -> Path:
    """Write keys to a draft beside the key file, one per line."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(base64.urlsafe_b64encode(key) + b"\n" for key in keys)
        file.flush()
        os.fsync(file.fileno())
    return draft
