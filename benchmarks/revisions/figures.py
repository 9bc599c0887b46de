"""The figures that two revisions are compared by, each measured in turn: processor seconds, MiB, or a ratio."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import requests

from benchmarks.revisions.company import install, measure_syncs, serving_companies
from benchmarks.revisions.revision import Cost, Revision

LEDGERS = ("xero", "quickbooks")
_SYNCED_AFTER_S = 60  # `duewell serve` has made its first syncs by then
_DECISIONS = ("decisions", "deciding")  # the benchmark's name, and the one that it had
_CUSTOMERS = 10_000


class Figure(NamedTuple):
    """One row of the table: the values of the other revision and of this one, and what their ratio should be."""

    title: str
    unit: str
    before: float
    now: float
    wanted: str = ""


def measure_all(
    revisions: list[Revision], folder: Path, times: int, only: set[str], on_progress: Callable[[str], None]
) -> Iterator[Figure]:
    """Measure one group after the other: syncs, commands, serve, decisions, load."""
    if "syncs" in only:
        for ledger in LEDGERS:
            on_progress(f"syncs on {ledger}")
            before, now = measure_syncs(revisions, ledger, folder, 4 * times)
            yield Figure(f"quiet sync, {ledger}", "s", before[0].seconds, now[0].seconds, "0.5")
            yield Figure(f"  statements of it, {ledger}", "", before[0].statements, now[0].statements)
            yield Figure(f"sync with one payment, {ledger}", "s", before[1].seconds, now[1].seconds, "0.6")
    if only & {"commands", "serve"}:
        yield from _measure_processes(revisions, folder, times, only, on_progress)
    if "decisions" in only:
        on_progress("reading and deciding 100,000 open invoices")
        yield from _measure_decisions(revisions, folder, times)
    if "load" in only:
        for ledger in LEDGERS:
            on_progress(f"first load of 50,000 invoices, {ledger}")
            yield from _measure_first_load(revisions, ledger, times)


def _measure_processes(
    revisions: list[Revision], folder: Path, times: int, only: set[str], on_progress: Callable[[str], None]
) -> Iterator[Figure]:
    with serving_companies(LEDGERS, None) as (url, companies):
        installed = [install(each, folder / f"home-{n}", url, companies) for n, each in enumerate(revisions)]
        if "commands" in only:
            for arguments, runs in ((("status",), times), (("run",), times)):
                on_progress(f"duewell {arguments[0]}")
                for each in installed:  # the first ones write byte code, and what is new is synced
                    each.revision.cost(("run",), each.settings)
                costs: list[list[Cost]] = [[], []]
                for _ in range(runs):
                    for each, found in zip(installed, costs, strict=True):
                        found.append(each.revision.cost(arguments, each.settings))
                seconds = [min(each.seconds for each in found) for found in costs]
                mib = [min(each.mib for each in found) for found in costs]
                yield Figure(f"duewell {arguments[0]}, from cold", "s", seconds[0], seconds[1], "0.4")
                yield Figure(f"duewell {arguments[0]}, peak memory", "MiB", mib[0], mib[1], "0.6")
        if "serve" in only:
            on_progress("duewell serve")
            resident = [_measure_serve(each.revision, each.settings) for each in installed]
            yield Figure("duewell serve, idle after its first syncs", "MiB", resident[0], resident[1], "0.5")


def _measure_serve(revision: Revision, settings: dict[str, str]) -> float:
    """Return the resident memory of the server when it has synced and nobody asks it anything."""
    port = settings["DUEWELL_BASE_URL"].rpartition(":")[2]
    server = subprocess.Popen(
        revision.command("serve", "--port", port), cwd=revision.folder, env=revision.environment(settings),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(10 * _SYNCED_AFTER_S):
            try:
                if requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).ok:
                    break
            except requests.ConnectionError:
                time.sleep(0.1)
        time.sleep(_SYNCED_AFTER_S)
        status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024
    finally:
        server.terminate()
        server.wait()


def _measure_decisions(revisions: list[Revision], folder: Path, times: int) -> Iterator[Figure]:
    found: list[dict[str, float]] = []
    databases = []
    for n, each in enumerate(revisions):
        databases.append(folder / f"decisions-{n}" / "mirror.db")
        databases[n].parent.mkdir(mode=0o700)
        counts = ("--customers", str(_CUSTOMERS), "--open", "10", "--settled", "10")
        fill = each.module(_DECISIONS, "--measure", "fill", "--database", str(databases[n]), *counts)
        subprocess.run(fill, cwd=each.folder, env=each.environment(), check=True)
        found.append({})
    for _ in range(times):
        for each, database, best in zip(revisions, databases, found, strict=True):
            for what in ("load", "facts", "decide"):
                measured = each.output(each.module(_DECISIONS, "--measure", what, "--database", str(database)))
                best[what] = min(best.get(what, 1e9), json.loads(measured)["seconds"])
    before, now = found
    yield Figure("reading and deciding 100,000 invoices", "s", before["decide"], now["decide"], "0.5")
    yield Figure("  reading alone", "s", before["facts"], now["facts"])
    yield Figure("  merely loading the rows", "s", before["load"], now["load"])


def _measure_first_load(revisions: list[Revision], ledger: str, times: int) -> Iterator[Figure]:
    shares, mib = [], []
    for each in revisions:
        printed = each.output(each.module(("first_load",), ledger, "--times", str(times)))
        shares.append(float(re.findall(r"ratio\s+([\d.]+)", printed)[0]))
        mib.append(float(re.findall(r"memory\s+([\d.]+)", printed)[0]))
    wanted = {"xero": "0.85 of the floor", "quickbooks": "0.8 of the floor"}[ledger]
    yield Figure(f"first load, share of the floor's speed, {ledger}", "", shares[0], shares[1], wanted)
    yield Figure(f"first load, memory above idle, {ledger}", "MiB", mib[0], mib[1], "no more")
