"""What a policy answers with: actions, holds, and one answer per invoice, each with its reason in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from policies.receivables import Step


class DecisionKind(StrEnum):
    """What happens to an invoice in this run."""

    REMINDER = "reminder"
    TASK = "task"
    FEE = "fee"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class SendReminder:
    """One mail to one customer about one statement.

    ``step`` sets the text; ``taken`` are the (invoice id, step) pairs this mail takes, the leading one first;
    ``listed`` are all invoice ids the mail shows, due soon and overdue. ``leaves_from_at`` is set where the mail
    has to wait for the window in the customer's time zone: it is planned, and may not leave earlier.
    ``suspension_on`` is the day a final notice names. ``occasions`` tell, by invoice id, which promise was broken.
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


@dataclass(frozen=True, slots=True)
class NotifyOwner:
    """An internal mail to the account owner or sales rep about (invoice id, step) pairs."""

    customer_id: str
    currency: str
    completed: tuple[tuple[str, Step], ...]
    reason: str


@dataclass(frozen=True, slots=True)
class CreateTask:
    """Work for a person: a call, a review, an address to find.

    ``occasion`` tells tasks of one step apart where it may come again for an invoice: a dispute's or a promise's day.
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
    """One line of a fee's calculation, printable: what, over how many days, at which rate, gives how much."""

    text: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class ChargeLateFee:
    """A late fee on one invoice for one period; ``annual_rate`` is in percent (fee % x 365 / days late).

    ``text`` is the line of the fee's invoice, due after ``due_days``; fees of a customer and currency that go
    ``together`` (a month like "2026-12") make one invoice.
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
    due_days: int = 14
    text: str = ""
    invoice_month: str = ""


Action = SendReminder | NotifyOwner | CreateTask | ChargeLateFee


@dataclass(frozen=True, slots=True)
class InvoiceDecision:
    """The one answer an invoice gets in a run.

    ``code`` is stable and for machines (a hold's name, a step's name); ``why`` is the sentence a person reads.
    ``next_step`` and ``next_on`` say what comes next if nothing changes.
    """

    invoice_id: str
    kind: DecisionKind
    code: str
    reason: str
    next_step: Step | None = None
    next_on: date | None = None


@dataclass(frozen=True, slots=True)
class CustomerDecision:
    """Everything decided about one customer: actions, and exactly one answer per invoice of his statements.

    ``policy`` names the policy of the document that was followed, "" the one for all.
    """

    customer_id: str
    actions: tuple[Action, ...]
    invoice_decisions: tuple[InvoiceDecision, ...]
    policy: str = ""
