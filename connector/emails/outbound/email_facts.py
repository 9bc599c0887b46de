"""The facts an email is written from: plain frozen values, collected and checked before any text is filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from connector.bank_details.accounts import BankDetails
from connector.branding.brand import Brand
from policies.receivables import Discount, Step
from providers.mailer import Attachment, InlineImage


class FeeKind(StrEnum):
    """How the announced late fee is reckoned; the names are those of the texts ``fee_…``."""

    FLAT = "flat"
    ONCE = "once"  # percent of the open balance
    PER_MONTH = "per_month"
    PER_YEAR = "per_year"
    UNSPECIFIED = "unspecified"  # no figure: nobody has verified the rate, or it is not the same for all invoices


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One invoice in an email.

    ``days_late`` counts in the company's time zone and is negative before the due date. ``paid`` is money that came:
    ``total`` less ``due`` may also be a credit or a deduction. ``due`` is the balance in the ledger, ``covered`` the
    part of it that unapplied credit covers. ``shares_number`` is true where another invoice of the customer, in this
    email or not, has the same number. ``counted_from_on`` is when the customer could know of the due date, or the
    business day that takes the place of one that is none, where days late count from then and not from the due date
    that is shown; ``payable_by_on`` is that business day.
    """

    number: str
    issued_on: date
    due_on: date | None
    total: Decimal
    due: Decimal
    days_late: int
    pay_link: str = ""
    disputed: bool = False
    paid: Decimal = Decimal(0)
    covered: Decimal = Decimal(0)
    shares_number: bool = False
    id: str = ""
    counted_from_on: date | None = None
    payable_by_on: date | None = None

    @property
    def to_pay(self) -> Decimal:
        """What the customer is asked for: nobody pays again what the company already has."""
        return self.due - self.covered

    @property
    def key(self) -> str:
        """What tells the invoice from all others: numbers can be missing, or repeated."""
        return self.id or self.number


@dataclass(frozen=True, slots=True)
class PaidLine:
    """One invoice in a thank-you email: the money that came, less than its total where a credit did the rest."""

    number: str
    paid: Decimal
    paid_on: date
    issued_on: date | None = None
    shares_number: bool = False


@dataclass(frozen=True, slots=True)
class FeeWarning:
    """The announcement of a late fee: an amount for a flat fee, else percent.

    ``fixed_amounts`` come on top, one for each size of invoice. ``only_for`` are the ids of the invoices on which a
    fee can come, where that is not all of them.
    """

    kind: FeeKind
    figure: Decimal
    from_on: date | None = None
    fixed_amounts: tuple[Decimal, ...] = ()
    only_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SinceLast:
    """What changed since the last email about the same invoices, which was sent on ``wrote_on``.

    ``paid`` is money that came since. ``promised_on`` is a date promised since and not kept, ``promised_before_on`` one
    that was not kept before the promise an email is about. ``replied_on`` is when they last wrote, ``reported_on`` when
    they said that they had paid, and ``disputed_on`` when a dispute began that was resolved since.
    """

    wrote_on: date
    paid: Decimal = Decimal(0)
    promised_on: date | None = None
    promised_before_on: date | None = None
    replied_on: date | None = None
    reported_on: date | None = None
    disputed_on: date | None = None


@dataclass(frozen=True, slots=True)
class EmailFacts:
    """Everything an email says.

    Addresses and names:
        ``contact_name`` is greeted (the account owner's, for an account-owner alert); ``sender_name`` signs;
        ``reply_to`` is printed; ``tracked_reply_to`` is the customer's own reply address, which brings replies back
        here; ``message_domain`` defaults to the sender's.
    Invoices:
        ``about`` are the ids of the invoices that this step is for; empty means all of ``invoices``.
        ``unlisted`` are the other open invoices of the customer, which only the statement lists.
        ``attachments`` are invoices as PDFs; with ``more_files`` others are in the portal alone. ``statement`` lists
        every open invoice. ``inline`` are images that the HTML shows.
    Texts:
        ``template_lines`` replace the shipped lines of the step; ``custom_lines`` are written for this one email and
        used as they are. ``payment_instructions`` are the company's payment instructions.
        ``earlier_of_step`` is how many emails of this step the customer had before: the next one is worded otherwise.
        ``since`` is what changed since the last email.
        ``track_opens`` and ``track_clicks`` are what the email service records, which the footer says.
    Paying by bank:
        ``bank_details`` is the account for the currency; ``payer_country`` decides between two codes for it.
    Threading:
        ``earlier_keys`` are the outbox keys of the emails sent before in this sequence, oldest first.
        ``given_ids`` are the Message-IDs of those keys that the email service replaced: recipients know only these.
    """

    key: str
    attempt: int
    step: Step
    to: Sequence[str]
    company_name: str
    customer_name: str
    sender: str
    currency: str
    contact_name: str = ""
    sender_name: str = ""
    reply_to: str = ""
    tracked_reply_to: str = ""
    language: str = "en"
    tone: str = "standard"
    invoices: Sequence[InvoiceLine] = ()
    about: Sequence[str] = ()
    unlisted: Sequence[InvoiceLine] = ()
    fee: FeeWarning | None = None
    discount: Discount | None = None
    suspension_on: date | None = None
    promised_on: date | None = None
    promised_amount: Decimal | None = None  # None where all that was due was promised
    thanked_on: date | None = None
    instalments_max: int = 3
    paid: Sequence[PaidLine] = ()
    earlier_of_step: int = 0
    since: SinceLast | None = None
    track_opens: bool = False
    track_clicks: bool = False
    payment_instructions: str = ""
    bank_details: BankDetails | None = None
    payer_country: str = ""
    stop_link: str = ""
    portal_link: str = ""
    message_domain: str = ""
    earlier_keys: Sequence[str] = ()
    given_ids: Mapping[str, str] = field(default_factory=dict)
    template_lines: Mapping[str, str] = field(default_factory=dict)
    custom_lines: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    more_files: bool = False
    statement: Attachment | None = None
    inline: tuple[InlineImage, ...] = ()
    brand: Brand = field(default_factory=Brand)
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
