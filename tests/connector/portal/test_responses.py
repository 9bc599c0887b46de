"""What customers report in the portal, and what becomes of it in the next sync; over real HTTP."""

from __future__ import annotations

import shlex
from datetime import timedelta

import pytest
from sqlalchemy import select

from connector.arrangements import agreements
from connector.arrangements.customer_settings import find_customer
from connector.db.engine import reading, writing
from connector.db.tables import Agreement, SuppressedAddress
from connector.emails.inbound.reminder_stops import stop_for_address
from connector.services.invoices import record_agreement
from connector.vocabulary import AgreementState, RunOutcome, TaskCode, TaskState
from tests.connector.portal.conftest import (
    MILLER,
    TODAY,
    PortalScenario,
    customer_setting,
    decision_of,
    find_row,
    list_tasks,
    stored_state,
    visible_text,
)


@pytest.mark.parametrize("scenario", ["xero", "quickbooks"], indirect=True)
def test_a_reported_payment_pauses_reminders_and_creates_a_task(scenario: PortalScenario) -> None:
    paid = {
        "invoice": find_row(scenario, scenario.overdue).external_id,
        "on": (TODAY - timedelta(days=2)).isoformat(),
    }
    assert "We will look for your payment" in visible_text(scenario.client.submit("paid", **paid))
    assert "already told us" in visible_text(scenario.client.submit("paid", **paid))
    assert scenario.run().outcome == RunOutcome.OK
    assert decision_of(scenario, scenario.overdue) == ("paused", TODAY + timedelta(days=7))
    [task] = list_tasks(scenario, TaskCode.PAYMENT_REPORTED)
    assert f"Miller & Sons reports that {scenario.overdue} (GBP 1,200.00) was paid on 8 Jun 2026" in task.reason
    [note] = [each for each in scenario.company.notes(scenario.overdue) if "payment on" in each]
    assert note.startswith("10 Jun 2026, Miller & Sons (customer portal): reports a payment on 8 Jun 2026")
    assert scenario.company.notes(scenario.upcoming) == []
    scenario.pass_days(8)
    scenario.client.submit("paid", **{**paid, "on": (TODAY + timedelta(days=5)).isoformat()})
    scenario.run()
    assert decision_of(scenario, scenario.overdue)[0] != "paused"  # paused once a month only; there is a second task
    assert len(list_tasks(scenario, TaskCode.PAYMENT_REPORTED)) == 2
    scenario.company.pay(scenario.overdue)
    scenario.run()
    assert [each.state for each in list_tasks(scenario, TaskCode.PAYMENT_REPORTED)] == [TaskState.CANCELLED] * 2


def test_a_promise_pauses_reminders_until_its_date_and_the_third_one_needs_review(scenario: PortalScenario) -> None:
    both = [find_row(scenario, number).external_id for number in (scenario.overdue, scenario.upcoming)]
    shown = visible_text(scenario.client.submit("promise", invoice=both, on="2026-06-20"))
    assert "expect your payment by then" in shown
    assert "Payment promised for 20 June 2026." in shown
    scenario.run()
    assert decision_of(scenario, scenario.overdue)[0] == "promised"
    assert any("promises to pay on 20 Jun 2026" in note for note in scenario.company.notes(scenario.upcoming))
    for day in ("2026-06-21", "2026-06-22"):
        answer = visible_text(scenario.client.submit("promise", invoice=both[0], on=day))
    assert "will come back to you if it is not possible" in answer
    assert [each.reason for each in list_tasks(scenario, TaskCode.PROMISE_RECEIVED)][-1].endswith(
        "promised before, or agreed otherwise."
    )
    with reading(scenario.app.engine) as session:
        open_promises = [each for each in session.scalars(select(Agreement)) if each.state == AgreementState.OPEN]
    assert sorted((each.invoice_id, str(each.until_on)) for each in open_promises) == sorted(
        [(both[0], "2026-06-21"), (both[1], "2026-06-20")]
    )


