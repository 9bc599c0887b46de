"""The policy as a form: what each field shows, and the document that results from what a person changed.

A document contains only what differs from the default. A field therefore changes it only if its value was changed:
choosing another tone brings that tone's days, not the old ones that the form showed as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal

from policies.document import KeyPath, Table, parse_decimal, parse_toml, value_at
from policies.document_editor import edit_document
from policies.fee_rules import FeeKind, FeePreset, UnpaidFee, WeekendDueDate
from policies.policy import PRESET_FIGURES, ReminderPolicy
from policies.receivables import Size
from policies.schedule_rules import SCHEDULED_STEPS
from policies.sections import CELLS, WEEKDAYS

TONES = ("gentle", "standard", "firm")
CELL_NAMES = tuple(f"{segment.value} {size.value}" for segment, size in CELLS)
BY_CALL = "by_call"
_SIZES = tuple(size.value for size in Size)


@dataclass(frozen=True, slots=True)
class Field:
    """One field: where its value is in the document, its label, and how it is filled in."""

    name: str  # the path in the document, with dots
    label: str
    kind: str = "number"  # number | number_or_off | time | date | choice | switch | list | texts | amounts
    choices: tuple[str, ...] = ()

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


GROUPS = (
    Group(
        "Send window and contact limits",
        (
            Field("send_window.opens", "Emails are sent from", "time"),
            Field("send_window.closes", "Emails are sent until", "time"),
            Field("send_window.weekdays", "On these days", "list", WEEKDAYS),
            Field("send_window.closing_days", "Not on these days (12-24 is every year, 2026-12-31 once)", "texts"),
            Field("frequency.min_days_between", "Minimum days between two contacts"),
            Field("frequency.max_in_7_days", "Maximum contacts in 7 days"),
            Field("frequency.max_in_30_days", "Maximum contacts in 30 days"),
            Field("statement.due_soon_days", "Also list invoices due within (days)"),
            Field("statement.chase_unsent", "Chase invoices that the accounting system calls not sent", "switch"),
        ),
    ),
    Group(
        "Holds",
        (
            Field("minimum_balance", "Minimum balance, by currency", "amounts"),
            Field("plan_offer_minimum", "Smallest balance for a payment plan offer, by currency", "amounts"),
            Field("data_freshness.stale_after_hours", "Accounting data is stale after (hours)"),
            Field(
                "data_freshness.payments_stale_after_days",
                "Accounting data is stale without a payment for (days), or off",
                "number_or_off",
            ),
            Field("replies.pause_days", "Pause after a customer's reply (days)"),
            Field("promise_broken.business_days", "Promise to pay counts as broken after (business days)"),
            Field("payment_returned.business_days", "Notify customers of a returned payment after (business days)"),
        ),
    ),
    Group(
        "Late fees",
        (
            Field("late_fees.enabled", "Charge late fees", "switch"),
            Field("late_fees.approval", "Approval", "choice", ("person", "automatic")),
            Field("late_fees.terms_agreed_on", "Terms with a late fee agreed on", "date"),
            Field("late_fees.preset", "Preset", "choice", tuple(FeePreset)),
            Field("late_fees.kind", "Kind", "choice", tuple(FeeKind)),
            Field("late_fees.rate", "Rate in percent: once, per month or per year, depending on the kind"),
            Field("late_fees.amounts", "Flat fee by currency, for example EUR 15, USD 15", "amounts"),
            Field("late_fees.minimum", "Smallest fee, by currency", "amounts"),
            Field("late_fees.maximum", "Largest single fee, by currency", "amounts"),
            Field("late_fees.due_on_weekend", "If due on a weekend or public holiday", "choice", tuple(WeekendDueDate)),
            Field("late_fees.due_on_weekend_regions", "… in these countries or regions only, such as US-NY", "texts"),
            Field("late_fees.grace_days", "Grace days"),
            Field("late_fees.cap_percent", "Cap for all fees on an invoice (percent)"),
            Field("late_fees.max_annual_percent", "Maximum annual rate (percent)"),
            Field("late_fees.due_days", "Fee due after (days)"),
            Field("late_fees.invoicing", "Fee invoices", "choice", ("per_fee", "monthly")),
            Field("late_fees.invoice_day", "Day of the month for monthly fee invoices"),
            Field("late_fees.unpaid_fee", "When only the fee is left unpaid", "choice", tuple(UnpaidFee)),
        ),
    ),
    Group(
        "Thank-you emails and disputes",
        (
            Field("thank_you.enabled", "Thank customers for payments", "switch"),
            Field("thank_you.min_days_between", "Minimum days between two thank-you emails"),
            Field("thank_you.max_days_after_payment", "Maximum days after the payment"),
            Field(
                "dispute_raised.review_business_days.large", "Review a dispute of a large invoice after (business days)"
            ),
            Field("dispute_raised.review_business_days.medium", "Of a medium invoice"),
            Field("dispute_raised.review_business_days.small", "Of a small invoice"),
        ),
    ),
    Group(
        "Customer segments, invoice sizes and exceptions",
        (
            Field("segments.new_days", "New: first invoice less than (days) ago"),
            Field("segments.new_paid_invoices", "New: or fewer paid invoices than"),
            Field("segments.revenue_percent", "Strategic: top customers with this share of revenue (percent)"),
            Field("segments.customers_percent", "Strategic: never more than this share of customers (percent)"),
            Field("sizes.large_percentile", "Large: from this percentile of your own invoices"),
            Field("sizes.medium_percentile", "Medium: from this percentile"),
            Field("control_group.percent", "Control group: customers who keep the previous policy (percent)"),
            Field(
                "exceptions.long_hold_days",
                "List an invoice on hold as an exception after (days), or off",
                "number_or_off",
            ),
        ),
        company_wide=True,
    ),
)
TONE = Field("tone", "Tone of the emails", "choice", TONES)


def fields(*, customer_specific: bool = False) -> list[Field]:
    """List the fields of the form: of a customer policy, or of the policy of all customers."""
    cells = [
        Field(f"{step.value}.{segment.value}.{size.value}", "", "number_or_off")
        for step in SCHEDULED_STEPS
        for segment, size in CELLS
    ]
    calls = [
        Field(f"{step.value}.{BY_CALL}", "", "list", CELL_NAMES)
        for step in SCHEDULED_STEPS
        if value_at(ReminderPolicy.default().document, (step.value, BY_CALL)) is not None
    ]
    return [
        TONE,
        *cells,
        *calls,
        *(each for group in groups(customer_specific=customer_specific) for each in group.fields),
    ]


def groups(*, customer_specific: bool = False) -> list[Group]:
    """List the groups of fields below the schedule."""
    return [group for group in GROUPS if not (customer_specific and group.company_wide)]


def field_values(policy: ReminderPolicy, *, customer_specific: bool = False) -> dict[str, str]:
    """Return what each field shows of a policy."""
    return {
        field.name: format_value(value_at(policy.document, field.path))
        for field in fields(customer_specific=customer_specific)
    }


def format_value(value: object) -> str:
    """Format a value as its field shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, time):
        return f"{value:%H:%M}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return ", ".join(f"{code} {amount}" for code, amount in value.items())
    if isinstance(value, list):
        return " | ".join(map(str, value))
    return str(value)


