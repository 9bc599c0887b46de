"""Writes each mail as one ``.eml`` file: whole or not at all, and never twice, because its name is made of the key."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime
from pathlib import Path
from typing import Final

from providers.errors import TransientError
from providers.ledger import CallObserver
from providers.mailer import Email, SendReceipt
from providers.message import build_message

SMTP_OK_STATUS: Final = 250  # told to the budget as SMTP would


class EmlMailer:
    """The mailer port over a folder."""

    name = "the folder"
    can_find_sent = True

    def __init__(self, folder: Path, calls: CallObserver) -> None:
        self._folder = Path(folder)
        self._calls = calls

    def send(self, email: Email) -> SendReceipt:
        """Write the file beside, then give it its name; a name that is taken means that this mail has left already."""
        self._calls.before("email")
        path = self._path(email.key)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside = path.with_name(f".{path.stem}.{os.getpid()}.{email.attempt}.part")
            _write_durably(beside, bytes(build_message(email)))
        except OSError as error:
            raise TransientError(f"the mail could not be written into the folder ({error.strerror})") from error
        try:
            os.link(beside, path)  # refuses a name that is taken, unlike a rename
        except FileExistsError:
            pass  # an earlier attempt had written it; the mail is there once
        except OSError as error:
            raise TransientError(f"the mail could not be named in the folder ({error.strerror})") from error
        finally:
            beside.unlink(missing_ok=True)
        self._calls.after("email", SMTP_OK_STATUS, {})
        return SendReceipt(path.name)

    def find_sent(self, key: str, to: tuple[str, ...], since_at: datetime) -> SendReceipt | None:
        """Look for the file of this key."""
        path = self._path(key)
        return SendReceipt(path.name) if path.exists() else None

    def get_suppression_reason(self, address: str) -> str:
        """A folder refuses nobody."""
        return ""

    def _path(self, key: str) -> Path:
        plain = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in key)[:80].strip("-")
        return self._folder / f"{plain}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.eml"


def _write_durably(path: Path, content: bytes) -> None:
    """Write so that a power cut leaves all of it or nothing under its later name."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
