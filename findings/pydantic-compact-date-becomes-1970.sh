#!/usr/bin/env bash
# The date 20260610, as bank files write it, becomes a day in August 1970.
#
# A field of type datetime takes a string of digits as seconds since 1970, without a warning: a due date that is 56 years past, and
# interest for as long. A field of type date refuses the same text.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check pydantic==2.14.4
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from datetime import datetime
from importlib.metadata import version
from pydantic import TypeAdapter

read = TypeAdapter(datetime).validate_python("20260610")
print("pydantic", version("pydantic"), "- the text 20260610 as a datetime:", read.isoformat())
raise SystemExit(read.year != 1970)
PYTHON
