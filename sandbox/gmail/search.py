"""Gmail's search: the few operators of ``q`` that are simulated, all of which must match."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime

from sandbox.gmail.api_errors import ApiError
from sandbox.gmail.mail import StoredMail

_LABELS = {"sent": "SENT", "drafts": "DRAFT", "inbox": "INBOX", "spam": "SPAM", "trash": "TRASH"}
_HIDDEN = {"SPAM", "TRASH"}


def matches(email: StoredMail, query: str, *, include_hidden: bool) -> bool:
    """Return whether an email matches a query. Raises ``ApiError`` for an operator that is not simulated."""
    terms = shlex.split(query)
    wants_hidden = include_hidden or any(term in {"in:spam", "in:trash", "in:anywhere"} for term in terms)
    if _HIDDEN & set(email.labels) and not wants_hidden:
        return False
    return all(_matches_term(email, term.removeprefix("-")) is not term.startswith("-") for term in terms)


def _matches_term(email: StoredMail, term: str) -> bool:
    name, _, value = term.partition(":")
    match name:
        case "in":
            return value == "anywhere" or _LABELS.get(value, value.upper()) in email.labels
        case "to":
            return value.lower() in email.addresses("To", "Cc", "Bcc")
        case "from":
            return value.lower() in email.header("From").lower()
        case "rfc822msgid":
            return email.message_id.strip("<>") == value.strip("<>")
        case "after":
            return email.at.timestamp() >= _instant(value).timestamp()
        case "before":
            return email.at.timestamp() < _instant(value).timestamp()
    raise ApiError(400, "invalidArgument", f"the sandbox's search does not know {name}:")


def _instant(value: str) -> datetime:
    """Return the instant of seconds since 1970, or the start of a day like 2026/11/30."""
    if value.isdecimal():
        return datetime.fromtimestamp(int(value), UTC)
    if re.fullmatch(r"\d{4}/\d{1,2}/\d{1,2}", value):
        year, month, day = map(int, value.split("/"))
        return datetime(year, month, day, tzinfo=UTC)
    raise ApiError(400, "invalidArgument", "Invalid date")
