"""The sections of the policy document, except steps and late fees: one model per table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Generic, TypeVar

from pydantic import model_validator

from policies.receivables import Size, Step
from policies.recipients import OWN_PEOPLE, RecipientRole
from policies.schedule import DUNNING_LEVELS, StepKind
from policies.schedule_rules import SCHEDULED_STEPS, Cell
from policies.step_tables import CELL_LIST, CELLS, StepTable, read_size
from policies.validation import (
    Reader,
    Reads,
    Section,
    by_currency,
    closing_days,
    currency_code,
    invalid,
    list_out_of,
    number,
    one_of,
    payment_text,
    refused,
    switch,
    table_of,
    time_of_day,
    whole_number,
    whole_number_or_off,
)

T = TypeVar("T")

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_CONTROL_PERCENT = 50


class Tone(StrEnum):
    """How firm the emails are; each tone has its own texts and days."""

    GENTLE = "gentle"
    STANDARD = "standard"
    FIRM = "firm"


class Language(StrEnum):
    """The language of the daily digest."""

    OF_COMPANY = ""  # of the company's country
    ENGLISH = "en"
    GERMAN = "de"
    FRENCH = "fr"
    SPANISH = "es"
    DUTCH = "nl"
    ITALIAN = "it"
    PORTUGUESE = "pt"


def _step_or_off(value: object) -> Step | None:
    if value == "off":
        return None
    if value in list(DUNNING_LEVELS):
        return Step(str(value))
    raise invalid(f'"off" or a step out of {", ".join(DUNNING_LEVELS)}', value)


class Frequency(Section):
    """How often one customer may be contacted; a document can be stricter than this, never looser."""

    min_days_between: Annotated[int, Reads(whole_number(3, 60, "never closer than 3 days"))]
    max_in_7_days: Annotated[int, Reads(whole_number(1, 2, "never more than 2 contacts in 7 days"))]
    max_in_30_days: Annotated[int, Reads(whole_number(1, 7, "never more than 7 contacts in 30 days"))]


class SendWindow(Section):
    """When emails may be sent, in the customer's time zone; ``weekdays`` count from Monday = 0."""

    opens: Annotated[time, Reads(time_of_day)]
    closes: Annotated[time, Reads(time_of_day)]
    weekdays: Annotated[frozenset[int], Reads(list_out_of({name: weekday for weekday, name in enumerate(WEEKDAYS)}))]
    closing_days: Annotated[frozenset[str], Reads(closing_days)]

    @model_validator(mode="after")
    def _is_open_sometimes(self) -> SendWindow:
        if self.opens >= self.closes:
            raise refused("must be earlier than closes", key="opens")
        if not self.weekdays:
            raise refused("must name at least one day", key="weekdays")
        return self


class StatementSection(Section):
    """What a reminder lists besides the overdue invoices."""

    due_soon_days: Annotated[int, Reads(whole_number(0, 60))]
    gather_days: Annotated[int, Reads(whole_number(0, 14))]
    chase_unsent: Annotated[bool, Reads(switch)]


class Segments(Section):
    """Where the customer segments begin."""

    new_days: Annotated[int, Reads(whole_number(0, 3650))]
    new_paid_invoices: Annotated[int, Reads(whole_number(0, 1000))]
    revenue_percent: Annotated[int, Reads(whole_number(0, 100))]
    customers_percent: Annotated[int, Reads(whole_number(0, 100))]


def _read_floors(value: object) -> tuple[Decimal, Decimal]:
    sums: dict[str, Decimal] = {}
    if isinstance(value, Mapping):
        sums = table_of(lambda key: read_size(key).value, number(10**12))(value)
    large, medium = sums.get("large", Decimal(0)), sums.get("medium", Decimal(-1))
    if set(sums) != {"large", "medium"} or medium >= large:
        raise refused("needs two amounts, large and medium, medium the smaller one")
    return large, medium


class Sizes(Section):
    """Where the invoice sizes begin: percentiles, or fixed amounts (large, medium) by currency."""

    large_percentile: Annotated[int, Reads(whole_number(2, 100))]
    medium_percentile: Annotated[int, Reads(whole_number(1, 99))]
    floors: Annotated[Mapping[str, tuple[Decimal, Decimal]], Reads(by_currency(_read_floors))]

    @model_validator(mode="after")
    def _are_ordered(self) -> Sizes:
        if self.medium_percentile >= self.large_percentile:
            raise refused("must be below large_percentile", key="medium_percentile")
        return self


@dataclass(frozen=True, slots=True)
class PerCurrency(Generic[T]):
    """A setting by currency, with a default for all others."""

    default: T
    by_currency: Mapping[str, T]

    def for_currency(self, currency: str) -> T:
        """Return the setting in a currency."""
        return self.by_currency.get(currency, self.default)


def _per_currency(read_value: Reader[T]) -> Reader[PerCurrency[T]]:
    read_table = table_of(lambda key: key if key == "default" else currency_code(key), read_value)

    def read(value: object) -> PerCurrency[T]:
        found = read_table(value)
        return PerCurrency(found.pop("default"), found)

    return read


