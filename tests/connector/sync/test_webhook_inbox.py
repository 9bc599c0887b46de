"""Webhooks make the next run earlier and quiet hours free, and are never believed further than they are proven."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
import requests
import uvicorn

from connector.db.engine import reading
from connector.db.tables import Connection
from connector.sync import webhook_inbox
from connector.web.app import make_app
from providers.capabilities import ChangeNotification

TODAY = date(2026, 6, 10)
HOUR = timedelta(hours=1)


class FakeScheduler:
    def is_alive(self) -> bool:
        return True


@pytest.fixture
def scenario(scenario: Any) -> Iterator[Any]:
    """A live company whose ledger tells our web app of changes; its first proof is still to come."""
    scenario.company.customer("Ashdown Ltd")
    scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=TODAY + timedelta(days=20))
    scenario.go_live()
    planned = load_connection(scenario).next_run_at
    assert planned is not None
    scenario.sandbox.clock.set(planned + timedelta(minutes=1))
    scenario.run()
    server = uvicorn.Server(uvicorn.Config(make_app(scenario.app, FakeScheduler()), log_config=None, lifespan="off"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    scenario.door = f"http://localhost:{listening.getsockname()[1]}/webhooks/{scenario.company.provider}"
    scenario.vendor = getattr(scenario.sandbox, scenario.company.provider)
    scenario.vendor.register_webhook(scenario.door)
    assert scenario.vendor.webhook.url, "the intent to receive was tested"
    yield scenario
    server.should_exit = True
    thread.join(timeout=10)


def load_connection(scenario: Any) -> Connection:
    with reading(scenario.app.engine) as session:
        return session.get_one(Connection, scenario.connection)


def count_reads(scenario: Any) -> int:
    return int(scenario.sandbox.requests.count_of(scenario.company.provider, "read"))


def run_after_an_hour(scenario: Any) -> int:
    """Let an hour pass and run; how many reads did it take?"""
    scenario.sandbox.clock.advance(HOUR)
    before = count_reads(scenario)
    assert scenario.run().outcome == "ok"
    return count_reads(scenario) - before


def deliver_webhooks(scenario: Any) -> None:
    """Let the vendor tell what has changed, a minute later."""
    assert scenario.vendor.post_webhooks() == 200
    scenario.sandbox.clock.advance(timedelta(minutes=1))


def establish_coverage(scenario: Any) -> None:
    scenario.sandbox.clock.advance(HOUR)
    scenario.company.invoice("Ashdown Ltd", "10.00", due_on=TODAY + timedelta(days=20))
    deliver_webhooks(scenario)
    scenario.run()
    assert load_connection(scenario).webhooks_complete_since_at is not None


def test_a_change_is_told_at_once_and_read_by_an_earlier_run(scenario: Any) -> None:
    planned = load_connection(scenario).next_run_at
    scenario.sandbox.clock.advance(timedelta(minutes=15))
    scenario.company.pay(scenario.number)
    assert scenario.vendor.post_webhooks() == 200
    soon = load_connection(scenario).next_run_at
    assert soon is not None
    assert planned is not None
    assert soon < planned
    assert soon - scenario.sandbox.clock.now() <= timedelta(minutes=1)
    with reading(scenario.app.engine) as session:
        assert webhook_inbox.count_events(session)[scenario.company.provider]["accepted"] >= 1


def test_a_change_told_of_while_a_run_is_under_way_is_not_forgotten_by_its_end(scenario: Any) -> None:
    def tell_now(_request: Any) -> None:
        scenario.company.pay(scenario.number)
        told = ChangeNotification("told meanwhile", scenario.company.external_id, scenario.number)
        webhook_inbox.receive_events(scenario.app, scenario.company.provider, [told])

    scenario.sandbox.clock.advance(HOUR)
    scenario.sandbox.faults.call(tell_now, vendor=scenario.company.provider, kind="read", times=1)
    assert scenario.run().outcome == "ok"
    soon = load_connection(scenario).next_run_at
    assert soon is not None
    assert soon - scenario.sandbox.clock.now() <= webhook_inbox.MIN_RUN_SPACING


def test_once_proven_a_quiet_hour_reads_nothing_and_a_told_change_is_read(scenario: Any) -> None:
    assert run_after_an_hour(scenario) > 0, "nothing is proven yet"
    establish_coverage(scenario)
    assert [run_after_an_hour(scenario) for _ in range(4)] == [0, 0, 0, 0]
    assert load_connection(scenario).pulled_at == load_connection(scenario).last_run_at, (
        "the mirror is as the books are"
    )
    scenario.company.pay(scenario.number)
    deliver_webhooks(scenario)
    assert run_after_an_hour(scenario) > 0
    if scenario.vendor.post_webhooks():  # of the thank-you's note, where the ledger tells of that
        assert run_after_an_hour(scenario) > 0
    assert run_after_an_hour(scenario) == 0


def test_a_change_that_nobody_told_of_is_found_at_night_and_ends_the_trust(scenario: Any) -> None:
    establish_coverage(scenario)
    run_after_an_hour(scenario)
    scenario.sandbox.clock.advance(timedelta(minutes=1))
    scenario.vendor.webhook.url = ""  # the webhook dies: a proxy lost it, or the vendor switched it off
    scenario.company.pay(scenario.number)
    assert run_after_an_hour(scenario) == 0
    scenario.sandbox.clock.advance(timedelta(hours=14))  # past two in the morning
    scenario.run()
    assert load_connection(scenario).webhooks_complete_since_at is None
    assert run_after_an_hour(scenario) > 0
    assert run_after_an_hour(scenario) > 0


def test_after_a_sleep_the_books_are_read_whatever_was_told(scenario: Any) -> None:
    establish_coverage(scenario)
    scenario.sandbox.clock.advance(timedelta(hours=3))
    before = count_reads(scenario)
    scenario.run()
    assert count_reads(scenario) > before


def test_wrong_signatures_strangers_and_repetitions_change_nothing(scenario: Any) -> None:
    vendor, hook = scenario.vendor, scenario.vendor.webhook
    planned = load_connection(scenario).next_run_at
    body = b'{"events":[{"tenantId":"x","resourceId":"y","eventCategory":"INVOICE"}]}'
    for headers in ({}, {hook.header: "AAAA"}, {hook.header: "\u00e4"}, hook.signed_headers(body, "another key")):
        raw = {name: value.encode("utf-8") for name, value in headers.items()}
        assert requests.post(scenario.door, data=body, headers=raw, timeout=5).status_code == 401
    for odd in (b"", b"[", b"[1, null]", b'{"events": 3}', b'{"eventNotifications": [7]}', b"[" * 9000):
        reply = requests.post(scenario.door, data=odd, headers=hook.signed_headers(odd), timeout=5)
        assert (reply.status_code, reply.content) == (200, b""), "what is not understood must not come again and again"
    assert load_connection(scenario).next_run_at == planned
    scenario.sandbox.clock.advance(timedelta(minutes=1))
    if scenario.company.provider == "xero":
        vendor.add_contact("A stranger", organisation="Copperbeech Catering Ltd")
    else:
        vendor.bookkeeper(vendor.add_company("Strangers Ltd")).add_customer("A stranger")
    assert vendor.post_webhooks() == 200
    assert load_connection(scenario).next_run_at == planned
    scenario.sandbox.clock.advance(timedelta(minutes=1))
    scenario.company.pay(scenario.number)
    hook.copies = 3
    vendor.legacy_webhooks = True
    assert vendor.post_webhooks() == 200
    with reading(scenario.app.engine) as session:
        counted = webhook_inbox.count_events(session)[scenario.company.provider]
    assert counted["other_company"] >= 1
    assert counted["duplicate"] == 2 * counted["accepted"] >= 2
