"""An email that reached nobody completes no step and warns nobody; its step runs again when that can help."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlmodel import col

from connector.arrangements import tasks
from connector.arrangements.customer_settings import find_customer, update_settings
from connector.db.engine import reading, writing
from connector.db.tables import EmailEvent, InvoiceRow, OutboxEntry, SuppressedAddress
from connector.vocabulary import OutboxKind, TaskCode, TaskState
from policies.receivables import Step
from providers.mailer import RefusalCause
from tests.connector.emails.inbound.conftest import ASHDOWN, InboundScenario, list_tasks, run_for_days
from tests.connector.emails.inbound.test_events import post_events
from tests.connector.scenario import suppressed_addresses

NEW_ADDRESS = "payables@ashdown.example"
FEES = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01
"""
HARD: dict[str, Any] = {"type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 no such user here"}
FULL: dict[str, Any] = {"type": "bounce", "status": "4.2.2", "reason": "452 4.2.2 mailbox full"}
TEMPORARY: dict[str, tuple[str, dict[str, Any]]] = {
    "mailbox full": ("bounce", FULL),
    "expired": ("bounce", {"type": "expired", "reason": "no answer within 72 hours"}),
    "blocked": ("bounce", {"type": "blocked", "status": "5.7.1", "reason": "554 5.7.1 blocked"}),
    "spam content": ("dropped", {"reason": "Spam Content"}),
    "quota": ("dropped", {"reason": "Recipient List over Package Quota"}),
    "bad header": ("dropped", {"reason": "Invalid SMTPAPI header"}),
}


def report(scenario: InboundScenario, event: str, *, key: bool = True, **details: Any) -> None:
    """Post one signed event about the reminder, in the form that SendGrid uses."""
    now = int(scenario.sandbox.clock.now().timestamp())
    details = {"email": ASHDOWN, "timestamp": now, **details}
    named = {"duewell_key": first_email(scenario).key, "sg_message_id": f"{scenario.email.message_id}.x"} if key else {}
    facts = {"event": event, "sg_event_id": f"{event} {sorted(details.items())}", **named, **details}
    body, headers = scenario.sandbox.sendgrid.webhook.sign([facts], now)
    assert scenario.client.post("/webhooks/sendgrid", data=body, headers=headers).status_code == 200


def suppressed(scenario: InboundScenario) -> dict[str, str]:
    with reading(scenario.app.engine) as session:
        return suppressed_addresses(session)


def steps_emailed(scenario: InboundScenario) -> list[tuple[str, str]]:
    """Return step and refusal of each email to the customer, oldest first."""
    with reading(scenario.app.engine) as session:
        rows = session.scalars(
            select(OutboxEntry).where(col(OutboxEntry.kind) == OutboxKind.EMAIL).order_by(col(OutboxEntry.id))
        )
        return [(row.step, row.refusal) for row in rows if row.dispatched_at is not None]


def correct_address(scenario: InboundScenario, address: str = NEW_ADDRESS) -> None:
    with reading(scenario.app.engine) as session:
        customer = find_customer(session, "Ashdown Ltd")
    update_settings(scenario.app, scenario.connection, customer.external_id, {"emails": address}, by="Ann")


def first_email(scenario: InboundScenario) -> OutboxEntry:
    with reading(scenario.app.engine) as session:
        query = select(OutboxEntry).where(col(OutboxEntry.kind) == OutboxKind.EMAIL)
        return session.scalars(query.order_by(col(OutboxEntry.id))).all()[0]


@pytest.mark.parametrize("name", TEMPORARY)
def test_a_refusal_that_is_not_about_the_address_lets_the_step_run_again_later(
    scenario: InboundScenario, name: str
) -> None:
    event, details = TEMPORARY[name]
    scenario.sandbox.clock.advance(timedelta(minutes=5))
    report(scenario, event, **details)
    assert suppressed(scenario) == {}
    assert len(list_tasks(scenario, TaskCode.UNDELIVERED)) == 1, "a person is warned"
    scenario.run()
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1, "not in the same hour"
    run_for_days(scenario, 6)
    sent = steps_emailed(scenario)
    assert [step for step, _ in sent] == [Step.PAST_DUE, Step.PAST_DUE]
    assert [refusal != "" for _, refusal in sent] == [True, False]
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 2


