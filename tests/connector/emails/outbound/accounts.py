"""The bank accounts of the company whose emails are tested."""

from __future__ import annotations

from connector.bank_details.accounts import parse_bank_details

EUROS = parse_bank_details({"currency": "EUR", "payee": "Harbour Lights GmbH", "iban": "DE89 3704 0044 0532 0130 00"})
FRANCS = parse_bank_details(
    {
        "currency": "CHF",
        "payee": "Harbour Lights AG",
        "iban": "CH93 0076 2011 6238 5295 7",
        "street": "Bahnhofstrasse",
        "building_number": "1",
        "postcode": "8001",
        "town": "Zürich",
        "country": "CH",
    }
)
