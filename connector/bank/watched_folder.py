"""Bank statements from a folder: each company has one of its short name in it, into which a bank's program saves.

A file that was imported moves to ``imported``, one that cannot be read to ``failed``, so that none is read for ever.
A file that is still being written is left for the next sync.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy.exc import OperationalError

from connector.app_context import AppContext
from connector.bank.formats.bank_line import BYTES_MAX, StatementError
from connector.bank.importing import import_statement

_FILES_MAX = 200  # in one sync
_QUIET_S = 10  # so long nobody has written to it
UNFINISHED = frozenset({".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", ".download"})
_ACTOR = "the watched folder"
log = logging.getLogger("duewell.bank")


def import_files(app: AppContext, connection_id: int, short_name: str) -> list[str]:
    """Import the files of a company, and return what a person has to look at."""
    root = app.settings.duewell_bank_folder
    folder = Path(root) / short_name if root else None
    if folder is None or not folder.is_dir():
        return []
    problems: list[str] = []
    try:
        paths = sorted(each for each in folder.iterdir() if _is_finished(each))[:_FILES_MAX]
    except OSError as error:
        return [f"The folder of bank statements {short_name} could not be read ({error.strerror})."]
    for path in paths:
        try:
            before = path.stat()
            if app.now().timestamp() - before.st_mtime < _QUIET_S:
                continue
            problem = _import_file(app, connection_id, path)
            after = path.stat()
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                continue  # somebody writes on: the next sync reads all of it, and what is known counts once
            _move(path, "failed" if problem else "imported")
            if problem:
                problems.append(
                    f"The bank statement {path.name} could not be imported: {problem} It is in the folder failed."
                )
        except OSError as error:
            problems.append(f"The bank statement {path.name} could not be read from its folder ({error.strerror}).")
    return problems


def _is_finished(path: Path) -> bool:
    """Return whether a file has a name of its own; programs write under another one until it is whole."""
    return path.is_file() and not path.name.startswith((".", "~")) and path.suffix.lower() not in UNFINISHED


def _import_file(app: AppContext, connection_id: int, path: Path) -> str:
    """Import a file, and return why it cannot be read; "" where it was."""
    if path.stat().st_size > BYTES_MAX:
        return f"The file is larger than {BYTES_MAX // 2**20} MB: split it."
    try:
        import_statement(app, connection_id, path.read_bytes(), name=path.name, by=_ACTOR)
    except StatementError as error:
        return str(error)
    except (OSError, OperationalError):  # the disk or the database: the file is as good as any
        raise
    except Exception as error:
        log.exception("a file of the watched folder of connection %s failed", connection_id)
        return f"Internal error in duewell ({type(error).__name__}); see its log for details. Please report it."
    return ""


def _move(path: Path, name: str) -> None:
    target = path.parent / name
    target.mkdir(exist_ok=True)
    free = target / path.name
    number = 1
    while free.exists():
        number += 1
        free = target / f"{path.stem} {number}{path.suffix}"
    path.rename(free)
