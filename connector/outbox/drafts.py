"""Turns decisions into drafts of outbox entries: of which kind, with which key and which payload. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType

import msgspec

from connector.languages import ENGLISH, language_of
from connector.outbox.payloads import EmailPayload, FeeCharge, LateFeePayload, Payload, dump_payload, plain
from connector.vocabulary import OutboxKind
from policies.bank_receipts import possible_payment_note
from policies.decisions import ChargeLateFee, CreateTask, CustomerDecision, SendReminder
from policies.invoice_names import after_invoice, invoice_name
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, Statement, Step
from policies.recipients import RecipientRole, Recipients, recipients_of
from policies.sections import Tone
from policies.settlement import is_worth_thanks
from policies.unapplied_credit import allocate_credit

FEE_NUMBER_PREFIX = "LF-"
_EVIDENT_ROLES = frozenset({RecipientRole.CUSTOMER, RecipientRole.INVOICE_COPY})  # as in most emails: not stored
MAX_FEE_NUMBER_LENGTH = 21  # QuickBooks' DocNumber; Xero allows more


@dataclass(frozen=True, slots=True)
class Draft:
    """An outbox entry as planned, before it has a row.

    ``key`` is derived from what the entry is about, so that the same thing always has the same key.
    """

    key: str
    kind: OutboxKind
    customer_id: str
    reason: str
    payload: Payload
    invoice_id: str = ""
    currency: str = ""
    step: str = ""
    send_after: datetime | None = None
    needs_approval: bool = False

    @property
    def content_hash(self) -> str:
        """Return a hash of what is approved: to whom, which invoices, which amounts; the reason may be reworded."""
        text = json.dumps([self.kind, self.customer_id, self.step, dump_payload(self.payload)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def short_key(key: str) -> str:
    """Return the ten characters by which a note names its outbox key and is found again."""
    return base64.b32encode(hashlib.sha256(key.encode()).digest())[:10].decode().lower()


def fee_number(original: str, period: str) -> str:
    """Return the number of a fee invoice, ``LF-<original>-<yymm>``, hashed where it is too long for the ledger."""
    suffix = re.sub(r"\D", "", period)[2:]
    number = FEE_NUMBER_PREFIX + "-".join(part for part in (original, suffix) if part)
    if len(number) <= MAX_FEE_NUMBER_LENGTH and re.fullmatch(r"[\w.\-/]+", number):
        return number
    return FEE_NUMBER_PREFIX + "-".join(part for part in (short_key(original)[:8], suffix) if part)


def build_drafts(
    ledger_key: str,
    decision: CustomerDecision,
    statements: Sequence[Statement],
    today: date,
    policy: ReminderPolicy | None = None,
    accounts: Mapping[str, str] = MappingProxyType({}),
) -> list[Draft]:
    """Draft the emails and late fees of one customer; ``ledger_key`` is the company's ``provider:external id``.

    ``policy`` is the one that applies to the customer and words the emails; None for the default.
    ``accounts`` are the bank accounts that emails name, by currency: an approval is for one of them, too.
    """
    invoices = {invoice.id: invoice for statement in statements for invoice in statement.invoices}
    amounts = {each.id: (plain(each.due - covered), plain(each.total)) for each, covered in _with_coverage(statements)}
    customer = statements[0].customer
    refused = Counter((each.invoice_id, each.step) for each in statements[0].past_actions if each.refused)
    drafts: list[Draft] = []
    words = policy or ReminderPolicy.default()
    for action in decision.actions:
        if isinstance(action, SendReminder):
            covered_invoices = [invoices[invoice_id] for invoice_id, _step in action.completed]
            recipients = recipients_of(customer, covered_invoices, action.step, words.copies)
            paid = {each.id: plain(each.paid_by(today)) for each in covered_invoices if _is_named(each, today, words)}
            draft = _reminder_draft(ledger_key, action, recipients, amounts, paid, refused)
            if action.step is not Step.THANK_YOU:
                about = {*action.listed, *(invoice_id for invoice_id, _step in action.completed)}
                draft = _with_possible_payments(draft, about, statements)
            account = accounts.get(draft.currency, "")
            drafts.append(_worded(draft, words, customer.language, account))
        elif isinstance(action, ChargeLateFee) and not action.invoice_month:
            draft = _late_fee_draft(ledger_key, action, invoices[action.invoice_id])
            drafts.append(_with_possible_payments(draft, {action.invoice_id}, statements))
    for draft in _combined_fee_drafts(ledger_key, decision, invoices):
        about = {invoice_id for invoice_id, _step in draft.payload.completed}
        drafts.append(_with_possible_payments(draft, about, statements))
    return drafts


def _with_possible_payments(draft: Draft, about: Collection[str], statements: Sequence[Statement]) -> Draft:
    """Return the draft, to be approved by a person where money in the bank may be for the invoices it is about."""
    found = [each for statement in statements for each in statement.possible_payments if each.invoice_id in about]
    if not found:
        return draft
    names = {
        each.id: invoice_name(each.number, each.issued_on, is_shared=each.shares_number)
        for statement in statements
        for each in statement.invoices
    }
    payload = draft.payload
    if isinstance(payload, EmailPayload):
        ids = tuple(dict.fromkeys(each.id for each in found))
        payload = msgspec.structs.replace(payload, possible_payments=ids)
    reason = f"{draft.reason}{possible_payment_note(found, names)}"
    return replace(draft, needs_approval=True, reason=reason, payload=payload)


def _is_named(invoice: Invoice, today: date, policy: ReminderPolicy) -> bool:
    """Return whether an email names the money that came for an invoice."""
    return is_worth_thanks(invoice.paid_by(today), invoice.total, policy.minimum_balance.for_currency(invoice.currency))


def _worded(draft: Draft, policy: ReminderPolicy, language: str, account: str) -> Draft:
    """Return the draft with what its words depend on; "" for the shipped words in English."""
    instructions = policy.payment_instructions.for_currency(draft.currency)
    tracked = [name for name, on in (("opens", policy.tracking.opens), ("clicks", policy.tracking.clicks)) if on]
    words = [policy.tone, instructions, language_of(language).code, account, *tracked]
    if words == [Tone.STANDARD, "", ENGLISH.code, ""]:
        return draft
    wording = hashlib.sha256(json.dumps(words).encode()).hexdigest()[:12]
    return replace(draft, payload=msgspec.structs.replace(draft.payload, wording=wording))


def _with_coverage(statements: Sequence[Statement]) -> Iterable[tuple[Invoice, Decimal]]:
    """Yield each invoice with what unapplied credit covers of it: that much is not asked for."""
    for statement in statements:
        coverage = allocate_credit(statement)
        yield from ((invoice, coverage.get(invoice.id, Decimal(0))) for invoice in statement.invoices)


def task_key(ledger_key: str, task: CreateTask) -> str:
    """Return the key of a task: one per code, leading invoice (or customer, without invoices) and recurrence."""
    subject = task.invoice_ids[0] if task.invoice_ids else task.customer_id
    return ":".join([ledger_key, "task", task.code, subject, *([task.recurrence_key] if task.recurrence_key else [])])


def note_key(entry_key: str, invoice_id: str) -> str:
    """Return the key of the note that an entry leaves on an invoice in the ledger."""
    return f"{entry_key}:note:{invoice_id}"


def _reminder_draft(
    ledger_key: str,
    action: SendReminder,
    recipients: Recipients,
    amounts: Mapping[str, tuple[Decimal, Decimal]],
    paid: dict[str, Decimal],
    refused: Mapping[tuple[str, Step], int],
) -> Draft:
    """Draft an email; ``refused`` counts the earlier ones of the same step that reached nobody.

    ``amounts`` are what is due on each invoice and what it is for.
    """
    listed = [each for each in action.listed if each in amounts]
    lead, step = action.completed[0]
    recurrence_keys = dict(action.recurrence_keys)
    suffix = f":{recurrence_keys[lead]}" if lead in recurrence_keys else ""
    if refused.get((lead, step)):
        suffix += f":again{refused[lead, step]}"
    return Draft(
        key=f"{ledger_key}:email:{lead}:{step}{suffix}",
        kind=OutboxKind.EMAIL,
        customer_id=action.customer_id,
        invoice_id=lead,
        currency=action.currency,
        step=action.step,
        reason=action.reason,
        send_after=action.send_after,
        payload=EmailPayload(
            to=recipients.to,
            cc=recipients.cc,
            bcc=recipients.bcc,
            roles={address: role for address, role in recipients.roles if role not in _EVIDENT_ROLES},
            completed=action.completed,
            listed=action.listed,
            announces_fee_on=action.announces_fee_on,
            fee_terms=action.fee_terms,
            due={each: amounts[each][0] for each in listed},
            totals={each: amounts[each][1] for each in listed},
            suspension_on=action.suspension_on,
            recurrence_keys=recurrence_keys,
            paid=paid,
        ),
    )


def _late_fee_draft(ledger_key: str, action: ChargeLateFee, invoice: Invoice) -> Draft:
    return Draft(
        key=f"{ledger_key}:late_fee:{action.invoice_id}:{action.period}",
        kind=OutboxKind.LATE_FEE,
        customer_id=action.customer_id,
        invoice_id=action.invoice_id,
        currency=action.currency,
        step=Step.LATE_FEE,
        reason=action.reason,
        needs_approval=action.needs_approval,
        payload=LateFeePayload(
            completed=((action.invoice_id, Step.LATE_FEE),),
            charges=(FeeCharge(action.invoice_id, action.period, plain(action.amount), action.basis),),
            number=fee_number(_fee_subject(invoice), action.period),
            original_numbers=(after_invoice(invoice.number, invoice.issued_on),),
            amount=plain(action.amount),
            annual_rate=plain(action.annual_rate),
            calculation=tuple((line.text, plain(line.amount)) for line in action.lines),
            text=action.text,
            due_days=action.due_days,
        ),
    )


def _fee_subject(invoice: Invoice) -> str:
    """Return what a fee's number is made of: two fees with one number would be one fee in the ledger."""
    return invoice.number if invoice.number and invoice.number_is_unique else short_key(invoice.id)[:8]


