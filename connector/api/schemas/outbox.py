"""Response models for the outbox."""

from __future__ import annotations

from pydantic import BaseModel


class EmailPreview(BaseModel):
    """An email as the recipient would receive it."""

    to: list[str]
    subject: str
    text: str
    html: str
