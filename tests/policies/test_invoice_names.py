"""What an invoice is called, with and without a number."""

from __future__ import annotations

from datetime import date

import pytest

from policies.invoice_names import after_invoice, at_sentence_start, invoice_name, invoice_title

ON = date(2026, 5, 21)


@pytest.mark.parametrize(
    ("number", "is_shared", "name", "title", "after", "at_start"),
    [
        ("1042", False, "1042", "invoice 1042", "1042", "1042"),
        ("1042", True, "1042 of 21 May 2026", "invoice 1042 of 21 May 2026", "1042 of 21 May 2026", None),
        (" ", False, "the invoice of 21 May 2026", "the invoice of 21 May 2026", "of 21 May 2026", None),
        ("", True, "the invoice of 21 May 2026", "the invoice of 21 May 2026", "of 21 May 2026", None),
    ],
)
def test_an_invoice_is_named_by_number_by_date_or_by_both(
    number: str, *, is_shared: bool, name: str, title: str, after: str, at_start: str | None
) -> None:
    assert invoice_name(number, ON, is_shared=is_shared) == name
    assert invoice_title(number, ON, is_shared=is_shared) == title
    assert after_invoice(number, ON, is_shared=is_shared) == after
    expected = at_start or (f"T{name[1:]}" if not number.strip() else name)
    assert at_sentence_start(name) == expected


def test_an_invoice_shares_its_number_only_where_that_is_said() -> None:
    assert (invoice_name("1042", ON), invoice_title("1042", ON), after_invoice("1042", ON)) == (
        "1042",
        "invoice 1042",
        "1042",
    )
