"""The facts a policy looks at: customers, invoices, credits, payments and what was already done, all frozen.

Money is an exact ``Decimal`` in the currency named beside it; it is never added up across currencies.
``_on`` names calendar dates (in the organisation's time zone), ``_at`` names aware UTC instants.
Ids are the ledger's own (``external_id``), unique within one connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class InvoiceStatus(StrEnum):
    """Where an invoice stands in its ledger."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOIDED = "voided"
    DELETED = "deleted"


class CreditKind(StrEnum):
    """What a customer's unapplied credit is."""

    CREDIT_NOTE = "credit_note"
    PAYMENT = "payment"
    OVERPAYMENT = "overpayment"
    PREPAYMENT = "prepayment"


class Segment(StrEnum):
    """Which row of the timetable a customer follows (policy.md, "Segments")."""

    STRATEGIC = "strategic"
    ESTABLISHED = "established"
    NEW = "new"


class Size(StrEnum):
    """How large an invoice is among the company's own of the last 12 months."""

    LARGE = "large"
    MEDIUM = "medium"
    SMALL = "small"


class Step(StrEnum):
    """The steps of the timetable, in the order in which they harden."""

    THANK_YOU = "thank_you"
    RECEIPT_CHECK = "receipt_check"
    DISCOUNT_ENDING = "discount_ending"
    BEFORE_DUE = "before_due"
    DUE_TODAY = "due_today"
    PAST_DUE = "past_due"
    NOTIFY_OWNER = "notify_owner"
    CALL = "call"
    SECOND_NOTICE = "second_notice"
    PLAN_OFFER = "plan_offer"
    LATE_FEE = "late_fee"
    ESCALATION_CALL = "escalation_call"
    FINAL_NOTICE = "final_notice"
    PROPOSE_SUSPENSION = "propose_suspension"
    HAND_OFF_REVIEW = "hand_off_review"
    DISPUTE_RAISED = "dispute_raised"
    PROMISE_BROKEN = "promise_broken"


@dataclass(frozen=True, slots=True)
class Company:
    """The organisation whose books these are.

    ``time_zone`` is an IANA name; ``country`` an ISO 3166 alpha-2 code; ``lock_on`` the day up to and
    including which its books are closed; ``own_reminders`` tells that the ledger mails reminders by itself.
    """

    name: str
    base_currency: str
    country: str
    time_zone: str
    lock_on: date | None = None
    ledger_reminders: bool = False


@dataclass(frozen=True, slots=True)
class PaymentBehaviour:
    """How a customer pays, from what he settled before today (``habits.py``): days late are counted from the due date.

    ``low``/``high`` bound four cases of five; ``weekday`` counts from Monday = 0; ``on_time_run`` is the number of the
    last invoices in a row that were paid on time.
    """

    closed_invoices: int
    median_days_late: float
    low_days_late: float
    high_days_late: float
    late_share: float
    weekday: int | None = None
    on_time_streak: int = 0
    broke_promise: bool = False


@dataclass(frozen=True, slots=True)
class RevenueRank:
    """A customer's rank by 12-month revenue in one currency, from 1 among all ``customers`` invoiced in it.

    ``revenue_above`` is the revenue of the customers ranked above.
    """

    rank: int
    customers: int
    revenue_above: Decimal
    revenue: Decimal
    total_revenue: Decimal


@dataclass(frozen=True, slots=True)
class Customer:
    """Who owes. What a person sets by hand is ``None`` where it is as the policy says."""

    id: str
    name: str
    contact_name: str = ""
    emails: tuple[str, ...] = ()
    country: str = ""
    time_zone: str = ""
    language: str = ""
    active: bool = True
    segment: Segment | None = None
    hold_until_on: date | None = None
    no_reminders: bool = False
    no_fees: bool = False
    fees_agreed_on: date | None = None
    suppression_reason: str = ""
    first_invoiced_on: date | None = None
    paid_invoices: int = 0
    revenue_ranks: tuple[RevenueRank, ...] = ()
    payment_behaviour: PaymentBehaviour | None = None
    tags: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    erased: bool = False  # his personal data were erased on request


@dataclass(frozen=True, slots=True)
class Discount:
    """An early-payment discount the terms offer: ``amount`` off when paid by ``until_on``."""

    amount: Decimal
    ends_on: date


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """What lowered (negative) or raised an invoice's balance on a day: a payment, a credit, its undoing."""

    on: date
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Instalment:
    """One payment of a plan: how much by when."""

    due_on: date
    amount: Decimal


@dataclass(frozen=True, slots=True)
class PaymentPlan:
    """What was agreed about an invoice: instalments, oldest first, on ``owed`` as it was on ``agreed_on``."""

    agreed_on: date
    agreed_balance: Decimal
    instalments: tuple[Instalment, ...]


@dataclass(frozen=True, slots=True)
class Invoice:
    """One sales invoice. ``due`` is what is still owed, in ``currency``.

    ``fee_of`` is the id of the invoice a late fee belongs to.
    ``sent_to_customer`` is False only where the ledger says that the customer never got it.
    ``disputed_on``, ``promised_on``, ``paused_until_on`` come from a person or from the ledger.
    ``ledger_fee`` tells that the ledger has put a late fee of its own on it.
    ``changes`` is the balance history since issue, oldest first.
    """

    id: str
    number: str
    customer_id: str
    currency: str
    issued_on: date
    due_on: date | None
    total: Decimal
    due: Decimal
    status: InvoiceStatus
    sent_to_customer: bool = True
    size_percentile: int = 0
    closed_on: date | None = None
    discount: Discount | None = None
    fee_of: str | None = None
    ledger_fee: bool = False
    disputed_on: date | None = None
    dispute_reason: str = ""
    promised_on: date | None = None
    paused: bool = False
    paused_until_on: date | None = None
    balance_changes: tuple[BalanceChange, ...] = ()
    payment_plan: PaymentPlan | None = None


@dataclass(frozen=True, slots=True)
class Credit:
    """Money of the customer that is not applied to an invoice yet; ``remaining`` is positive."""

    id: str
    kind: CreditKind
    customer_id: str
    currency: str
    remaining: Decimal
    dated_on: date


@dataclass(frozen=True, slots=True)
class PastAction:
    """Something that was done and stays done: a mail, task or fee of a step, for one invoice.

    ``uncertain`` marks a mail whose outcome is a doubt: it counts as done until a person says otherwise.
    ``mail_key`` groups the invoices that one mail covered, so that a mail counts once in the caps.
    ``occasion`` tells deeds of one step apart where it may come again: a fee's period, a promise's day.
    ``charged`` is what a fee came to, where that is known; ``ended`` says that it was "waived" or "paid" since.
    """

    step: Step
    invoice_id: str
    at: datetime
    on: date
    email_key: str = ""
    is_contact: bool = True
    unconfirmed: bool = False
    recurrence_key: str = ""
    fee_amount: Decimal | None = None
    fee_outcome: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """All that one customer owes in one currency, and what was done about it: what a policy looks at.

    ``invoices`` holds every open invoice and those settled in the last 30 days (for the thanks).
    ``deeds`` holds the deeds of this *customer* in every currency (the caps count mails per customer).
    ``pulled_at`` is when the mirror last agreed with the ledger in full.
    ``live_since_at`` is when the connection first went live, ``None`` before.
    """

    company: Company
    customer: Customer
    currency: str
    invoices: tuple[Invoice, ...]
    credits: tuple[Credit, ...] = ()
    past_actions: tuple[PastAction, ...] = ()
    synced_at: datetime | None = None
    last_payment_on: date | None = None
    live_since_at: datetime | None = None
