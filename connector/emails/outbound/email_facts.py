"""What a mail is made of: plain frozen facts, collected and checked before any word is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from policies.receivables import Discount, Step
from providers.mailer import Attachment


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One invoice as a mail shows it; ``days_late`` counts in the company's time zone, below 0 before the due date."""

    number: str
    issued_on: date
    due_on: date | None
    total: Decimal
    due: Decimal
    days_late: int
    pay_link: str = ""
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class PaidLine:
    """One invoice that a thank-you names."""

    number: str
    paid: Decimal
    paid_on: date


@dataclass(frozen=True, slots=True)
class FeeWarning:
    """The late fee of the terms, said before it bites: "flat" is a sum, "once", "per_month", "per_year" are percent.

    "unspecified" has no figure: it rests on a rate that nobody has compared with its source. ``fixed_amounts`` come on
    top of it, one per size of invoice.
    """

    kind: str
    figure: Decimal
    from_on: date | None = None
    fixed_amounts: tuple[Decimal, ...] = ()


@dataclass(frozen=True, slots=True)
class EmailFacts:
    """Everything a mail says. ``about`` are the numbers of the invoices whose step this is; empty means all of them.

    ``page_link`` leads to the customer's own page.

    ``contact_name`` is who is greeted (for ``notify_owner`` the owner). ``sender_name`` signs. ``reply_to`` is shown;
    ``replies_to`` is the customer's own address, where replies come back to us. ``ways_to_pay`` are the company's own
    lines about bank details; ``message_domain`` defaults to the sender's; ``earlier_keys`` are the outbox keys of the
    mails before this one in the same chain, oldest first. ``fee`` is only given where fees are enabled. ``words`` are
    the user's own templates in place of the shipped ones; ``said`` are lines of this one mail as a person wrote them,
    filled with nothing. ``attachments`` are the invoices themselves, ``statement`` the list of everything open.
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
    credit: Decimal = Decimal(0)
    fee: FeeWarning | None = None
    discount: Discount | None = None
    suspension_on: date | None = None
    promised_on: date | None = None
    instalments_max: int = 3
    paid: Sequence[PaidLine] = ()
    ways_to_pay: str = ""
    stop_link: str = ""
    portal_link: str = ""
    message_domain: str = ""
    earlier_keys: Sequence[str] = ()
    template_lines: Mapping[str, str] = field(default_factory=dict)
    custom_lines: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    statement: Attachment | None = None
