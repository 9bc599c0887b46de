"""How fast a first load is: the product's whole path from the service's pages to committed rows, beside the baseline.

``python -m benchmarks.first_load`` loads 50,000 invoices with their lines from each vendor, several times, ours and the
floor in turn, each in a process of its own, and prints invoices per second, the ratio and the memory above idle. It
ends with exit 1 where the ratio is below 0.6, the memory above 200 MiB, or the rows of both ways are not the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

MIN_RATIO = 0.6
MAX_MIB = 200
VENDORS = ("xero", "quickbooks")
_TABLES = ("customer", "invoice", "payment", "application")
_console = Console(stderr=True)


class Measurement(NamedTuple):
    """One load: seconds, memory above idle, and a hash of the stored rows."""

    seconds: float
    mib: float
    rows: str


def main() -> int:
    """Measure, and compare with the limits."""
    asked = _parse_arguments()
    if asked.measure:
        _measure(asked)
        return 0
    verdicts = [_measure_vendor(asked, vendor) for vendor in asked.vendors]
    return 0 if all(verdicts) else 1


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="First load of a ledger's invoices, compared with the baseline.")
    parser.add_argument(
        "vendors", nargs="*", metavar="VENDOR", default=list(VENDORS), help="xero, quickbooks (default: both)"
    )
    parser.add_argument("--invoices", type=int, default=50_000)
    parser.add_argument("--paid", type=float, default=0.5, help="share of paid invoices; each has a payment")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--measure", choices=("pipeline", "baseline"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure_vendor(options: argparse.Namespace, vendor: str) -> bool:
    with _vendor_server(vendor, options) as port:
        loads: dict[str, list[Measurement]] = {"baseline": [], "pipeline": []}
        for _ in range(options.times):
            for way, measured in loads.items():
                measured.append(_measure_in_subprocess(way, vendor, port, options))
    seconds = {way: statistics.median(one.seconds for one in measured) for way, measured in loads.items()}
    best = {way: min(one.seconds for one in measured) for way, measured in loads.items()}
    ratio, memory = seconds["baseline"] / seconds["pipeline"], max(one.mib for one in loads["pipeline"])
    same = len({one.rows for measured in loads.values() for one in measured}) == 1
    for way in loads:
        speed = f"{options.invoices / seconds[way]:>8,.0f} invoices/s"
        print(f"{vendor:<11} {way:<6} {speed}   median {seconds[way]:.2f} s, best {best[way]:.2f} s")
    print(f"{vendor:<11} ratio  {ratio:>8.2f} of the baseline (at least {MIN_RATIO})")
    print(f"{vendor:<11} memory {memory:>8.0f} MiB above idle (at most {MAX_MIB})")
    print(f"{vendor:<11} rows   {'the same' if same else 'DIFFERENT'}")
    return ratio >= MIN_RATIO and memory <= MAX_MIB and same


@contextmanager
def _vendor_server(vendor: str, options: argparse.Namespace) -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.vendor_pages", vendor, str(options.invoices), str(options.paid)]
    with _console.status(f"{vendor}: rendering {options.invoices:,} invoices"):
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        port = int(server.stdout.readline()) if server.stdout else 0
    try:
        yield port
    finally:
        server.terminate()
        server.wait()


def _measure_in_subprocess(variant: str, vendor: str, port: int, options: argparse.Namespace) -> Measurement:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.first_load", vendor, "--measure", variant, "--port", str(port)]
        command += ["--folder", folder, "--invoices", str(options.invoices)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        return Measurement(**json.loads(done.stdout))


def _measure(options: argparse.Namespace) -> None:
    """Load once in this process, and return the measurements."""
    from benchmarks import baseline, pipeline  # noqa: PLC0415

    vendor, file = options.vendors[0], options.folder / "duewell.db"
    prepared = pipeline.prepare(vendor, options.port, options.folder)
    idle = _current_mib()
    with _progress(f"{vendor}: {options.measure}", options.invoices) as advance:
        started = time.perf_counter()
        if options.measure == "pipeline":
            pipeline.load(prepared, advance)
        else:
            baseline.load(vendor, options.port, file, advance)
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "mib": _peak_mib() - idle, "rows": _fingerprint(file)}))


@contextmanager
def _progress(title: str, total: int) -> Iterator[Any]:
    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_console, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.update(task, completed=count)


def _current_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _fingerprint(file: Path) -> str:
    """Hash every row of the mirror, to make sure that both loads store the same; when it was read is left out."""
    digest = hashlib.sha256()
    with sqlite3.connect(file) as database:
        for table in _TABLES:
            columns = [name for (name,) in database.execute(f"SELECT name FROM pragma_table_info('{table}')")]
            kept = ", ".join(f'"{name}"' for name in columns if name != "balance_at")
            for row in database.execute(f"SELECT {kept} FROM {table} ORDER BY 1, 2, 3, 4"):
                digest.update(repr(row).encode())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
