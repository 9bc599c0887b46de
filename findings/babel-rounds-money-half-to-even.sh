#!/usr/bin/env bash
# An amount with half a cent is printed a cent lower than the invoice that was computed with it.
#
# format_currency rounds to the currency's digits itself, and half to even: 0.125 prints as 0.12 and 2.345 as 2.34, where ledgers and
# tax rules round half up. Round before printing, and print only what has been rounded.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check Babel==2.19.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from decimal import ROUND_HALF_UP, Decimal
from babel import __version__
from babel.numbers import format_currency

amounts = [Decimal("0.125"), Decimal("2.345"), Decimal("10.005")]
printed = [format_currency(amount, "EUR", locale="en_IE") for amount in amounts]
half_up = [str(amount.quantize(Decimal("0.01"), ROUND_HALF_UP)) for amount in amounts]
print("Babel", __version__, "- printed:", printed, "- half up:", half_up)
raise SystemExit(printed != ["€0.12", "€2.34", "€10.00"])
PYTHON
