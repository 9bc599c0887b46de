"""The town of the hour's tests, made quick for faults: waiting moves the make-believe clock, silence lasts a moment."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from providers.http import TransportLimits
from sandbox import Sandbox


def _load_run_tests() -> Any:
    """Load the town from the tests beside these: tests are no package to import from."""
    file = Path(__file__).parent.parent / "hour" / "conftest.py"
    spec = spec_from_file_location("town_of_the_hour", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


RUN_TESTS = _load_run_tests()


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
            monkeypatch.setattr(f"{module}.Limits", limits)
        with sandbox.serve() as url:
            home = tmp_path_factory.mktemp("home")
            home.chmod(0o700)
            scenario = RUN_TESTS.make_town(sandbox, url, home, provider)
            scenario.app = replace(scenario.app, stop=_Stop(sandbox.clock))
            scenario.sandbox.xero.limits.minute = scenario.sandbox.xero.limits.day = 0  # the faults are the limits here
            yield scenario
            scenario.app.close()

    return make
