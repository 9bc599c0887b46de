"""The shapes of what leaves: entries of the outbox, mails, late fees."""

from __future__ import annotations

from pydantic import BaseModel


class EmailPreview(BaseModel):
    """A mail as the customer will read it."""

    to: list[str]
    subject: str
    text: str
    html: str
