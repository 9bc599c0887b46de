"""Planning anew: unsent plans are replaced, and what was sent or rejected stays."""

from __future__ import annotations

import pytest
from sqlmodel import Session

from connector.db.tables import Connection
from connector.outbox import entries
from connector.vocabulary import ConnectionMode, OutboxState
from policies.receivables import Step
from tests.connector.outbox.planned import NOW, draft, entry, replan, states


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
