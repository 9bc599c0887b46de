"""Two revisions side by side: ``python -m benchmarks.against REV`` runs another one and this one in turn.

The other revision is cloned into the cache folder and gets an environment from its own lock file, once. Both are
connected, by their own commands, to the same simulated services, and take turns. Seconds are processor seconds, which
other programs of the machine disturb least: of syncs the median, of everything else the best of several.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from platformdirs import user_cache_path

from benchmarks.revisions.figures import Figure, measure_all
from benchmarks.revisions.revision import check_out, current_revision

GROUPS = ("syncs", "commands", "serve", "decisions", "load")


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("revision", metavar="REV", help="the revision to compare with")
    parser.add_argument("--python", type=Path, help="run it with the packages of this Python instead of its own")
    parser.add_argument("--times", type=int, default=5, help="how often everything is measured")
    parser.add_argument("--only", choices=GROUPS, nargs="+", default=GROUPS)
    asked = parser.parse_args()
    revisions = [check_out(asked.revision, user_cache_path("duewell") / "against", asked.python), current_revision()]
    _print(f"{datetime.now(UTC):%d %b %Y}, Python {platform.python_version()}, {platform.machine()}\n")
    _print(f"| figure | at {asked.revision} | now | ratio | wanted |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for figure in measure_all(revisions, Path(folder), asked.times, set(asked.only), _show_progress):
            _print(_format(figure))


def _format(figure: Figure) -> str:
    digits = 3 if figure.unit == "s" and figure.before < 1 else 2 if figure.unit != "MiB" and figure.before < 100 else 0
    before, now = (f"{value:.{digits}f} {figure.unit}".strip() for value in (figure.before, figure.now))
    wanted = f"≤ {figure.wanted} ×" if figure.wanted[:1].isdigit() and " " not in figure.wanted else figure.wanted
    return f"| {figure.title.strip()} | {before} | {now} | {figure.now / figure.before:.2f} × | {wanted} |"


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _show_progress(text: str) -> None:
    sys.stderr.write(f"measuring: {text}\n")


if __name__ == "__main__":
    main()
