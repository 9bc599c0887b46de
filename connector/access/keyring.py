"""Encryption of tokens at rest: AES-256-GCM, every secret bound to the row it belongs to, several keys for rotation."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connector.access.private_files import private_folder, refuse_if_shared, sync_folder
from connector.settings import Settings, SettingsError, check_secret_keys

KEY_FILE = "secret.key"
_FORMAT = b"\x01"
_ID_BYTES = 8
_NONCE_BYTES = 12


class KeyringError(Exception):
    """A secret that cannot be opened: its key is gone, it was changed, or it belongs to another row."""


@dataclass(frozen=True, slots=True)
class _Key:
    id: bytes
    cipher: AESGCM
    signing: bytes

    @classmethod
    def of(cls, secret: bytes) -> Self:
        key_id = hashlib.sha256(b"duewell key id" + secret).digest()[:_ID_BYTES]
        return cls(key_id, AESGCM(secret), hashlib.sha256(b"duewell signing" + secret).digest())


class Keyring:
    """The keys of this installation, newest first: the newest encrypts, all of them decrypt."""

    def __init__(self, keys: list[bytes]) -> None:
        """Take keys of 32 bytes each, the newest first."""
        self._newest = _Key.of(keys[0])
        self._by_id = {key.id: key for key in map(_Key.of, keys)}

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Take the keys from the settings, else from the key file in the home, which is made where it is missing."""
        if settings.duewell_secret_keys:
            return cls(check_secret_keys(settings.duewell_secret_keys))
        return cls(_read_key_file(private_folder(settings.duewell_home) / KEY_FILE))

    def encrypt(self, plain: bytes, bound_to: str) -> bytes:
        """Seal with the newest key; it can be opened only for the same ``bound_to``."""
        header = _FORMAT + self._newest.id
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return header + nonce + self._newest.cipher.encrypt(nonce, plain, header + bound_to.encode())

    def signature(self, text: str) -> bytes:
        """Sign with the newest key: nobody without it can make or guess this."""
        return hmac.digest(self._newest.signing, text.encode(), "sha256")

    def decrypt(self, sealed: bytes, bound_to: str) -> bytes:
        """Open what ``encrypt`` sealed for the same ``bound_to``."""
        header, body = sealed[: 1 + _ID_BYTES], sealed[1 + _ID_BYTES :]
        key = self._by_id.get(header[1:])
        if key is None or header[:1] != _FORMAT:
            message = f"the key that encrypted {bound_to} is not among the keys of this installation"
            raise KeyringError(message)
        try:
            return key.cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], header + bound_to.encode())
        except (InvalidTag, ValueError) as error:  # ValueError: cut off within the nonce
            message = f"what is stored for {bound_to} was changed, or belongs to something else"
            raise KeyringError(message) from error

    def needs_rotation(self, sealed: bytes) -> bool:
        """Tell whether something was sealed with another than the newest key and wants sealing anew."""
        return sealed[: 1 + _ID_BYTES] != _FORMAT + self._newest.id


def _read_key_file(path: Path) -> list[bytes]:
    if not path.exists():
        _create_key_file(path)
    refuse_if_shared(path)
    try:
        keys = check_secret_keys(path.read_text(encoding="ascii").replace("\n", ","))
    except ValueError as error:
        message = f"{path} does not hold keys: {error}"
        raise SettingsError(message) from error
    if not keys:
        message = f"{path} is empty; put the key of this installation back from a backup"
        raise SettingsError(message)
    return keys


def _create_key_file(path: Path) -> None:
    """Write a new key beside its place and link it there: whole or not at all, and the first of two processes wins."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.urlsafe_b64encode(secrets.token_bytes(32)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first: its key is the one that counts
    finally:
        draft.unlink()
    sync_folder(path.parent)
