"""How good the forecast of a pay day is: back-tested with what was known on the day of prediction, split by time.

``python -m benchmarks.forecast FILE.csv`` reads closed invoices with the columns ``customerID``, ``InvoiceDate``,
``DueDate`` and ``SettledDate`` (the IBM sample of late payments has them) and also the two make-believe companies. For
each invoice of the test period it learns from invoices settled before its issue alone. It prints the mean absolute
error of days late, the area under the curve of late-or-not, and how often the 80 % interval holds. It ends with exit 1
where the file's error is above 6.28 or its area below 0.86, or where the interval of a make-believe company, over its
years, holds less than 75 or more than 85 times of a hundred. Their invoices of the last 75 days are left out: of those
only the promptly paid are known.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from policies.habits import Norm, Settled, forecast, habits_of, norm_of
from providers.sandbox import events
from providers.sandbox.world import world

ERROR_MAX, AREA_MIN = 6.28, 0.86
HELD_MIN, HELD_MAX = 0.75, 0.85
TRAINING = 0.7  # of the invoices, in the order of their issue; the rest are foretold
SANDBOX_ON = date(2026, 11, 20)
UNKNOWN_DAYS = 75


class Case(NamedTuple):
    """A closed invoice."""

    customer: str
    issued_on: date
    settled: Settled


class Result(NamedTuple):
    """How the forecast did."""

    foretold: int
    error: float
    area: float
    held: float

    def __str__(self) -> str:
        """Write it as a line."""
        return (
            f"{self.foretold} invoices foretold, mean error {self.error:.2f} days, area {self.area:.3f}, "
            f"80 % interval holds {self.held:.1%}"
        )


def main() -> int:
    """Back-test and judge."""
    parser = argparse.ArgumentParser(description="Back-test of the pay-day forecast.")
    parser.add_argument("file", nargs="?", type=Path, help="CSV of closed invoices")
    parser.add_argument("--seeds", type=int, default=3, help="make-believe years for each ledger")
    asked = parser.parse_args()
    good = True
    if asked.file:
        found = back_test(from_csv(asked.file))
        sys.stdout.write(f"{asked.file.name}: {found} (wanted: error <= {ERROR_MAX}, area >= {AREA_MIN})\n")
        good = found.error <= ERROR_MAX and found.area >= AREA_MIN
    for ledger in ("xero", "quickbooks"):
        years = [back_test(from_sandbox(ledger, seed)) for seed in range(1, asked.seeds + 1)]
        for seed, found in enumerate(years, start=1):
            sys.stdout.write(f"sandbox {ledger}, seed {seed}: {found}\n")
        held = sum(each.held * each.foretold for each in years) / sum(each.foretold for each in years)
        sys.stdout.write(f"sandbox {ledger}: the interval holds {held:.1%} (wanted: 75 to 85 %)\n")
        good = good and HELD_MIN <= held <= HELD_MAX
    return 0 if good else 1


def back_test(cases: Iterable[Case]) -> Result:
    """Foretell the later invoices, each from what was settled before the day it was issued."""
    ordered = sorted(cases, key=lambda case: case.issued_on)
    split_on = ordered[int(len(ordered) * TRAINING)].issued_on
    own: defaultdict[str, list[Settled]] = defaultdict(list)
    for case in ordered:
        own[case.customer].append(case.settled)
    everything = [case.settled for case in ordered]
    errors: list[float] = []
    late: list[tuple[float, bool]] = []
    held = 0
    later = [case for case in ordered if case.issued_on >= split_on]
    for issued_on, today in groupby(later, lambda case: case.issued_on):
        norm: Norm = norm_of(everything, issued_on)
        for case in today:
            foretold = forecast(habits_of(own[case.customer], norm, issued_on), case.settled.due_on)
            errors.append(abs((case.settled.settled_on - foretold.expected_on).days))
            late.append((foretold.late_share, case.settled.days_late > 0))
            held += foretold.earliest_on <= case.settled.settled_on <= foretold.latest_on
    return Result(len(errors), fmean(errors), area_under_curve(late), held / len(errors))


def area_under_curve(scored: Sequence[tuple[float, bool]]) -> float:
    """Tell how often a late invoice has a higher score than one that was not; a tie counts half."""
    late, on_time = [[score for score, was in scored if was is wanted] for wanted in (True, False)]
    if not late or not on_time:
        return 0.5
    return sum(_above(score, on_time) for score in late) / len(late)


def _above(score: float, others: Sequence[float]) -> float:
    return sum((other < score) + (other == score) / 2 for other in others) / len(others)


def from_csv(file: Path) -> list[Case]:
    """Read the closed invoices of a file."""
    with file.open(newline="", encoding="utf-8") as text:
        return [
            Case(row["customerID"], _day(row["InvoiceDate"]), Settled(_day(row["DueDate"]), _day(row["SettledDate"])))
            for row in csv.DictReader(text)
        ]


def _day(text: str) -> date:
    month, day, year = map(int, text.split("/"))
    return date(year, month, day)


def from_sandbox(ledger: str, seed: int) -> list[Case]:
    """Play a make-believe year, and give the invoices that were settled in it."""
    owed: dict[str, Decimal] = {}
    issued: dict[str, events.InvoiceIssued] = {}
    settled_on: dict[str, date] = {}
    for event in world(seed, ledger, SANDBOX_ON).between(None, datetime.combine(SANDBOX_ON, time(), UTC)):
        if isinstance(event, events.InvoiceIssued) and not event.draft:
            issued[event.key], owed[event.key] = event, event.total
        elif isinstance(event, events.PaymentReceived | events.CreditNoteIssued):
            for key, amount in event.applied:
                owed[key] -= amount
                if owed[key] <= 0:
                    settled_on[key] = event.at.date()
    last_on = SANDBOX_ON - timedelta(days=UNKNOWN_DAYS)
    found = [(issued[key], on) for key, on in settled_on.items() if issued[key].at.date() < last_on]
    return [Case(each.customer_key, each.at.date(), Settled(each.due_on, on)) for each, on in found]


if __name__ == "__main__":
    sys.exit(main())
