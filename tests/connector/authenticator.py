"""An authenticator that creates passkeys and signs with them as real ones do."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec


def b64(value: bytes) -> str:
    """Encode as browsers do."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@dataclass
class Authenticator:
    """An authenticator that creates a passkey and signs with it."""

    origin: str
    user_verified: bool = True
    user_present: bool = True
    rp_id: str = ""  # instead of the page's
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    id: bytes = b"a passkey of the tests"
    sign_count: int = 0

    def _authenticator_data(self, rp_id: str, more: bytes = b"") -> bytes:
        flags = (0x01 if self.user_present else 0) | (0x04 if self.user_verified else 0) | (0x40 if more else 0)
        self.sign_count += 1
        return (
            hashlib.sha256((self.rp_id or rp_id).encode()).digest()
            + bytes([flags])
            + self.sign_count.to_bytes(4, "big")
            + more
        )

    def _client_data(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def create(self, options: dict[str, Any]) -> str:
        """Return the credential that a browser would post for a new passkey."""
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        more = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(cose)
        statement = {"fmt": "none", "attStmt": {}, "authData": self._authenticator_data(options["rp"]["id"], more)}
        response = {
            "clientDataJSON": b64(self._client_data("webauthn.create", options["challenge"])),
            "attestationObject": b64(cbor2.dumps(statement)),
        }
        return self._credential(response)

    def sign(self, options: dict[str, Any]) -> str:
        """Return the credential that a browser would post to sign in."""
        client, seen = (
            self._client_data("webauthn.get", options["challenge"]),
            self._authenticator_data(options["rpId"]),
        )
        signature = self.key.sign(seen + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        named = {"clientDataJSON": client, "authenticatorData": seen, "signature": signature}
        return self._credential({name: b64(value) for name, value in named.items()})

    def _credential(self, response: dict[str, str]) -> str:
        return json.dumps({"id": b64(self.id), "rawId": b64(self.id), "type": "public-key", "response": response})
