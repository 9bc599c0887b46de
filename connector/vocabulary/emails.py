"""What customers send back, and what the links in emails are for."""

from __future__ import annotations

from enum import StrEnum


class ReplyKind(StrEnum):
    """Who wrote an email that came back: a person, or an out-of-office assistant."""

    REPLY = "reply"
    AUTO_REPLY = "auto_reply"


class TokenPurpose(StrEnum):
    """What a customer's token gives access to."""

    STOP = "stop"  # unsubscribe from reminders
    REPLY = "reply"  # the reply address
    PORTAL = "portal"
