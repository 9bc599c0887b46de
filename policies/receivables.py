"""The facts a policy decides on: customers, invoices, credits, payments and past actions, all frozen.

Money is an exact ``Decimal`` in the currency named beside it; amounts are never added up across currencies.
``_on`` names calendar dates in the company's time zone, ``_at`` names aware UTC instants.
Ids are the ledger's own (``external_id``), unique within one connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from policies.fee_basis import FeeBasis


class InvoiceStatus(StrEnum):
    """The status of an invoice in the ledger."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOIDED = "voided"
    DELETED = "deleted"


class CreditKind(StrEnum):
    """What kind of unapplied credit a customer has."""

    CREDIT_NOTE = "credit_note"
    PAYMENT = "payment"
    OVERPAYMENT = "overpayment"
    PREPAYMENT = "prepayment"
    BANK_RECEIPT = "bank_receipt"  # money on a bank statement that the ledger does not show yet
    LEDGER_BALANCE = "ledger_balance"  # what the ledger's own balance of the customer lacks: a deposit, a journal entry


class SettlementKind(StrEnum):
    """What settled a part of an invoice: only a payment is money that came."""

    PAYMENT = "payment"
    CREDIT = "credit_note"
    ADJUSTMENT = "adjustment"  # a journal entry: usually a write-off


class Segment(StrEnum):
    """The group of customers whose schedule a customer follows (docs/policy.md, "Customer segments")."""

    STRATEGIC = "strategic"
    ESTABLISHED = "established"
    NEW = "new"


class Size(StrEnum):
    """How large an invoice is among the company's own invoices of the last 12 months."""

    LARGE = "large"
    MEDIUM = "medium"
    SMALL = "small"


class Step(StrEnum):
    """The steps of the reminder schedule, in order of severity."""

    THANK_YOU = "thank_you"
    WITHHOLDING_CERTIFICATE = "withholding_certificate"
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
    PAYMENT_RETURNED = "payment_returned"


class FeeOutcome(StrEnum):
    """How a late fee ended."""

    WAIVED = "waived"
    PAID = "paid"


@dataclass(frozen=True, slots=True)
class Company:
    """The company that sends the invoices.

    ``time_zone`` is an IANA name, ``country`` an ISO 3166 alpha-2 code, ``lock_on`` the ledger's lock date (no entries
    up to and including that day); ``ledger_reminders`` is true where the ledger sends invoice reminders of its own;
    ``holiday_region`` is the region of its address like US-NY, or its country where that is unknown.
    """

    name: str
    base_currency: str
    country: str
    time_zone: str
    lock_on: date | None = None
    ledger_reminders: bool = False
    holiday_region: str = ""
    default_owner: str = ""  # the account owner of customers who have none of their own: "Ann Lee <ann@example.com>"


@dataclass(frozen=True, slots=True)
class PaymentBehaviour:
    """How a customer pays, learned from the invoices closed before today (``payment_behaviour.py``).

    Days late count from the due date; ``low`` and ``high`` bound the 80 % range. ``weekday`` counts from Monday = 0;
    ``on_time_streak`` is the number of most recent invoices in a row that were paid on time.
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
    """A customer. Settings made by hand are ``None`` where the policy applies.

    ``invalid_emails`` are entries in the address field that are no valid addresses. ``shares_mailbox_with`` names the
    company's other customers with an address of this one; their stop and pause apply to it too, by ``stopped_by`` and
    ``paused_by``, because one person reads the emails of all. ``mailbox_taken_by`` names the one whose email goes there
    today.
    """

    id: str
    name: str
    contact_name: str = ""
    emails: tuple[str, ...] = ()
    country: str = ""
    holiday_region: str = ""  # a region like AU-VIC; "" is the country
    time_zone: str = ""
    language: str = ""
    active: bool = True
    segment: Segment | None = None
    hold_until_on: date | None = None
    no_reminders: bool = False
    no_fees: bool = False
    fees_agreed_on: date | None = None
    suppression_reason: str = ""
    withholding_percent: Decimal = Decimal(0)  # how much tax they may withhold by law, of an invoice's total
    first_invoiced_on: date | None = None
    paid_invoices: int = 0
    revenue_ranks: tuple[RevenueRank, ...] = ()
    payment_behaviour: PaymentBehaviour | None = None
    tags: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    erased: bool = False  # the personal data were erased on request
    invalid_emails: tuple[str, ...] = ()
    shares_mailbox_with: tuple[str, ...] = ()
    stopped_by: str = ""
    paused_by: str = ""
    mailbox_taken_by: str = ""
    owner_email: str = ""  # of your own people: the account owner and the sales rep, who can get copies
    sales_rep_email: str = ""
    second_contact: str = ""  # the address of a second contact of theirs, for later steps
    debt_on_no_invoice: Decimal = Decimal(0)  # by how much the ledger's own balance is above the open invoices
    debt_currency: str = ""
    debt_holder: str = ""  # the head of the family, where that is somebody else
    unreadable: str = ""  # what of them cannot be read: "a payment of the customer"; they are not chased meanwhile


@dataclass(frozen=True, slots=True)
class Discount:
    """An early payment discount: ``amount`` off if paid by ``ends_on``."""

    amount: Decimal
    ends_on: date


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """A change of an invoice's balance: negative for a payment or credit, positive where one is reversed."""

    on: date
    amount: Decimal
    kind: SettlementKind = SettlementKind.PAYMENT


