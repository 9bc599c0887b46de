"""Modules that are imported where they are first needed, by several threads at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# The search for the second module is held up until the other thread has begun its own import: without the lock each
# then waits for what the other one loads, and Python hands one of them a half-loaded module.
_TWO_FIRST_SYNCS = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from providers.geo import country_code, holiday_region

both_began = threading.Barrier(2)

class HeldUp:
    def find_spec(self, name, path=None, target=None):
        if name in ("holidays.utils", "holidays.registry") and threading.current_thread().name not in waited:
            waited.add(threading.current_thread().name)
            try:
                both_began.wait(timeout=0.5)
            except threading.BrokenBarrierError:
                pass  # the other thread waits for the lock, as it should

waited = set()
sys.meta_path.insert(0, HeldUp())
with ThreadPoolExecutor(2) as threads:
    found = [threads.submit(country_code, "United Kingdom"), threads.submit(holiday_region, "GB", "England")]
print([one.result() for one in found])
"""


def test_two_threads_that_first_need_one_package_at_once_both_get_it_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TWO_FIRST_SYNCS],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "['GB', 'GB-ENG']"
