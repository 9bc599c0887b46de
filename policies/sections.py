"""The parts of a policy, each a frozen dataclass that reads itself from its table of the document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from decimal import Decimal

from policies import schedule_rules
from policies.document import Section, parse_decimal
from policies.receivables import Segment, Size, Step
from policies.schedule import StepKind

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CELLS = tuple((segment, size) for segment in Segment for size in Size)
_CELLS_BY_NAME = {f"{segment.value} {size.value}": (segment, size) for segment, size in CELLS}
_COUNTED_FROM = {Step.RECEIPT_CHECK: "issue", Step.DISCOUNT_ENDING: "discount_end"}
_EMAIL_STEP_KINDS = (StepKind.EMAIL, StepKind.CALL)
_STEP_KINDS: dict[Step, tuple[StepKind, ...]] = {
    Step.NOTIFY_OWNER: (StepKind.INTERNAL,),
    Step.CALL: (StepKind.CALL,),
    Step.ESCALATION_CALL: (StepKind.CALL,),
    Step.LATE_FEE: (StepKind.LEDGER,),
    Step.PROPOSE_SUSPENSION: (StepKind.TASK,),
    Step.HAND_OFF_REVIEW: (StepKind.TASK,),
}

Cell = tuple[Segment, Size]


@dataclass(frozen=True, slots=True)
class StepTable:
    """One table of the timetable: its day for every segment and size, ``None`` where it is off."""

    step: Step
    days: Mapping[Cell, int | None]
    by_call: frozenset[Cell]

    @classmethod
    def read(cls, section: Section, step: Step) -> StepTable:
        """Read the table of a step."""
        kinds = _STEP_KINDS.get(step, _EMAIL_STEP_KINDS)
        kind = section.choice("kind", kinds)
        section.choice("from", [_COUNTED_FROM.get(step, "due")])
        by_call: list[str] = []
        if kinds is _EMAIL_STEP_KINDS:
            named = section.choices("by_call", _CELLS_BY_NAME)
            by_call = list(_CELLS_BY_NAME) if kind == StepKind.CALL else named
        days = {cell: day for segment in Segment for cell, day in _days(section, step, segment).items()}
        section.check_unknown_keys()
        return cls(step, days, frozenset(_CELLS_BY_NAME[name] for name in by_call))


def _days(section: Section, step: Step, segment: Segment) -> dict[Cell, int | None]:
    """Read one segment of a step: a table by size, or one value for all three."""
    if not isinstance(section.raw(segment.value), Mapping):
        day = schedule_rules.read_day(section, segment.value, step)
        return {(segment, size): day for size in Size}
    sizes = section.section(segment.value)
    days = {(segment, size): schedule_rules.read_day(sizes, size.value, step) for size in Size}
    sizes.check_unknown_keys()
    return days


@dataclass(frozen=True, slots=True)
class Frequency:
    """How often one customer may hear from us."""

    min_days_between: int
    max_in_7_days: int
    max_in_30_days: int

    @classmethod
    def read(cls, section: Section) -> Frequency:
        """Read ``[frequency]``; looser than the caps is refused."""
        read = cls(
            min_days_between=section.integer("min_days_between", 3, 60, "never closer than 3 days"),
            max_in_7_days=section.integer("max_in_7_days", 1, 2, "never more than 2 contacts in 7 days"),
            max_in_30_days=section.integer("max_in_30_days", 1, 7, "never more than 7 contacts in 30 days"),
        )
        section.check_unknown_keys()
        return read


@dataclass(frozen=True, slots=True)
class SendWindow:
    """When a mail may leave, in the customer's time zone; ``weekdays`` count from Monday = 0."""

    opens: time
    closes: time
    weekdays: frozenset[int]

    @classmethod
    def read(cls, section: Section) -> SendWindow:
        """Read ``[send_window]``."""
        opens, closes = section.time_of_day("opens"), section.time_of_day("closes")
        if opens >= closes:
            section.report_conflict("opens", "must be earlier than closes")
        weekdays = section.choices("weekdays", WEEKDAYS)
        if not weekdays:
            section.report_conflict("weekdays", "must name at least one day")
        section.check_unknown_keys()
        return cls(opens, closes, frozenset(WEEKDAYS.index(name) for name in weekdays))


@dataclass(frozen=True, slots=True)
class Segments:
    """Where the segments begin."""

    new_days: int
    new_paid_invoices: int
    revenue_percent: int
    customers_percent: int

    @classmethod
    def read(cls, section: Section) -> Segments:
        """Read ``[segments]``."""
        read = cls(
            new_days=section.integer("new_days", 0, 3650),
            new_paid_invoices=section.integer("new_paid_invoices", 0, 1000),
            revenue_percent=section.integer("revenue_percent", 0, 100),
            customers_percent=section.integer("customers_percent", 0, 100),
        )
        section.check_unknown_keys()
        return read


