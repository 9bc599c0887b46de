"""What a policy decides: actions, and one decision per invoice, each with its reason in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from policies.fee_basis import FeeBasis
from policies.receivables import Step


class DecisionKind(StrEnum):
    """What happens to an invoice in this run.

    ``WAITING`` is no hold: the invoice is settled, or nothing is due between two steps of its schedule.
    """

    REMINDER = "reminder"
    TASK = "task"
    FEE = "fee"
    HOLD = "hold"
    WAITING = "waiting"


class HoldCode(StrEnum):
    """Why nothing happens to an invoice in this run."""

    NOTHING_OWED = "nothing_owed"
    ERASED = "erased"
    STALE_DATA = "stale_data"
    PAID_AT_BANK = "paid_at_bank"
    UNAPPLIED_CREDIT = "unapplied_credit"
    DISPUTED = "disputed"
    PROMISED = "promised"
    PAYMENT_PLAN = "payment_plan"
    PAUSED = "paused"
    PAYMENT_RETURNED = "payment_returned"
    OPTED_OUT = "opted_out"
    LEDGER_REMINDERS = "ledger_reminders"
    SUPPRESSED = "suppressed"
    NO_EMAIL_ADDRESS = "no_email_address"
    FEE_INVOICE = "fee_invoice"
    BELOW_MINIMUM = "below_minimum"
    DRAFT = "draft"
    NEVER_SENT = "never_sent"
    NO_DUE_DATE = "no_due_date"
    WITHHELD = "withheld"
    FREQUENCY_CAP = "frequency_cap"
    NOT_DUE_YET = "not_due_yet"
    ALL_STEPS_COMPLETED = "all_steps_completed"


class MoneyTask(StrEnum):
    """The codes of tasks about money: there but not applied to an invoice, or thanked for and gone."""

    APPLY_CREDIT = "apply_credit"
    BOOK_PAYMENT = "book_payment"
    PAYMENT_NOT_BOOKED = "payment_not_booked"
    PAYMENT_RETURNED = "payment_returned"


@dataclass(frozen=True, slots=True)
class SendReminder:
    """One email to one customer about one statement.

    ``step`` chooses the text. ``completed`` are the (invoice id, step) pairs that this email completes, the leading
    one first; ``listed`` the ids of all invoices it shows, overdue and due soon. ``send_after`` is set where the email
    has to wait for the send window in the customer's time zone. ``suspension_on`` is the date a final notice names.
    ``recurrence_keys`` holds, by invoice id, what tells a step from the same one before it: the date of the promise
    that was broken, or the one from which the step counts since the due date was moved. ``announces_fee_on`` are the
    ids of the invoices on which a late fee can come: the email warns of it, and ``fee_terms`` stands for that fee.
    """

    customer_id: str
    currency: str
    step: Step
    completed: tuple[tuple[str, Step], ...]
    listed: tuple[str, ...]
    reason: str
    send_after: datetime | None = None
    suspension_on: date | None = None
    recurrence_keys: tuple[tuple[str, str], ...] = ()
    announces_fee_on: tuple[str, ...] = ()
    fee_terms: str = ""


@dataclass(frozen=True, slots=True)
class NotifyOwner:
    """An internal email to the account owner or sales rep about (invoice id, step) pairs."""

    customer_id: str
    currency: str
    completed: tuple[tuple[str, Step], ...]
    reason: str


@dataclass(frozen=True, slots=True)
class CreateTask:
    """A task for a person: a call, a review, an email address to find.

    ``recurrence_key`` tells tasks of one step apart where it can recur: the date of a dispute or a promise.
    """

    customer_id: str
    step: Step | None
    code: str
    invoice_ids: tuple[str, ...]
    due_on: date
    reason: str
    recurrence_key: str = ""


@dataclass(frozen=True, slots=True)
class FeeLine:
    """One line of a late fee's calculation, as people read it; ``annual_rate`` in percent, of interest by the day."""

    text: str
    amount: Decimal
    annual_rate: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ChargeLateFee:
    """A late fee on one invoice for one period; ``annual_rate`` is in percent (fee in percent x 365 / days late).

    ``text`` is the description on the fee's own invoice, which is due after ``due_days``. Fees of a customer in one
    currency with the same ``invoice_month`` (like "2026-12") share an invoice. ``verified`` is false where it is based
    on a figure that nobody has compared with its source. ``basis`` is what it was calculated from.
    """

    customer_id: str
    invoice_id: str
    currency: str
    period: str
    amount: Decimal
    annual_rate: Decimal
    lines: tuple[FeeLine, ...]
    reason: str
    needs_approval: bool = True
    verified: bool = True
    due_days: int = 14
    text: str = ""
    invoice_month: str = ""
    basis: FeeBasis | None = None


Action = SendReminder | NotifyOwner | CreateTask | ChargeLateFee


@dataclass(frozen=True, slots=True)
class InvoiceDecision:
    """The decision about one invoice in a run.

    ``code`` is stable and meant for programs: a step, a task code or a ``HoldCode``; ``reason`` is what people read.
    ``next_step`` and ``next_on`` are what comes next if nothing changes.
    """

    invoice_id: str
    kind: DecisionKind
    code: str
    reason: str
    next_step: Step | None = None
    next_on: date | None = None


@dataclass(frozen=True, slots=True)
class CustomerDecision:
    """Everything decided about one customer: the actions, and exactly one decision for each invoice.

    ``policy`` is the name of the customer policy that applied; "" is the policy of all customers.
    """

    customer_id: str
    actions: tuple[Action, ...]
    invoice_decisions: tuple[InvoiceDecision, ...]
    policy: str = ""
