"""Posts events to a webhook as SendGrid does: in batches, signed with ECDSA, sometimes twice and out of order."""

from __future__ import annotations

import base64
import hashlib
import random
from dataclasses import dataclass, field

import msgspec
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sandbox.core import JsonObject

_CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of the curve P-256
_TIMEOUT_SECONDS = 5


@dataclass(slots=True)
class EventWebhook:
    """Posts events to ``url``, each ``copies`` times, in random order if ``shuffled``; nowhere without ``url``."""

    seed: int
    url: str = ""
    copies: int = 1
    shuffled: bool = False
    posted: int = 0
    _rng: random.Random = field(init=False)
    _key: ec.EllipticCurvePrivateKey = field(init=False)

    def __post_init__(self) -> None:
        """Derive the signing key from the seed, so that the public key is known beforehand."""
        digest = hashlib.sha256(f"sendgrid webhook {self.seed}".encode()).digest()
        self._key = ec.derive_private_key(int.from_bytes(digest) % (_CURVE_ORDER - 1) + 1, ec.SECP256R1())
        self._rng = random.Random(self.seed)

    @property
    def public_key(self) -> str:
        """The public key as SendGrid shows it: DER in base64, without the PEM lines around it."""
        raw = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(raw).decode()

    def sign(self, events: list[JsonObject], timestamp: int) -> tuple[bytes, dict[str, str]]:
        """Return body and headers for a POST of these events."""
        return self.sign_body(msgspec.json.encode([flatten_event(event) for event in events]), timestamp)

    def sign_body(self, body: bytes, timestamp: int) -> tuple[bytes, dict[str, str]]:
        """Return a body and the headers for a POST of it, whatever it holds."""
        signature = self._key.sign(str(timestamp).encode() + body, ec.ECDSA(hashes.SHA256()))
        return body, {
            "Content-Type": "application/json",
            "User-Agent": "SendGrid Event API",
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": str(timestamp),
        }

    def post(self, events: list[JsonObject], timestamp: int) -> int:
        """Post the events that were not posted yet; return the status of the reply, 0 if there were none.

        Events that are not answered with 2xx are posted again the next time.
        """
        fresh = events[self.posted :] * self.copies
        if not self.url or not fresh:
            return 0
        if self.shuffled:
            self._rng.shuffle(fresh)
        until = len(events)
        body, headers = self.sign(fresh, timestamp)
        reply = requests.post(self.url, data=body, headers=headers, timeout=_TIMEOUT_SECONDS, allow_redirects=False)
        if reply.ok:
            self.posted = until
        return reply.status_code


def flatten_event(event: JsonObject) -> JsonObject:
    """Return an event as the webhook sends it: custom args are beside the other keys, which take precedence."""
    own = {name: value for name, value in event.items() if name != "custom_args"}
    return {**event.get("custom_args", {}), **own}