@dataclass(frozen=True, slots=True)
class FormerHistory:
    """What an invoice's balance changes were until a day, when some of them were deleted or changed in the ledger.

    ``moved`` is how much of what is gone since is on other invoices now, whose names are in ``moved_to``. ``deleted``
    are the changes whose payment or credit no longer exists: it may have been entered again.
    """

    until_on: date
    changes: tuple[BalanceChange, ...]
    moved: Decimal = Decimal(0)
    moved_to: tuple[str, ...] = ()
    deleted: tuple[BalanceChange, ...] = ()


@dataclass(frozen=True, slots=True)
class DateSpan:
    """The days from one on up to another; without an end it goes on."""

    from_on: date
    until_on: date | None = None


@dataclass(frozen=True, slots=True)
class Instalment:
    """One instalment of a payment plan: how much is due by when."""

    due_on: date
    amount: Decimal


@dataclass(frozen=True, slots=True)
class PaymentPlan:
    """A payment plan for an invoice: instalments, oldest first, of the balance on the day it was agreed.

    ``agreed_total`` is the invoice's total of that day, where it is known: what the invoice was raised or lowered by
    since is neither a payment nor missing from one.
    """

    agreed_on: date
    agreed_balance: Decimal
    instalments: tuple[Instalment, ...]
    agreed_total: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Invoice:
    """One sales invoice. ``due`` is its open balance, in ``currency``.

    ``sent_to_customer`` is False only where the ledger says that the customer never got it.
    ``size_percentile`` is the highest percentile of the company's invoices of the last 12 months, in its currency,
    that its total reaches. ``fee_of`` is the id of the invoice a late fee belongs to; ``ledger_fee`` is true where the
    ledger charged a late fee of its own on it. ``disputed_on``, ``promised_on`` and ``paused_until_on`` come from a
    person or from the ledger. ``sub_customer`` is whose invoice it is where another customer is billed for it: what is
    set for either of them counts. ``balance_changes`` is the history of its balance since issue, oldest first.
    ``emails``, ``cc_emails`` and ``bcc_emails`` are to whom this very invoice goes; without ``emails`` it goes to the
    customer's addresses. ``invalid_emails`` are entries there that are no valid addresses. ``number`` is "" where the
    ledger gave it none; ``shares_number`` is true where another invoice of the customer has the same.

    ``payable_until_on`` is the last date on which it is paid in time, where that is later than ``due_on``, which is not
    a business day (``payable_dates.py``).

    ``known_on`` is set where the customer cannot have known of the invoice, or of so early a due date, before: it was
    entered, approved, sent or reopened on that day, its due date was moved forward, or what is due is only what it was
    raised by (``known_before_raise_on`` leaves that out). ``due_changed_on`` is when its due date last changed.
    ``raised_on`` is when it was last raised after it was due, ``former_total`` the least that it was for before: nobody
    could know of the difference.

    ``disputes`` and ``plan_spans`` are the days of its disputes and payment plans, those that are over included;
    ``former_histories`` is what the ledger said of its payments before it was corrected (``bearing_balance.py``).
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
    waiver_proposed: bool = False  # a late fee that somebody is asked to waive: no email asks for it meanwhile
    ledger_fee: bool = False
    disputed_on: date | None = None
    dispute_reason: str = ""
    promised_on: date | None = None
    promised_amount: Decimal | None = None
    paused: bool = False
    paused_until_on: date | None = None
    unreadable: bool = False  # it is paused, because its newest version could not be read
    balance_changes: tuple[BalanceChange, ...] = ()
    payment_plan: PaymentPlan | None = None
    sub_customer: Customer | None = None
    known_on: date | None = None
    due_changed_on: date | None = None
    raised_on: date | None = None
    known_before_raise_on: date | None = None
    former_total: Decimal | None = None
    emails: tuple[str, ...] = ()
    cc_emails: tuple[str, ...] = ()
    bcc_emails: tuple[str, ...] = ()
    invalid_emails: tuple[str, ...] = ()
    payable_until_on: date | None = None
    shares_number: bool = False
    number_is_unique: bool = True  # among all of the company
    disputes: tuple[DateSpan, ...] = ()
    plan_spans: tuple[DateSpan, ...] = ()
    former_histories: tuple[FormerHistory, ...] = ()

    def settled_by(self, kind: SettlementKind) -> Decimal:
        """Return how much of it was settled by payments, credits or journal entries."""
        return -sum((change.amount for change in self.balance_changes if change.kind is kind), Decimal(0))

    @property
    def paid(self) -> Decimal:
        """The money received for it. Credits, write-offs and deductions close an invoice, too, but are no payment."""
        return self.settled_by(SettlementKind.PAYMENT)

    def paid_by(self, on: date) -> Decimal:
        """Return the money received for it by a day: a post-dated cheque has not come yet, though it is entered."""
        later = (each.amount for each in self.balance_changes if each.kind is SettlementKind.PAYMENT and each.on > on)
        return self.paid + sum(later, Decimal(0))

    @property
    def last_paid_on(self) -> date | None:
        """The date of the last payment."""
        return max((each.on for each in self.balance_changes if each.kind is SettlementKind.PAYMENT), default=None)


@dataclass(frozen=True, slots=True)
class Credit:
    """Unapplied credit of a customer; ``remaining`` is positive. ``holder`` names a relative whose credit it is.

    Money on a bank statement is for the invoice ``invoice_id``; it came from ``payer``, and ``settles`` the invoice
    where the rest is a discount or a bank's charge.
    """

    id: str
    kind: CreditKind
    customer_id: str
    currency: str
    remaining: Decimal
    dated_on: date
    holder: str = ""
    invoice_id: str = ""
    payer: str = ""
    settles: bool = False


@dataclass(frozen=True, slots=True)
class PossiblePayment:
    """Money on a bank statement that may be for an invoice, but need not."""

    id: str
    invoice_id: str
    amount: Decimal
    currency: str
    received_on: date
    payer: str = ""


@dataclass(frozen=True, slots=True)
class PastAction:
    """A completed step for one invoice: an email sent, a task created or a late fee charged.

    ``email_key`` groups the invoices that one email covered, so that it counts once towards the contact limits.
    ``unconfirmed`` marks an email whose delivery is unconfirmed; it counts as sent until a person decides otherwise.
    ``refused`` marks an email that reached nobody: it completed no step and warned nobody. It is still a contact where
    the address is not at fault, so that the step does not run again every hour.
    ``undone`` marks a task in place of an email, for want of a working address, that nobody has done: as soon as the
    customer can be emailed, its step is due again.
    ``recurrence_key`` tells actions of one step apart where it can recur: a fee's period, the date of a promise.
    ``fee_amount`` is what stands of a late fee, where it is known, ``fee_waived`` what was waived of it, ``fee_basis``
    what it was calculated from, ``fee_invoice_id`` its own invoice. ``acknowledged`` is the money that an email thanked
    for, in full or in part. ``announced_fee`` is false for an email that did not
    warn of a late fee on the invoice, ``fee_terms`` stands for the fee that it warned of, where that is known
    (``LateFees.terms_in``). ``suspension_on`` is the date that a final notice named. ``reader_id`` is the customer to
    whom an email went; ``new_reader_id`` is who is written to by now, where that is somebody else at another address.
    """

    step: Step
    invoice_id: str
    at: datetime
    on: date
    email_key: str = ""
    is_contact: bool = True
    unconfirmed: bool = False
    refused: bool = False
    undone: bool = False
    recurrence_key: str = ""
    fee_amount: Decimal | None = None
    fee_outcome: FeeOutcome | None = None
    acknowledged: Decimal | None = None
    fee_invoice_id: str = ""
    announced_fee: bool = True
    fee_terms: str = ""
    suspension_on: date | None = None
    fee_waived: Decimal = Decimal(0)
    fee_basis: FeeBasis | None = None
    reader_id: str = ""
    new_reader_id: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """All invoices and credits of one customer in one currency, with past actions: what a policy decides on.

    ``invoices`` holds every open invoice and those closed recently, for the thank-you email.
    ``past_actions`` holds those of the customer in every currency, because the contact limits are per customer.
    ``synced_at`` is when the data was last read in full from the ledger; ``live_since_at`` when the connection first
    went live.
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
    possible_payments: tuple[PossiblePayment, ...] = ()

    @property
    def holiday_region(self) -> str:
        """The country or region whose public holidays count for the customer."""
        return self.customer.holiday_region or self.customer.country or self.company.country