def test_a_dispute_stops_reminders_and_keeps_a_dispute_that_a_user_recorded(scenario: PortalScenario) -> None:
    overdue, upcoming = find_row(scenario, scenario.overdue), find_row(scenario, scenario.upcoming)
    record_agreement(scenario.app, upcoming, "ann", agreements.record_dispute, reason="wrong price")
    text = "Two of the\nfive chairs <b>never</b> came."
    for each in (overdue, upcoming):
        page = scenario.client.submit("dispute", invoice=each.external_id, text=text)
        assert "We will look into it" in visible_text(page)
    scenario.run()
    assert decision_of(scenario, scenario.overdue)[0] == "disputed"
    raised = [task.reason for task in list_tasks(scenario, TaskCode.DISPUTE_RAISED)]
    assert any("Two of the five chairs <b>never</b> came." in reason for reason in raised)
    assert any("wrong price" in reason for reason in raised)
    [task] = list_tasks(scenario, TaskCode.DISPUTE_RECEIVED)  # because one was disputed already
    assert scenario.upcoming in task.reason
    assert any("disputes it: Two of the five chairs" in note for note in scenario.company.notes(scenario.overdue))


def test_a_new_address_is_used_at_once_only_at_the_customers_own_domain(scenario: PortalScenario) -> None:
    scenario.client.submit("contact", text="Eve'; rm x #", email="eve@elsewhere.example")
    assert customer_setting(scenario) is None
    [task] = list_tasks(scenario, TaskCode.CONTACT_CHANGE)
    assert "Make sure that the address is theirs, then run: duewell customers set" in task.reason
    command = shlex.split(task.reason.partition("then run: ")[2])  # their name is one word of it, whatever it says
    assert command[-2:] == ["--contact", "Eve'; rm x # <eve@elsewhere.example>"]
    suppressed = SuppressedAddress(address=MILLER, reason="spam report", since_at=scenario.app.now())
    with writing(scenario.app.engine) as session:
        session.add(suppressed)
    scenario.client.submit("contact", text="Ann Lee", email="ann@miller.example")
    with writing(scenario.app.engine) as session:  # what they complained about is not undone by a colleague's address
        session.delete(session.get_one(SuppressedAddress, MILLER))
    setting = customer_setting(scenario)
    assert setting is not None
    assert setting.emails == f"{MILLER}, ann@miller.example"
    scenario.pass_days(14)
    scenario.run()
    assert any({MILLER, "ann@miller.example"} <= set(email.to) for email in scenario.sandbox.sendgrid.emails())


def test_nobody_else_lifts_the_stop_of_a_reader_by_naming_their_address(scenario: PortalScenario) -> None:
    with writing(scenario.app.engine) as session:
        customer = find_customer(session, "Miller & Sons")
        customer.emails = f"{MILLER},eve@miller.example"
        stop_for_address(scenario.app, session, customer, "eve@miller.example", how="with the link in an email")
    scenario.client.submit("contact", text="Eve", email="Eve@miller.example")
    setting = customer_setting(scenario)
    assert setting is not None
    assert setting.stopped_emails == "eve@miller.example"
    [task] = list_tasks(scenario, TaskCode.CONTACT_CHANGE)
    assert shlex.split(task.reason.partition(", run: ")[2])[-2:] == ["--stopped-emails", "none"]


def test_a_stop_in_the_portal_can_be_for_one_address_alone(scenario: PortalScenario) -> None:
    with writing(scenario.app.engine) as session:
        customer = find_customer(session, "Miller & Sons")
        customer.emails = f"{MILLER},ben@miller.example,eve@miller.example"
        stop_for_address(scenario.app, session, customer, "eve@miller.example", how="with the link in an email")
    refused = scenario.client.submit("stop", email="x@else.example")
    assert (refused.status_code, "No reminders are sent to this address" in refused.text) == (422, True)
    page = scenario.client.submit("stop", email="Ben@miller.example")
    setting = customer_setting(scenario)
    assert setting is not None
    assert (setting.stopped_emails, setting.no_reminders) == ("eve@miller.example,ben@miller.example", False)
    scenario.client.undo(page.url.partition("done=")[2])
    setting = customer_setting(scenario)
    assert setting is not None
    assert (setting.stopped_emails, setting.no_reminders) == ("eve@miller.example", False)
    eves, bens = list_tasks(scenario, TaskCode.REMINDERS_STOPPED)
    assert (eves.state, bens.state) == (TaskState.OPEN, TaskState.CANCELLED)


