"""The fault script: rules for requests that are refused, dropped, delayed or garbled, or that call a hook."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sandbox.core import JsonObject


@dataclass(slots=True)
class RequestRecord:
    """A request to a service; ``kind`` is read, write, token, consent or email, ``status`` 0 if no reply was sent."""

    number: int
    at: datetime
    service: str
    kind: str
    method: str
    path: str
    query: str
    status: int = 0


class Action(StrEnum):
    """What a rule does to a request."""

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

    Attributes:
        nth: The first match (from 1) at which it fires.
        times: How often it fires; 0 means from then on always.
        applied: For refuse, html and malformed: whether the service carries out the request before that reply.
        seconds: The delay, or the pause between two chunks of a drip.
        reset: Drop with a TCP reset instead of a normal close.
        reached: Set when the rule first fires.
    """

    action: Action | str
    service: str = ""
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
        """Reject unknown actions and invalid expressions when the rule is created, not when it fires."""
        self.action = Action(self.action)
        for expression in (self.method, self.path, self.query):
            re.compile(expression)

    def should_fire(self, request: RequestRecord) -> bool:
        """Count the request if it matches; return whether the rule is due."""
        if not self._matches(request):
            return False
        self.seen += 1
        is_due = self.seen >= self.nth and (self.times == 0 or self.seen < self.nth + self.times)
        if is_due:
            self.fired += 1
            self.reached.set()
        return is_due

    def _matches(self, request: RequestRecord) -> bool:
        if (self.service and self.service != request.service) or (self.kind and self.kind != request.kind):
            return False
        if self.method and not re.fullmatch(self.method, request.method):
            return False
        return bool(re.search(self.path, request.path)) and bool(re.search(self.query, request.query))

    def to_json(self) -> JsonObject:
        """Return the rule as JSON for ``GET /sandbox/faults``."""
        names = ("service", "kind", "method", "path", "query", "nth", "times", "status", "seen", "fired")
        return {"action": str(self.action)} | {name: getattr(self, name) for name in names}


class FaultScript:
    """The active rules, and the requests that hang because of one."""

    def __init__(self) -> None:
        """Start without faults."""
        self.lock = threading.Lock()
        self.rules: list[Rule] = []
        self._hanging: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def add(self, rule: Rule) -> Rule:
        """Activate a rule and return it, so that ``rule.reached`` and ``rule.fired`` can be checked."""
        with self.lock:
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
        """Reply with ``status``; ``match`` are the filters, ``nth``, ``times`` and ``applied`` of a rule."""
        all_headers = dict(headers or {})
        if retry_after is not None:
            all_headers["Retry-After"] = str(retry_after)
        return self.add(Rule(Action.REFUSE, status=status, body=body, headers=all_headers, **match))

    def call(self, callback: Callable[[RequestRecord], object], *, times: int = 0, **match: Any) -> Rule:
        """Run ``callback`` right before the service replies, by default for every match."""
        return self.add(Rule(Action.CALL, callback=callback, times=times, **match))

    def clear(self) -> None:
        """Remove all rules and release hanging requests."""
        with self.lock:
            self.rules.clear()
        self.release()

    def release(self) -> None:
        """Release all hanging requests: their connections are then dropped."""
        with self.lock:
            hanging, self._hanging = self._hanging, []
        for loop, event in hanging:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def rules_due(self, request: RequestRecord) -> list[Rule]:
        """Return the rules that are due; every matching rule counts the request."""
        with self.lock:
            return [rule for rule in self.rules if rule.should_fire(request)]

    def new_hang_event(self) -> asyncio.Event:
        """Return an event for the running loop that ``release`` sets."""
        event = asyncio.Event()
        with self.lock:
            self._hanging.append((asyncio.get_running_loop(), event))
        return event
