"""What customers send back, and what the links in emails are for."""

from __future__ import annotations

from enum import StrEnum


class ReplyKind(StrEnum):
    """Who wrote an email that came back: a person, or an out-of-office assistant."""

    REPLY = "reply"
    AUTO_REPLY = "auto_reply"


class TemplateOrigin(StrEnum):
    """Whose text an email step has: one of your own, or the one that is shipped."""

    CUSTOM = "custom"
    DEFAULT = "default"


class TokenPurpose(StrEnum):
    """What the token of a link or reply address gives access to."""

    STOP = "stop"  # unsubscribe from reminders
    EMAIL_STOP = "email_stop"  # in a digest: stop one email before it is sent
    REPLY = "reply"  # the reply address
    PORTAL = "portal"
