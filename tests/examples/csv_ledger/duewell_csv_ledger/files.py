"""A CSV file as rows of text, read and replaced as a whole, so that a crash leaves the old one or the new one."""

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
    """Return a file's rows, none for a missing file. Raises ``AuthorizationExpired`` if the folder is missing."""
    if not folder.is_dir():
        raise AuthorizationExpired(f"the folder {folder.name} does not exist; connect it again")
    try:
        with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            return [{column: row.get(column) or "" for column in COLUMNS[name]} for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TransientError(f"{name}.csv could not be read ({error.strerror})") from None


def write(folder: Path, name: str, rows: list[Row]) -> None:
    """Replace a file by these rows, completely or not at all."""
    temporary = folder / f".{name}.csv.new"
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS[name])
        writer.writeheader()
        writer.writerows(rows)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / f"{name}.csv")