class DataFreshness(Section):
    """How old the accounting data may be."""

    stale_after_hours: Annotated[int, Reads(whole_number(1, 24 * 14))]
    payments_stale_after_days: Annotated[int | None, Reads(whole_number_or_off(1, 365))]


class Exceptions(Section):
    """What is listed as an exception, for somebody to look at."""

    long_hold_days: Annotated[int | None, Reads(whole_number_or_off(1, 365))]


class ThankYou(Section):
    """When a customer is thanked for a payment."""

    kind: Annotated[StepKind, Reads(one_of([StepKind.EMAIL]))]
    enabled: Annotated[bool, Reads(switch)]
    min_days_between: Annotated[int, Reads(whole_number(30, 3650, "at most one thank-you in 30 days"))]
    max_days_after_payment: Annotated[int, Reads(whole_number(1, 25))]


class Disputes(Section):
    """When a dispute is reviewed, in business days by invoice size."""

    kind: Annotated[StepKind, Reads(one_of([StepKind.TASK]))]
    review_business_days: Annotated[Mapping[Size, int], Reads(table_of(read_size, whole_number(1, 60)))]


class Promises(Section):
    """When a promise to pay counts as broken, and where the customer is called about it instead of emailed."""

    kind: Annotated[StepKind, Reads(one_of((StepKind.EMAIL, StepKind.CALL)))]
    by_call: Annotated[frozenset[Cell], Reads(CELL_LIST)]
    business_days: Annotated[int, Reads(whole_number(0, 30))]

    @property
    def calls(self) -> frozenset[Cell]:
        """The segments and sizes in which the customer is called instead of emailed."""
        return frozenset(CELLS) if self.kind is StepKind.CALL else self.by_call


class BankStatements(Section):
    """How soon money on a bank statement is to be booked, before a person is told."""

    book_within_business_days: Annotated[int, Reads(whole_number(1, 60))]


class ReturnedPayments(Section):
    """How long a mistake can be corrected before a customer is told that a payment came back."""

    business_days: Annotated[int, Reads(whole_number(0, 30))]


class Replies(Section):
    """How long reminders pause after a customer's reply."""

    pause_days: Annotated[int, Reads(whole_number(0, 60))]


class PlanApproval(StrEnum):
    """Who accepts a payment plan that a customer asks for in the portal."""

    OFF = "off"
    PERSON = "person"
    AUTOMATIC = "automatic"


class PaymentPlans(Section):
    """Which payment plans customers can ask for in the portal: at most so many instalments, within so many days."""

    approval: Annotated[PlanApproval, Reads(one_of(PlanApproval))]
    instalments_max: Annotated[int, Reads(whole_number(2, 24))]
    days_max: Annotated[int, Reads(whole_number(7, 730))]


class Digest(Section):
    """The daily email to account owners."""

    language: Annotated[Language, Reads(one_of(Language))]


class Copies(Section):
    """Who gets copies of a customer's emails."""

    cc: Annotated[frozenset[RecipientRole], Reads(list_out_of({each.value: each for each in OWN_PEOPLE}))]
    bcc: Annotated[frozenset[RecipientRole], Reads(list_out_of({each.value: each for each in OWN_PEOPLE}))]
    second_contact_from: Annotated[Step | None, Reads(_step_or_off)]


class Tracking(Section):
    """Whether opens and clicks are recorded, where the email service can; off unless somebody switches it on."""

    opens: Annotated[bool, Reads(switch)]
    clicks: Annotated[bool, Reads(switch)]


class ControlGroup(Section):
    """How many customers keep the previous policy, in percent."""

    percent: Annotated[int, Reads(whole_number(0, MAX_CONTROL_PERCENT))]


class Sections(Section):
    """The whole policy document, except the tables of the steps and late fees."""

    tone: Annotated[Tone, Reads(one_of(Tone))]
    frequency: Frequency
    send_window: SendWindow
    statement: StatementSection
    segments: Segments
    sizes: Sizes
    minimum_balance: Annotated[PerCurrency[Decimal], Reads(_per_currency(number(10**9)))]
    plan_offer_minimum: Annotated[PerCurrency[Decimal], Reads(_per_currency(number(10**9)))]
    data_freshness: DataFreshness
    exceptions: Exceptions
    thank_you: ThankYou
    dispute_raised: Disputes
    promise_broken: Promises
    payment_returned: ReturnedPayments
    bank_statements: BankStatements
    replies: Replies
    payment_plans: PaymentPlans
    digest: Digest
    payment_instructions: Annotated[PerCurrency[str], Reads(_per_currency(payment_text(12, 800)))]
    copies: Copies
    tracking: Tracking
    control_group: ControlGroup

    @property
    def steps(self) -> dict[Step, StepTable]:
        """The table of every step of the schedule."""
        return {step: getattr(self, step.value) for step in SCHEDULED_STEPS}
