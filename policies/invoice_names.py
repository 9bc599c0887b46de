"""What an invoice is called: by its number; by its date where the ledger gave it none; by both where two share one."""

from __future__ import annotations

from datetime import date

from policies.formatting import format_date

_UNNUMBERED = "the invoice of "


def invoice_name(number: str, issued_on: date, *, is_shared: bool = False) -> str:
    """Return "1042", "1042 of 21 May 2026" or "the invoice of 21 May 2026".

    >>> invoice_name("", date(2026, 5, 21))
    'the invoice of 21 May 2026'
    """
    if not number.strip():
        return f"{_UNNUMBERED}{format_date(issued_on)}"
    return f"{number} of {format_date(issued_on)}" if is_shared else number


def invoice_title(number: str, issued_on: date, *, is_shared: bool = False) -> str:
    """Return "invoice 1042", "invoice 1042 of 21 May 2026" or "the invoice of 21 May 2026", as part of a sentence."""
    name = invoice_name(number, issued_on, is_shared=is_shared)
    return name if name.startswith(_UNNUMBERED) else f"invoice {name}"


def after_invoice(number: str, issued_on: date, *, is_shared: bool = False) -> str:
    """Return what follows the word "invoice": "1042", "1042 of 21 May 2026", "of 21 May 2026"."""
    return invoice_name(number, issued_on, is_shared=is_shared).removeprefix("the invoice ")


def at_sentence_start(name: str) -> str:
    """Return a name as a sentence begins with it; a number is left as it is."""
    return f"T{name[1:]}" if name.startswith(_UNNUMBERED) else name
