#!/usr/bin/env bash
# A plan of four monthly instalments from 31 January is due in January, March, May and July.
#
# A monthly rule means "on the 31st", and a month without one is left out, as RFC 5545 has it: half the instalments come months late.
# relativedelta(months=n), counted from the first date each time, gives the last day of the short months.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check python-dateutil==2.9.0.post0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from datetime import datetime
from importlib.metadata import version
from dateutil.relativedelta import relativedelta
from dateutil.rrule import MONTHLY, rrule

first = datetime(2027, 1, 31)
by_rule = [f"{day:%d %b}" for day in rrule(MONTHLY, dtstart=first, count=4)]
by_months = [f"{first + relativedelta(months=n):%d %b}" for n in range(4)]
print("python-dateutil", version("python-dateutil"), "- by rule:", by_rule, "- by relativedelta:", by_months)
raise SystemExit(by_rule != ["31 Jan", "31 Mar", "31 May", "31 Jul"])
PYTHON
