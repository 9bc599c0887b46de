"""What every make-believe vendor gets from the sandbox, and what it gives back to be plugged in.

A vendor is a folder beside this file whose ``__init__`` exports ``make(core) -> Vendor``. Its state lives in plain
Python objects; endpoints are ``async def`` functions that do their work without awaiting, inside ``with core.lock``,
so that tests in other threads may call the same state under the same lock.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from starlette.routing import BaseRoute

from sandbox.clock import SandboxClock


@dataclass(slots=True)
class SandboxCore:
    """The parts all vendors of one sandbox share. ``started_at`` is the "today" the make-believe history ends at."""

    seed: int
    clock: SandboxClock
    started_at: datetime
    lock: threading.RLock = field(default_factory=threading.RLock)


class SimulatedVendor(Protocol):
    """What ``make(core)`` returns: the vendor's state, changeable in tests, with its routes."""

    def routes(self) -> Sequence[BaseRoute]:
        """Return the Starlette routes of this vendor; paths of vendors never overlap."""
        ...

    def settings(self, url: str) -> dict[str, str]:
        """Return the environment that points a duewell at this vendor served at ``url``."""
        ...

    def summary(self) -> dict[str, Any]:
        """Return counts for people and scripts: JSON for ``GET /sandbox/state``. Called under the lock."""
        ...

    def perform_action(self, action: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Do what ``POST /sandbox/<vendor>/<action>`` asks (``pay``, ``void`` ...), under the lock.

        Raises ``LookupError`` for an unknown action or document and ``ValueError`` for a refused one.
        """
        ...


def stable_uuid(*parts: object) -> str:
    """Make a lower-case UUID that is always the same for the same parts."""
    raw = hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
    return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"