def test_a_mailbox_that_stays_full_is_tried_seldom_and_makes_one_task_a_month(scenario: InboundScenario) -> None:
    scenario.sandbox.sendgrid.set_outcome(ASHDOWN, "mailbox_full")
    report(scenario, "bounce", **FULL)
    for _day in range(20):
        scenario.pass_days(1)
        scenario.run()
        post_events(scenario)
    assert 3 <= len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) <= 7
    assert {step for step, _ in steps_emailed(scenario)} == {Step.PAST_DUE}, "nobody was reached: no harsher step"
    assert suppressed(scenario) == {}
    assert len(list_tasks(scenario, TaskCode.UNDELIVERED)) == 1


@pytest.mark.parametrize("reason", ["Bounced Address", "Spam Reporting Address", "Unsubscribed Address", "Invalid"])
def test_a_drop_for_sendgrids_own_list_suppresses_the_address_and_counts_as_not_sent(
    scenario: InboundScenario, reason: str
) -> None:
    report(scenario, "dropped", reason=reason)
    assert list(suppressed(scenario)) == [ASHDOWN]
    assert first_email(scenario).refusal == RefusalCause.ADDRESS
    run_for_days(scenario, 9, every=9)  # a Friday, on which the second notice would be sent
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1


def test_after_a_corrected_address_the_ladder_starts_where_nobody_was_reached(scenario: InboundScenario) -> None:
    report(scenario, "bounce", **HARD)
    run_for_days(scenario, 25, every=5)
    correct_address(scenario)
    run_for_days(scenario, 2)
    assert [step for step, _ in steps_emailed(scenario)] == [Step.PAST_DUE, Step.PAST_DUE]
    assert len(scenario.sandbox.sendgrid.emails_to(NEW_ADDRESS)) == 1


def task_states(scenario: InboundScenario) -> list[tuple[str, str]]:
    return [(task.state, task.outcome) for task in list_tasks(scenario, TaskCode.UNDELIVERED)]


@pytest.mark.parametrize("has_events", [True, False])
def test_the_task_ends_once_a_later_email_has_reached_a_corrected_address(
    scenario: InboundScenario, has_events: bool
) -> None:
    report(scenario, "bounce", **HARD)
    scenario.pass_days(1)
    correct_address(scenario)
    scenario.run()
    if has_events:
        post_events(scenario)
        scenario.run()
    assert (task_states(scenario) == [(TaskState.OPEN, "")]) is not has_events
    run_for_days(scenario, 2)
    assert task_states(scenario) == [(TaskState.CANCELLED, "a later email has reached them")]


def test_the_task_about_a_full_mailbox_ends_and_comes_back_with_its_emails(scenario: InboundScenario) -> None:
    report(scenario, "bounce", **FULL)
    run_for_days(scenario, 6)
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 2
    assert [state for state, _ in task_states(scenario)] == [TaskState.CANCELLED]
    report(scenario, "bounce", **FULL)
    assert [state for state, _ in task_states(scenario)] == [TaskState.OPEN]


def test_a_corrected_address_that_sendgrid_suppresses_too_is_no_delivery(scenario: InboundScenario) -> None:
    report(scenario, "bounce", **HARD)
    scenario.sandbox.sendgrid.suppress(NEW_ADDRESS)
    correct_address(scenario)
    scenario.sandbox.faults.refuse(500, service="sendgrid", path="/suppression", times=0)  # only the drop shows it
    run_for_days(scenario, 1)
    post_events(scenario)
    assert sorted(suppressed(scenario)) == [ASHDOWN, NEW_ADDRESS]
    assert [refusal for _, refusal in steps_emailed(scenario)] == ["address", "address"]


def test_a_bounced_email_warns_nobody_of_a_fee(scenario: InboundScenario) -> None:
    scenario.set_policy(FEES)
    report(scenario, "bounce", **HARD)
    run_for_days(scenario, 4)
    correct_address(scenario)
    run_for_days(scenario, 6)
    assert scenario.company.fees() == {}, "ten days after the first email"
    run_for_days(scenario, 5)
    [fee] = [entry for entry in scenario.outbox("done") if entry.kind == OutboxKind.LATE_FEE]
    assert "warned on 10 Jun 2026" not in fee.reason, "the email that arrived is the warning"


def test_a_late_bounce_after_a_fee_asks_whether_to_waive_it(scenario: InboundScenario) -> None:
    scenario.set_policy(FEES)
    post_events(scenario)
    run_for_days(scenario, 16)
    assert len(scenario.company.fees()) == 1
    report(scenario, "bounce", timestamp=int(scenario.email.at.timestamp()) + 60, **HARD)
    [task] = list_tasks(scenario, TaskCode.UNDELIVERED)
    assert "A late fee was charged after it" in task.reason


