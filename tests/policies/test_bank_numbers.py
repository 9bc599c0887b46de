"""What counts as a bank account in a free text, and what does not."""

from __future__ import annotations

import pytest

from policies.bank_numbers import find_bank_account
from policies.policy import PolicyError, ReminderPolicy


@pytest.mark.parametrize(
    "text",
    [
        "IBAN DE02 1203 0000 0000 2020 51",
        "pay to de02120300000000202051 please",
        "DE02-1203-0000-0000-2020-51",
        "DE02\u00a01203\u00a00000\u00a00000\u00a02020\u00a051 Larkspur Bank",
        "DE02\u200b1203 0000 0000 2020 51",
        "Konto: CH93 0076 2011 6238 5295 7",
        "Sort code 12-34-56, account 01234567",
        "12 34 56 01234567",
        "01234567 12-34-56",
        "Routing number 021000021, account 123456789",
        "BSB 062-000 a/c 12345678",
        "Account number: 12-3456-7890123-00",
    ],
)
def test_a_bank_account_is_found(text: str) -> None:
    assert find_bank_account(f"By transfer.\n{text}\nwith the invoice number")
    with pytest.raises(
        PolicyError, match=r"EUR .*(is a bank account\. Enter it as the company's bank details|must be)"
    ):
        ReminderPolicy.from_toml(f'[payment_instructions]\nEUR = """{text}"""\n')


@pytest.mark.parametrize(
    "text",
    [
        "By cheque to Larkspur Ltd, 12 High Street, London SW1A 1AA",
        "Please quote INV-2026-000123456789 with every payment",
        "VAT GB 123 4567 89, company number 01234567",
        "Call +44 20 7946 0018 on 01-02-26",
        "Call 01 23 45 67 89 about invoice 20260001",
        "Facture 20260001, t\u00e9l. 01.23.45.67.89",
        "DE02 1203 0000 0000 2020 52",  # wrong check digits: no account
        "USt-IdNr. DE123456789, HRB 123456 Amtsgericht Berlin",
        "PayPal: pay@larkspur.example, M-Pesa till 123456",
        "",
    ],
)
def test_other_numbers_are_no_bank_account(text: str) -> None:
    assert find_bank_account(text) == ""
