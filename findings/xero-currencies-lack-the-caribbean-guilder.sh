#!/usr/bin/env bash
# The Xero SDK knows a fixed list of currencies, and one that is missing makes its reader give up on the whole page of invoices.
#
# XCG replaced ANG on Curacao and Sint Maarten in March 2025; the list still has ANG alone. The script compares lists only. Read in the
# SDK, one invoice of such a customer costs all invoices of its page: read the JSON yourself, and set aside the one record.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check xero-python==15.2.0 iso4217==1.16.20260101
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
from iso4217 import Currency
from xero_python.accounting.models import CurrencyCode

known = {code.name for code in CurrencyCode}
in_use = {currency.code for currency in Currency}
missing = sorted(in_use & {"XCG", "VED", "ZWG"} - known)
print("xero-python", version("xero-python"), "- currencies in use that its list lacks:", missing, "- has ANG:", "ANG" in known)
raise SystemExit("XCG" not in missing)
PYTHON
