"""Delivery: what is planned is rechecked, sent once, and one entry's failure stops no other."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.connections.registry import set_mode
from connector.db.engine import writing
from connector.outbox import approvals
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState, RunOutcome
from providers.errors import TransientError
from providers.mailer import Email, SendReceipt
from providers.sendgrid.mailer import SendGridMailer
from sandbox.faults import Rule
from tests.connector.scenario import Scenario, days

DAY = timedelta(days=1)


def approve(scenario: Scenario, entry_id: int | None) -> None:
    with writing(scenario.app.engine) as session:
        approvals.approve(session, [entry_id or 0], by="Ann", at=scenario.app.now())


def test_a_customer_who_pays_between_pull_and_send_is_not_emailed(late_customer: Scenario) -> None:
    first_recheck = {"xero": {"query": "IDs="}, "quickbooks": {"path": "/query$"}}[late_customer.company.provider]
    rule = late_customer.sandbox.faults.call(
        lambda _: late_customer.company.pay(late_customer.number),
        service=late_customer.company.provider,
        times=1,
        **first_recheck,
    )
    result = late_customer.run()
    assert rule.fired == 1
    assert result.outcome is RunOutcome.OK
    assert late_customer.customer_emails() == []
    assert late_customer.outbox("planned", "awaiting_approval", "sending", "done") == []


@pytest.mark.parametrize("end", ["pay", "void"])
def test_a_customer_whose_invoice_is_paid_or_voided_is_not_reminded(late_customer: Scenario, end: str) -> None:
    getattr(late_customer.company, end)(late_customer.number)
    late_customer.run()
    assert [to for to, subject in late_customer.customer_emails() if "thank" not in subject.lower()] == []


def test_an_email_that_awaits_approval_is_sent_only_as_it_was_approved(late_customer: Scenario) -> None:
    set_mode(late_customer.app, late_customer.connection, ConnectionMode.APPROVE)
    late_customer.run()
    [entry] = late_customer.outbox("awaiting_approval")
    assert late_customer.customer_emails() == []
    approve(late_customer, entry.id)
    late_customer.company.pay(late_customer.number, "200.00")  # the email has another amount now
    late_customer.run()
    assert late_customer.customer_emails() == []
    approve(late_customer, entry.id)
    late_customer.run()
    assert len(late_customer.customer_emails()) == 1


def test_a_rejected_email_is_never_sent_and_the_next_step_comes_in_its_time(late_customer: Scenario) -> None:
    set_mode(late_customer.app, late_customer.connection, ConnectionMode.APPROVE)
    late_customer.run()
    [entry] = late_customer.outbox("awaiting_approval")
    with writing(late_customer.app.engine) as session:
        approvals.reject(session, [entry.id or 0], by="Ann", at=late_customer.app.now(), reason="I called them")
    late_customer.run_for_days(3)
    assert late_customer.outbox("awaiting_approval", "planned") == []


def test_an_email_of_unknown_outcome_is_unconfirmed_and_not_sent_again(late_customer: Scenario) -> None:
    late_customer.sandbox.faults.add(Rule("drop_before", service="sendgrid", kind="email"))
    late_customer.run()
    [entry] = late_customer.outbox("unconfirmed")
    for _run in range(3):
        late_customer.sandbox.clock.advance(timedelta(hours=1))
        late_customer.run()
    assert late_customer.customer_emails() == []
    with writing(late_customer.app.engine) as session:
        approvals.resolve(session, entry.id or 0, sent=False, by="Ann", at=late_customer.app.now())
    late_customer.run()
    assert len(late_customer.customer_emails()) == 1


def test_a_rejected_api_key_stops_emails_until_it_is_replaced(late_customer: Scenario) -> None:
    rule = late_customer.sandbox.faults.refuse(
        401, body='{"errors":[{"message":"bad key"}]}', service="sendgrid", times=0
    )
    result = late_customer.run()
    assert result.outcome is RunOutcome.ACTION_REQUIRED
    assert late_customer.customer_emails() == []
    assert [e.state for e in late_customer.outbox() if e.kind == OutboxKind.EMAIL] == [OutboxState.PLANNED]
    late_customer.sandbox.faults.rules.remove(rule)
    assert late_customer.run().outcome is RunOutcome.OK
    assert len(late_customer.customer_emails()) == 1


def test_one_rejected_email_does_not_stop_the_others(late_customer: Scenario) -> None:
    late_customer.company.customer("Birch & Co")
    late_customer.company.invoice("Birch & Co", "70.00", due_on=days(0), on=days(0))
    late_customer.sandbox.faults.refuse(400, body='{"errors":[{"message":"no"}]}', service="sendgrid", kind="email")
    late_customer.run()
    assert len(late_customer.customer_emails()) == 1
    assert len(late_customer.outbox("rejected")) == 1
    late_customer.run()
    assert len(late_customer.customer_emails()) == 1  # rejected for good: not tried again with the same content


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
@pytest.mark.parametrize(("asked", "waits"), [(timedelta(hours=3), timedelta(hours=3)), (DAY * 400, DAY)])
def test_a_service_defers_an_email_by_a_day_at_most(
    late_customer: Scenario, monkeypatch: pytest.MonkeyPatch, asked: timedelta, waits: timedelta
) -> None:
    now = late_customer.app.now()

    def put_off(_mailer: SendGridMailer, _email: Email) -> SendReceipt:
        raise TransientError("come back later", retry_at=now + asked)

    monkeypatch.setattr(SendGridMailer, "send", put_off)
    assert late_customer.run().outcome is RunOutcome.DEFERRED
    [entry] = [each for each in late_customer.outbox() if each.kind == OutboxKind.EMAIL]
    assert (entry.state, entry.send_after) == (OutboxState.PLANNED, now + waits)


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_after_three_emails_without_a_response_the_others_wait(scenario: Scenario) -> None:
    for number in range(5):
        scenario.company.customer(f"C{number} Ltd")
        scenario.company.invoice(f"C{number} Ltd", "100.00", due_on=days(-6))
    scenario.go_live()
    rule = scenario.sandbox.faults.add(Rule("drop_before", service="sendgrid", kind="email", times=0))
    assert scenario.run().outcome is RunOutcome.DEFERRED
    states = sorted(entry.state for entry in scenario.outbox() if entry.kind == OutboxKind.EMAIL)
    assert states == [OutboxState.PLANNED] * 2 + [OutboxState.UNCONFIRMED] * 3
    scenario.sandbox.faults.rules.remove(rule)
    scenario.run()
    assert len(scenario.customer_emails()) == 2
