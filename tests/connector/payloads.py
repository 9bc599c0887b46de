"""Payloads of outbox entries for tests that store entries without a run."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from connector.outbox.payloads import FeeCharge, LateFeePayload, dump_payload
from policies.receivables import Step


def late_fee_payload(invoice_id: str = "i1", *, number: str = "LF-1", amount: str = "5.00") -> dict[str, Any]:
    """Return the stored payload of a flat late fee on one invoice, INV-1."""
    return dump_payload(
        LateFeePayload(
            completed=((invoice_id, Step.LATE_FEE),),
            number=number,
            original_numbers=("INV-1",),
            amount=Decimal(amount),
            charges=(FeeCharge(invoice_id, "2026-06", Decimal(amount)),),
            annual_rate=Decimal("262.0"),
            calculation=(("a flat fee, as agreed", Decimal(amount)),),
            text="Late fee",
            due_days=14,
        )
    )