def test_the_chosen_language_and_the_stop_are_followed(scenario: PortalScenario) -> None:
    assert "Ihre Rechnungen von" in visible_text(scenario.client.get(**{"Accept-Language": "de-AT,en;q=0.5"}))
    assert (
        scenario.client.post("/language", data={"language": "fr"}).headers["location"].endswith("notice=done_language")
    )
    page = scenario.client.get("?notice=done_language")
    assert "Nous vous écrirons désormais dans cette langue" in visible_text(page)
    assert '<html lang="fr">' in scenario.client.get(**{"Accept-Language": "de"}).text
    stopped = visible_text(scenario.client.submit("stop"))
    assert "Vous ne recevez plus de relances" in stopped
    setting = customer_setting(scenario)
    assert setting is not None
    assert (setting.no_reminders, setting.language) == (True, "fr")
    assert "stopped the reminders in the customer portal" in list_tasks(scenario, TaskCode.REMINDERS_STOPPED)[0].reason
    scenario.run()
    assert any("asks for no more reminders" in note for note in scenario.company.notes(scenario.overdue))


REJECTED: list[tuple[str, dict[str, str], str]] = [
    ("paid", {"on": "2026-06-11"}, "Enter the date of your payment"),
    ("paid", {"on": "soon"}, "Enter the date of your payment"),
    ("paid", {"on": "2026-06-09", "amount": "0"}, "Enter the amount as a number"),
    ("paid", {"on": "2026-06-09", "amount": "12,34.5"}, "Enter the amount as a number"),
    ("promise", {"on": "2026-06-09"}, "Enter a date from today to 10 July 2026"),
    ("promise", {"on": "2026-12-24"}, "Enter a date from today to 10 July 2026"),
    ("promise", {"on": "2026-06-12", "amount": "1,200.01"}, "must not be more than what is open"),
    ("dispute", {"text": " \n "}, "Tell us briefly what is wrong"),
    ("paid", {"on": "2026-06-09", "invoice": "another"}, "no longer open"),
    ("plan", {"on": "2026-06-12", "instalments": "9"}, "takes too long"),
    ("withdraw", {}, "nothing to take back"),
    ("contact", {"email": "a@b.example>, <x@y.example"}, "not a valid email address"),
]


def test_an_invalid_response_is_rejected_with_a_reason_and_changes_nothing(scenario: PortalScenario) -> None:
    before = stored_state(scenario)
    for kind, fields, reason in REJECTED:
        page = scenario.client.draft(kind, **{"invoice": find_row(scenario, scenario.overdue).external_id, **fields})
        assert page.status_code == 422, (kind, fields)
        assert reason in visible_text(page)
    assert scenario.client.draft("nonsense").status_code == 404
    assert scenario.client.draft("paid", on="2026-06-09").status_code == 422
    both = [find_row(scenario, number).external_id for number in (scenario.overdue, scenario.upcoming)]
    for kind, fields in (
        ("plan", {"on": "2026-06-12", "instalments": "2"}),
        ("dispute", {"text": "wrong price"}),
    ):
        assert scenario.client.draft(kind, invoice=both, **fields).status_code == 422, kind
    foreign = {"invoice": find_row(scenario, scenario.foreign).external_id, "on": "2026-06-09"}
    assert scenario.client.draft("paid", **foreign).status_code == 422
    assert stored_state(scenario) == before
