"""A write to the ledger whose reply is lost: looked for first, always, and repeated when it can no longer arrive."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from connector.connections.registry import set_mode
from connector.db.engine import writing
from connector.delivery import ledger_writes
from connector.outbox import approvals
from connector.services import fees
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState
from sandbox.faults import Rule
from tests.connector.scenario import ResumeAfter, Scenario

POLICY = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01
"""
NOTE_PATH = "istory|ttachable"
FEE_PATHS = {"xero": "/Invoices$", "quickbooks": "/invoice$"}


@pytest.fixture
def late_customer(late_customer: Scenario) -> Scenario:
    """Their ledger carries out a write again that comes again under the same key."""
    ignore_keys(late_customer)
    return late_customer


def ignore_keys(scenario: Scenario) -> None:
    scenario.sandbox.xero.api.replays_requests = scenario.sandbox.quickbooks.replays_requests = False


def cut(scenario: Scenario, action: str, path: str, **rule: object) -> Rule:
    return scenario.sandbox.faults.add(
        Rule(action, service=scenario.company.provider, kind="write", path=path, **rule)  # type: ignore[arg-type]
    )


def later(scenario: Scenario, minutes: int) -> None:
    scenario.sandbox.clock.advance(timedelta(minutes=minutes))
    scenario.run()


def set_index_lag(scenario: Scenario, lag: timedelta) -> None:
    if scenario.company.provider == "xero":
        scenario.sandbox.xero.organisation(scenario.company.external_id).index_lag = lag
    else:
        scenario.sandbox.quickbooks.ledger(scenario.company.external_id).index_lag = lag


def test_a_note_whose_reply_is_lost_is_found_at_once_and_not_repeated(late_customer: Scenario) -> None:
    lost = cut(late_customer, "drop_after", NOTE_PATH)
    late_customer.run()
    assert lost.fired == 1
    assert len(late_customer.company.notes(late_customer.number)) == 1
    assert late_customer.outbox("sending", "unconfirmed") == []
    later(late_customer, 61)
    assert len(late_customer.company.notes(late_customer.number)) == 1


def test_a_note_that_never_arrived_is_added_once_it_no_longer_can(late_customer: Scenario) -> None:
    cut(late_customer, "drop_before", NOTE_PATH)
    late_customer.run()
    later(late_customer, 1)
    assert [each.kind for each in late_customer.outbox("sending")] == [OutboxKind.NOTE], "it may still be under way"
    later(late_customer, 5)
    assert len(late_customer.company.notes(late_customer.number)) == 1
    assert late_customer.outbox("sending", "unconfirmed") == []


def test_a_note_that_never_arrives_is_tried_five_times_and_then_left_to_a_person(late_customer: Scenario) -> None:
    lost = cut(late_customer, "drop_before", NOTE_PATH, times=0)
    late_customer.run()
    for _retry in range(3):
        later(late_customer, 61)
    assert [(each.kind, each.attempts) for each in late_customer.outbox("sending")] == [(OutboxKind.NOTE, 4)]
    later(late_customer, 61)
    assert [(each.kind, each.attempts) for each in late_customer.outbox("sending")] == [(OutboxKind.NOTE, 5)]
    for _more in range(2):
        later(late_customer, 61)
    [entry] = late_customer.outbox("unconfirmed")
    assert (entry.kind, entry.attempts, lost.fired) == (OutboxKind.NOTE, 5, 5)
    assert entry.response == "After 5 calls its outcome is still unknown."


def test_a_note_that_the_ledger_lists_late_is_not_added_twice(late_customer: Scenario) -> None:
    set_index_lag(late_customer, timedelta(minutes=3))
    cut(late_customer, "drop_after", NOTE_PATH)
    late_customer.run()
    later(late_customer, 1)
    assert len(late_customer.company.notes(late_customer.number)) == 1
    later(late_customer, 5)
    assert len(late_customer.company.notes(late_customer.number)) == 1
    assert late_customer.outbox("sending", "unconfirmed") == []


