"""Posts webhooks as Xero and Intuit do: the ids of what has changed since the last post, signed with an HMAC."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import requests

_TIMEOUT_SECONDS = 5  # Xero's; Intuit's is three


@dataclass(slots=True)
class WebhookSender:
    """Where webhooks are posted, and up to when changes have been. ``copies`` is how often each is posted.

    Without ``url``, nothing is posted. What is not answered with 200 is posted again the next time.
    """

    key: str
    header: str
    url: str = ""
    copies: int = 1
    sent_until: datetime | None = None

    def signed_headers(self, body: bytes, key: str = "") -> dict[str, str]:
        """Return the headers for a POST of this body, signed with ``key`` or the sender's own."""
        signature = hmac.new((key or self.key).encode(), body, hashlib.sha256).digest()
        return {"Content-Type": "application/json", self.header: base64.b64encode(signature).decode()}

    def post(self, payload: Any, now: datetime) -> int:
        """Post the changes up to ``now``; return the last status, 0 without a URL."""
        if not self.url:
            return 0
        body = msgspec.json.encode(payload)
        status = max(self.send(body, self.signed_headers(body)) for _ in range(self.copies))
        if status == requests.codes.ok:
            self.sent_until = now
        return status

    def send(self, body: bytes, headers: dict[str, str]) -> int:
        """Post a body unchanged and return the status."""
        return requests.post(
            self.url, data=body, headers=headers, timeout=_TIMEOUT_SECONDS, allow_redirects=False
        ).status_code
