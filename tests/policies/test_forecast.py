"""The forecast of pay days, back-tested: what it was measured to reach, it still reaches."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.forecast import MAX_ERROR_DAYS, MIN_AUC, area_under_curve, back_test, load_csv, load_sandbox

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "ibm-accounts-receivable.csv"


def test_the_error_on_the_public_sample_is_no_larger_than_the_customers_own_median() -> None:
    if not SAMPLE.exists():
        pytest.skip("the public sample of late payments is not beside the project")
    found = back_test(load_csv(SAMPLE))
    assert found.mean_error <= MAX_ERROR_DAYS
    assert found.auc >= MIN_AUC


@pytest.mark.parametrize("ledger", ["xero", "quickbooks"])
def test_the_interval_holds_about_four_times_of_five_in_a_make_believe_company(ledger: str) -> None:
    found = back_test([case for seed in (1, 2) for case in load_sandbox(ledger, seed)])
    assert 0.75 <= found.coverage <= 0.85


def test_the_area_under_the_curve_counts_pairs() -> None:
    assert area_under_curve([(0.9, True), (0.1, False), (0.5, True), (0.5, False)]) == 0.875
    assert area_under_curve([(0.9, True)]) == 0.5
