"""How the decisions about invoices are told."""

from __future__ import annotations

from connector.evaluation.invoice_decisions import rejected_decision
from policies.decisions import DecisionKind, InvoiceDecision


def test_a_rejected_fee_is_told_as_one_and_not_as_a_stop_of_all_emails() -> None:
    refusal = "Xero rejected the write: The accounts are locked."
    decided = InvoiceDecision("i1", DecisionKind.FEE, "late_fee", "Late fee: EUR 5.00")
    assert rejected_decision(decided, refusal).reason == f"No late fee is charged: {refusal}"
