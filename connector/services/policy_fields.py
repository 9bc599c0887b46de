"""The fields of the policy's form: where each value is in the document, its label, and one line that explains it."""

from __future__ import annotations

from dataclasses import dataclass

from policies.document import value_at
from policies.fee_rules import FeeKind, FeePreset, UnpaidFee, WeekendDueDate
from policies.policy import ReminderPolicy
from policies.receivables import Step
from policies.schedule import DUNNING_LEVELS
from policies.schedule_rules import SCHEDULED_STEPS
from policies.sections import WEEKDAYS, PlanApproval
from policies.step_tables import CELLS

TONES = ("gentle", "standard", "firm")
CELL_NAMES = tuple(f"{segment.value} {size.value}" for segment, size in CELLS)
BY_CALL = "by_call"


@dataclass(frozen=True, slots=True)
class Field:
    """One field: where its value is in the document, its label, how it is filled in, and what it is for."""

    name: str  # the path in the document, with dots
    label: str
    kind: str = "number"  # number | number_or_off | time | date | choice | switch | list | texts | amounts
    choices: tuple[str, ...] = ()
    hint: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """The path of its value in the document."""
        return tuple(self.name.split("."))


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that belong together; ``company_wide`` ones cannot differ between customers."""

    title: str
    fields: tuple[Field, ...]
    company_wide: bool = False

    @property
    def names(self) -> frozenset[str]:
        """The names of its fields."""
        return frozenset(field.name for field in self.fields)


_SENDING = Group(
    "Send window and contact limits",
    (
        Field("send_window.opens", "Emails are sent from", "time", hint="In the customer's time zone."),
        Field("send_window.closes", "Emails are sent until", "time", hint="What is ready later is sent the next day."),
        Field("send_window.weekdays", "On these days", "list", WEEKDAYS),
        Field(
            "send_window.closing_days",
            "Not on these days",
            "texts",
            hint="Your own closing days: 12-24 is every year, 2026-12-31 once. Public holidays are known.",
        ),
        Field("frequency.min_days_between", "Minimum days between two contacts", hint="3 or more."),
        Field("frequency.max_in_7_days", "Maximum contacts in 7 days", hint="1 or 2, for all their invoices together."),
        Field("frequency.max_in_30_days", "Maximum contacts in 30 days", hint="1 to 7; calls count as well."),
        Field(
            "statement.due_soon_days",
            "Also list invoices due within (days)",
            hint="So that one email does for several invoices.",
        ),
        Field(
            "statement.gather_days",
            "One email for steps within (days)",
            hint="So that two nearly equal emails do not follow each other; 0 sends each on its own day.",
        ),
        Field(
            "statement.chase_unsent",
            "Chase invoices that the accounting system calls not sent",
            "switch",
            hint="If you send your invoices from elsewhere.",
        ),
        Field(
            "copies.second_contact_from",
            "Second contact of the customer gets copies from",
            "choice",
            ("off", *DUNNING_LEVELS),
        ),
    ),
)
_HOLDS = Group(
    "Holds",
    (
        Field("minimum_balance", "Minimum balance, by currency", "amounts", hint="Smaller balances are not chased."),
        Field(
            "plan_offer_minimum",
            "Smallest balance for a payment plan offer, by currency",
            "amounts",
            hint="The other steps stay where they are.",
        ),
        Field(
            "data_freshness.stale_after_hours",
            "Accounting data is stale after (hours)",
            hint="Nothing is sent when the last full sync is older.",
        ),
        Field(
            "data_freshness.payments_stale_after_days",
            "Accounting data is stale without a payment for (days), or off",
            "number_or_off",
            hint="Nothing is sent until the bank is reconciled.",
        ),
        Field("replies.pause_days", "Pause after a customer's reply (days)", hint="With 0 there is only the task."),
        Field(
            "bank_statements.book_within_business_days",
            "Ask again about money in the bank that is not booked after (business days)",
            hint="It holds reminders; you get a second task.",
        ),
        Field("payment_plans.approval", "Payment plans asked for in the portal", "choice", tuple(PlanApproval)),
        Field(
            "promise_broken.business_days",
            "Promise to pay counts as broken after (business days)",
            hint="Counted from the promised day.",
        ),
        Field(
            "payment_returned.business_days",
            "Notify customers of a returned payment after (business days)",
            hint="Time to correct a mistake; you get a task at once.",
        ),
    ),
)
_FEES = Group(
    "Late fees",
    (
        Field("late_fees.enabled", "Charge late fees", "switch", hint="Off until you switch it on."),
        Field(
            "late_fees.approval",
            "Approval",
            "choice",
            ("person", "automatic"),
            hint="Whether somebody approves each fee.",
        ),
        Field(
            "late_fees.terms_agreed_on",
            "Terms with a late fee agreed on",
            "date",
            hint="Without it, here or for the customer, no fee.",
        ),
        Field(
            "late_fees.preset", "Preset", "choice", tuple(FeePreset), hint="The law of a country; yours comes first."
        ),
        Field("late_fees.kind", "Kind", "choice", tuple(FeeKind), hint="How the fee is calculated."),
        Field("late_fees.rate", "Rate in percent", hint="Once, per month or per year, depending on the kind."),
        Field("late_fees.amounts", "Flat fee by currency", "amounts", hint="For example EUR 15, USD 15."),
        Field("late_fees.minimum", "Smallest fee, by currency", "amounts", hint="A smaller fee is not charged."),
        Field("late_fees.maximum", "Largest single fee, by currency", "amounts", hint="A larger fee is cut to this."),
        Field("late_fees.due_on_weekend", "If due on a weekend or public holiday", "choice", tuple(WeekendDueDate)),
        Field(
            "late_fees.due_on_weekend_regions",
            "… in these countries or regions only",
            "texts",
            hint="Such as US-NY; empty is everywhere.",
        ),
        Field("late_fees.grace_days", "Grace days", hint="No fee so soon after the due date."),
        Field("late_fees.cap_percent", "Cap (percent)", hint="Of all fees on an invoice, of its total."),
        Field("late_fees.max_annual_percent", "Maximum annual rate (percent)", hint="A fee above it is refused."),
        Field("late_fees.due_days", "Fee due after (days)", hint="Counted from the date of the fee's invoice."),
        Field(
            "late_fees.invoicing",
            "Fee invoices",
            "choice",
            ("per_fee", "monthly"),
            hint="One for each, or one a month.",
        ),
        Field("late_fees.invoice_day", "Day of the month for monthly fee invoices", hint="1 to 28."),
        Field(
            "late_fees.unpaid_fee",
            "When only the fee is left unpaid",
            "choice",
            tuple(UnpaidFee),
            hint="Once its invoice is settled.",
        ),
    ),
)
_OTHERS = Group(
    "Thank-you emails and disputes",
    (
        Field("thank_you.enabled", "Thank customers for payments", "switch", hint="When everything is paid."),
        Field("thank_you.min_days_between", "Minimum days between two thank-you emails", hint="30 or more."),
        Field("thank_you.max_days_after_payment", "Maximum days after the payment", hint="Later it would look odd."),
        Field(
            "dispute_raised.review_business_days.large",
            "Review a dispute of a large invoice after (business days)",
            hint="You get a task on that day.",
        ),
        Field("dispute_raised.review_business_days.medium", "Of a medium invoice"),
        Field("dispute_raised.review_business_days.small", "Of a small invoice"),
    ),
)
_COMPANY_WIDE = Group(
    "Customer segments, invoice sizes and exceptions",
    (
        Field("segments.new_days", "New: first invoice less than (days) ago", hint="Known for fewer days is new."),
        Field("segments.new_paid_invoices", "New: or fewer paid invoices than", hint="Until then there is no history."),
        Field(
            "segments.revenue_percent",
            "Strategic: share of revenue (percent)",
            hint="The top customers who make this share in 12 months.",
        ),
        Field(
            "segments.customers_percent",
            "Strategic: share of customers (percent)",
            hint="But never more customers than this.",
        ),
        Field("sizes.large_percentile", "Large: from this percentile", hint="Of your own invoices of 12 months."),
        Field("sizes.medium_percentile", "Medium: from this percentile", hint="Everything below is small."),
        Field(
            "control_group.percent",
            "Control group (percent)",
            hint="Customers who keep the previous policy, to compare with.",
        ),
        Field(
            "exceptions.long_hold_days",
            "List an invoice on hold as an exception after (days), or off",
            "number_or_off",
            hint="So that nothing is forgotten.",
        ),
    ),
    company_wide=True,
)
GROUPS = (_SENDING, _HOLDS, _FEES, _OTHERS, _COMPANY_WIDE)
TONE = Field("tone", "Tone of the emails", "choice", TONES, "Each tone has its own texts and days.")
CELL_FIELDS = tuple(
    Field(f"{step.value}.{segment.value}.{size.value}", "", "number_or_off")
    for step in SCHEDULED_STEPS
    for segment, size in CELLS
)


def call_steps() -> list[Step]:
    """Return the steps that can be a call instead of an email."""
    document = ReminderPolicy.default().document
    return [step for step in SCHEDULED_STEPS if value_at(document, (step.value, BY_CALL)) is not None]


def fields(*, customer_specific: bool = False) -> list[Field]:
    """List the fields of the form: of a customer policy, or of the policy of all customers."""
    calls = [Field(f"{step.value}.{BY_CALL}", "", "list", CELL_NAMES) for step in call_steps()]
    groups_shown = groups(customer_specific=customer_specific)
    return [TONE, *CELL_FIELDS, *calls, *(field for group in groups_shown for field in group.fields)]


def groups(*, customer_specific: bool = False) -> list[Group]:
    """List the groups of fields below the schedule."""
    return [group for group in GROUPS if not (customer_specific and group.company_wide)]
