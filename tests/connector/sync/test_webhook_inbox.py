"""Webhooks bring syncs forward and save reads, and are trusted only as far as they have proved themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
import requests

from connector.db.engine import reading
from connector.db.tables import Connection
from connector.sync import webhook_inbox
from connector.vocabulary import RunOutcome
from providers.capabilities import ChangeNotification
from sandbox.faults import RequestRecord
from sandbox.quickbooks.service import QuickBooks
from sandbox.xero.service import Xero
from tests.connector.scenario import Scenario, days
from tests.connector.serving import serving

HOUR = timedelta(hours=1)


@dataclass
class Hooked:
    """A live company whose ledger posts its webhooks to our web app; it has proved nothing yet."""

    scenario: Scenario
    service: Xero | QuickBooks
    url: str

    @property
    def connection(self) -> Connection:
        with reading(self.scenario.app.engine) as session:
            return session.get_one(Connection, self.scenario.connection)

    @property
    def next_run_at(self) -> datetime:
        next_run_at = self.connection.next_run_at
        assert next_run_at is not None
        return next_run_at

    @property
    def now(self) -> datetime:
        return self.scenario.sandbox.clock.now()

    def advance(self, time: timedelta) -> None:
        self.scenario.sandbox.clock.advance(time)

    def pay(self) -> None:
        self.scenario.company.pay(self.scenario.number)

    def count_reads(self) -> int:
        return self.scenario.sandbox.requests.count_of(self.scenario.company.provider, "read")

    def run_after_an_hour(self) -> int:
        """Sync an hour later; returns how many reads that took."""
        self.advance(HOUR)
        before = self.count_reads()
        assert self.scenario.run().outcome is RunOutcome.OK
        return self.count_reads() - before

    def deliver_webhooks(self) -> None:
        assert self.service.post_webhooks() == 200
        self.advance(timedelta(minutes=1))

    def establish_coverage(self) -> None:
        self.advance(HOUR)
        self.scenario.company.invoice("Ashdown Ltd", "10.00", due_on=days(20))
        self.deliver_webhooks()
        self.scenario.run()
        assert self.connection.webhooks_complete_since_at is not None


@pytest.fixture
def hooked(scenario: Scenario) -> Iterator[Hooked]:
    scenario.company.customer("Ashdown Ltd")
    scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(20))
    scenario.go_live()
    service = scenario.sandbox.xero if scenario.company.provider == "xero" else scenario.sandbox.quickbooks
    with serving(scenario.app) as port:
        hooked = Hooked(scenario, service, f"http://localhost:{port}/webhooks/{scenario.company.provider}")
        scenario.sandbox.clock.set(hooked.next_run_at + timedelta(minutes=1))
        scenario.run()
        service.register_webhook(hooked.url)
        assert service.webhook.url, "the service has verified that we want to receive"
        yield hooked


def test_an_event_is_stored_at_once_and_brings_the_next_run_forward(hooked: Hooked) -> None:
    planned_at = hooked.next_run_at
    hooked.advance(timedelta(minutes=15))
    hooked.pay()
    assert hooked.service.post_webhooks() == 200
    assert hooked.next_run_at < planned_at
    assert hooked.next_run_at - hooked.now <= timedelta(minutes=1)
    with reading(hooked.scenario.app.engine) as session:
        assert webhook_inbox.count_events(session)[hooked.scenario.company.provider]["accepted"] >= 1


def test_an_event_during_a_run_is_not_forgotten_when_it_ends(hooked: Hooked) -> None:
    scenario = hooked.scenario

    def receive(_request: RequestRecord) -> None:
        hooked.pay()
        event = ChangeNotification("during the run", scenario.company.external_id, scenario.number)
        webhook_inbox.receive_events(scenario.app, scenario.company.provider, [event])

    hooked.advance(HOUR)
    scenario.sandbox.faults.call(receive, service=scenario.company.provider, kind="read", times=1)
    assert scenario.run().outcome is RunOutcome.OK
    assert hooked.next_run_at - hooked.now <= webhook_inbox.MIN_RUN_SPACING


def test_once_the_webhook_has_proved_complete_a_run_reads_only_after_an_event(hooked: Hooked) -> None:
    assert hooked.run_after_an_hour() > 0, "nothing is proved yet"
    hooked.establish_coverage()
    assert [hooked.run_after_an_hour() for _ in range(4)] == [0, 0, 0, 0]
    assert hooked.connection.synced_at == hooked.connection.last_run_at, "the mirror is up to date all the same"
    hooked.pay()
    hooked.deliver_webhooks()
    assert hooked.run_after_an_hour() > 0
    if hooked.service.post_webhooks():  # about the note of the thank-you email, where the ledger reports that
        assert hooked.run_after_an_hour() > 0
    assert hooked.run_after_an_hour() == 0


def test_a_change_that_was_not_reported_is_found_at_night_and_ends_the_trust(hooked: Hooked) -> None:
    hooked.establish_coverage()
    hooked.run_after_an_hour()
    hooked.advance(timedelta(minutes=1))
    hooked.service.webhook.url = ""  # the webhook stops: a proxy loses it, or it was switched off
    hooked.pay()
    assert hooked.run_after_an_hour() == 0
    hooked.advance(timedelta(hours=14))  # past two in the morning
    hooked.scenario.run()
    assert hooked.connection.webhooks_complete_since_at is None
    assert hooked.run_after_an_hour() > 0
    assert hooked.run_after_an_hour() > 0


def test_after_a_time_offline_a_run_reads_whatever_was_reported(hooked: Hooked) -> None:
    hooked.establish_coverage()
    hooked.advance(timedelta(hours=3))
    before = hooked.count_reads()
    hooked.scenario.run()
    assert hooked.count_reads() > before


def test_wrong_signatures_other_companies_and_repetitions_change_nothing(hooked: Hooked) -> None:
    scenario, service, hook = hooked.scenario, hooked.service, hooked.service.webhook
    planned_at = hooked.next_run_at
    body = b'{"events":[{"tenantId":"x","resourceId":"y","eventCategory":"INVOICE"}]}'
    wrong: list[dict[str, str]] = [{}, {hook.header: "AAAA"}, {hook.header: "\u00e4"}]
    for headers in [*wrong, hook.signed_headers(body, "another key")]:
        raw = {name: value.encode("utf-8") for name, value in headers.items()}
        assert requests.post(hooked.url, data=body, headers=raw, timeout=5).status_code == 401
    for malformed in (b"", b"[", b"[1, null]", b'{"events": 3}', b'{"eventNotifications": [7]}', b"[" * 9000):
        reply = requests.post(hooked.url, data=malformed, headers=hook.signed_headers(malformed), timeout=5)
        assert (reply.status_code, reply.content) == (200, b""), "what is not understood must not be sent again"
    assert hooked.next_run_at == planned_at
    hooked.advance(timedelta(minutes=1))
    if isinstance(service, Xero):
        service.add_contact("A stranger", organisation="Copperbeech Catering Ltd")
    else:
        service.bookkeeper(service.add_company("Strangers Ltd")).add_customer("A stranger")
    assert service.post_webhooks() == 200
    assert hooked.next_run_at == planned_at
    hooked.advance(timedelta(minutes=1))
    hooked.pay()
    hook.copies = 3
    if isinstance(service, QuickBooks):
        service.legacy_webhooks = True
    assert service.post_webhooks() == 200
    with reading(scenario.app.engine) as session:
        counts = webhook_inbox.count_events(session)[scenario.company.provider]
    assert counts["other_company"] >= 1
    assert counts["duplicate"] == 2 * counts["accepted"] >= 2
