"""One CSV file as rows of text: read whole, and replaced whole, so that a crash leaves the old one or the new one."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from providers.errors import AuthorizationExpired, TransientError

Row = dict[str, str]
COLUMNS = {
    "customers": ("id", "name", "email", "country", "active"),
    "invoices": ("number", "customer", "currency", "issued", "due", "total", "status", "reference", "text"),
    "payments": ("id", "customer", "invoice", "currency", "on", "amount"),
    "notes": ("invoice", "key", "text"),
}


def read(folder: Path, name: str) -> list[Row]:
    """Read a file's rows; one that is not there has none. A folder that is gone must be connected again."""
    if not folder.is_dir():
        raise AuthorizationExpired(f"the folder {folder.name} is gone; connect it again")
    try:
        with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            return [{column: row.get(column) or "" for column in COLUMNS[name]} for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise TransientError(f"{name}.csv could not be read ({problem.strerror})") from None


def write(folder: Path, name: str, rows: list[Row]) -> None:
    """Replace a file by these rows, at once or not at all."""
    beside = folder / f".{name}.csv.new"
    with beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS[name])
        writer.writeheader()
        writer.writerows(rows)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / f"{name}.csv")
