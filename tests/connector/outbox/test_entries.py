"""The outbox: what was done stays, and only what is permitted and due is sent."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest
from sqlmodel import Session, select

from connector.db.tables import CompletedStep, Connection, OutboxEntry
from connector.outbox import approvals, entries
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState
from tests.connector.outbox.planned import NOW, draft, entry, replan


def test_a_rejected_step_is_completed_on_the_companys_date(session: Session) -> None:
    session.get_one(Connection, 1).time_zone = "Pacific/Auckland"
    replan(session, [draft("a")])
    approvals.reject(session, [entry(session, "a").id or 0], by="Ann", at=NOW + timedelta(hours=4))
    session.flush()
    assert [str(step.completed_on) for step in session.scalars(select(CompletedStep))] == ["2026-06-11"]


@pytest.mark.parametrize(("mode", "paused", "approved"), [*product(ConnectionMode, (False, True), (False, True))])
def test_mode_pause_and_approval_decide_what_is_permitted(
    session: Session, mode: ConnectionMode, *, paused: bool, approved: bool
) -> None:
    replan(session, [draft("a")])
    company, row = session.get_one(Connection, 1), entry(session, "a")
    company.mode, company.pause_reason = mode, "audit" if paused else ""
    row.approved_at = NOW if approved else None
    expected = not paused and (mode is ConnectionMode.LIVE or (mode is ConnectionMode.APPROVE and approved))
    assert entries.is_permitted(company, row) is expected
    row.kind = OutboxKind.OWNER_EMAIL  # the account owner's own email needs no approval
    assert entries.is_permitted(company, row) is (not paused and mode is not ConnectionMode.OBSERVE)


@pytest.mark.parametrize(("seconds", "ready"), [(0, True), (1, False)])
def test_an_entry_is_ready_from_its_time_on(session: Session, seconds: int, *, ready: bool) -> None:
    replan(session, [draft("a", send_after=NOW + timedelta(seconds=seconds))])
    found = entries.find_ready(session, session.get_one(Connection, 1), [OutboxKind.EMAIL], NOW)
    assert bool(found) is ready


def test_what_was_tried_least_comes_first(session: Session) -> None:
    replan(session, [draft("a"), draft("b"), draft("c")])
    entry(session, "a").attempts = 1
    session.flush()
    found = entries.find_ready(session, session.get_one(Connection, 1), [OutboxKind.EMAIL], NOW)
    assert [row.key for row in found] == ["b", "c", "a"]


def test_a_step_is_completed_once_whatever_entry_completes_it(session: Session) -> None:
    replan(session, [draft("a")])
    entries.mark_sending(session, entry(session, "a"), at=NOW, on=NOW.date())
    assert (entry(session, "a").state, entry(session, "a").attempts) == (OutboxState.SENDING, 1)
    session.add(
        OutboxEntry(
            connection_id=1, key="again", kind=OutboxKind.EMAIL, state=OutboxState.PLANNED, customer_id="ann",
            payload=entry(session, "a").payload, planned_at=NOW,
        )
    )  # fmt: skip
    session.flush()
    with pytest.raises(entries.StepAlreadyCompleted):
        entries.mark_sending(session, entry(session, "again"), at=NOW, on=NOW.date())
