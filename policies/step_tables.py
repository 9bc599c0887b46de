"""The tables of the steps in the policy document: what a step is, and on which day it comes for which customers."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

from pydantic import Field, create_model

from policies.receivables import Segment, Size, Step
from policies.schedule import StepKind
from policies.schedule_rules import Cell
from policies.validation import Reads, Section, invalid, list_out_of, one_of, refused, table_of

CELLS = tuple((segment, size) for segment in Segment for size in Size)
CELLS_BY_NAME = {f"{segment.value} {size.value}": (segment, size) for segment, size in CELLS}
CELL_LIST = list_out_of(CELLS_BY_NAME)

_DAY_RANGES: dict[Step, tuple[int, int, str]] = {
    Step.RECEIPT_CHECK: (1, 120, "counts days after the invoice date, so it is positive"),
    Step.DISCOUNT_ENDING: (-30, 0, "counts days before the discount ends, so it is negative"),
    Step.BEFORE_DUE: (-60, -1, "counts days before the due date, so it is negative"),
    Step.DUE_TODAY: (0, 0, "is the due date itself"),
}
_AFTER_DUE_RANGE = (1, 730, "counts days after the due date, so it is positive")


class Origin(StrEnum):
    """The date from which the days of a step are counted."""

    ISSUE = "issue"
    DISCOUNT_END = "discount_end"
    DUE = "due"


def _read_day(step: Step, value: object) -> int | None:
    if value == "off":
        return None
    low, high, reason = _DAY_RANGES.get(step, _AFTER_DUE_RANGE)
    if type(value) is int and low <= value <= high:
        return value
    expected = f"from {low} to {high}" if low < high else str(low)
    raise invalid(f'"off" or a day {expected} ({step.value} {reason})', value)


def read_size(key: str) -> Size:
    """Return the size of that name. Raises for what is none."""
    if key in list(Size):
        return Size(key)
    raise refused("is not known here")


def _read_segment_days(step: Step, value: object) -> Mapping[Size, int | None]:
    """Read the days of one segment: a table by size, or one day for all sizes."""
    read_day = partial(_read_day, step)
    if not isinstance(value, Mapping):
        return dict.fromkeys(Size, read_day(value))
    return table_of(read_size, read_day)({**dict.fromkeys(Size), **value})


class StepTable(Section):
    """The table of a step: its day for every segment and size, ``None`` where it is off."""

    kind: StepKind
    origin: Origin
    strategic: Mapping[Size, int | None]
    established: Mapping[Size, int | None]
    new: Mapping[Size, int | None]

    @property
    def days(self) -> dict[Cell, int | None]:
        """The day for every segment and size."""
        return {(segment, size): getattr(self, segment.value)[size] for segment, size in CELLS}

    @property
    def calls(self) -> frozenset[Cell]:
        """The segments and sizes in which the customer is called instead of emailed."""
        return frozenset()


class ContactStepTable(StepTable):
    """The table of a step that is an email, or a call in the cells of ``by_call``."""

    kind: Annotated[StepKind, Reads(one_of((StepKind.EMAIL, StepKind.CALL)))]
    by_call: Annotated[frozenset[Cell], Reads(CELL_LIST)]

    @property
    def calls(self) -> frozenset[Cell]:
        """The segments and sizes in which the customer is called instead of emailed."""
        return frozenset(CELLS) if self.kind is StepKind.CALL else self.by_call


_OTHER_KINDS: dict[Step, StepKind] = {
    Step.NOTIFY_OWNER: StepKind.INTERNAL,
    Step.CALL: StepKind.CALL,
    Step.ESCALATION_CALL: StepKind.CALL,
    Step.LATE_FEE: StepKind.LEDGER,
    Step.PROPOSE_SUSPENSION: StepKind.TASK,
    Step.HAND_OFF_REVIEW: StepKind.TASK,
}
_OTHER_ORIGINS = {Step.RECEIPT_CHECK: Origin.ISSUE, Step.DISCOUNT_ENDING: Origin.DISCOUNT_END}


def step_model(step: Step) -> type[StepTable]:
    """Return the model of a step's table: what it is, from when it counts, and the days it allows."""
    origin = Annotated[Origin, Reads(one_of([_OTHER_ORIGINS.get(step, Origin.DUE)])), Field(alias="from")]
    days = Annotated[Mapping[Size, int | None], Reads(partial(_read_segment_days, step))]
    fields: dict[str, Any] = {segment.value: (days, ...) for segment in Segment} | {"origin": (origin, ...)}
    if step in _OTHER_KINDS:
        fields["kind"] = (Annotated[StepKind, Reads(one_of([_OTHER_KINDS[step]]))], ...)
    base = StepTable if step in _OTHER_KINDS else ContactStepTable
    return create_model(f"{step.name.title()}Table", __base__=base, **fields)
