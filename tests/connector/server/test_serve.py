"""The server over real HTTP, as browsers, health probes and Prometheus use it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
import uvicorn

from connector.app_context import AppContext
from connector.connections.registry import begin_consent
from connector.db.engine import writing
from connector.db.tables import Connection
from connector.web.app import make_app
from tests.connector.installed import GiveConsent, SandboxServices


class FakeScheduler:
    beats = True

    def is_alive(self) -> bool:
        return self.beats


@pytest.fixture
def fake_scheduler() -> FakeScheduler:
    return FakeScheduler()


@pytest.fixture
def web(app: AppContext, fake_scheduler: FakeScheduler, free_port: int) -> Iterator[str]:
    """The web app of the installation, served."""
    config = uvicorn.Config(make_app(app, fake_scheduler), host="127.0.0.1", port=free_port, log_level="critical")
    server = uvicorn.Server(config)
    ready = threading.Event()
    startup = server.startup

    async def tell(*arguments: Any, **more: Any) -> None:
        await startup(*arguments, **more)
        ready.set()

    server.startup = tell  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert ready.wait(60)
    yield f"http://127.0.0.1:{free_port}"
    server.should_exit = True
    thread.join()


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=30)


def test_health_endpoints_report_whether_the_server_is_live_and_ready(web: str, fake_scheduler: FakeScheduler) -> None:
    assert get(f"{web}/healthz").status_code == 200
    ready = get(f"{web}/readyz")
    assert (ready.status_code, ready.json()) == (200, {"database": True, "scheduler": True})
    fake_scheduler.beats = False
    ready = get(f"{web}/readyz")
    assert (ready.status_code, ready.json()) == (503, {"database": True, "scheduler": False})


def test_every_response_of_the_server_has_the_security_headers(web: str) -> None:
    for path in ("/", "/healthz", "/static/style.css", "/nothing/here", "/callback/xero?code=1&state=2"):
        headers = get(web + path).headers
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-cache, no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:80", "", "[::1", "127.0.0.1.evil.example"])
def test_a_foreign_host_header_is_rejected(web: str, host: str) -> None:
    assert get(f"{web}/", Host=host).status_code in {400, 421}
    assert get(f"{web}/", Host="localhost:1").status_code == 200


def test_trace_and_writing_methods_are_rejected_on_pages(web: str) -> None:
    assert requests.request("TRACE", f"{web}/", timeout=30).status_code == 405
    assert requests.post(f"{web}/", timeout=30).status_code == 405


def test_the_callback_finishes_a_consent(web: str, app: AppContext, answer_consent: Callable[..., str]) -> None:
    query = answer_consent(begin_consent(app, "xero").url).partition("?")[2]
    page = get(f"{web}/callback/xero?{query}")
    assert page.status_code == 200
    assert "Harbour &amp; Finch Studio Ltd is connected" in page.text
    again = get(f"{web}/callback/xero?{query}")
    assert (again.status_code, "already been used" in again.text) == (400, True)
    assert get(f"{web}/callback/sage?{query}").status_code == 404


def test_the_metrics_count_connections_outbox_and_time_since_the_last_run(
    web: str, app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    first, _second = give_consent(app, "xero")
    with writing(app.engine) as session:
        session.get_one(Connection, first.id).last_run_at = app.now()
    services.sandbox.clock.advance(timedelta(minutes=5))
    text = get(f"{web}/metrics").text
    assert 'duewell_connections{health="new",mode="observe",provider="xero"} 2.0' in text
    assert 'duewell_last_run_age_seconds{connection="1"} 300.0' in text
    assert "duewell_scheduler_up 1.0" in text
    assert first.name not in text
