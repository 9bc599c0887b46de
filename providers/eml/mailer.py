"""Writes each email as one ``.eml`` file: complete or not at all, and never twice, as its name derives from the key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from providers.calls import CallKind, CallObserver
from providers.errors import TransientError
from providers.mailer import Email, SendReceipt, Suppression
from providers.message import build_message

SMTP_OK_STATUS: Final = 250  # reported to the call observer, as for SMTP


class EmlMailer:
    """The mailer port over a folder."""

    name = "the folder"
    can_find_sent = True

    def __init__(self, folder: Path, calls: CallObserver) -> None:
        self._folder = Path(folder)
        self._calls = calls

    def send(self, email: Email) -> SendReceipt:
        """Write a temporary file, then link it under its name; if the name exists, the email was written before."""
        self._calls.before(CallKind.EMAIL)
        path = self._path(email.key)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.stem}.{os.getpid()}.{email.attempt}.part")
            _write_durably(temporary, bytes(build_message(email)))
        except OSError as error:
            raise TransientError(f"the email could not be written to the folder ({error.strerror})") from error
        try:
            os.link(temporary, path)  # fails if the name exists, unlike a rename
        except FileExistsError:
            pass  # an earlier attempt wrote it
        except OSError as error:
            raise TransientError(f"the email could not be named in the folder ({error.strerror})") from error
        finally:
            temporary.unlink(missing_ok=True)
        self._calls.after(CallKind.EMAIL, SMTP_OK_STATUS, {})
        return SendReceipt(path.name)

    def find_sent(self, key: str, to: tuple[str, ...], since_at: datetime) -> SendReceipt | None:
        """Return the file of this key, if it exists."""
        path = self._path(key)
        return SendReceipt(path.name) if path.exists() else None

    def find_suppressions(self, addresses: Sequence[str]) -> dict[str, Suppression]:
        """Return none: a folder has no suppression list."""
        return {}

    def _path(self, key: str) -> Path:
        plain = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in key)[:80].strip("-")
        return self._folder / f"{plain}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.eml"


def _write_durably(path: Path, content: bytes) -> None:
    """Write so that a power failure leaves the whole file or none under its final name."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
