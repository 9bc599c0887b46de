"""Response models for the log."""

from __future__ import annotations

from pydantic import BaseModel


class LogVerification(BaseModel):
    """Whether the log's hash chain is intact."""

    ok: bool
    entries: int
    head: str
    broken_at_id: int | None
    reason: str