def _combined_fee_drafts(ledger_key: str, decision: CustomerDecision, invoices: Mapping[str, Invoice]) -> list[Draft]:
    """Draft one fee invoice for each currency and month, with the fee of the oldest invoice first."""
    groups: dict[tuple[str, str], list[ChargeLateFee]] = {}
    for action in decision.actions:
        if isinstance(action, ChargeLateFee) and action.invoice_month:
            groups.setdefault((action.currency, action.invoice_month), []).append(action)
    return [_combined_fee_draft(ledger_key, fees, invoices) for fees in groups.values()]


def _combined_fee_draft(ledger_key: str, fees: list[ChargeLateFee], invoices: Mapping[str, Invoice]) -> Draft:
    fees = sorted(fees, key=lambda fee: (invoices[fee.invoice_id].issued_on, fee.invoice_id, fee.period))
    lead, originals = fees[0], [invoices[fee.invoice_id] for fee in fees]
    numbers = {each.id: after_invoice(each.number, each.issued_on) for each in originals}
    amount, currency = plain(sum((fee.amount for fee in fees), Decimal(0))), lead.currency
    rate = plain(max(fee.annual_rate for fee in fees))
    names = {each.id: after_invoice(each.number, each.issued_on, is_shared=each.shares_number) for each in originals}
    # Months that were caught up on are told apart; their interest is often the same.
    months = {fee: f" ({fee.period})" if len(fees) > len(numbers) else "" for fee in fees}
    on = f"on {len(numbers)} invoices" if len(numbers) > 1 else f"for {len(fees)} months of one invoice"
    reason = f"Late fees {on}, charged together: {currency} {amount}, at most {rate} % a year."
    return Draft(
        key=f"{ledger_key}:late_fee:{lead.customer_id}:{currency}:{lead.invoice_month}",
        kind=OutboxKind.LATE_FEE,
        customer_id=lead.customer_id,
        invoice_id=lead.invoice_id,
        currency=currency,
        step=Step.LATE_FEE,
        reason=lead.reason if len(fees) == 1 else reason,
        needs_approval=any(fee.needs_approval for fee in fees),
        payload=LateFeePayload(
            completed=tuple((invoice_id, Step.LATE_FEE) for invoice_id in numbers),
            charges=tuple(FeeCharge(fee.invoice_id, fee.period, plain(fee.amount), fee.basis) for fee in fees),
            number=fee_number(short_key(f"{lead.customer_id} {currency}")[:8], lead.invoice_month),
            original_numbers=tuple(numbers.values()),
            amount=amount,
            annual_rate=rate,
            calculation=tuple(
                (f"{names[fee.invoice_id]}: {line.text}{months[fee]}", plain(line.amount))
                for fee in fees
                for line in fee.lines
            ),
            lines=tuple((f"{fee.text}{months[fee]}", plain(fee.amount)) for fee in fees),
            text=lead.text,
            due_days=lead.due_days,
        ),
    )
