"""The town of the hour's tests, made quick for faults: waiting moves the make-believe clock, silence lasts a moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from providers.http import TransportLimits
from sandbox import Sandbox
from tests.connector.scenario import make_scenario


class _Stop(threading.Event):
    """An event that is waited for in make-believe time."""

    def __init__(self, clock: Any) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.advance(timedelta(seconds=timeout or 0))
        return self.is_set()


@pytest.fixture
def quick_town(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AbstractContextManager[Any]]:
    """Make a town at a moment, on a ledger, whose duewell never waits in earnest."""

    @contextmanager
    def make(now: datetime, provider: str, silence_s: float = 20) -> Iterator[Any]:
        sandbox = Sandbox(now=now)

        def sleep(seconds: float) -> None:
            sandbox.clock.advance(timedelta(seconds=seconds))

        def limits(**_given: Any) -> TransportLimits:
            return TransportLimits(
                sleep=sleep,
                now=sandbox.clock.now,
                read_timeout_s=silence_s,
                call_timeout_s=5 * silence_s,
            )

        for module in ("providers.http", "providers.sendgrid.mailer"):
            monkeypatch.setattr(f"{module}.TransportLimits", limits)
        with sandbox.serve() as url:
            home = tmp_path_factory.mktemp("home")
            home.chmod(0o700)
            scenario = make_scenario(sandbox, url, home, provider)
            scenario.app = replace(scenario.app, stop=_Stop(sandbox.clock))
            scenario.sandbox.xero.limits.minute = scenario.sandbox.xero.limits.day = 0  # the faults are the limits here
            yield scenario
            scenario.app.close()

    return make
