"""A real browser, a served web app, and a small company at the simulated services."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn

from connector.app_context import AppContext, open_app
from connector.run import run_connection
from connector.settings import load_settings, setting_names
from connector.web.app import make_app
from sandbox import Sandbox

NOON = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)  # a Wednesday; noon in London, where the small company is
OUTPUT = Path(__file__).parents[2] / "test-output"


@dataclass
class Site:
    """A served installation and the simulated services it can connect to."""

    sandbox: Sandbox
    app: AppContext
    base: str
    organisation: str

    def sync(self, connection: int = 1) -> str:
        """Run one sync of the company, as the scheduler would; returns its outcome."""
        return run_connection(self.app, connection).outcome


class HealthyScheduler:
    def is_alive(self) -> bool:
        return True


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_home: Callable[[Path], Path]) -> Iterator[Site]:
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    sandbox = Sandbox(now=NOON)
    organisation = sandbox.xero.add_organisation("Small Works Ltd").tenant_id
    for name, amount, late in (("Miller & Sons", "1200.00", 12), ("Baker Ltd", "80.50", 9), ("Potter plc", "640", -20)):
        sandbox.xero.add_contact(
            name, email=f"ap@{name.split()[0].lower()}.example", country="United Kingdom", organisation=organisation
        )
        due_on = NOON.date() - timedelta(days=late)
        dates = {"on": (due_on - timedelta(days=30)).isoformat(), "due_on": due_on.isoformat()}
        sandbox.xero.add_invoice(name, amount, sent=True, organisation=organisation, **dates)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with sandbox.serve() as url:
        own = {name.lower(): value for name, value in sandbox.settings(url).items()}
        own |= {"duewell_home": str(new_home(tmp_path / "home")), "duewell_base_url": f"http://localhost:{port}"}
        app = open_app(load_settings(**own), now=sandbox.clock.now, sleep=sandbox.clock.sleep)
        config = uvicorn.Config(make_app(app, HealthyScheduler()), host="127.0.0.1", port=port, log_level="critical")
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", port)) as listening:  # listens before the first page is asked for
            thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
            thread.start()
            yield Site(sandbox, app, f"http://localhost:{port}", organisation)
            server.should_exit = True
            thread.join()
        app.close()