def apply_form(
    document: str, shown_policy: ReminderPolicy, form: Mapping[str, Sequence[str]], *, name: str = ""
) -> tuple[str, list[str]]:
    """Return the document with what was changed in the form, comments kept, and the names of the changed fields.

    Args:
        document: the document in force, which says only what differs from the defaults.
        shown_policy: the policy that the form showed.
        form: what was submitted, by field name.
        name: the customer policy that is edited; "" for the policy of all customers.

    """
    prefix: KeyPath = ("policies", name) if name else ()
    changes: dict[KeyPath, object] = {}
    changed = []
    for field in fields(customer_specific=bool(name)):
        if field.name not in form:
            continue
        text = _submitted_text(field, form[field.name])
        if text != format_value(value_at(shown_policy.document, field.path)):
            _add_change(changes, shown_policy.document, prefix, field.path, _parse_value(field, text))
            changed.append(field.name)
    if "late_fees.preset" in changed:  # the old preset's figures are of another law
        changes |= {(*prefix, "late_fees", key): None for key in PRESET_FIGURES if f"late_fees.{key}" not in changed}
    return edit_document(document, changes) if changes else document, changed


def _add_change(
    changes: dict[KeyPath, object], shown: Mapping[str, object], prefix: KeyPath, path: KeyPath, value: object
) -> None:
    """Add the change of one value; where one day stands for a whole segment, each size gets a day of its own."""
    segment = value_at(shown, path[:2])
    if len(path) == 3 and segment is not None and not isinstance(segment, Mapping):
        days = changes.get((*prefix, *path[:2]), dict.fromkeys(_SIZES, segment))
        changes[*prefix, *path[:2]] = {**days, path[2]: value} if isinstance(days, dict) else value
    else:
        changes[*prefix, *path] = value


def set_customer_policy(document: str, name: str, applies_to: Mapping[str, Sequence[str]] | None) -> str:
    """Return the document with a customer policy that applies to other customers; ``None`` removes the policy."""
    if applies_to is not None:
        named = {key: list(values) for key, values in applies_to.items() if values}
        return edit_document(document, {("policies", name, "applies_to"): named})
    others = parse_toml(document).get("policies")
    is_last = isinstance(others, Mapping) and set(others) <= {name}
    return edit_document(document, {("policies",) if is_last else ("policies", name): None})


def _submitted_text(field: Field, values: Sequence[str]) -> str:
    """Return what was submitted for a field as text; unticked boxes send only their hidden field."""
    if field.kind == "switch":
        return "yes" if "yes" in values else "no"
    if field.kind == "list":
        return " | ".join(choice for choice in field.choices if choice in values)
    text = values[0].strip() if values else ""
    if field.kind == "texts":
        return " | ".join(each for each in (part.strip() for part in text.split(",")) if each)
    is_off = field.kind == "number_or_off" and text.casefold() in {"", "off", "-", "–"}
    return "off" if is_off else text


def _parse_value(field: Field, text: str) -> object:
    """Return the value of a field's text; invalid text stays text, and the policy reports what is wrong with it."""
    if field.kind in {"number", "number_or_off"}:
        return _parse_number(text)
    if field.kind == "switch":
        return text == "yes"
    if field.kind in {"list", "texts"}:
        return [each for each in text.split(" | ") if each]
    if field.kind == "date":
        return _parse_date(text)
    return _parse_amounts(text) if field.kind == "amounts" else text


def _parse_number(text: str) -> object:
    if re.fullmatch(r"[+-]?\d{1,9}", text):
        return int(text)
    number = parse_decimal(text) if len(text) < 30 else None
    return text if number is None else number


def _parse_date(text: str) -> object:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return text


def _parse_amounts(text: str) -> Table:
    """Parse ``EUR 15, USD 12.50``; the comma separates amounts, so a decimal comma is not possible."""
    found: Table = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        code, _, amount = part.partition(" ")
        number = parse_decimal(amount.strip())
        found[code] = amount.strip() if number is None else _int_if_whole(number)
    return found


def _int_if_whole(number: Decimal) -> int | Decimal:
    return int(number) if number == number.to_integral_value() else number
