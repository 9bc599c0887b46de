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

from connector import announcements
from connector.database import reading
from connector.tables import Connection
from connector.web.app import make_app
from providers.extras import Announced

TODAY = date(2026, 6, 10)
HOUR = timedelta(hours=1)


class Alive:
    def alive(self) -> bool:
        return True


@pytest.fixture
def town(town: Any) -> Iterator[Any]:
    """A live company whose ledger tells our web app of changes; its first proof is still to come."""
    town.books.customer("Ashdown Ltd")
    town.number = town.books.invoice("Ashdown Ltd", "1200.00", due_on=TODAY + timedelta(days=20))
    town.live()
    planned = company(town).next_run_at
    assert planned is not None
    town.sandbox.clock.set(planned + timedelta(minutes=1))
    town.run()
    server = uvicorn.Server(uvicorn.Config(make_app(town.installation, Alive()), log_config=None, lifespan="off"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    town.door = f"http://localhost:{listening.getsockname()[1]}/webhooks/{town.books.provider}"
    town.vendor = getattr(town.sandbox, town.books.provider)
    town.vendor.announce_to(town.door)
    assert town.vendor.webhook.url, "the intent to receive was tested"
    yield town
    server.should_exit = True
    thread.join(timeout=10)


def company(town: Any) -> Connection:
    with reading(town.installation.engine) as session:
        return session.get_one(Connection, town.connection)


def reads(town: Any) -> int:
    return int(town.sandbox.requests.counted(town.books.provider, "read"))


def an_hour(town: Any) -> int:
    """Let an hour pass and run; how many reads did it take?"""
    town.sandbox.clock.advance(HOUR)
    before = reads(town)
    assert town.run().outcome == "ok"
    return reads(town) - before


def tell(town: Any) -> None:
    """Let the vendor tell what has changed, a minute later."""
    assert town.vendor.post_webhooks() == 200
    town.sandbox.clock.advance(timedelta(minutes=1))


def prove(town: Any) -> None:
    town.sandbox.clock.advance(HOUR)
    town.books.invoice("Ashdown Ltd", "10.00", due_on=TODAY + timedelta(days=20))
    tell(town)
    town.run()
    assert company(town).announced_since_at is not None


def test_a_change_is_told_at_once_and_read_by_an_earlier_run(town: Any) -> None:
    planned = company(town).next_run_at
    town.sandbox.clock.advance(timedelta(minutes=15))
    town.books.pay(town.number)
    assert town.vendor.post_webhooks() == 200
    soon = company(town).next_run_at
    assert soon is not None
    assert planned is not None
    assert soon < planned
    assert soon - town.sandbox.clock.now() <= timedelta(minutes=1)
    with reading(town.installation.engine) as session:
        assert announcements.counts(session)[town.books.provider]["told"] >= 1


def test_a_change_told_of_while_a_run_is_under_way_is_not_forgotten_by_its_end(town: Any) -> None:
    def tell_now(_request: Any) -> None:
        town.books.pay(town.number)
        told = Announced("told meanwhile", town.books.company, town.number)
        announcements.receive(town.installation, town.books.provider, [told])

    town.sandbox.clock.advance(HOUR)
    town.sandbox.faults.call(tell_now, vendor=town.books.provider, kind="read", times=1)
    assert town.run().outcome == "ok"
    soon = company(town).next_run_at
    assert soon is not None
    assert soon - town.sandbox.clock.now() <= announcements.RUNS_APART


def test_once_proven_a_quiet_hour_reads_nothing_and_a_told_change_is_read(town: Any) -> None:
    assert an_hour(town) > 0, "nothing is proven yet"
    prove(town)
    assert [an_hour(town) for _ in range(4)] == [0, 0, 0, 0]
    assert company(town).pulled_at == company(town).last_run_at, "the mirror is as the books are"
    town.books.pay(town.number)
    tell(town)
    assert an_hour(town) > 0
    if town.vendor.post_webhooks():  # of the thank-you's note, where the ledger tells of that
        assert an_hour(town) > 0
    assert an_hour(town) == 0


def test_a_change_that_nobody_told_of_is_found_at_night_and_ends_the_trust(town: Any) -> None:
    prove(town)
    an_hour(town)
    town.sandbox.clock.advance(timedelta(minutes=1))
    town.vendor.webhook.url = ""  # the webhook dies: a proxy lost it, or the vendor switched it off
    town.books.pay(town.number)
    assert an_hour(town) == 0
    town.sandbox.clock.advance(timedelta(hours=14))  # past two in the morning
    town.run()
    assert company(town).announced_since_at is None
    assert an_hour(town) > 0
    assert an_hour(town) > 0


def test_after_a_sleep_the_books_are_read_whatever_was_told(town: Any) -> None:
    prove(town)
    town.sandbox.clock.advance(timedelta(hours=3))
    before = reads(town)
    town.run()
    assert reads(town) > before


def test_wrong_signatures_strangers_and_repetitions_change_nothing(town: Any) -> None:
    vendor, hook = town.vendor, town.vendor.webhook
    planned = company(town).next_run_at
    body = b'{"events":[{"tenantId":"x","resourceId":"y","eventCategory":"INVOICE"}]}'
    for headers in ({}, {hook.header: "AAAA"}, {hook.header: "\u00e4"}, hook.signed(body, "another key")):
        raw = {name: value.encode("utf-8") for name, value in headers.items()}
        assert requests.post(town.door, data=body, headers=raw, timeout=5).status_code == 401
    for odd in (b"", b"[", b"[1, null]", b'{"events": 3}', b'{"eventNotifications": [7]}', b"[" * 9000):
        reply = requests.post(town.door, data=odd, headers=hook.signed(odd), timeout=5)
        assert (reply.status_code, reply.content) == (200, b""), "what is not understood must not come again and again"
    assert company(town).next_run_at == planned
    town.sandbox.clock.advance(timedelta(minutes=1))
    if town.books.provider == "xero":
        vendor.add_contact("A stranger", organisation="Copperbeech Catering Ltd")
    else:
        vendor.desk(vendor.add_company("Strangers Ltd")).add_customer("A stranger")
    assert vendor.post_webhooks() == 200
    assert company(town).next_run_at == planned
    town.sandbox.clock.advance(timedelta(minutes=1))
    town.books.pay(town.number)
    hook.copies = 3
    vendor.old_webhooks = True
    assert vendor.post_webhooks() == 200
    with reading(town.installation.engine) as session:
        counted = announcements.counts(session)[town.books.provider]
    assert counted["foreign"] >= 1
    assert counted["again"] == 2 * counted["told"] >= 2
