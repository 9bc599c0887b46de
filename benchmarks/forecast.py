"""How accurate payment forecasts are: backtested with what was known on the date of the prediction, split by time.

``python -m benchmarks.forecast FILE.csv`` reads closed invoices with the columns ``customerID``, ``InvoiceDate``,
``DueDate`` and ``SettledDate`` (the IBM sample of late payments has them), and also simulates companies on both
ledgers. For each invoice of the test period, only invoices paid before its issue are used. It prints the mean absolute
error of days late, the area under the curve of late-or-not, and how often the 80 % range is right. It exits with 1
where the file's error is above 6.28 or its area below 0.86, or where the range of the simulated companies is right
less than 75 or more than 85 times in a hundred. Their invoices of the last 75 days are left out: only the promptly
paid ones of these are known.
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

from policies.payment_behaviour import Baseline, ClosedInvoice, forecast_payment, learn_baseline, learn_behaviour
from sandbox import events
from sandbox.simulation import get_history

MAX_ERROR_DAYS, MIN_AUC = 6.28, 0.86
MIN_COVERAGE, MAX_COVERAGE = 0.75, 0.85
TRAINING_SHARE = 0.7  # of the invoices in order of issue; the rest is predicted
SANDBOX_ON = date(2026, 11, 20)
EXCLUDED_DAYS = 75


class Sample(NamedTuple):
    """A closed invoice."""

    customer: str
    issued_on: date
    invoice: ClosedInvoice


class BacktestResult(NamedTuple):
    """The accuracy of a forecast."""

    predicted: int
    mean_error: float
    auc: float
    coverage: float

    def __str__(self) -> str:
        """Return the figures as one line."""
        return (
            f"{self.predicted} invoices predicted, mean error {self.mean_error:.2f} days, area {self.auc:.3f}, "
            f"80 % range right for {self.coverage:.1%}"
        )


def main() -> int:
    """Backtest, and compare with the limits."""
    parser = argparse.ArgumentParser(description="Backtest of payment forecasts.")
    parser.add_argument("file", nargs="?", type=Path, help="CSV of closed invoices")
    parser.add_argument("--seeds", type=int, default=3, help="simulated years for each ledger")
    asked = parser.parse_args()
    good = True
    if asked.file:
        found = back_test(load_csv(asked.file))
        sys.stdout.write(f"{asked.file.name}: {found} (wanted: error <= {MAX_ERROR_DAYS}, area >= {MIN_AUC})\n")
        good = found.mean_error <= MAX_ERROR_DAYS and found.auc >= MIN_AUC
    for ledger in ("xero", "quickbooks"):
        years = [back_test(load_sandbox(ledger, seed)) for seed in range(1, asked.seeds + 1)]
        for seed, found in enumerate(years, start=1):
            sys.stdout.write(f"sandbox {ledger}, seed {seed}: {found}\n")
        held = sum(each.coverage * each.predicted for each in years) / sum(each.predicted for each in years)
        sys.stdout.write(f"sandbox {ledger}: the range is right for {held:.1%} (wanted: 75 to 85 %)\n")
        good = good and MIN_COVERAGE <= held <= MAX_COVERAGE
    return 0 if good else 1


def back_test(samples: Iterable[Sample]) -> BacktestResult:
    """Predict the later invoices, each from what was paid before its issue date."""
    ordered = sorted(samples, key=lambda case: case.issued_on)
    split_on = ordered[int(len(ordered) * TRAINING_SHARE)].issued_on
    own: defaultdict[str, list[ClosedInvoice]] = defaultdict(list)
    for case in ordered:
        own[case.customer].append(case.invoice)
    everything = [case.invoice for case in ordered]
    errors: list[float] = []
    late: list[tuple[float, bool]] = []
    held = 0
    later = [case for case in ordered if case.issued_on >= split_on]
    for issued_on, today in groupby(later, lambda case: case.issued_on):
        norm: Baseline = learn_baseline(everything, issued_on)
        for case in today:
            foretold = forecast_payment(learn_behaviour(own[case.customer], norm, issued_on), case.invoice.due_on)
            errors.append(abs((case.invoice.closed_on - foretold.expected_on).days))
            late.append((foretold.late_share, case.invoice.days_late > 0))
            held += foretold.earliest_on <= case.invoice.closed_on <= foretold.latest_on
    return BacktestResult(len(errors), fmean(errors), area_under_curve(late), held / len(errors))


def area_under_curve(scored: Sequence[tuple[float, bool]]) -> float:
    """Return how often a late invoice has a higher score than one paid on time; a tie counts half."""
    late, on_time = [[score for score, was in scored if was is wanted] for wanted in (True, False)]
    if not late or not on_time:
        return 0.5
    return sum(_share_below(score, on_time) for score in late) / len(late)


def _share_below(score: float, others: Sequence[float]) -> float:
    return sum((other < score) + (other == score) / 2 for other in others) / len(others)


def load_csv(file: Path) -> list[Sample]:
    """Read the closed invoices of a file."""
    with file.open(newline="", encoding="utf-8") as text:
        return [
            Sample(
                row["customerID"],
                _parse_date(row["InvoiceDate"]),
                ClosedInvoice(_parse_date(row["DueDate"]), _parse_date(row["SettledDate"])),
            )
            for row in csv.DictReader(text)
        ]


def _parse_date(text: str) -> date:
    month, day, year = map(int, text.split("/"))
    return date(year, month, day)


def load_sandbox(ledger: str, seed: int) -> list[Sample]:
    """Simulate a year, and return the invoices that were paid in it."""
    owed: dict[str, Decimal] = {}
    issued: dict[str, events.InvoiceIssued] = {}
    settled_on: dict[str, date] = {}
    for event in get_history(seed, ledger, SANDBOX_ON).between(None, datetime.combine(SANDBOX_ON, time(), UTC)):
        if isinstance(event, events.InvoiceIssued) and not event.draft:
            issued[event.key], owed[event.key] = event, event.total
        elif isinstance(event, events.PaymentReceived | events.CreditNoteIssued):
            for key, amount in event.applied:
                owed[key] -= amount
                if owed[key] <= 0:
                    settled_on[key] = event.at.date()
    last_on = SANDBOX_ON - timedelta(days=EXCLUDED_DAYS)
    found = [(issued[key], on) for key, on in settled_on.items() if issued[key].at.date() < last_on]
    return [Sample(each.customer_key, each.at.date(), ClosedInvoice(each.due_on, on)) for each, on in found]


if __name__ == "__main__":
    sys.exit(main())