def test_events_in_any_order_come_to_the_same(scenario: InboundScenario) -> None:
    report(scenario, "bounce", **HARD)  # before processed, deferred and delivered
    report(scenario, "deferred", response="451 4.7.1 greylisted")
    post_events(scenario)
    assert first_email(scenario).delivery_status == "bounce"
    assert first_email(scenario).refusal == RefusalCause.ADDRESS
    assert len(list_tasks(scenario, TaskCode.UNDELIVERED)) == 1


def test_a_deferred_email_counts_until_it_is_refused(scenario: InboundScenario) -> None:
    report(scenario, "deferred", response="451 4.7.1 greylisted")
    run_for_days(scenario, 2)
    assert first_email(scenario).refusal == ""
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1
    report(scenario, "bounce", type="expired", reason="no answer within 72 hours")
    assert first_email(scenario).refusal == RefusalCause.RECIPIENT


@pytest.mark.parametrize("named", ["message", "address"])
def test_a_bounce_that_names_no_key_is_about_the_last_email_to_the_address(
    scenario: InboundScenario, named: str
) -> None:
    scenario.pass_days(2)
    ids = {"sg_message_id": f"{scenario.email.message_id}.recvd-0"} if named == "message" else {}
    report(scenario, "bounce", key=False, **ids, **HARD)
    assert first_email(scenario).refusal == RefusalCause.ADDRESS


def test_a_bounce_long_after_the_last_email_is_about_another_one(scenario: InboundScenario) -> None:
    scenario.pass_days(6)
    report(scenario, "bounce", key=False, **HARD)
    assert first_email(scenario).refusal == ""
    assert list(suppressed(scenario)) == [ASHDOWN]


def test_an_email_that_one_of_two_recipients_got_counts(scenario: InboundScenario) -> None:
    correct_address(scenario, f"{ASHDOWN},{NEW_ADDRESS}")
    scenario.company.invoice("Ashdown Ltd", "700.00", due_on=scenario.days_ago(-1))
    run_for_days(scenario, 12, every=4)
    with reading(scenario.app.engine) as session:
        entry = session.scalars(
            select(OutboxEntry).where(col(OutboxEntry.kind) == OutboxKind.EMAIL).order_by(col(OutboxEntry.id).desc())
        ).first()
    assert entry is not None
    assert len(entry.payload["to"]) == 2
    report(scenario, "bounce", duewell_key=entry.key, **HARD)
    assert steps_emailed(scenario)[-1][1] == ""
    report(scenario, "bounce", duewell_key=entry.key, **{**FULL, "email": NEW_ADDRESS})
    assert steps_emailed(scenario)[-1][1] == RefusalCause.RECIPIENT, "the address that can still be reached decides"


def test_a_recipient_who_subscribes_again_is_emailed_again(scenario: InboundScenario) -> None:
    scenario.sandbox.sendgrid.group_unsubscribe(scenario.email.number)
    post_events(scenario)
    assert list(suppressed(scenario)) == [ASHDOWN]
    scenario.pass_days(1)
    scenario.sandbox.sendgrid.group_resubscribe(scenario.email.number)
    post_events(scenario)
    assert suppressed(scenario) == {}
    assert [task.state for task in list_tasks(scenario, TaskCode.UNDELIVERED)] == [TaskState.CANCELLED]
    run_for_days(scenario, 15, every=5)
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) > 1


def test_the_last_choice_counts_whichever_event_arrives_first(scenario: InboundScenario) -> None:
    at = int(scenario.sandbox.clock.now().timestamp())
    report(scenario, "group_resubscribe", timestamp=at + 60)
    report(scenario, "group_unsubscribe", timestamp=at)
    assert suppressed(scenario) == {}
    assert list_tasks(scenario, TaskCode.UNDELIVERED) == []
    report(scenario, "group_unsubscribe", timestamp=at + 120)
    report(scenario, "group_resubscribe", timestamp=at + 90)
    assert list(suppressed(scenario)) == [ASHDOWN]


def test_a_choice_that_has_no_id_counts_once(scenario: InboundScenario) -> None:
    for _time in range(2):
        report(scenario, "unsubscribe", sg_event_id="")
    assert list(suppressed(scenario)) == [ASHDOWN]
    assert len(list_tasks(scenario, TaskCode.UNDELIVERED)) == 1
    with reading(scenario.app.engine) as session:
        assert len(session.scalars(select(EmailEvent)).all()) == 1


