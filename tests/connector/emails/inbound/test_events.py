"""SendGrid's delivery events: they count once in any order, resolve deliveries and report failures."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from connector.connections import account_owners
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import EmailEvent, InvoiceRow, OutboxEntry
from connector.outbox import approvals, entries
from connector.services.invoice_timeline import invoice_timeline
from connector.vocabulary import ConnectionMode, OutboxState, TaskCode
from tests.connector.emails.inbound.conftest import (
    ASHDOWN,
    InboundScenario,
    email_entry,
    list_tasks,
    log_text,
    run_for_days,
)


def post_events(scenario: InboundScenario, *, times: int = 1) -> None:
    """Post the simulated SendGrid's signed events, as SendGrid would."""
    hook = scenario.sandbox.sendgrid.webhook
    now = int(scenario.sandbox.clock.now().timestamp())
    for _time in range(times):
        body, headers = hook.sign(list(scenario.sandbox.sendgrid.store.events), now)
        assert scenario.client.post("/webhooks/sendgrid", data=body, headers=headers).status_code == 200


def test_events_count_once_in_any_order(scenario: InboundScenario) -> None:
    post_events(scenario, times=2)
    assert email_entry(scenario).delivery_status == "delivered"
    scenario.sandbox.sendgrid.store.events.reverse()
    post_events(scenario)
    assert email_entry(scenario).delivery_status == "delivered"
    with reading(scenario.app.engine) as session:
        kinds = [event.kind for event in session.scalars(select(EmailEvent))]
    assert sorted(kinds) == ["delivered", "processed"]


def test_a_late_bounce_suppresses_the_address_and_creates_one_task(scenario: InboundScenario) -> None:
    post_events(scenario)
    scenario.pass_days(2)
    scenario.sandbox.sendgrid.bounce(scenario.email.number)
    post_events(scenario, times=2)
    assert email_entry(scenario).delivery_status == "bounce"
    [task] = list_tasks(scenario, TaskCode.UNDELIVERED)
    assert ASHDOWN in task.reason
    assert "no such user here" in task.reason
    with reading(scenario.app.engine) as session:
        texts = [each.text for each in invoice_timeline(session, session.scalars(select(InvoiceRow)).one())]
    assert texts.count(f"First reminder: the email to {ASHDOWN} bounced") == 1
    run_for_days(scenario, 20, every=5)
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1
    assert len(list_tasks(scenario, TaskCode.SUPPRESSED)) == 1


@pytest.mark.parametrize("kind", ["spam", "unsubscribe"])
def test_a_customer_who_complains_receives_no_more_emails(scenario: InboundScenario, kind: str) -> None:
    getattr(scenario.sandbox.sendgrid, kind)(scenario.email.number)
    scenario.sandbox.sendgrid.unsuppress(ASHDOWN)  # only the event shows it
    post_events(scenario)
    run_for_days(scenario, 20, every=5)
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1


def test_a_bounce_that_names_no_email_is_matched_by_its_address(scenario: InboundScenario) -> None:
    event = {
        "email": ASHDOWN.upper(),
        "event": "bounce",
        "type": "bounce",
        "sg_event_id": "e1",
        "timestamp": 1781000000,
    }
    body, headers = scenario.sandbox.sendgrid.webhook.sign([event], 1781000000)
    assert scenario.client.post("/webhooks/sendgrid", data=body, headers=headers).status_code == 200
    assert len(list_tasks(scenario, TaskCode.UNDELIVERED)) == 1


def test_an_event_resolves_an_unconfirmed_delivery(scenario: InboundScenario) -> None:
    with writing(scenario.app.engine) as session:
        row = session.get_one(OutboxEntry, email_entry(scenario).id)
        entries.mark_unconfirmed(row, at=scenario.app.now(), detail="no answer")
    post_events(scenario)
    assert email_entry(scenario).state == OutboxState.DONE


