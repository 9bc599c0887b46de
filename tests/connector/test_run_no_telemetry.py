"""Only the connected services are ever contacted: every socket of the process is watched, below every library."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from connector.connections.consent import ConsentError
from connector.connections.registry import begin_consent
from connector.services.doctor import run_checks
from connector.settings import load_settings
from connector.vocabulary import RunOutcome
from tests.connector.scenario import Scenario, days

_WATCHED = {"socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"}
_seen: list[set[str]] = []


class ExternalHostError(OSError):
    """The network ends at this machine."""


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _seen or event not in _WATCHED:
        return
    address = arguments[1 if event in {"socket.connect", "socket.sendto"} else 0]
    host = str(address[0] if isinstance(address, tuple) else address)
    _seen[-1].add(host)
    if host not in {"127.0.0.1", "::1", "localhost"}:
        raise ExternalHostError(host)


sys.addaudithook(_watch)  # cannot be removed; it does nothing outside ``watch_hosts``


@contextmanager
def watch_hosts() -> Iterator[set[str]]:
    """Collect every host that this process tries to reach; those beyond this machine are not reached."""
    _seen.append(set())
    try:
        yield _seen[-1]
    finally:
        _seen.pop()


def test_the_network_monitor_sees_host_names_and_addresses() -> None:
    import socket  # noqa: PLC0415

    import requests  # noqa: PLC0415

    with watch_hosts() as hosts:
        with pytest.raises(requests.ConnectionError):
            requests.get("https://telemetry.example", timeout=5)
        with pytest.raises(ExternalHostError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", ("192.0.2.1", 53))
    assert hosts == {"telemetry.example", "192.0.2.1"}


def test_a_sync_contacts_the_configured_services_and_nobody_else(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(-6))
    with watch_hosts() as hosts:
        scenario.go_live()
        assert scenario.run().outcome is RunOutcome.OK
        run_checks(scenario.app)
    assert scenario.customer_emails()
    assert hosts == {urlsplit(scenario.sandbox_url).hostname}


def test_as_installed_only_the_services_that_are_set_up_are_contacted(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the default addresses the names are looked up and, here, not found; proxy variables are ignored."""
    scenario.go_live()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    provider, home = scenario.company.provider, scenario.app.settings.duewell_home
    credentials = {f"{provider}_client_id": "id", f"{provider}_client_secret": "s", "sendgrid_api_key": "SG.key"}
    settings = load_settings(duewell_home=home, duewell_base_url="https://books.example", **credentials)
    scenario.app = replace(scenario.app, settings=settings)
    scenario.sandbox.clock.advance(timedelta(hours=3))
    with watch_hosts() as hosts:
        assert scenario.run().outcome is not RunOutcome.OK
        run_checks(scenario.app)
        try:
            begin_consent(scenario.app, provider)
        except ConsentError:
            pass
        except Exception as error:  # noqa: BLE001 - Intuit's discovery document is asked for first, and is not found
            assert "Intuit" in str(error)  # noqa: PT017
    allowed = {
        "xero": {"identity.xero.com", "api.xero.com"},
        "quickbooks": {"developer.api.intuit.com", "oauth.platform.intuit.com", "quickbooks.api.intuit.com"},
    }
    assert hosts
    assert hosts <= allowed[provider] | {"api.sendgrid.com"}
