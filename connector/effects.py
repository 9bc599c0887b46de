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

from policies.decisions import ChargeLateFee, Decision, MakeTask, SendReminder
from policies.receivables import Invoice, Statement, Step

NUMBER_LENGTH = 21  # QuickBooks' DocNumber; Xero allows more


@dataclass(frozen=True, slots=True)
class Draft:
    """An effect as planned: everything an outbox row needs, before there is a row."""

    key: str
    kind: str
    customer_id: str
    why: str
    invoice_id: str = ""
    currency: str = ""
    step: str = ""
    payload: dict[str, Any] = field(default_factory=dict)
    leaves_from_at: datetime | None = None
    needs_person: bool = False

    @property
    def content(self) -> str:
        """Fingerprint of what a person would approve: whom, which invoices, which sums; not the reason's wording."""
        text = json.dumps([self.kind, self.customer_id, self.step, self.payload], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def short_key(key: str) -> str:
    """The ten characters by which a note names its outbox key and is found again."""
    return base64.b32encode(hashlib.sha256(key.encode()).digest())[:10].decode().lower()


def fee_number(original: str, period: str) -> str:
    """Name a fee invoice ``LF-<original>-<yymm>``, hashed where too long: the same fee, always the same number."""
    tail = re.sub(r"\D", "", period)[2:]
    number = "-".join(part for part in ("LF", original, tail) if part)
    if len(number) <= NUMBER_LENGTH and re.fullmatch(r"[\w.\-/]+", number):
        return number
    return "-".join(part for part in ("LF", short_key(original)[:8], tail) if part)


def drafts(books: str, decision: Decision, statements: Sequence[Statement]) -> list[Draft]:
    """Draft the mails and fees of one customer. ``books`` names the company for good: ``provider:external id``."""
    invoices = {invoice.id: invoice for statement in statements for invoice in statement.invoices}
    customer = statements[0].customer
    made: list[Draft] = []
    for action in decision.actions:
        if isinstance(action, SendReminder):
            made.append(_reminder(books, action, customer.emails, invoices))
        elif isinstance(action, ChargeLateFee) and not action.together:
            made.append(_late_fee(books, action, invoices[action.invoice_id]))
    return made + _fees_together(books, decision, invoices)


def task_key(books: str, task: MakeTask) -> str:
    """The task's key: once per kind, leading invoice (or customer, where it is about no invoice) and occasion."""
    about = task.invoice_ids[0] if task.invoice_ids else task.customer_id
    return ":".join([books, "task", task.code, about, *([task.occasion] if task.occasion else [])])


def note_key(mail_key: str, invoice_id: str) -> str:
    """The key of the note that tells an invoice's story in the ledger after a mail or fee."""
    return f"{mail_key}:note:{invoice_id}"


def _reminder(books: str, action: SendReminder, emails: Sequence[str], invoices: Mapping[str, Invoice]) -> Draft:
    lead, step = action.taken[0]
    occasions = dict(action.occasions)
    once = f":{occasions[lead]}" if lead in occasions else ""
    return Draft(
        key=f"{books}:mail:{lead}:{step.value}{once}",
        kind="mail",
        customer_id=action.customer_id,
        invoice_id=lead,
        currency=action.currency,
        step=action.step.value,
        why=action.why,
        leaves_from_at=action.leaves_from_at,
        payload={
            "to": list(emails),
            "taken": [[invoice, taken.value] for invoice, taken in action.taken],
            "listed": list(action.listed),
            "due": {invoice: _plain(invoices[invoice].due) for invoice in action.listed if invoice in invoices},
            "suspension_on": action.suspension_on.isoformat() if action.suspension_on else None,
            **({"periods": occasions} if occasions else {}),
        },
    )


def _late_fee(books: str, action: ChargeLateFee, invoice: Invoice) -> Draft:
    return Draft(
        key=f"{books}:late_fee:{action.invoice_id}:{action.period}",
        kind="late_fee",
        customer_id=action.customer_id,
        invoice_id=action.invoice_id,
        currency=action.currency,
        step=Step.LATE_FEE.value,
        why=action.why,
        needs_person=action.needs_approval,
        payload={
            "taken": [[action.invoice_id, Step.LATE_FEE.value]],
            "period": action.period,
            "number": fee_number(invoice.number, action.period),
            "of_number": invoice.number,
            "amount": _plain(action.amount),
            "annual_rate": _plain(action.annual_rate),
            "parts": [[part.text, _plain(part.amount)] for part in action.parts],
            "text": action.text,
            "due_days": action.due_days,
        },
    )


def _fees_together(books: str, decision: Decision, invoices: Mapping[str, Invoice]) -> list[Draft]:
    """Draft one invoice for the fees of a month in a currency, the oldest debt leading."""
    groups: dict[tuple[str, str], list[ChargeLateFee]] = {}
    for action in decision.actions:
        if isinstance(action, ChargeLateFee) and action.together:
            groups.setdefault((action.currency, action.together), []).append(action)
    return [_one_invoice(books, fees, invoices) for fees in groups.values()]


def _one_invoice(books: str, fees: list[ChargeLateFee], invoices: Mapping[str, Invoice]) -> Draft:
    fees = sorted(fees, key=lambda fee: (invoices[fee.invoice_id].issued_on, fee.invoice_id))
    lead, numbers = fees[0], [invoices[fee.invoice_id].number for fee in fees]
    amount, currency = sum((fee.amount for fee in fees), Decimal(0)), lead.currency
    rate = max(fee.annual_rate for fee in fees)
    why = f"Late fees on {len(fees)} invoices in one: {currency} {_plain(amount)}, at most {_plain(rate)} % a year."
    return Draft(
        key=f"{books}:late_fee:{lead.customer_id}:{currency}:{lead.together}",
        kind="late_fee",
        customer_id=lead.customer_id,
        invoice_id=lead.invoice_id,
        currency=currency,
        step=Step.LATE_FEE.value,
        why=lead.why if len(fees) == 1 else why,
        needs_person=any(fee.needs_approval for fee in fees),
        payload={
            "taken": [[fee.invoice_id, Step.LATE_FEE.value] for fee in fees],
            "periods": {fee.invoice_id: fee.period for fee in fees},
            "amounts": {fee.invoice_id: _plain(fee.amount) for fee in fees},
            "number": fee_number(short_key(f"{lead.customer_id} {currency}")[:8], lead.together),
            "of_number": numbers[0],
            "of_numbers": numbers,
            "amount": _plain(amount),
            "annual_rate": _plain(rate),
            "parts": [
                [f"{number}: {part.text}", _plain(part.amount)]
                for number, fee in zip(numbers, fees, strict=True)
                for part in fee.parts
            ],
            "lines": [[fee.text, _plain(fee.amount)] for fee in fees],
            "text": lead.text,
            "due_days": lead.due_days,
        },
    )


def _plain(amount: Decimal) -> str:
    return format(amount, "f")
