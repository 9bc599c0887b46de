"""What all simulated services share, and the interface by which the sandbox controls them.

A service is a package here whose ``__init__`` exports ``make(core)``, which returns a ``SimulatedService``, and
``routes(service)``. Its state is in plain Python objects. Endpoints are ``async def`` functions that work without
awaiting, inside ``with core.lock``, so that tests in other threads can use the same state under the same lock.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sandbox.clock import SandboxClock

JsonObject = dict[str, Any]


@dataclass(slots=True)
class SandboxCore:
    """What the services of one sandbox share. ``started_at`` is where the simulated history reaches the present."""

    seed: int
    clock: SandboxClock
    started_at: datetime
    lock: threading.RLock = field(default_factory=threading.RLock)


class SimulatedService(Protocol):
    """The state of a service, which tests may change."""

    def settings(self, url: str) -> dict[str, str]:
        """Return duewell's settings for this service, served at ``url``."""
        ...

    def summary(self) -> JsonObject:
        """Return counts for ``GET /sandbox/state``. Called under the lock."""
        ...

    def perform_action(self, action: str, fields: JsonObject) -> JsonObject:
        """Perform the action of ``POST /sandbox/<service>/<action>`` (``pay``, ``void`` ...), under the lock.

        Raises ``LookupError`` for an unknown action or document, ``ValueError`` for a rejected one.
        """
        ...


def stable_uuid(*parts: object) -> str:
    """Return a lower-case UUID, always the same for the same parts."""
    raw = hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
    return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"
