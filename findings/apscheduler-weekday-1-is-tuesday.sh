#!/usr/bin/env bash
# The crontab line "0 8 * * 1-5", Monday to Friday everywhere else, runs from Tuesday to Saturday.
#
# APScheduler counts weekdays from 0 for Monday, also in CronTrigger.from_crontab, which reads a line in crontab's own format. Reminders
# that must go out on business days would go out on Saturdays, and not on Mondays. Names (mon-fri) are safe.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check APScheduler==3.11.3
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from apscheduler.triggers.cron import CronTrigger

trigger = CronTrigger.from_crontab("0 8 * * 1-5", timezone="UTC")
now, days = datetime(2026, 6, 7, tzinfo=UTC), []  # a Sunday
for _ in range(5):
    now = trigger.get_next_fire_time(None, now)
    days.append(f"{now:%a}")
    now += timedelta(minutes=1)
print("APScheduler", version("APScheduler"), "- 0 8 * * 1-5 runs on:", " ".join(days))
raise SystemExit(days != ["Tue", "Wed", "Thu", "Fri", "Sat"])
PYTHON
