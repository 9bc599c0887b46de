#!/usr/bin/env bash
# Two threads that first need two parts of a package at the same time both fail.
#
# Its modules import one another in a circle. Each thread then waits for what the other one is loading; Python ends that by handing one
# of them a module that is only half there (AttributeError), and the failed import takes the package away from the other (KeyError).
# It happens once, at the start, and never again: a worker that imports where something is first needed, and syncs companies in threads,
# loses its first syncs. The meeting below only makes it certain. Hold one lock for such imports, or import before threads start.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check holidays==0.109
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import importlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

both, met = threading.Barrier(2), threading.local()


class Meeting:
    """Holds each thread's first search for one of the two modules until the other thread has begun too."""

    def find_spec(self, name, path=None, target=None):
        if name in ("holidays.registry", "holidays.utils") and not hasattr(met, "once"):
            met.once = True
            try:
                both.wait(1)
            except threading.BrokenBarrierError:
                pass


def load(name):
    try:
        importlib.import_module(name)
    except (AttributeError, ImportError, KeyError) as error:
        return type(error).__name__
    return "the whole module"


sys.meta_path.insert(0, Meeting())
with ThreadPoolExecutor(2) as threads:
    found = list(threads.map(load, ["holidays.registry", "holidays.utils"]))
print("holidays", version("holidays"), "- two threads that import it at once get:", ", ".join(found))
raise SystemExit(found == ["the whole module"] * 2)
PYTHON
