"""CSV: RFC 4180, without formulas."""

from __future__ import annotations

import csv
from decimal import Decimal

import pytest

from connector.reports.csv_export import csv_lines


def cells(*row: object) -> list[str]:
    """Write one row and read it back."""
    [line] = csv_lines([row])
    assert line.endswith("\r\n")
    [found] = csv.reader([line])
    return found


@pytest.mark.parametrize(
    "formula", ["=1", "+a", "-a", "@a", "|a", "%a", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "\x00=1", "\u202e=1"]
)
def test_formulas_are_escaped_in_csv(formula: str) -> None:
    [cell] = cells(formula)
    assert cell.startswith("'")


@pytest.mark.parametrize("sign", ["\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_full_width_signs_are_escaped_too(sign: str) -> None:
    assert cells(f" {sign}1+1") == [f"'{sign}1+1"]


def test_other_texts_and_numbers_are_unchanged() -> None:
    row = ("Miller & Sons - late", 'Ann said "no", twice', -5, Decimal("-1234.50"), "-1234.50", None, "")
    assert cells(*row) == ["Miller & Sons - late", 'Ann said "no", twice', "-5", "-1234.50", "-1234.50", "", ""]
