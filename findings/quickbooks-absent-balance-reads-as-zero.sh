#!/usr/bin/env bash
# A record that says nothing of its balance reads as a balance of 0, which means "paid" to whoever asks.
#
# QuickBooks reports a deleted invoice among the changes by its id and a status alone, and a query may name a few columns. The SDK's
# object has 0 where the reply has nothing, so that "deleted", "not asked for" and "paid in full" are the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check python-quickbooks==0.9.12
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
from quickbooks.objects import Invoice

deleted = Invoice.from_json({"Id": "31", "status": "Deleted", "MetaData": {"LastUpdatedTime": "2026-06-10T08:00:00Z"}})
few_columns = Invoice.from_json({"Id": "32", "DocNumber": "1042"})
balances = [deleted.Balance, few_columns.Balance]
print("python-quickbooks", version("python-quickbooks"), "- balances that no reply contained:", balances)
raise SystemExit(balances != [0, 0])
PYTHON
