"""The ledger or a user changes something between decision and sending: what is sent is right when it is sent."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.arrangements import agreements
from connector.arrangements.customer_settings import SettingChanges, find_customer, update_settings
from connector.connections.registry import disconnect, pause, resume, set_mode
from connector.db.engine import reading, writing
from connector.db.tables import InvoiceDecisionRow, InvoiceRow, OutboxEntry
from connector.delivery import address_checks
from connector.emails.outbound import compose
from connector.evaluation import evaluate
from connector.run import RunResult
from connector.runtime.run_context import RunContext
from connector.vocabulary import ConnectionMode, OutboxKind, RunOutcome
from policies.decide import decide
from policies.decisions import CustomerDecision
from providers.mailer import Email, Mailer
from tests.connector.scenario import Scenario
from tests.faults.campaign.recovery import INTERNAL_ERROR
from tests.faults.conftest import FastScenarioFactory

START = datetime(2026, 6, 1, 11, 0, tzinfo=UTC)
REREAD_CALL: dict[str, dict[str, Any]] = {
    "xero": {"query": "IDs="},
    "quickbooks": {"path": "/cdc$", "nth": 2},
}
# Otherwise half of them on each ledger: the campaign tries all of them, at every call.
ALL_CHANGES = os.environ.get("FAULTS_EVERY") == "1"
Change = Callable[[Scenario, str, str], object]


def _move_due_date(scenario: Scenario, number: str, _customer: str) -> None:
    later = (scenario.today + timedelta(days=40)).isoformat()
    scenario.company.simulator.edit(number, **scenario.company.company_filter, **{_due_field(scenario): later})


def _due_field(scenario: Scenario) -> str:
    return {"xero": "due_on", "quickbooks": "DueDate"}[scenario.company.provider]


def _delete(scenario: Scenario, number: str, _customer: str) -> None:
    if scenario.company.provider == "quickbooks":
        scenario.company.simulator.delete(number)
    else:
        scenario.company.void(number)  # Xero deletes drafts only


def _record_for_invoice(record: Callable[..., object], **terms: Any) -> Change:
    def change(scenario: Scenario, number: str, _customer: str) -> None:
        with writing(scenario.app.engine) as session:
            row = session.scalars(select(InvoiceRow).where(col(InvoiceRow.number) == number)).one()
            record(session, row, agreements.Attribution("Ann", scenario.app.now()), **terms)

    return change


_dispute = _record_for_invoice(agreements.record_dispute, reason="wrong goods")
SILENT_CHANGES: dict[str, Change] = {
    "paid": lambda scenario, number, _customer: scenario.company.pay(number),
    "voided": lambda scenario, number, _customer: scenario.company.void(number),
    "credited": lambda scenario, _number, customer: scenario.company.credit(customer, "500.00"),
    "due date moved": _move_due_date,
    "deleted": _delete,
    "disputed": _dispute,
    "paused": lambda scenario, _number, _customer: pause(scenario.app, scenario.connection, by="Ann"),
    "observed": lambda scenario, _number, _customer: set_mode(
        scenario.app, scenario.connection, ConnectionMode.OBSERVE
    ),
    "approval required": lambda scenario, _number, _customer: set_mode(
        scenario.app, scenario.connection, ConnectionMode.APPROVE
    ),
    "disconnected": lambda scenario, _number, _customer: disconnect(scenario.app, scenario.connection),
}


def _set_customer(**changes: Unpack[SettingChanges]) -> Change:
    def change(scenario: Scenario, _number: str, customer: str) -> None:
        with reading(scenario.app.engine) as session:
            found = find_customer(session, customer).external_id
        update_settings(scenario.app, scenario.connection, found, changes, by="Ann")

    return change


SOON = START.date() + timedelta(days=5)
RECORDED_CHANGES: dict[str, Change] = {
    "disputed": _dispute,
    "promised": _record_for_invoice(agreements.set_promise, on=SOON),
    "paused": _record_for_invoice(agreements.pause_reminders, until=None),
    "held": _set_customer(hold_until_on=SOON),
    "no reminders": _set_customer(no_reminders=True),
    "nothing": lambda *_nothing: None,
    "another name": _set_customer(contact_name="Bea"),  # the email is still right: it is sent
}


def add_late_invoice(scenario: Scenario, name: str) -> str:
    return scenario.company.invoice(scenario.company.customer(name), "300.00", due_on=scenario.days_ago(9))


def change_at_reread(scenario: Scenario, change: Change, number: str, customer: str) -> RunResult:
    rule = scenario.sandbox.faults.call(
        lambda _request: change(scenario, number, customer),
        times=1,
        service=scenario.company.provider,
        **REREAD_CALL[scenario.company.provider],
    )
    result = scenario.run()
    assert rule.fired == 1
    scenario.sandbox.faults.clear()
    return result


def emailed_to(scenario: Scenario, name: str) -> list[str]:
    address = f"accounts@{name.partition(' ')[0].lower()}.example"
    return [subject for to, subject in scenario.customer_emails() if address in to and "thank" not in subject.lower()]


@pytest.mark.parametrize("provider", ["xero", "quickbooks"])
def test_nothing_is_sent_that_is_no_longer_right(fast_scenario_at: FastScenarioFactory, provider: str) -> None:
    with fast_scenario_at(START, provider) as scenario:
        scenario.go_live()
        for place, (what, change) in enumerate(SILENT_CHANGES.items()):
            if not ALL_CHANGES and place % 2 != (provider == "quickbooks") and what != "disconnected":
                continue
            name = f"Moved{place} Ltd"
            number = add_late_invoice(scenario, name)
            result = change_at_reread(scenario, change, number, name)
            assert INTERNAL_ERROR not in result.reason, (what, result.reason)
            assert emailed_to(scenario, name) == [], what
            assert what == "deleted" or scenario.company.notes(number) == [], what
            if what == "disconnected":
                assert scenario.run().outcome == RunOutcome.ACTION_REQUIRED
                break
            scenario.company.void(number) if what not in {"voided", "deleted", "paid"} else None
            resume(scenario.app, scenario.connection)
            set_mode(scenario.app, scenario.connection, ConnectionMode.LIVE)
            scenario.sandbox.clock.advance(timedelta(minutes=20))


def test_what_is_recorded_between_the_recheck_and_the_email_counts(
    fast_scenario_at: FastScenarioFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are rechecked together; each change comes when the email to that customer is about to be composed."""
    with fast_scenario_at(START, "quickbooks") as scenario:
        scenario.go_live()
        changes = {f"accounts@said{place}.example": change for place, change in enumerate(RECORDED_CHANGES.values())}
        numbers = {address: add_late_invoice(scenario, f"Said{place} Ltd") for place, address in enumerate(changes)}
        asked: list[str] = []

        is_reachable = address_checks.is_reachable

        def change(ctx: RunContext, mailer: Mailer, entry_id: int) -> bool:
            with ctx.reading() as session:
                address = session.get_one(OutboxEntry, entry_id).payload["to"][0]
            if address in changes:
                asked.append(address)
                changes[address](scenario, numbers[address], f"{address[9:].partition('.')[0].title()} Ltd")
            return is_reachable(ctx, mailer, entry_id)

        with monkeypatch.context() as patched:
            patched.setattr(address_checks, "is_reachable", change)
            result = scenario.run()
        assert (result.outcome, sorted(asked)) == (RunOutcome.OK, sorted(changes))
        assert [to[0] for to, _subject in scenario.customer_emails()] == list(changes)[-2:]
        scenario.run()
        assert len(scenario.customer_emails()) == 2