@dataclass(frozen=True, slots=True)
class Sizes:
    """Where the sizes begin: percentiles, or fixed floors (large, medium) per currency."""

    large_percentile: int
    medium_percentile: int
    floors: Mapping[str, tuple[Decimal, Decimal]]

    @classmethod
    def read(cls, section: Section) -> Sizes:
        """Read ``[sizes]``."""
        large, medium = section.integer("large_percentile", 2, 100), section.integer("medium_percentile", 1, 99)
        if medium >= large:
            section.report_conflict("medium_percentile", "must be below large_percentile")
        floors = section.section("floors")
        read = {code: _read_floors(floors.section(code)) for code in floors.currencies()}
        section.check_unknown_keys()
        return cls(large, medium, read)


def _read_floors(section: Section) -> tuple[Decimal, Decimal]:
    large, medium = (parse_decimal(section.raw(key)) for key in ("large", "medium"))
    section.check_unknown_keys()
    if large is None or medium is None or not 0 <= medium < large:
        section.report_conflict("large", "and medium must both be sums, medium the smaller one")
        return (Decimal(0), Decimal(0))
    return (large, medium)


@dataclass(frozen=True, slots=True)
class MinimumBalance:
    """The smallest sum worth a reminder, per currency."""

    default: Decimal
    by_currency: Mapping[str, Decimal]

    @classmethod
    def read(cls, section: Section) -> MinimumBalance:
        """Read ``[minimum_balance]``."""
        highest = Decimal(10) ** 9
        read = {code: section.decimal(code, Decimal(0), highest) for code in section.currencies("default")}
        return cls(read.pop("default"), read)

    def for_currency(self, currency: str) -> Decimal:
        """Give the minimum of a currency."""
        return self.by_currency.get(currency, self.default)


@dataclass(frozen=True, slots=True)
class DataFreshness:
    """How old the facts may be."""

    stale_after_hours: int
    payments_stale_after_days: int | None

    @classmethod
    def read(cls, section: Section) -> DataFreshness:
        """Read ``[data_freshness]``."""
        read = cls(
            stale_after_hours=section.integer("stale_after_hours", 1, 24 * 14),
            payments_stale_after_days=section.integer_or_off("payments_stale_after_days", 1, 365),
        )
        section.check_unknown_keys()
        return read


@dataclass(frozen=True, slots=True)
class ThankYou:
    """When a payment is thanked for."""

    enabled: bool
    min_days_between: int
    max_days_after_payment: int

    @classmethod
    def read(cls, section: Section) -> ThankYou:
        """Read ``[thank_you]``."""
        section.choice("kind", ["email"])
        read = cls(
            enabled=section.boolean("enabled"),
            min_days_between=section.integer("min_days_between", 30, 3650, "at most one thank-you in 30 days"),
            max_days_after_payment=section.integer("max_days_after_payment", 1, 25),
        )
        section.check_unknown_keys()
        return read


@dataclass(frozen=True, slots=True)
class Disputes:
    """When a dispute is looked at again, in business days by size."""

    review_business_days: Mapping[Size, int]

    @classmethod
    def read(cls, section: Section) -> Disputes:
        """Read ``[dispute_raised]``."""
        section.choice("kind", ["task"])
        days = section.section("review_business_days")
        read = {size: days.integer(size.value, 1, 60) for size in Size}
        days.check_unknown_keys()
        section.check_unknown_keys()
        return cls(read)


@dataclass(frozen=True, slots=True)
class Promises:
    """When a promise counts as broken (so many business days after its day), and who is called then, not mailed."""

    business_days: int
    by_call: frozenset[Cell]

    @classmethod
    def read(cls, section: Section) -> Promises:
        """Read ``[promise_broken]``."""
        kind, by_call = section.choice("kind", _EMAIL_STEP_KINDS), section.choices("by_call", _CELLS_BY_NAME)
        cells = CELLS if kind == StepKind.CALL else [_CELLS_BY_NAME[name] for name in by_call]
        read = cls(section.integer("business_days", 0, 30), frozenset(cells))
        section.check_unknown_keys()
        return read


@dataclass(frozen=True, slots=True)
class PaymentInstructions:
    """The company's own lines on how to pay: bank details and the like, per currency."""

    default: str
    by_currency: Mapping[str, str]

    @classmethod
    def read(cls, section: Section) -> PaymentInstructions:
        """Read ``[payment_instructions]``."""
        read = {code: section.multiline_string(code, 12, 800) for code in section.currencies("default")}
        return cls(read.pop("default"), read)

    def for_currency(self, currency: str) -> str:
        """Give the lines for a currency."""
        return self.by_currency.get(currency, self.default)


@dataclass(frozen=True, slots=True)
class Replies:
    """How long a customer who replied to a mail is left in peace."""

    pause_days: int

    @classmethod
    def read(cls, section: Section) -> Replies:
        """Read ``[replies]``."""
        read = cls(section.integer("pause_days", 0, 60))
        section.check_unknown_keys()
        return read
