"""Where the guides (``README.md``, ``docs/``, ``deploy/``) are on this machine: they are installed with the wheel."""

from __future__ import annotations

import sys
from pathlib import Path

SOURCES = Path(__file__).parents[1]
INSTALLED = Path(sys.prefix, "share", "doc", "duewell")


def guides_folder() -> Path:
    """Return the folder of the guides: a checkout's own, else what was installed with the wheel."""
    return SOURCES if (SOURCES / "docs").is_dir() else INSTALLED


def guide(page: str) -> str:
    """Return what to call a page of the docs: its name in a checkout, its whole path where it was installed."""
    name = f"docs/{page}"
    return name if (SOURCES / name).exists() or not (INSTALLED / name).exists() else str(INSTALLED / name)
