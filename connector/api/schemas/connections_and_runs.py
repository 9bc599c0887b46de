"""The shapes of connections, their runs, the log, and what is to come."""

from __future__ import annotations

from pydantic import BaseModel


class LogVerification(BaseModel):
    """Whether the log's chain of hashes holds."""

    ok: bool
    entries: int
    head: str
    broken_at_id: int | None
    reason: str
