"""Fast scenarios for tests of faults: waiting advances the simulated clock, and timeouts are short."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from providers.http import TransportLimits
from sandbox import Sandbox
from sandbox.clock import SandboxClock
from tests.connector.scenario import Scenario, make_scenario, without_entry_times

FastScenarioFactory = Callable[..., AbstractContextManager[Scenario]]


class _Stop(threading.Event):
    """An event that is waited for in simulated time."""

    def __init__(self, clock: SandboxClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.advance(timedelta(seconds=timeout or 0))
        return self.is_set()


@pytest.fixture(autouse=True)
def _entered_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count invoices that a test adds from their own dates."""
    monkeypatch.setattr("connector.sync.mirror.pages._with_entry_times", without_entry_times)


@pytest.fixture
def fast_scenario_at(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> FastScenarioFactory:
    """Make a scenario at an instant and on a ledger, whose duewell never really waits."""

    @contextmanager
    def make(now: datetime, provider: str, timeout_s: float = 20) -> Iterator[Scenario]:
        sandbox = Sandbox(now=now)

        def sleep(seconds: float) -> None:
            sandbox.clock.advance(timedelta(seconds=seconds))

        def limits(**_given: object) -> TransportLimits:
            return TransportLimits(
                sleep=sleep, now=sandbox.clock.now, read_timeout_s=timeout_s, call_timeout_s=5 * timeout_s
            )

        for module in ("providers.http", "providers.sendgrid.mailer"):
            monkeypatch.setattr(f"{module}.TransportLimits", limits)
        with sandbox.serve() as url:
            home = tmp_path_factory.mktemp("home")
            home.chmod(0o700)
            scenario = make_scenario(sandbox, url, home, provider)
            scenario.app = replace(scenario.app, stop=_Stop(sandbox.clock))
            sandbox.xero.limits.minute = sandbox.xero.limits.day = 0  # the faults are the limits here
            yield scenario
            scenario.app.close()

    return make
