#!/usr/bin/env bash
# A reply of changes that says "I could not read the payments" looks like "there were no payments".
#
# QuickBooks answers a request for changes with status 200 and, per kind of record, either the records or a Fault. The SDK skips what is
# no record: no error is raised, and the kind is merely absent. Who moves the cursor on after it never reads these payments.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check python-quickbooks==0.9.12
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
from quickbooks.cdc import change_data_capture
from quickbooks.objects import Invoice, Payment

REPLY = {
    "CDCResponse": [
        {
            "QueryResponse": [
                {"Invoice": [{"Id": "31", "Balance": 75}], "startPosition": 1, "maxResults": 1},
                {"Fault": {"Error": [{"Message": "a record is not valid", "code": "4002"}], "type": "ValidationFault"}},
            ]
        }
    ]
}


class Client:
    """Stands for the connection: it only returns the reply."""

    def change_data_capture(self, kinds, since):
        return REPLY


changes = change_data_capture([Invoice, Payment], "2026-06-10T08:00:00Z", qb=Client())
seen = sorted(vars(changes))
print("python-quickbooks", version("python-quickbooks"), "- kinds of record found in the reply:", seen)
print("the fault about payments is", "lost without an error" if seen == ["Invoice"] else "visible now")
raise SystemExit(seen != ["Invoice"])
PYTHON
