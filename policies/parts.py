"""The parts of a policy, each a frozen dataclass that reads itself from its table of the document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from decimal import Decimal

from policies import rules
from policies.document import Section, as_decimal
from policies.receivables import Segment, Size, Step
from policies.timetable import StepKind

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CELLS = tuple((segment, size) for segment in Segment for size in Size)
_CELL_NAMES = {f"{segment.value} {size.value}": (segment, size) for segment, size in CELLS}
_FROM = {Step.VERIFY_RECEIPT: "issue", Step.DISCOUNT_ENDING: "discount_end"}
_MAIL_KINDS = (StepKind.MAIL, StepKind.CALL)
_KINDS: dict[Step, tuple[StepKind, ...]] = {
    Step.TELL_OWNER: (StepKind.INTERNAL,),
    Step.CALL: (StepKind.CALL,),
    Step.CALL_SENIOR: (StepKind.CALL,),
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
        kinds = _KINDS.get(step, _MAIL_KINDS)
        kind = section.choice("kind", kinds)
        section.choice("from", [_FROM.get(step, "due")])
        by_call: list[str] = []
        if kinds is _MAIL_KINDS:
            named = section.choices("by_call", _CELL_NAMES)
            by_call = list(_CELL_NAMES) if kind == StepKind.CALL else named
        days = {cell: day for segment in Segment for cell, day in _days(section, step, segment).items()}
        section.done()
        return cls(step, days, frozenset(_CELL_NAMES[name] for name in by_call))


def _days(section: Section, step: Step, segment: Segment) -> dict[Cell, int | None]:
    """Read one segment of a step: a table by size, or one value for all three."""
    if not isinstance(section.raw(segment.value), Mapping):
        day = rules.day(section, segment.value, step)
        return {(segment, size): day for size in Size}
    sizes = section.section(segment.value)
    days = {(segment, size): rules.day(sizes, size.value, step) for size in Size}
    sizes.done()
    return days


@dataclass(frozen=True, slots=True)
class Frequency:
    """How often one customer may hear from us."""

    days_between: int
    in_7_days: int
    in_30_days: int

    @classmethod
    def read(cls, section: Section) -> Frequency:
        """Read ``[frequency]``; looser than the caps is refused."""
        read = cls(
            days_between=section.whole("days_between", 3, 60, "never closer than 3 days"),
            in_7_days=section.whole("in_7_days", 1, 2, "never more than 2 contacts in 7 days"),
            in_30_days=section.whole("in_30_days", 1, 7, "never more than 7 contacts in 30 days"),
        )
        section.done()
        return read


@dataclass(frozen=True, slots=True)
class Window:
    """When a mail may leave, in the customer's time zone; ``weekdays`` count from Monday = 0."""

    opens: time
    closes: time
    weekdays: frozenset[int]

    @classmethod
    def read(cls, section: Section) -> Window:
        """Read ``[window]``."""
        opens, closes = section.time_of_day("opens"), section.time_of_day("closes")
        if opens >= closes:
            section.refuse("opens", "must be earlier than closes")
        weekdays = section.choices("weekdays", WEEKDAYS)
        if not weekdays:
            section.refuse("weekdays", "must name at least one day")
        section.done()
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
            new_days=section.whole("new_days", 0, 3650),
            new_paid_invoices=section.whole("new_paid_invoices", 0, 1000),
            revenue_percent=section.whole("revenue_percent", 0, 100),
            customers_percent=section.whole("customers_percent", 0, 100),
        )
        section.done()
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
        large, medium = section.whole("large_percentile", 2, 100), section.whole("medium_percentile", 1, 99)
        if medium >= large:
            section.refuse("medium_percentile", "must be below large_percentile")
        floors = section.section("floors")
        read = {code: _floor(floors.section(code)) for code in floors.currencies()}
        section.done()
        return cls(large, medium, read)


def _floor(section: Section) -> tuple[Decimal, Decimal]:
    large, medium = (as_decimal(section.raw(key)) for key in ("large", "medium"))
    section.done()
    if large is None or medium is None or not 0 <= medium < large:
        section.refuse("large", "and medium must both be sums, medium the smaller one")
        return (Decimal(0), Decimal(0))
    return (large, medium)


@dataclass(frozen=True, slots=True)
class Minimum:
    """The smallest sum worth a reminder, per currency."""

    default: Decimal
    by_currency: Mapping[str, Decimal]

    @classmethod
    def read(cls, section: Section) -> Minimum:
        """Read ``[minimum]``."""
        highest = Decimal(10) ** 9
        read = {code: section.amount(code, Decimal(0), highest) for code in section.currencies("default")}
        return cls(read.pop("default"), read)

    def of(self, currency: str) -> Decimal:
        """Give the minimum of a currency."""
        return self.by_currency.get(currency, self.default)


@dataclass(frozen=True, slots=True)
class Books:
    """How old the facts may be."""

    stale_after_hours: int
    newest_payment_days: int | None

    @classmethod
    def read(cls, section: Section) -> Books:
        """Read ``[books]``."""
        read = cls(
            stale_after_hours=section.whole("stale_after_hours", 1, 24 * 14),
            newest_payment_days=section.whole_or_off("newest_payment_days", 1, 365),
        )
        section.done()
        return read


@dataclass(frozen=True, slots=True)
class Thanks:
    """When a payment is thanked for."""

    enabled: bool
    once_in_days: int
    within_days: int

    @classmethod
    def read(cls, section: Section) -> Thanks:
        """Read ``[thank_you]``."""
        section.choice("kind", ["mail"])
        read = cls(
            enabled=section.switch("enabled"),
            once_in_days=section.whole("once_in_days", 30, 3650, "at most one thank-you in 30 days"),
            within_days=section.whole("within_days", 1, 25),
        )
        section.done()
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
        read = {size: days.whole(size.value, 1, 60) for size in Size}
        days.done()
        section.done()
        return cls(read)


@dataclass(frozen=True, slots=True)
class Promises:
    """When a promise counts as broken (so many business days after its day), and who is called then, not mailed."""

    business_days: int
    by_call: frozenset[Cell]

    @classmethod
    def read(cls, section: Section) -> Promises:
        """Read ``[promise_broken]``."""
        kind, by_call = section.choice("kind", _MAIL_KINDS), section.choices("by_call", _CELL_NAMES)
        cells = CELLS if kind == StepKind.CALL else [_CELL_NAMES[name] for name in by_call]
        read = cls(section.whole("business_days", 0, 30), frozenset(cells))
        section.done()
        return read


@dataclass(frozen=True, slots=True)
class WaysToPay:
    """The company's own lines on how to pay: bank details and the like, per currency."""

    default: str
    by_currency: Mapping[str, str]

    @classmethod
    def read(cls, section: Section) -> WaysToPay:
        """Read ``[ways_to_pay]``."""
        read = {code: section.lines(code, 12, 800) for code in section.currencies("default")}
        return cls(read.pop("default"), read)

    def of(self, currency: str) -> str:
        """Give the lines for a currency."""
        return self.by_currency.get(currency, self.default)


@dataclass(frozen=True, slots=True)
class Replies:
    """How long a customer who replied to a mail is left in peace."""

    pause_days: int

    @classmethod
    def read(cls, section: Section) -> Replies:
        """Read ``[replies]``."""
        read = cls(section.whole("pause_days", 0, 60))
        section.done()
        return read
