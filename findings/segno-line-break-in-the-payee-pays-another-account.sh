#!/usr/bin/env bash
# A payment code pays another account than the one it was made for, because the payee's name has a line break.
#
# An EPC code is lines of text: the payee's name, then the account, then the amount. make_epc_qr checks the length of the name and
# not its characters, so a name with a line break in it (pasted from a letterhead, or written on purpose) puts its second line where
# banking apps read the IBAN; the right IBAN becomes the amount. The IBAN's own check digits are not looked at either. Reduce every
# field to one line, check the IBAN, and read each code back in tests.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check segno==1.6.6 zxing-cpp==3.1.1 pillow==13.0.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import io

import segno
import zxingcpp
from PIL import Image
from segno import helpers

name = "Acme GmbH\nDE02120300000000202051"
code = helpers.make_epc_qr(name=name, iban="DE89370400440532013000", amount="12.30", text="INV-1560")
picture = io.BytesIO()
code.save(picture, kind="png", scale=5)
lines = zxingcpp.read_barcodes(Image.open(picture))[0].text.split("\n")
print("segno", segno.__version__, "- a banking app reads: payee", repr(lines[5]), "account", lines[6], "amount", lines[7])
raise SystemExit(lines[5:8] != ["Acme GmbH", "DE02120300000000202051", "DE89370400440532013000"])
PYTHON
