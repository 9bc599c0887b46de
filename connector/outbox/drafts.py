"""Turns decisions into drafts of outbox entries: which effect, under which derived key, with which content. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from connector.vocabulary import OutboxKind
from policies.decisions import ChargeLateFee, CreateTask, CustomerDecision, SendReminder
from policies.receivables import Invoice, Statement, Step

FEE_NUMBER_PREFIX = "LF-"
MAX_FEE_NUMBER_LENGTH = 21  # QuickBooks' DocNumber; Xero allows more


@dataclass(frozen=True, slots=True)
class Draft:
    """An effect as planned: everything an outbox row needs, before there is a row."""

    key: str
    kind: OutboxKind
    customer_id: str
    reason: str
    invoice_id: str = ""
    currency: str = ""
    step: str = ""
    payload: dict[str, Any] = field(default_factory=dict)
    send_after: datetime | None = None
    needs_approval: bool = False

    @property
    def content_hash(self) -> str:
        """Fingerprint of what a person would approve: whom, which invoices, which sums; not the reason's wording."""
        text = json.dumps([self.kind, self.customer_id, self.step, self.payload], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def short_key(key: str) -> str:
    """The ten characters by which a note names its outbox key and is found again."""
    return base64.b32encode(hashlib.sha256(key.encode()).digest())[:10].decode().lower()


def fee_number(original: str, period: str) -> str:
    """Name a fee invoice ``LF-<original>-<yymm>``, hashed where too long: the same fee, always the same number."""
    tail = re.sub(r"\D", "", period)[2:]
    number = FEE_NUMBER_PREFIX + "-".join(part for part in (original, tail) if part)
    if len(number) <= MAX_FEE_NUMBER_LENGTH and re.fullmatch(r"[\w.\-/]+", number):
        return number
    return FEE_NUMBER_PREFIX + "-".join(part for part in (short_key(original)[:8], tail) if part)


def build_drafts(ledger_key: str, decision: CustomerDecision, statements: Sequence[Statement]) -> list[Draft]:
    """Draft the mails and fees of one customer. ``books`` names the company for good: ``provider:external id``."""
    invoices = {invoice.id: invoice for statement in statements for invoice in statement.invoices}
    customer = statements[0].customer
    made: list[Draft] = []
    for action in decision.actions:
        if isinstance(action, SendReminder):
            made.append(_reminder_draft(ledger_key, action, customer.emails, invoices))
        elif isinstance(action, ChargeLateFee) and not action.invoice_month:
            made.append(_late_fee_draft(ledger_key, action, invoices[action.invoice_id]))
    return made + _combined_fee_drafts(ledger_key, decision, invoices)


def task_key(ledger_key: str, task: CreateTask) -> str:
    """The task's key: once per kind, leading invoice (or customer, where it is about no invoice) and occasion."""
    about = task.invoice_ids[0] if task.invoice_ids else task.customer_id
    return ":".join([ledger_key, "task", task.code, about, *([task.recurrence_key] if task.recurrence_key else [])])


def note_key(entry_key: str, invoice_id: str) -> str:
    """The key of the note that tells an invoice's story in the ledger after a mail or fee."""
    return f"{entry_key}:note:{invoice_id}"


def _reminder_draft(
    ledger_key: str, action: SendReminder, emails: Sequence[str], invoices: Mapping[str, Invoice]
) -> Draft:
    lead, step = action.completed[0]
    recurrence_keys = dict(action.recurrence_keys)
    once = f":{recurrence_keys[lead]}" if lead in recurrence_keys else ""
    return Draft(
        key=f"{ledger_key}:mail:{lead}:{step.value}{once}",
        kind=OutboxKind.EMAIL,
        customer_id=action.customer_id,
        invoice_id=lead,
        currency=action.currency,
        step=action.step.value,
        reason=action.reason,
        send_after=action.send_after,
        payload={
            "to": list(emails),
            "completed": [[invoice, taken.value] for invoice, taken in action.completed],
            "listed": list(action.listed),
            "due": {invoice: _format_amount(invoices[invoice].due) for invoice in action.listed if invoice in invoices},
            "suspension_on": action.suspension_on.isoformat() if action.suspension_on else None,
            **({"recurrence_keys": recurrence_keys} if recurrence_keys else {}),
        },
    )


def _late_fee_draft(ledger_key: str, action: ChargeLateFee, invoice: Invoice) -> Draft:
    return Draft(
        key=f"{ledger_key}:late_fee:{action.invoice_id}:{action.period}",
        kind=OutboxKind.LATE_FEE,
        customer_id=action.customer_id,
        invoice_id=action.invoice_id,
        currency=action.currency,
        step=Step.LATE_FEE.value,
        reason=action.reason,
        needs_approval=action.needs_approval,
        payload={
            "completed": [[action.invoice_id, Step.LATE_FEE.value]],
            "period": action.period,
            "number": fee_number(invoice.number, action.period),
            "original_number": invoice.number,
            "amount": _format_amount(action.amount),
            "annual_rate": _format_amount(action.annual_rate),
            "calculation": [[part.text, _format_amount(part.amount)] for part in action.lines],
            "text": action.text,
            "due_days": action.due_days,
        },
    )


def _combined_fee_drafts(ledger_key: str, decision: CustomerDecision, invoices: Mapping[str, Invoice]) -> list[Draft]:
    """Draft one invoice for the fees of a month in a currency, the oldest debt leading."""
    groups: dict[tuple[str, str], list[ChargeLateFee]] = {}
    for action in decision.actions:
        if isinstance(action, ChargeLateFee) and action.invoice_month:
            groups.setdefault((action.currency, action.invoice_month), []).append(action)
    return [_combined_fee_draft(ledger_key, fees, invoices) for fees in groups.values()]


def _combined_fee_draft(ledger_key: str, fees: list[ChargeLateFee], invoices: Mapping[str, Invoice]) -> Draft:
    fees = sorted(fees, key=lambda fee: (invoices[fee.invoice_id].issued_on, fee.invoice_id))
    lead, numbers = fees[0], [invoices[fee.invoice_id].number for fee in fees]
    amount, currency = sum((fee.amount for fee in fees), Decimal(0)), lead.currency
    rate = max(fee.annual_rate for fee in fees)
    reason = f"Late fees on {len(fees)} invoices in one: {currency} {_format_amount(amount)}, at most {_format_amount(rate)} % a year."
    return Draft(
        key=f"{ledger_key}:late_fee:{lead.customer_id}:{currency}:{lead.invoice_month}",
        kind=OutboxKind.LATE_FEE,
        customer_id=lead.customer_id,
        invoice_id=lead.invoice_id,
        currency=currency,
        step=Step.LATE_FEE.value,
        reason=lead.reason if len(fees) == 1 else reason,
        needs_approval=any(fee.needs_approval for fee in fees),
        payload={
            "completed": [[fee.invoice_id, Step.LATE_FEE.value] for fee in fees],
            "recurrence_keys": {fee.invoice_id: fee.period for fee in fees},
            "amounts": {fee.invoice_id: _format_amount(fee.amount) for fee in fees},
            "number": fee_number(short_key(f"{lead.customer_id} {currency}")[:8], lead.invoice_month),
            "original_number": numbers[0],
            "original_numbers": numbers,
            "amount": _format_amount(amount),
            "annual_rate": _format_amount(rate),
            "calculation": [
                [f"{number}: {part.text}", _format_amount(part.amount)]
                for number, fee in zip(numbers, fees, strict=True)
                for part in fee.lines
            ],
            "lines": [[fee.text, _format_amount(fee.amount)] for fee in fees],
            "text": lead.text,
            "due_days": lead.due_days,
        },
    )


def _format_amount(amount: Decimal) -> str:
    return format(amount, "f")