@pytest.mark.parametrize("event", ["bounce", "unsubscribe"])
def test_subscribing_to_a_group_again_releases_nothing_else(scenario: InboundScenario, event: str) -> None:
    report(scenario, event, **(HARD if event == "bounce" else {}))
    scenario.pass_days(1)
    report(scenario, "group_resubscribe")
    with reading(scenario.app.engine) as session:
        since = session.get_one(SuppressedAddress, ASHDOWN).since_at
    assert isinstance(since, datetime)


@pytest.mark.parametrize("event", ["bounce", "spamreport", "unsubscribe"])
def test_what_is_worse_than_leaving_a_group_stays_when_they_subscribe_to_it_again(
    scenario: InboundScenario, event: str
) -> None:
    at = int(scenario.sandbox.clock.now().timestamp())
    report(scenario, "group_unsubscribe", timestamp=at)
    report(scenario, event, timestamp=at + 1, **(HARD if event == "bounce" else {}))
    report(scenario, "group_resubscribe", timestamp=at + 2)
    assert list(suppressed(scenario)) == [ASHDOWN]
    assert len(list_tasks(scenario, TaskCode.UNDELIVERED)) == 2


@pytest.mark.parametrize("order", [1, -1])
def test_an_email_counts_whose_second_attempt_arrived(scenario: InboundScenario, order: int) -> None:
    at = int(scenario.sandbox.clock.now().timestamp())
    events: list[tuple[str, dict[str, Any]]] = [
        ("dropped", {"timestamp": at, "sg_message_id": "first.recvd-0", "reason": "Spam Content"}),
        ("delivered", {"timestamp": at + 60, "sg_message_id": "second.recvd-0"}),
    ]
    for event, details in events[::order]:
        report(scenario, event, **details)
    assert first_email(scenario).refusal == ""
    run_for_days(scenario, 6)
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1, "nobody gets the same email again"


@pytest.mark.parametrize(
    ("event", "details"),
    [
        ("bounce", {"type": "blocked", "status": "5.7.1", "reason": "550 5.7.1 blocked"}),
        ("dropped", {"reason": "Spam Content"}),
        ("group_unsubscribe", {"asm_group_id": 77}),
        ("delivered", {}),
    ],
)
def test_a_newsletter_that_the_same_account_sends_changes_nothing(
    scenario: InboundScenario, event: str, details: dict[str, Any]
) -> None:
    report(scenario, event, key=False, sg_message_id="newsletter.recvd-0", **details)
    assert (suppressed(scenario), first_email(scenario).refusal) == ({}, "")
    assert list_tasks(scenario, TaskCode.UNDELIVERED) == []
    with reading(scenario.app.engine) as session:
        assert session.scalars(select(EmailEvent)).all() == [], "nothing is kept of what goes to other people"


def test_a_bounce_that_names_no_key_is_known_by_the_address_of_an_invoice(scenario: InboundScenario) -> None:
    with writing(scenario.app.engine) as session:
        session.execute(update(InvoiceRow).values(cc_emails=f"{NEW_ADDRESS},x{NEW_ADDRESS}"))
    report(scenario, "bounce", key=False, email=NEW_ADDRESS, **HARD)
    assert list(suppressed(scenario)) == [NEW_ADDRESS]
    [task] = list_tasks(scenario, TaskCode.UNDELIVERED)
    assert f"an email to {NEW_ADDRESS} bounced" in task.reason


def test_a_newsletter_that_bounces_shows_a_bad_address_and_takes_back_none_of_our_emails(
    scenario: InboundScenario,
) -> None:
    report(scenario, "bounce", key=False, sg_message_id="newsletter.recvd-0", **HARD)
    assert list(suppressed(scenario)) == [ASHDOWN]
    [task] = list_tasks(scenario, TaskCode.UNDELIVERED)
    assert "counts as not sent" not in task.reason
    report(scenario, "bounce", key=False, sg_message_id="newsletter.recvd-1", email="reader@elsewhere.example", **HARD)
    assert list(suppressed(scenario)) == [ASHDOWN], "nobody here is emailed there"


def test_a_step_that_a_person_did_by_hand_is_not_emailed_after_the_address_works(scenario: InboundScenario) -> None:
    report(scenario, "bounce", **HARD)
    run_for_days(scenario, 1)
    [task] = list_tasks(scenario, TaskCode.SUPPRESSED)
    tasks.complete(scenario.app, [task.id or 0], by="Ann", note="called them")
    correct_address(scenario)
    run_for_days(scenario, 20, every=5)
    assert [step for step, _ in steps_emailed(scenario)][:2] == [Step.PAST_DUE, Step.SECOND_NOTICE]
