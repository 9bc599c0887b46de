"""The fault script: rules that say at which request the sandbox refuses, drops, hangs, garbles, or calls a hook."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


@dataclass(slots=True)
class RequestRecord:
    """One request a vendor got; ``status`` is 0 where no answer left; ``kind`` is read, write, token or mail."""

    number: int
    at: datetime
    vendor: str
    kind: str
    method: str
    path: str
    query: str
    status: int = 0


class Action(StrEnum):
    """What a rule does to the request it fires at."""

    REFUSE = "refuse"
    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    HANG_BEFORE = "hang_before"
    HANG_AFTER = "hang_after"
    TRUNCATE = "truncate"
    DRIP = "drip"
    HTML = "html"
    MALFORMED = "malformed"
    DELAY = "delay"
    CALL = "call"


@dataclass(slots=True)
class Rule:
    """One fault. Empty filters match everything; ``path``, ``query`` and ``method`` are regular expressions.

    It fires at the ``nth`` match (from 1) and the ``times - 1`` after it; ``times`` 0 means from then on for ever.
    ``applied`` tells for refuse, html and malformed whether the vendor did the work before it answered so.
    ``seconds`` is the delay, or the pause between two pieces of a drip. ``reached`` is set when the rule fires first.
    ``reset`` makes a drop a TCP reset instead of a plain end.
    """

    action: Action | str
    vendor: str = ""
    kind: str = ""
    method: str = ""
    path: str = ""
    query: str = ""
    nth: int = 1
    times: int = 1
    status: int = 503
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    applied: bool = False
    seconds: float = 0.05
    reset: bool = False
    callback: Callable[[RequestRecord], object] | None = None
    seen: int = 0
    fired: int = 0
    reached: threading.Event = field(default_factory=threading.Event, repr=False)

    def __post_init__(self) -> None:
        """Refuse unknown actions and broken expressions when the rule is made, not when it fires."""
        self.action = Action(self.action)
        for expression in (self.method, self.path, self.query):
            re.compile(expression)

    def should_fire(self, request: RequestRecord) -> bool:
        """Count the request if it matches, and say whether it is the rule's turn."""
        if not self._matches(request):
            return False
        self.seen += 1
        turn = self.seen >= self.nth and (self.times == 0 or self.seen < self.nth + self.times)
        if turn:
            self.fired += 1
            self.reached.set()
        return turn

    def _matches(self, request: RequestRecord) -> bool:
        if (self.vendor and self.vendor != request.vendor) or (self.kind and self.kind != request.kind):
            return False
        if self.method and not re.fullmatch(self.method, request.method):
            return False
        return bool(re.search(self.path, request.path)) and bool(re.search(self.query, request.query))

    def to_json(self) -> dict[str, Any]:
        """Return the rule as JSON for ``GET /sandbox/faults``."""
        names = ("vendor", "kind", "method", "path", "query", "nth", "times", "status", "seen", "fired")
        return {"action": str(self.action)} | {name: getattr(self, name) for name in names}


class FaultScript:
    """The rules in force, and the requests that hang because of one."""

    def __init__(self) -> None:
        """Start with no faults."""
        self._lock = threading.Lock()
        self.rules: list[Rule] = []
        self._hanging: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def add(self, rule: Rule) -> Rule:
        """Put a rule in force and return it, so that ``rule.reached`` and ``rule.fired`` can be watched."""
        with self._lock:
            self.rules.append(rule)
        return rule

    def refuse(
        self,
        status: int,
        *,
        body: str = "",
        headers: Mapping[str, str] | None = None,
        retry_after: str | int | None = None,
        **match: Any,
    ) -> Rule:
        """Answer with ``status``; ``match`` are the filters, ``nth``, ``times`` and ``applied`` of a rule."""
        sent = dict(headers or {})
        if retry_after is not None:
            sent["Retry-After"] = str(retry_after)
        return self.add(Rule(Action.REFUSE, status=status, body=body, headers=sent, **match))

    def call(self, callback: Callable[[RequestRecord], object], *, times: int = 0, **match: Any) -> Rule:
        """Run ``callback`` just before the vendor answers (every match unless ``times`` says otherwise)."""
        return self.add(Rule(Action.CALL, callback=callback, times=times, **match))

    def clear(self) -> None:
        """Take every rule out of force and let hanging requests go."""
        with self._lock:
            self.rules.clear()
        self.release()

    def release(self) -> None:
        """Let every hanging request go: its connection is then dropped."""
        with self._lock:
            hung, self._hanging = self._hanging, []
        for loop, event in hung:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def rules_due(self, request: RequestRecord) -> list[Rule]:
        """Return the rules whose turn it is; every matching rule counts the request."""
        with self._lock:
            return [rule for rule in self.rules if rule.should_fire(request)]

    def new_hang_event(self) -> asyncio.Event:
        """Return an event that ``release`` sets; to be awaited in the running loop."""
        event = asyncio.Event()
        with self._lock:
            self._hanging.append((asyncio.get_running_loop(), event))
        return event
