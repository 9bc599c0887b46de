"""The outbox: unsent plans are replaced, what was done stays, and only what is permitted and due is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, col, select

from connector.db.tables import CompletedStep, Connection, OutboxEntry
from connector.outbox import approvals, entries
from connector.outbox.drafts import Draft
from connector.outbox.payloads import EmailPayload
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState
from policies.receivables import Step

NOW = datetime(2026, 6, 10, 9, 0, tzinfo=UTC)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        session.add(
            Connection(
                id=1, short_name="c", provider="xero", external_id="x", name="C", created_at=NOW,
                mode=ConnectionMode.LIVE,
            )
        )  # fmt: skip
        session.flush()
        yield session


def draft(key: str, customer: str = "ann", step: Step = Step.PAST_DUE, **more: object) -> Draft:
    payload = EmailPayload(completed=((f"i-{key}", step),), listed=(f"i-{key}",), to=("a@example.com",), due={})
    return Draft(key, OutboxKind.EMAIL, customer, f"{key} is late.", payload, step=step, **more)  # type: ignore[arg-type]


def replan(session: Session, drafts: Sequence[Draft], customers: list[str] | None = None) -> entries.ReplanResult:
    company = session.get_one(Connection, 1)
    scope = entries.PlanScope(customers, is_recheck=customers is not None)
    result = entries.replan(session, company, drafts, at=NOW, run_id=7, policy_version=3, scope=scope)
    session.flush()
    return result


def states(session: Session) -> dict[str, str]:
    return {row.key: row.state for row in session.scalars(select(OutboxEntry))}


def entry(session: Session, key: str) -> OutboxEntry:
    return session.scalars(select(OutboxEntry).where(col(OutboxEntry.key) == key)).one()


def test_unsent_plans_are_replaced(session: Session) -> None:
    assert replan(session, [draft("a"), draft("b")]).added == ["a", "b"]
    result = replan(session, [draft("b", step=Step.SECOND_NOTICE), draft("c")])
    assert (result.added, result.changed, result.cancelled) == (["c"], ["b"], ["a"])
    assert states(session) == {"b": "planned", "c": "planned"}
    assert (entry(session, "b").run_id, entry(session, "b").policy_version) == (7, 3)


@pytest.mark.parametrize("state", [OutboxState.SENDING, OutboxState.DONE, OutboxState.UNCONFIRMED])
def test_what_was_sent_or_may_have_been_stays_as_it_is(session: Session, state: OutboxState) -> None:
    replan(session, [draft("a")])
    entry(session, "a").state = state
    session.flush()
    before = entry(session, "a").content_hash
    for drafts in ([draft("a", step=Step.SECOND_NOTICE)], []):
        result = replan(session, drafts)
        assert (result.added, result.changed, result.cancelled) == ([], [], [])
    assert (states(session), entry(session, "a").content_hash) == ({"a": state}, before)


def test_a_recheck_cancels_and_corrects_for_its_customers_and_adds_nothing(session: Session) -> None:
    replan(session, [draft("a"), draft("b"), draft("c", "bob")])
    result = replan(session, [draft("b", step=Step.SECOND_NOTICE), draft("new")], customers=["ann"])
    assert (result.added, result.changed, result.cancelled) == ([], ["b"], ["a"])
    assert set(states(session)) == {"b", "c"}


def test_a_rejected_step_is_completed_on_the_companys_date(session: Session) -> None:
    session.get_one(Connection, 1).time_zone = "Pacific/Auckland"
    replan(session, [draft("a")])
    approvals.reject(session, [entry(session, "a").id or 0], by="Ann", at=NOW + timedelta(hours=4))
    session.flush()
    assert [str(step.completed_on) for step in session.scalars(select(CompletedStep))] == ["2026-06-11"]


def test_a_rejected_entry_comes_back_only_where_something_changed_and_no_person_rejected_it(session: Session) -> None:
    replan(session, [draft("a")])
    entries.mark_rejected(session, entry(session, "a"), at=NOW, detail="no such mailbox")
    session.flush()
    assert replan(session, [draft("a")]).rejected == {"a": "no such mailbox"}
    replan(session, [draft("a", step=Step.SECOND_NOTICE)])
    assert states(session) == {"a": "planned"}
    entries.mark_rejected(session, entry(session, "a"), at=NOW, detail="not this customer", resolved_by="Ann")
    session.flush()
    assert replan(session, [draft("a", step=Step.FINAL_NOTICE)]).rejected == {"a": "not this customer"}


def test_an_approval_holds_for_what_was_approved(session: Session) -> None:
    session.get_one(Connection, 1).mode = ConnectionMode.APPROVE
    replan(session, [draft("a")])
    assert states(session) == {"a": "awaiting_approval"}
    row = entry(session, "a")
    row.approved_at, row.approved_by, row.state = NOW, "Ann", OutboxState.PLANNED
    replan(session, [draft("a")])
    assert (states(session), entry(session, "a").approved_by) == ({"a": "planned"}, "Ann")
    replan(session, [draft("a", step=Step.SECOND_NOTICE)])
    assert (states(session), entry(session, "a").approved_by) == ({"a": "awaiting_approval"}, "")


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
