"""SendGrid's Event Webhook: checks that a request is SendGrid's, and parses its events.

Custom args are beside an event's own keys. An asynchronous bounce may lack them, and even the message id: then only the
address identifies it. Events arrive in any order, late, and often more than once; ``id`` identifies each.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from providers.delivery_events import DeliveryEvent, EventKind, bounce_cause
from providers.mailer import RefusalCause
from providers.sendgrid.custom_args import KEY_ARG
from providers.sendgrid.refusals import drop_cause

SIGNATURE: Final = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP: Final = "X-Twilio-Email-Event-Webhook-Timestamp"
_KINDS: Final = frozenset(EventKind)
_EVENT_ALIASES: Final = {
    "group_unsubscribe": EventKind.UNSUBSCRIBE,
    "group_resubscribe": EventKind.RESUBSCRIBED,
}
_PEM_LINE: Final = re.compile(r"-----[A-Z ]+-----")
_TEXT_MAX = 300
_SECONDS_MAX: Final = 10**11  # in the year 5138


class WebhookError(Exception):
    """A request that is not SendGrid's, or that cannot be read; ``str()`` says which."""


def verify_signature(public_key: str, signature: str, timestamp: str, body: bytes) -> None:
    """Raise ``WebhookError`` unless exactly these bytes were signed with the key of this webhook."""
    bare = "".join(_PEM_LINE.sub("", public_key).split())  # SendGrid shows it without PEM lines; both are accepted
    try:
        key = load_der_public_key(base64.b64decode(bare, validate=True))
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise WebhookError("the public key in the settings is not an elliptic-curve key")
        signature_bytes = base64.b64decode(signature, validate=True)
        key.verify(signature_bytes, timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise WebhookError("the signature is wrong") from error


def parse_events(body: bytes, received_at: datetime) -> list[DeliveryEvent]:
    """Return the delivery events of a request; other kinds, and opens by machines, are left out.

    An event without a usable time happened when it was received: none keeps the others of its request out.
    """
    try:
        raws = json.loads(body.decode("utf-8", "replace"))  # which reads half an emoji, and msgspec does not
    except (ValueError, RecursionError) as error:
        raise WebhookError("the body is not a list of events") from error
    if not isinstance(raws, list):
        raise WebhookError("the body is not a list of events")
    events = (_parse_event(raw, received_at) for raw in raws if isinstance(raw, dict))
    return [event for event in events if event is not None]


def _parse_event(raw: dict[str, Any], received_at: datetime) -> DeliveryEvent | None:
    event = _text(raw, "event")
    name = _EVENT_ALIASES.get(event, event)
    if name not in _KINDS:
        return None
    kind = EventKind(name)
    if kind is EventKind.BOUNCE and raw.get("type") == "blocked":
        kind = EventKind.BLOCKED  # rejected this time only: SendGrid goes on sending to the address
    if kind is EventKind.OPEN and raw.get("sg_machine_open") is True:  # loaded before anybody read it
        return None
    refusal = _refusal(kind, raw)
    return DeliveryEvent(
        id=_text(raw, "sg_event_id") or _made_up_id(raw),
        kind=kind,
        address=_text(raw, "email").lower(),
        at=_parse_instant(raw.get("timestamp")) or received_at,
        key=_text(raw, KEY_ARG),
        message_id=_text(raw, "sg_message_id"),
        reason=_text(raw, "reason") or _text(raw, "response"),
        suppresses_address=refusal == RefusalCause.ADDRESS or kind in {EventKind.UNSUBSCRIBE, EventKind.SPAM_REPORT},
        refusal=refusal,
        is_group=event.startswith("group_"),
    )


def _made_up_id(raw: dict[str, Any]) -> str:
    """Return an id for an event that has none, as an unsubscribe may: the same one when it is posted again."""
    facts = [str(raw.get(name)) for name in ("event", "email", "timestamp", "sg_message_id", KEY_ARG)]
    return f"made up:{hashlib.sha256(repr(facts).encode('utf-8', 'replace')).hexdigest()}"


def _refusal(kind: EventKind, raw: dict[str, Any]) -> RefusalCause | None:
    """Return what a failed delivery is about; None for all other events."""
    if kind is EventKind.DROPPED:
        return drop_cause(_text(raw, "reason"))
    if kind in {EventKind.BOUNCE, EventKind.BLOCKED}:
        return bounce_cause(
            _text(raw, "type"), _text(raw, "status"), _text(raw, "bounce_classification"), _text(raw, "reason")
        )
    return None


def _text(raw: dict[str, Any], name: str) -> str:
    """Return a text without what a database refuses, such as NUL."""
    value = raw.get(name)
    if not isinstance(value, str):
        return ""
    return "".join(char if char.isprintable() else " " for char in value[:_TEXT_MAX]).strip()


def _parse_instant(value: object) -> datetime | None:
    """Return an instant in seconds since 1970; programs that stand in for SendGrid also send milliseconds."""
    try:
        seconds = float(str(value))
        return datetime.fromtimestamp(seconds / 1000 if seconds > _SECONDS_MAX else seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
