"""The notes of a run go out together where the ledger takes several in a call, and each is still written once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from connector.db.engine import writing
from connector.delivery import note_batches
from connector.run import RunResult
from connector.vocabulary import OutboxKind, OutboxState, RunOutcome
from providers.errors import ProviderError, TransientError
from providers.ledger import DocumentRef, NewNote
from providers.quickbooks.ledger import QuickBooksLedger
from sandbox.faults import RequestRecord, Rule
from tests.connector.scenario import ResumeAfter, Scenario, days

CUSTOMERS = 5
AFTER_A_LOST_REPLY = timedelta(minutes=6)


def add_five_customers(scenario: Scenario) -> None:
    for n in range(CUSTOMERS):
        scenario.company.invoice(scenario.company.customer(f"Customer{n} Ltd"), f"{100 + n}.00", due_on=days(-6))
    scenario.go_live()


@pytest.fixture
def notes_due(scenario: Scenario, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A live company whose next sync emails five customers about an invoice each."""
    with resume_after(add_five_customers, scenario.company.provider) as resumed:
        yield resumed


on_quickbooks = pytest.mark.parametrize("scenario", ["quickbooks"], indirect=True)


def note_calls(scenario: Scenario) -> list[RequestRecord]:
    paths = re.compile(r"/batch$|/attachable$|/History$")
    return [one for one in scenario.sandbox.requests if paths.search(one.path) and one.method != "GET"]


def assert_each_invoice_has_one_note(scenario: Scenario) -> None:
    assert {number: len(scenario.company.notes(number)) for number in scenario.company.numbers} == dict.fromkeys(
        scenario.company.numbers, 1
    )
    notes = [entry for entry in scenario.outbox() if entry.kind == OutboxKind.NOTE]
    assert [entry.state for entry in notes] == [OutboxState.DONE] * CUSTOMERS


@pytest.mark.parametrize(("scenario", "calls"), [("quickbooks", 1), ("xero", CUSTOMERS)], indirect=["scenario"])
def test_the_notes_of_a_run_take_one_call_where_the_ledger_has_batches(notes_due: Scenario, calls: int) -> None:
    assert notes_due.run().outcome == RunOutcome.OK
    assert len(note_calls(notes_due)) == calls
    assert_each_invoice_has_one_note(notes_due)
    for number in notes_due.company.numbers:
        [note] = notes_due.company.notes(number)
        assert f"invoice {number}" in note


@on_quickbooks
def test_a_batch_holds_at_most_thirty_notes_and_one_of_an_invoice(
    notes_due: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuickBooksLedger, "notes_per_batch", 2)
    notes_due.run()
    assert [one.path.rpartition("/")[2] for one in note_calls(notes_due)] == ["batch", "batch", "attachable"]
    assert_each_invoice_has_one_note(notes_due)


@on_quickbooks
def test_what_exceeds_a_runs_batches_is_written_one_by_one(
    notes_due: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuickBooksLedger, "notes_per_batch", 2)
    monkeypatch.setattr(note_batches, "BATCHES_PER_RUN_MAX", 1)
    notes_due.run()
    assert_each_invoice_has_one_note(notes_due)


BATCH: dict[str, Any] = {"service": "quickbooks", "path": "/batch$"}
FAULTS: dict[str, dict[str, Any]] = {
    "the reply is lost": {"action": "drop_after"},
    "the call is lost": {"action": "drop_before"},
    "it fails and was carried out": {"action": "refuse", "status": 500, "applied": True},
    "it fails": {"action": "refuse", "status": 503},
    "the reply is cut short": {"action": "truncate"},
    "the reply is no JSON": {"action": "html", "applied": True},
    "batches are rejected": {"action": "refuse", "status": 400},
    "a limit is reached": {"action": "refuse", "status": 429},
    "a limit of hours is reached": {"action": "refuse", "status": 429, "headers": {"Retry-After": "600"}},
    "the token was revoked": {"action": "refuse", "status": 401},
}


@on_quickbooks
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_each_note_is_written_once_whatever_becomes_of_the_batch(notes_due: Scenario, fault: dict[str, Any]) -> None:
    rule = notes_due.sandbox.faults.add(Rule(times=1, **BATCH, **fault))
    result = notes_due.run()
    assert rule.fired == 1
    assert "Internal error" not in result.reason
    for passes in (AFTER_A_LOST_REPLY, AFTER_A_LOST_REPLY, timedelta(days=1)):  # the most that a limit is waited for
        notes_due.sandbox.clock.advance(passes)
        notes_due.run()
    assert_each_invoice_has_one_note(notes_due)


