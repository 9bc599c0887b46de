"""SendGrid's Event Webhook: whether a request is really SendGrid's, and its events in our words.

Custom args stand beside an event's own keys. An asynchronous bounce may lack them, and even the message's id: then only
its address says what it is about. An event comes in any order, late, and often more than once: ``id`` tells it apart.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from providers.sendgrid.client import KEY_ARG

SIGNATURE: Final = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP: Final = "X-Twilio-Email-Event-Webhook-Timestamp"
# What becomes of a mail, from the first to the last word on it: a later one is never undone by an earlier one.
DELIVERY_EVENTS: Final = (
    "processed", "deferred", "delivered", "blocked", "bounce", "dropped", "unsubscribe", "spamreport",
)  # fmt: skip
_EVENT_ALIASES: Final = {"group_unsubscribe": "unsubscribe"}
_PEM_LINE: Final = re.compile(r"-----[A-Z ]+-----")
_TEXT_MAX = 300


class DeliveryEvent(msgspec.Struct, frozen=True):
    """One thing that became of a mail. ``final``: the address gets no mail from SendGrid any more, ``why`` says so."""

    id: str
    kind: str
    address: str
    at: datetime
    key: str = ""
    message_id: str = ""
    reason: str = ""
    suppresses_address: bool = False


class WebhookError(Exception):
    """A request that is not SendGrid's, or that nobody can read; ``str()`` says which."""


def verify_signature(public_key: str, signature: str, timestamp: str, body: bytes) -> None:
    """Refuse a request that was not signed, byte for byte, with the key of this webhook."""
    bare = "".join(_PEM_LINE.sub("", public_key).split())  # SendGrid shows it bare; who keeps it as PEM is right too
    try:
        key = load_der_public_key(base64.b64decode(bare, validate=True))
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise WebhookError("SENDGRID_WEBHOOK_PUBLIC_KEY is no elliptic-curve key")
        signed = base64.b64decode(signature, validate=True)
        key.verify(signed, timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise WebhookError("the signature does not fit") from error


def parse_events(body: bytes) -> list[DeliveryEvent]:
    """Read the events of a request; kinds that say nothing about a mail's fate (opens, clicks) are left out."""
    try:
        raw = msgspec.json.decode(body, type=list[dict[str, Any]])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise WebhookError("the body is no list of events") from error
    events = (_parse_event(each) for each in raw)
    return [event for event in events if event is not None]


def _parse_event(raw: dict[str, Any]) -> DeliveryEvent | None:
    kind = _text(raw, "event")
    kind = _EVENT_ALIASES.get(kind, kind)
    if kind == "bounce" and raw.get("type") == "blocked":
        kind = "blocked"  # turned away this time: the address is not given up
    if kind not in DELIVERY_EVENTS or not _text(raw, "sg_event_id"):
        return None
    return DeliveryEvent(
        id=_text(raw, "sg_event_id"),
        kind=kind,
        address=_text(raw, "email").lower(),
        at=_parse_instant(raw.get("timestamp")),
        key=_text(raw, KEY_ARG),
        message_id=_text(raw, "sg_message_id"),
        reason=_text(raw, "reason") or _text(raw, "response"),
        suppresses_address=kind in {"bounce", "dropped", "unsubscribe", "spamreport"},
    )


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    return value.strip()[:_TEXT_MAX] if isinstance(value, str) else ""


def _parse_instant(value: object) -> datetime:
    try:
        return datetime.fromtimestamp(float(str(value)), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise WebhookError("an event has no timestamp") from error
