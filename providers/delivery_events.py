"""What became of an email, as an email service or a delivery report tells it, and what a bounce is about.

The statuses are those of RFC 3463, the words those of servers; the README of SendGrid has the cases as a table, which a
test reads.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from providers.mailer import RefusalCause


class EventKind(StrEnum):
    """What happened to an email, in the words of SendGrid's events."""

    PROCESSED = "processed"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BLOCKED = "blocked"
    BOUNCE = "bounce"
    DROPPED = "dropped"
    UNSUBSCRIBE = "unsubscribe"
    SPAM_REPORT = "spamreport"
    OPEN = "open"
    CLICK = "click"
    RESUBSCRIBED = "resubscribed"  # the recipient wants email again


# The delivery states of an email in order of precedence: a later one is never undone by an earlier one. Opens and
# clicks are none: they are sent only where tracking was switched on.
DELIVERY_EVENTS: Final = (
    EventKind.PROCESSED,
    EventKind.DEFERRED,
    EventKind.DELIVERED,
    EventKind.BLOCKED,
    EventKind.BOUNCE,
    EventKind.DROPPED,
    EventKind.UNSUBSCRIBE,
    EventKind.SPAM_REPORT,
)

_BOUNCES_BY_CLASSIFICATION: Final = {
    "invalid address": RefusalCause.ADDRESS,
    "content": RefusalCause.SENDER,
    "reputation": RefusalCause.SENDER,
    "frequency or volume too high": RefusalCause.RECIPIENT,
    "technical": RefusalCause.RECIPIENT,
    "technical failure": RefusalCause.RECIPIENT,
}
_BOUNCES_BY_STATUS: Final = {  # RFC 3463, where a permanent status is not about the address
    "5.1.7": RefusalCause.SENDER,  # the sender's address
    "5.1.8": RefusalCause.SENDER,
    "5.1.90": RefusalCause.SENDER,  # Exchange Online: the mailbox's own recipients of a day
    "5.2.2": RefusalCause.RECIPIENT,  # mailbox full
    "5.2.3": RefusalCause.SENDER,  # email too long
    "5.3.4": RefusalCause.SENDER,  # email too big
    "552": RefusalCause.RECIPIENT,  # storage exceeded
}
_DOES_NOT_ACCEPT: Final = "5.4.1"  # routing by its number, but Microsoft's servers say it of an unknown recipient
_BOUNCES_BY_SUBJECT: Final = {  # the subject of a status, RFC 3463 section 3
    "5.3.": RefusalCause.RECIPIENT,  # the recipient's mail system
    "5.4.": RefusalCause.RECIPIENT,  # network and routing: no answer, loops
    "5.6.": RefusalCause.SENDER,  # the content
    "5.7.": RefusalCause.SENDER,  # security or policy: who sends what, not to whom
}
_STATUS: Final = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_CODE: Final = re.compile(r"^\s*([45]\d\d)\b")
_MAILBOX_FULL: Final = re.compile(
    r"(mailbox|inbox|quota|storage)\b.{0,40}\b(full|exceeded|insufficient)|over ?quota"
    r"|receiving mail (?:at a rate|too quickly)",
    re.IGNORECASE,
)
_UNKNOWN_ADDRESS: Final = {"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"}  # whatever else the text says
# In the words of servers that give no status, or none that says more
_ADDRESS_IS_BAD: Final = re.compile(
    r"no such (?:user|mailbox|recipient|account|address)|(?:unknown|invalid) (?:user|recipient|mailbox|address)"
    r"|\b(?:user|recipient|mailbox|account|address)\b.{0,30}\b(?:unknown|not found|not exist|disabled|inactive)"
    r"|does(?: not|n't) (?:exist|have)",
    re.IGNORECASE,
)
_NOT_NOW: Final = re.compile(
    r"\bgr[ea]y-?list|too many hops|(?:mail|message) loop|try (?:again )?later|action aborted"
    r"|timed? ?out\b|connection (?:refused|reset)|unreachable",
    re.IGNORECASE,
)
_OWN_LIMIT: Final = re.compile(  # of the mailbox that sends: Gmail says so after it has accepted the email
    r"\blimit for sending\b|\bsending limit\b|\bsending quota\b|\breached your daily limit\b", re.IGNORECASE
)
_SENDER_REFUSED: Final = re.compile(
    r"\bsender\b.{0,40}\b(?:rejected|denied|blocked)|\b(?:spf|dkim|dmarc|dnsbl|rbl|spamhaus|reputation|virus)\b|\bspam"
    r"|\b(?:black|block) ?list|\bpolicy\b|administrative prohibition"
    r"|\b(?:message|content)\b.{0,15}\b(?:refused|rejected|denied)"
    r"|\b(?:message|size)\b.{0,30}\b(?:too large|too big|exceeds)"
    r"|\brelay(?:ing)?\b.{0,15}\b(?:permitted|denied|allowed)",
    re.IGNORECASE,
)


class DeliveryEvent(msgspec.Struct, frozen=True):
    """A delivery event of an email.

    ``refusal`` is what a failed delivery is about. ``suppresses_address`` means that no more email should go to the
    address, for the given ``reason``. ``is_group`` marks a recipient's choice about one group of emails only.
    """

    id: str
    kind: EventKind
    address: str
    at: datetime
    key: str = ""
    message_id: str = ""
    reason: str = ""
    suppresses_address: bool = False
    refusal: RefusalCause | None = None
    is_group: bool = False


def bounce_cause(kind: str, status: str, classification: str, reason: str) -> RefusalCause:
    """Return what a ``bounce`` event is about: the address where the event says so.

    Type bounce says so unless a status or the server's words name another cause: SendGrid has then put the address on
    its own list of bounces, and drops what is sent to it. An event without a type does not say so: if the address is
    bad, the next email is dropped as "Bounced Address".

    Args:
        kind: The event's ``type``: bounce, blocked or expired; "" where it has none.
        status: Its ``status``, enhanced (5.1.1) or not (550); where it is "", the reason is searched for it.
        classification: Its ``bounce_classification``.
        reason: The server's own words.
    """
    if _OWN_LIMIT.search(reason):
        return RefusalCause.SENDER
    found = _STATUS.search(status) or _STATUS.search(reason)
    code = _CODE.search(status) or _CODE.search(reason)
    statuses = [match.group(1) for match in (found, code) if match is not None]
    if kind in {"blocked", "expired"} or (statuses and statuses[0].startswith("4")):
        return RefusalCause.RECIPIENT
    if (cause := _BOUNCES_BY_CLASSIFICATION.get(classification.strip().casefold())) is not None:
        return cause
    for one in statuses:
        if one in _UNKNOWN_ADDRESS:
            return RefusalCause.ADDRESS
        if one in _BOUNCES_BY_STATUS:
            return _BOUNCES_BY_STATUS[one]
        if one != _DOES_NOT_ACCEPT and one[:4] in _BOUNCES_BY_SUBJECT:
            return _BOUNCES_BY_SUBJECT[one[:4]]
    return _cause_in_words(reason) or (RefusalCause.ADDRESS if kind == "bounce" else RefusalCause.RECIPIENT)


def _cause_in_words(reason: str) -> RefusalCause | None:
    if _MAILBOX_FULL.search(reason) or _NOT_NOW.search(reason):
        return RefusalCause.RECIPIENT
    if _ADDRESS_IS_BAD.search(reason):
        return RefusalCause.ADDRESS
    return RefusalCause.SENDER if _SENDER_REFUSED.search(reason) else None
