"""The payment forecast, backtested: it is still as accurate as it was measured to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.forecast import MAX_ERROR_DAYS, MIN_AUC, area_under_curve, back_test, load_csv, load_sandbox

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "ibm-accounts-receivable.csv"


def test_the_forecast_error_on_the_public_sample_is_within_its_limit() -> None:
    if not SAMPLE.exists():
        pytest.skip("the public sample of late payments is not next to the project")
    found = back_test(load_csv(SAMPLE))
    assert found.mean_error <= MAX_ERROR_DAYS
    assert found.auc >= MIN_AUC


@pytest.mark.parametrize("ledger", ["xero", "quickbooks"])
def test_the_80_percent_range_covers_about_80_percent_of_a_simulated_company(ledger: str) -> None:
    found = back_test([sample for seed in (1, 2) for sample in load_sandbox(ledger, seed)])
    assert 0.75 <= found.coverage <= 0.85


def test_the_area_under_the_curve_counts_pairs() -> None:
    assert area_under_curve([(0.9, True), (0.1, False), (0.5, True), (0.5, False)]) == 0.875
    assert area_under_curve([(0.9, True)]) == 0.5
