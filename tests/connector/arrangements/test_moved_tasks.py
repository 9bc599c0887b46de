"""Open tasks that follow the customer who is written to; merges are in ``sync/mirror/test_merge_chains.py``."""

from __future__ import annotations

from datetime import date

import pytest

from connector.arrangements.moved_tasks import join_call
from connector.db.tables import Task
from connector.vocabulary import TaskCode
from policies.decisions import CreateTask
from policies.receivables import Step


@pytest.mark.parametrize(
    ("invoices", "reason"),
    [
        (("i1", "i2"), "Escalation call: I1, 20 days ago."),
        (("i2",), "Escalation call: I1, 20 days ago. Call: I1, 9 days ago."),
    ],
)
def test_an_escalation_replaces_what_the_open_call_says_about_the_same_invoices(
    invoices: tuple[str, ...], reason: str
) -> None:
    today = date(2026, 6, 10)
    call = Task(
        connection_id=1,
        key="call",
        customer_id="c1",
        code=TaskCode.CALL,
        invoice_ids=["i1"],
        due_on=today,
        reason="Call: I1, 9 days ago.",
    )
    text = "Escalation call: I1, 20 days ago."
    join_call(call, CreateTask("c1", Step.ESCALATION_CALL, TaskCode.ESCALATION_CALL, invoices, today, text))
    assert (call.code, call.reason) == (TaskCode.ESCALATION_CALL, reason)
    assert set(call.invoice_ids) == {"i1", *invoices}
