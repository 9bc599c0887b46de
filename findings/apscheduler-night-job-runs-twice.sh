#!/usr/bin/env bash
# A job of each night at 02:30 runs twice in the night in which clocks go back.
#
# The local time 02:30 exists twice, and the trigger takes both, an hour apart. What a nightly job sends or charges has to be safe to
# run twice, or the job runs at an hour that every night has once.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check APScheduler==3.11.3
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from zoneinfo import ZoneInfo
from apscheduler.triggers.cron import CronTrigger

berlin = ZoneInfo("Europe/Berlin")
trigger = CronTrigger(hour=2, minute=30, timezone=berlin)
now, before, runs = datetime(2026, 10, 24, 22, tzinfo=UTC), None, []
while len(runs) < 3:
    before = trigger.get_next_fire_time(before, now.astimezone(berlin))
    runs.append(before.isoformat())
    now = before.astimezone(UTC) + timedelta(seconds=1)
print("APScheduler", version("APScheduler"), "- runs of a job at 02:30:", *runs)
raise SystemExit(runs[:2] != ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"])
PYTHON