def test_an_event_resolves_what_a_killed_run_was_sending(scenario: InboundScenario) -> None:
    with writing(scenario.app.engine) as session:
        session.get_one(OutboxEntry, email_entry(scenario).id).state = OutboxState.SENDING
    post_events(scenario)
    assert email_entry(scenario).state == OutboxState.SENDING  # its own run may still be under way
    scenario.sandbox.faults.refuse(500, service="sendgrid", path="/logs", times=0)
    scenario.run()
    assert email_entry(scenario).state == OutboxState.DONE


def test_an_event_keeps_an_email_marked_as_not_sent_from_being_sent_twice(scenario: InboundScenario) -> None:
    with writing(scenario.app.engine) as session:
        row = session.get_one(OutboxEntry, email_entry(scenario).id)
        entries.mark_unconfirmed(row, at=scenario.app.now(), detail="no answer")
        session.flush()
        approvals.resolve(session, row.id or 0, sent=False, by="Ann", at=scenario.app.now())
    set_mode(scenario.app, scenario.connection, ConnectionMode.APPROVE)
    post_events(scenario)
    set_mode(scenario.app, scenario.connection, ConnectionMode.LIVE)
    scenario.run()
    assert email_entry(scenario).state == OutboxState.DONE
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1


def test_odd_events_keep_no_other_out(scenario: InboundScenario) -> None:
    event = {"event": "delivered", "email": ASHDOWN, "duewell_key": email_entry(scenario).key, "timestamp": 1781000000}
    odd_times = [None, "yesterday", "NaN", 1e300, -1e300, 1781000000000, {"a": 1}]
    events: list[Any] = [None, 3, "text", [], {}, *({**event, "timestamp": at} for at in odd_times)]
    events = [
        {**each, "sg_event_id": f"e{n}"} if each and isinstance(each, dict) else each for n, each in enumerate(events)
    ]
    events.append({**event, "sg_event_id": "nul", "duewell_key": "a\0b", "reason": "\0"})
    events.append(
        {**event, "event": "bounce", "type": "bounce", "sg_event_id": "half an emoji", "reason": "550 \ud83d"}
    )
    body, headers = scenario.sandbox.sendgrid.webhook.sign_body(json.dumps(events).encode(), 1781000000)
    assert scenario.client.post("/webhooks/sendgrid", data=body, headers=headers).status_code == 200
    assert email_entry(scenario).delivery_status == "bounce"
    with reading(scenario.app.engine) as session:
        stored = session.scalars(select(EmailEvent)).all()
    assert len(stored) == len(odd_times) + 2
    assert all(each.at.year == 2026 for each in stored)
    assert "\0" not in "".join(each.key for each in stored), "which PostgreSQL refuses"


def test_a_digest_that_comes_back_is_in_the_log(scenario: InboundScenario) -> None:
    account_owners.set_default_owner(scenario.app, scenario.connection, "Ann <ann@small.example>", by="Ann")
    scenario.company.invoice("Ashdown Ltd", "90.00", due_on=scenario.days_ago(4))
    run_for_days(scenario, 1)
    [digest] = scenario.sandbox.sendgrid.emails_to("ann@small.example")
    scenario.sandbox.sendgrid.bounce(digest.number)
    post_events(scenario)
    assert "An email to ann@small.example bounced" in log_text(scenario)
    assert "It was for a user here" in log_text(scenario)


@pytest.mark.parametrize("break_it", ["body", "signature", "timestamp", "nothing"])
def test_an_event_that_sendgrid_did_not_sign_is_rejected(scenario: InboundScenario, break_it: str) -> None:
    body, headers = scenario.sandbox.sendgrid.webhook.sign(list(scenario.sandbox.sendgrid.store.events), 1781000000)
    names = {
        "signature": "X-Twilio-Email-Event-Webhook-Signature",
        "timestamp": "X-Twilio-Email-Event-Webhook-Timestamp",
    }
    if break_it == "body":
        body = body.replace(b"delivered", b"deliverex")
    elif break_it == "nothing":
        headers = {}
    else:
        headers[names[break_it]] = "MEUCIQ=="
    assert scenario.client.post("/webhooks/sendgrid", data=body, headers=headers).status_code == 401
    assert email_entry(scenario).delivery_status == ""