@pytest.mark.parametrize("provider", ["xero", "quickbooks"] if ALL_CHANGES else ["xero"])
def test_a_customer_who_paid_a_part_is_reminded_of_the_rest(
    fast_scenario_at: FastScenarioFactory, provider: str
) -> None:
    with fast_scenario_at(START, provider) as scenario:
        scenario.go_live()
        number = add_late_invoice(scenario, "Part Ltd")
        change_at_reread(
            scenario, lambda scenario, number, _customer: scenario.company.pay(number, "120.00"), number, "Part Ltd"
        )
        scenario.run()
        assert len(emailed_to(scenario, "Part Ltd")) == 1
        [email] = [each for each in scenario.sandbox.sendgrid.emails() if "accounts@part.example" in each.to]
        assert "180.00" in email.text
        assert "180.00" in scenario.company.notes(number)[0]


def test_a_machine_that_slept_while_an_email_was_composed_reads_the_ledger_again(
    fast_scenario_at: FastScenarioFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the campaign: the recheck of weeks ago reaches further back than QuickBooks keeps changes."""
    with fast_scenario_at(START, "quickbooks") as scenario:
        scenario.go_live()
        faults, compose_entry = scenario.sandbox.faults, compose.compose_entry

        def run_asleep(duration: timedelta, status_after: int = 0) -> RunResult:
            def sleep(*arguments: Any, **more: Any) -> Email:
                scenario.sandbox.clock.advance(duration)
                if status_after:
                    faults.refuse(status_after, times=99, service="quickbooks", path="/(cdc|query)$")
                return compose_entry(*arguments, **more)

            with monkeypatch.context() as patched:
                patched.setattr(compose, "compose_entry", sleep)
                result = scenario.run()
            faults.clear()
            return result

        add_late_invoice(scenario, "Refused Ltd")
        rejected = run_asleep(timedelta(minutes=3), 400)
        assert "invoices of customer 1 could not be read" in rejected.reason
        assert INTERNAL_ERROR not in rejected.reason
        assert run_asleep(timedelta(minutes=3), 503).outcome == RunOutcome.DEFERRED
        assert scenario.customer_emails() == []
        assert run_asleep(timedelta(days=42)).outcome == RunOutcome.OK
        scenario.run()  # the email of weeks ago is no longer right: another one is composed
        assert len(emailed_to(scenario, "Refused Ltd")) == 1


@pytest.mark.parametrize("provider", ["xero", "quickbooks"] if ALL_CHANGES else ["quickbooks"])
def test_a_changed_address_gets_one_email_not_two(fast_scenario_at: FastScenarioFactory, provider: str) -> None:
    with fast_scenario_at(START, provider) as scenario:
        scenario.go_live()
        number = add_late_invoice(scenario, "Moving Ltd")

        def move(scenario: Scenario, _number: str, customer: str) -> None:
            scenario.company.simulator.set_email(customer, "new@moving.example", **scenario.company.company_filter)

        change_at_reread(scenario, move, number, "Moving Ltd")
        for _run in range(2):
            scenario.sandbox.clock.advance(timedelta(minutes=30))
            scenario.run()
        assert len(scenario.customer_emails()) == 1


@pytest.mark.parametrize("provider", ["xero", "quickbooks"] if ALL_CHANGES else ["xero"])
def test_a_fee_whose_call_was_lost_is_not_charged_on_an_invoice_paid_since(
    fast_scenario_at: FastScenarioFactory, provider: str
) -> None:
    from sandbox.faults import Rule  # noqa: PLC0415

    with fast_scenario_at(START, provider) as scenario:
        scenario.go_live()
        scenario.set_policy('[late_fees]\nenabled = true\napproval = "automatic"\nterms_agreed_on = 2025-01-01\n')
        number = add_late_invoice(scenario, "Late Ltd")
        fee: dict[str, dict[str, Any]] = {
            "xero": {"method": "PUT", "path": "/Invoices$"},
            "quickbooks": {"method": "POST", "path": "/invoice$"},
        }
        rule = scenario.sandbox.faults.add(Rule("drop_before", times=0, service=provider, **fee[provider]))
        for _day in range(12):
            scenario.run()
            if rule.fired:
                break
            scenario.sandbox.clock.advance(timedelta(days=1))
        assert [entry.kind for entry in scenario.outbox("sending")] == [OutboxKind.LATE_FEE]
        scenario.sandbox.faults.clear()
        scenario.company.pay(number)
        for _run in range(2):
            scenario.sandbox.clock.advance(timedelta(hours=1))
            scenario.run()
        assert scenario.company.fees() == {}
        assert scenario.outbox("sending", "planned", "unconfirmed") == []


def test_a_fee_is_not_charged_on_what_was_disputed_while_another_fee_was_posted(
    fast_scenario_at: FastScenarioFactory,
) -> None:
    """Both fees are rechecked together; the second invoice is disputed while the first fee is posted."""
    with fast_scenario_at(START, "xero") as scenario:
        scenario.go_live()
        scenario.set_policy('[late_fees]\nenabled = true\napproval = "automatic"\nterms_agreed_on = 2025-01-01\n')
        numbers = {name: add_late_invoice(scenario, name) for name in ("First Ltd", "Second Ltd")}
        rule = scenario.sandbox.faults.call(
            lambda _request: _dispute(scenario, numbers["Second Ltd"], ""),
            times=1,
            service="xero",
            method="PUT",
            path="/Invoices$",
        )
        for _time in range(5):
            assert scenario.run().outcome == RunOutcome.OK
            if rule.fired:
                break
            scenario.sandbox.clock.advance(timedelta(days=4))
        assert len(scenario.company.fees()) == 1
        scenario.run()
        assert len(scenario.company.fees()) == 1
        assert scenario.outbox("sending", "unconfirmed") == []


def test_what_is_recorded_during_an_evaluation_counts_at_the_next_run(
    fast_scenario_at: FastScenarioFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fast_scenario_at(START, "xero") as scenario:
        scenario.connect()
        number = add_late_invoice(scenario, "Slow Ltd")
        recorded: list[str] = []

        def slow(*facts: Any) -> CustomerDecision:
            if not recorded:
                recorded.append(number)
                _dispute(scenario, number, "")
            return decide(*facts)

        monkeypatch.setattr(evaluate, "decide", slow)
        codes: list[str] = []
        for _run in range(2):
            scenario.run()
            with reading(scenario.app.engine) as session:
                codes += session.scalars(select(InvoiceDecisionRow.code))  # type: ignore[call-overload]
        assert codes == ["past_due", "disputed"]
