#!/usr/bin/env bash
# Of two limits in one setting only the first is in force, and nothing says so.
#
# limits.parse takes "10/minute; 100/hour" and returns ten a minute: the hourly limit of a service that counts both is gone, and its
# answers of 429 come by surprise. parse_many returns both.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check limits==5.8.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
import limits

setting = "10/minute; 100/hour"
one, both = limits.parse(setting), limits.parse_many(setting)
print("limits", version("limits"), "- parse:", one, "- parse_many:", *both, sep=" | ")
raise SystemExit((str(one), len(both)) != ("10 per 1 minute", 2))
PYTHON
