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


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What a server reports about one recipient: ``action`` and ``status`` as RFC 3464 has them."""

    addresses: tuple[str, ...]  # as it was written to, then as the server knows it
    action: str
    status: str
    diagnostic: str


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message; ``references`` are the Message-IDs of the emails it answers or reports about, the nearest first."""

    reply: Reply
    references: tuple[str, ...]
    reports: tuple[DeliveryReport, ...] = ()
    is_report: bool = False


def read_message(content: bytes) -> ReceivedMessage:
    """Parse a message; what is missing or malformed counts as empty."""
    message = message_from_bytes(content[:KEPT_BYTES])
    reply = parse_reply({"email": _as_text(content)})
    is_report = message.get_content_type() == "multipart/report"
    parts = _list_parts(message) if is_report else []
    original = next((ids for part in parts if (ids := _original_id(part))), ())
    references = (*original, *_ids(message, "In-Reply-To"), *reversed(_ids(message, "References")))
    return ReceivedMessage(
        reply=reply,
        references=tuple(dict.fromkeys(references))[:_IDS_MAX],
        reports=tuple(report for part in parts for report in _read_status(part))[:_REPORTS_MAX],
        is_report=is_report,
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
        return next((_ids(each, "Message-ID") for each in _list_parts(part)), ())
    if kind in {"text/rfc822-headers", "message/rfc822-headers"}:
        content = part.get_payload(decode=True)
        return _ids(message_from_bytes(content), "Message-ID") if isinstance(content, bytes) else ()
    return ()


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


def _address(field: object) -> str:
    """Return the address of a field like ``rfc822; ann@example.com``."""
    return one_line(str(field).partition(";")[2], 254).strip("<> ").lower()


def _ids(message: Message, name: str) -> tuple[str, ...]:
    return tuple(_ID.findall(str(message.get(name, ""))[:_HEADER_MAX]))
