"""Bank statements from a folder: each company has one of its short name in it, into which a bank's program saves.

A file that was imported moves to ``imported``, one that cannot be read to ``failed``, so that none is read for ever.
A file that is still being written is left for the next sync.
"""

from __future__ import annotations

import logging
from pathlib import Path

from connector.app_context import AppContext
from connector.bank.formats.bank_line import BYTES_MAX, StatementError
from connector.bank.importing import import_statement

_FILES_MAX = 200  # in one sync
_QUIET_S = 10  # so long nobody has written to it
_ACTOR = "the watched folder"
log = logging.getLogger("duewell.bank")


def import_files(app: AppContext, connection_id: int, short_name: str) -> list[str]:
    """Import the files of a company, and return what a person has to look at."""
    root = app.settings.duewell_bank_folder
    folder = Path(root) / short_name if root else None
    if folder is None or not folder.is_dir():
        return []
    problems: list[str] = []
    for path in sorted(each for each in folder.iterdir() if each.is_file() and not each.name.startswith("."))[
        :_FILES_MAX
    ]:
        try:
            if app.now().timestamp() - path.stat().st_mtime < _QUIET_S:
                continue
            _import_file(app, connection_id, path)
            _move(path, "imported")
        except StatementError as error:
            _move(path, "failed")
            problems.append(
                f"The bank statement {path.name} could not be imported: {error} It is in the folder failed."
            )
        except OSError as error:
            problems.append(f"The bank statement {path.name} could not be read from its folder ({error.strerror}).")
    return problems


def _import_file(app: AppContext, connection_id: int, path: Path) -> None:
    if path.stat().st_size > BYTES_MAX:
        raise StatementError(f"The file is larger than {BYTES_MAX // 2**20} MB: split it.")
    import_statement(app, connection_id, path.read_bytes(), name=path.name, by=_ACTOR)


def _move(path: Path, name: str) -> None:
    target = path.parent / name
    target.mkdir(exist_ok=True)
    free = target / path.name
    number = 1
    while free.exists():
        number += 1
        free = target / f"{path.stem} {number}{path.suffix}"
    path.rename(free)