def test_nothing_is_repeated_if_the_search_fails(late_customer: Scenario) -> None:
    lost = cut(late_customer, "drop_after", NOTE_PATH)
    paths = {"xero": "istory", "quickbooks": "/query"}
    failing = late_customer.sandbox.faults.add(
        Rule(
            "call",
            service=late_customer.company.provider,
            kind="write",
            path=NOTE_PATH,
            times=0,
            callback=lambda _request: late_customer.sandbox.faults.refuse(
                503, service=late_customer.company.provider, kind="read", path=paths[late_customer.company.provider],
                times=4,
            ),
        )
    )  # fmt: skip
    late_customer.run()
    assert lost.fired == failing.fired == 1
    assert [each.kind for each in late_customer.outbox("sending")] == [OutboxKind.NOTE]
    later(late_customer, 61)
    assert len(late_customer.company.notes(late_customer.number)) == 1
    assert late_customer.outbox("sending", "unconfirmed") == []


def test_a_note_that_a_user_sends_again_is_looked_for_first(late_customer: Scenario) -> None:
    set_index_lag(late_customer, timedelta(days=1))
    cut(late_customer, "drop_after", NOTE_PATH)
    late_customer.run()
    [note] = late_customer.outbox("sending")
    with writing(late_customer.app.engine) as session:
        entry = session.merge(note)
        entry.state = OutboxState.UNCONFIRMED
        session.flush()
        approvals.resolve(session, note.id or 0, sent=False, by="Ann", at=late_customer.app.now())
    set_index_lag(late_customer, timedelta())
    later(late_customer, 61)
    assert len(late_customer.company.notes(late_customer.number)) == 1
    assert [each.kind for each in late_customer.outbox("done") if each.kind == OutboxKind.NOTE] == [OutboxKind.NOTE]


def warn(scenario: Scenario) -> None:
    """Make a fee due at the next sync."""
    ignore_keys(scenario)
    scenario.set_policy(POLICY)
    scenario.company.customer("Ashdown Ltd")
    scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=scenario.days_ago(20))
    scenario.go_live()
    scenario.run()
    scenario.pass_days(7)


@pytest.fixture
def warned(scenario: Scenario, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A fee is due at the next sync."""
    with resume_after(warn, scenario.company.provider) as resumed:
        yield resumed


def charge(scenario: Scenario) -> None:
    warn(scenario)
    scenario.run()


@pytest.fixture
def charged(scenario: Scenario, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A fee has just been posted."""
    with resume_after(charge, scenario.company.provider) as resumed:
        yield resumed


@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
def test_a_fee_whose_reply_is_lost_is_one_fee(warned: Scenario, action: str) -> None:
    lost = cut(warned, action, FEE_PATHS[warned.company.provider])
    warned.run()
    assert lost.fired == 1
    for minutes in (1, 6, 61):
        later(warned, minutes)
    assert len(warned.company.fees()) == 1
    assert warned.outbox("sending", "unconfirmed") == []


@pytest.mark.parametrize("paid", ["", "3.00"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_waiver_whose_reply_is_lost_gives_back_the_fee_once(charged: Scenario, paid: str, nth: int) -> None:
    [fee] = charged.company.fees()
    before = sum(charged.company.open_balances().values()) - sum(charged.company.fees().values())
    if paid:
        charged.company.pay(fee, paid)
    later(charged, 61)
    with writing(charged.app.engine) as session:
        [posted] = [each.id for each in fees.find_fees(session, charged.connection)]
    fees.waive(charged.app, [posted], by="Ann", reason="a good customer")
    cut(charged, "drop_after", "nvoice|emo|ote|ayment", nth=nth)
    set_mode(charged.app, charged.connection, ConnectionMode.LIVE)
    for minutes in (1, 1, 6, 61):
        later(charged, minutes)
    assert sum(charged.company.open_balances().values()) == before
    assert [each for each in charged.outbox() if each.kind == OutboxKind.FEE_WAIVER and each.state != "done"] == []
    assert count_credits(charged) == (1 if paid else 0)


def count_credits(scenario: Scenario) -> int:
    if scenario.company.provider == "xero":
        return len(list(scenario.sandbox.xero.organisation(scenario.company.external_id).credits["CreditNote"]))
    return len(list(scenario.sandbox.quickbooks.ledger(scenario.company.external_id).all("CreditMemo")))


def test_nothing_is_repeated_before_both_sides_have_abandoned_the_call() -> None:
    assert timedelta(minutes=5) <= ledger_writes.REPEAT_AFTER  # a call may last two minutes, Intuit's docs
