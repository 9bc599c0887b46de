"""Private files and folders: created for their owner alone, and refused where other users have access."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from connector.settings import SettingsError

_POSIX = sys.platform != "win32"  # on Windows the user's profile folder is private already


class NotPrivateError(SettingsError):
    """A file or folder that other users of this machine can read or replace; the message says how to fix it."""


def private_folder(folder: Path) -> Path:
    """Create a folder (mode 0700) where it is missing; refuse one in which others can replace files."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    mode = folder.stat().st_mode
    if _POSIX and mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        message = f"other users of this machine can replace files in {folder}; fix it with: chmod 700 '{folder}'"
        raise NotPrivateError(message)
    return folder


def private_file(path: Path) -> Path:
    """Create an empty file (mode 0600) where it is missing; refuse one that others can read."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        refuse_if_shared(path)
    return path


def is_shared(path: Path) -> bool:
    """Return whether other users of this machine can read or write a file."""
    return _POSIX and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def refuse_if_shared(path: Path) -> None:
    """Raise ``NotPrivateError`` where other users of this machine can read or write a file."""
    if is_shared(path):
        message = f"other users of this machine can read {path}; fix it with: chmod 600 '{path}'"
        raise NotPrivateError(message)


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that a file just created or renamed in it survives a power cut."""
    if _POSIX:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