@on_quickbooks
def test_a_note_that_is_rejected_touches_no_other(notes_due: Scenario) -> None:
    def delete_invoice(_request: RequestRecord) -> None:
        notes_due.company.simulator.delete(notes_due.company.numbers[2])

    notes_due.sandbox.faults.call(delete_invoice, times=1, **BATCH)
    notes_due.run()
    states = {e.invoice_id: e.state for e in notes_due.outbox() if e.kind == OutboxKind.NOTE}
    assert sorted(states.values()) == [*[OutboxState.DONE] * (CUSTOMERS - 1), OutboxState.REJECTED]
    kept = [number for place, number in enumerate(notes_due.company.numbers) if place != 2]
    assert all(len(notes_due.company.notes(number)) == 1 for number in kept)


@on_quickbooks
def test_two_writes_to_an_invoice_at_once_are_tried_again(notes_due: Scenario) -> None:
    """Intuit answers 5010, also where both are notes: nothing was written."""
    stale = '{"Fault":{"Error":[{"code":"5010","Message":"Stale Object Error"}],"type":"ValidationFault"},"bId":"0"}'
    notes_due.sandbox.faults.add(
        Rule(action="refuse", status=200, body=f'{{"BatchItemResponse":[{stale}]}}', times=1, **BATCH)
    )
    notes_due.run()
    for _ in range(2):
        notes_due.sandbox.clock.advance(AFTER_A_LOST_REPLY)
        notes_due.run()
    assert_each_invoice_has_one_note(notes_due)


@on_quickbooks
def test_what_was_written_is_recorded_although_others_of_the_batch_have_to_wait(
    notes_due: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_notes, waiting = QuickBooksLedger.add_notes, 3  # as many as stop further calls

    def add_some(ledger: QuickBooksLedger, notes: Sequence[NewNote]) -> list[DocumentRef | ProviderError]:
        return [*[TransientError("Stale Object Error")] * waiting, *add_notes(ledger, notes[waiting:])]

    monkeypatch.setattr(QuickBooksLedger, "add_notes", add_some)
    notes_due.run()
    states = sorted(entry.state for entry in notes_due.outbox() if entry.kind == OutboxKind.NOTE)
    assert states == [*[OutboxState.DONE] * (CUSTOMERS - waiting), *[OutboxState.PLANNED] * waiting]


@on_quickbooks
def test_an_internal_error_in_a_batch_stops_nothing_else(notes_due: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_ledger: QuickBooksLedger, _notes: Sequence[NewNote]) -> list[DocumentRef | ProviderError]:
        message = "an odd reply"
        raise KeyError(message)

    monkeypatch.setattr(QuickBooksLedger, "add_notes", fail)
    result = notes_due.run()
    assert "Internal error in duewell: KeyError at outbox entry" in result.reason
    assert "(KeyError)" not in result.reason, "the steps after the notes were not taken"
    notes_due.sandbox.clock.advance(AFTER_A_LOST_REPLY)
    notes_due.run()
    assert_each_invoice_has_one_note(notes_due)


class Killed(BaseException):
    """The process ends here."""


def list_kill_points() -> list[tuple[str, int]]:
    """Return where the process can end: before a transaction of the notes' delivery, or after the call."""
    return [*(("transaction", n) for n in range(1, CUSTOMERS + 3)), ("after the call", 1), ("before the call", 1)]


@on_quickbooks
@pytest.mark.parametrize(("where", "nth"), list_kill_points())
def test_each_note_is_written_once_wherever_the_process_is_killed(
    notes_due: Scenario, monkeypatch: pytest.MonkeyPatch, where: str, nth: int
) -> None:
    add_notes, deliver, seen = QuickBooksLedger.add_notes, note_batches._deliver_batch, [0]

    def killed_at_call(ledger: QuickBooksLedger, notes: Any) -> Any:
        if where == "after the call":
            add_notes(ledger, notes)
        raise Killed

    def counted(run: Callable[..., Any]) -> Callable[..., Any]:
        def begin(*arguments: Any, **options: Any) -> Any:
            seen[0] += 1
            if seen[0] == nth:
                raise Killed
            return run(*arguments, **options)

        return begin

    def deliver_counted(ctx: Any, *arguments: Any) -> Any:
        if where == "transaction":
            patched.setattr("connector.runtime.run_context.writing", counted(writing))
        return deliver(ctx, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(note_batches, "_deliver_batch", deliver_counted)
        if where != "transaction":
            patched.setattr(QuickBooksLedger, "add_notes", killed_at_call)
        with pytest.raises(Killed):
            notes_due.run()
    results: list[RunResult] = []
    for _ in range(3):
        notes_due.sandbox.clock.advance(AFTER_A_LOST_REPLY)
        results.append(notes_due.run())
    assert results[-1].outcome == RunOutcome.OK
    assert_each_invoice_has_one_note(notes_due)
