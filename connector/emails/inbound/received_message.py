"""A whole message out of a mailbox: what a person wrote, or what a delivery report (RFC 3464) says of an email."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message

from connector.emails.inbound.reply_parsing import Reply, parse_reply
from connector.plain_text import one_line

KEPT_BYTES = 2**20  # its text comes before its attachments
_REPORTS_MAX = 100
_IDS_MAX = 50
_ID = re.compile(r"<[^<>\s]{1,300}>")
_HEADER_MAX = 4000
_STATUS = re.compile(r"^\s*([245]\.\d{1,3}\.\d{1,3})\b")
_STATUS_IN_WORDS = re.compile(r"\b([45]\.\d{1,3}\.\d{1,3})\b")
_REPORTERS = ("mailer-daemon@", "postmaster@")
_NOTICE = re.compile(r"^delivery status notification \((?:failure|delay)\)\s*$", re.IGNORECASE)
_DELAY = re.compile(r"\bdelay(?:ed)?\b", re.IGNORECASE)
_OWN_ID_HEADER = "X-Duewell-Message-ID"  # where a service gives an email another Message-ID


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What a server reports about one recipient: ``action`` and ``status`` as RFC 3464 has them."""

    addresses: tuple[str, ...]  # as it was written to, then as the server knows it
    action: str
    status: str
    diagnostic: str


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message; ``references`` are the Message-IDs of the emails it answers or reports about, the nearest first.

    ``in_reply_to`` are those that it answers itself; a forwarded conversation names ours only further back.
    """

    reply: Reply
    references: tuple[str, ...]
    reports: tuple[DeliveryReport, ...] = ()
    is_report: bool = False
    in_reply_to: tuple[str, ...] = ()


def read_message(content: bytes) -> ReceivedMessage:
    """Parse a message; what is missing or malformed counts as empty."""
    message = message_from_bytes(content[:KEPT_BYTES])
    reply = parse_reply({"email": _as_text(content)})
    parts = _list_parts(message) if message.get_content_type() == "multipart/report" else []
    reports = [report for part in parts for report in _read_status(part)] or _read_notice(message, reply)
    original = next((ids for part in parts if (ids := _original_id(part))), ())
    in_reply_to = _ids(message, "In-Reply-To")
    references = (*original, *in_reply_to, *reversed(_ids(message, "References")))
    return ReceivedMessage(
        reply=reply,
        references=tuple(dict.fromkeys(references))[:_IDS_MAX],
        reports=tuple(reports[:_REPORTS_MAX]),
        is_report=bool(parts or reports),
        in_reply_to=in_reply_to[:_IDS_MAX],
    )


def _as_text(content: bytes) -> str:
    """Return a message as the form of a webhook would have had it."""
    kept = content[:KEPT_BYTES]
    try:
        return kept.decode("utf-8")
    except UnicodeDecodeError:
        return kept.decode("latin-1")


def _list_parts(message: Message) -> list[Message]:
    payload = message.get_payload()
    return [part for part in payload if isinstance(part, Message)] if isinstance(payload, list) else []


def _original_id(part: Message) -> tuple[str, ...]:
    """Return the Message-ID of the email that a report returns, whole or its headers alone."""
    kind = part.get_content_type()
    if kind == "message/rfc822":
        return next((_original_ids(each) for each in _list_parts(part)), ())
    if kind in {"text/rfc822-headers", "message/rfc822-headers"}:
        content = part.get_payload(decode=True)
        return _original_ids(message_from_bytes(content)) if isinstance(content, bytes) else ()
    return ()


def _original_ids(message: Message) -> tuple[str, ...]:
    return (*_ids(message, _OWN_ID_HEADER), *_ids(message, "Message-ID"))


def _read_status(part: Message) -> list[DeliveryReport]:
    """Return what the machine's part of a report says of each recipient."""
    if part.get_content_type() != "message/delivery-status":
        return []
    return [_read_recipient(each) for each in _list_parts(part) if each.get("Final-Recipient")]


def _read_recipient(fields: Message) -> DeliveryReport:
    addresses = (_address(fields.get(name, "")) for name in ("Original-Recipient", "Final-Recipient"))
    status = _STATUS.match(str(fields.get("Status", "")))
    return DeliveryReport(
        addresses=tuple(dict.fromkeys(filter(None, addresses))),
        action=one_line(str(fields.get("Action", "")), 20).lower(),
        status=status.group(1) if status is not None else "",
        diagnostic=one_line(str(fields.get("Diagnostic-Code", "")).partition(";")[2], 300),
    )


def _read_notice(message: Message, reply: Reply) -> list[DeliveryReport]:
    """Return what a server's notice says in words alone, as that of Gmail's sending limit; it need not name anybody."""
    if not reply.sender.lower().startswith(_REPORTERS):
        return []
    named = [each.strip().lower() for each in str(message.get("X-Failed-Recipients", "")).split(",") if each.strip()]
    if not named and not _NOTICE.search(reply.subject):
        return []
    words = one_line(reply.text, 300)
    status = _STATUS_IN_WORDS.search(words)
    said = (status.group(1) if status is not None else "", words)
    action = "delayed" if _DELAY.search(reply.subject) else "failed"
    return [DeliveryReport((address,) if address else (), action, *said) for address in named or [""]]


def _address(field: object) -> str:
    """Return the address of a field like ``rfc822; ann@example.com``."""
    return one_line(str(field).partition(";")[2], 254).strip("<> ").lower()


def _ids(message: Message, name: str) -> tuple[str, ...]:
    return tuple(_ID.findall(str(message.get(name, ""))[:_HEADER_MAX]))
