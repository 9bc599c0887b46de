"""How long decisions take: 100,000 open invoices of 10,000 customers, compared with merely loading the same rows.

``python -m benchmarks.decisions`` fills a mirror, then in separate processes loads the rows, and reads the facts and
decides. It prints seconds of one core and the ratios; and, for a tenth of the customers, the memory with 70 paid
invoices each and with three times as many. It exits with 1 where deciding takes 10 seconds or more, or the memory
grows by a tenth. (It grows up to 60 paid invoices per customer, from which payment behaviour is learned.)
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlmodel import Session, SQLModel

from connector.db.engine import open_engine, reading, upgrade, writing
from connector.db.tables import Connection
from connector.geo import HolidayCalendar
from connector.sync.mirror.statements import load_statements
from policies.decide import decide
from policies.policy import ReminderPolicy

MAX_SECONDS = 10.0
MAX_GROWTH = 1.1
CLOSED_PER_CUSTOMER = 70  # paid invoices of each customer
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
_console = Console(stderr=True)
_FEES = "[late_fees]\nenabled = true\nterms_agreed_on = 2026-01-01\n"


def main() -> int:
    """Fill the mirror, measure, and compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--open", type=int, default=10, help="open invoices of each customer")
    parser.add_argument("--settled", type=int, default=10, help="paid invoices of each customer")
    parser.add_argument("--times", type=int, default=3, help="measure this many times and take the minimum")
    parser.add_argument("--measure", choices=["fill", "load", "facts", "decide"], help=argparse.SUPPRESS)
    parser.add_argument("--database", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure == "fill":
        _fill(asked.database, asked.customers, asked.open, asked.settled)
        return 0
    if asked.measure:
        sys.stdout.write(json.dumps(_measure(asked.measure, asked.database)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o700)
        whole = _build_database(Path(folder), asked.customers, asked.open, asked.settled)
        runs = [
            {what: _measure_in_subprocess(what, whole) for what in ("load", "facts", "decide")}
            for _ in range(asked.times)
        ]
        found = {what: min((run[what] for run in runs), key=lambda one: one["seconds"]) for what in runs[0]}
        few = max(asked.customers // 10, 1)
        mib = [
            _measure_in_subprocess("decide", _build_database(Path(folder), few, asked.open, n))["mib"]
            for n in (CLOSED_PER_CUSTOMER, 3 * CLOSED_PER_CUSTOMER)
        ]
    return _report(found, mib[0], mib[1])


def _build_database(folder: Path, customers: int, open_count: int, closed_count: int) -> Path:
    database = folder / f"{customers}-{closed_count}.db"
    with _console.status(f"filling a mirror with {customers * (open_count + closed_count):,} invoices"):
        # In a separate process: a child's peak memory starts at its parent's.
        counts = ["--customers", str(customers), "--open", str(open_count), "--settled", str(closed_count)]
        _run_subprocess("fill", database, *counts)
    return database


def _measure_in_subprocess(what: str, database: Path) -> dict[str, float]:
    with _console.status(f"measuring: {what}"):
        numbers: dict[str, float] = json.loads(_run_subprocess(what, database))
    return numbers


def _run_subprocess(what: str, database: Path, *more: str) -> str:
    command = [sys.executable, "-m", "benchmarks.decisions", "--measure", what, "--database", str(database), *more]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _report(results: dict[str, dict[str, float]], mib: float, mib_longer: float) -> int:
    load, facts, both = (results[what]["seconds"] for what in ("load", "facts", "decide"))
    growth, alone = mib_longer / mib, both - facts
    lines = [
        f"{results['decide']['answers']:,.0f} open invoices, one core",
        f"  loading the rows only         {load:6.2f} s   1.0",
        f"  reading them as facts         {facts:6.2f} s   {facts / load:.1f}",
        f"  deciding                      {alone:6.2f} s   {alone / load:.1f}   (wanted: under {MAX_SECONDS:.0f} s)",
        f"  reading and deciding          {both:6.2f} s   {both / load:.1f}",
        f"  memory {mib:.0f} MiB; with three times the history {growth:.2f} times that   (wanted: under {MAX_GROWTH})",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if alone < MAX_SECONDS and growth < MAX_GROWTH else 1


def _measure(what: str, database: Path) -> dict[str, float]:
    engine = open_engine(f"sqlite:///{database}")
    policy, calendar, answers = ReminderPolicy.from_toml(_FEES), HolidayCalendar(), 0
    began = time.process_time()
    if what == "load":
        answers = sum(1 for _ in _rows(database))
    else:
        with reading(engine) as session:
            connection = session.get_one(Connection, 1)
            for statements in load_statements(session, connection, now=NOW):
                if what == "decide":
                    answers += len(decide(statements, policy, NOW, calendar).invoice_decisions)
    seconds = time.process_time() - began
    return {"seconds": seconds, "answers": answers, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _rows(database: Path) -> Iterator[Any]:
    """Load the columns that decisions need, with the driver alone."""
    with sqlite3.connect(database) as plain:
        for table, condition in (("invoice", "is_open = 1"), ("customer", "1 = 1"), ("completed_step", "1 = 1")):
            yield from plain.execute(f"SELECT * FROM {table} WHERE {condition}").fetchall()


def _fill(database: Path, customers: int, open_count: int, closed_count: int) -> None:
    engine = open_engine(f"sqlite:///{database}")
    upgrade(engine)
    with writing(engine) as session:
        books = {"base_currency": "EUR", "country": "DE", "time_zone": "Europe/Berlin", "mode": "live"}
        session.add(
            Connection(
                short_name="b",
                provider="xero",
                external_id="1",
                name="B",
                created_at=NOW,
                synced_at=NOW,
                live_since_at=NOW - timedelta(days=400),
                **books,  # type: ignore[arg-type]
            )
        )
        session.flush()
        for first in range(0, customers, 1000):
            _insert_batch(session, range(first, min(first + 1000, customers)), open_count, closed_count)


def _insert_batch(session: Session, numbers: range, open_count: int, closed_count: int) -> None:
    tables, invoices, steps = SQLModel.metadata.tables, [], []
    names = [
        {"connection_id": 1, "external_id": f"c{n:05}", "name": f"Customer {n}", "contact_name": "", "region": "",
         "emails": f"c{n}@example.org", "country": "DE", "language": "", "active": True, "deleted": False, "groups": ""}
        for n in numbers
    ]  # fmt: skip
    for n in numbers:
        for count in range(open_count):
            due_on = NOW.date() - timedelta(days=(n + 7 * count) % 70 - 20)
            row = _invoice(f"i{n:05}-{count}", f"c{n:05}", due_on, 100 + (n * 7 + count) % 900, paid_on=None)
            invoices.append(row)
            if count % 3 == 0 and due_on < NOW.date() - timedelta(days=20):
                steps.append(_completed_step(row["external_id"], f"c{n:05}", due_on + timedelta(days=6)))
        for count in range(closed_count):
            due_on = NOW.date() - timedelta(days=90 + 20 * count)
            paid_on = due_on + timedelta(days=(n + count) % 12)
            invoices.append(_invoice(f"s{n:05}-{count}", f"c{n:05}", due_on, 300, paid_on=paid_on))
    for table, rows in (("customer", names), ("invoice", invoices), ("completed_step", steps)):
        if rows:
            session.execute(tables[table].insert(), rows)


def _invoice(key: str, customer: str, due_on: date, total: int, *, paid_on: date | None) -> dict[str, Any]:
    return {
        "connection_id": 1, "external_id": key, "number": key.upper(), "customer_id": customer, "currency": "EUR",
        "issued_on": due_on - timedelta(days=30), "due_on": due_on, "total_e4": total * 10_000,
        "due_e4": 0 if paid_on else total * 10_000, "status": "paid" if paid_on else "open", "is_open": not paid_on,
        "sent_to_customer": True, "closed_on": paid_on, "reference": "", "ledger_fee": False, "version": "",
        "lines": "[]",
    }  # fmt: skip


def _completed_step(invoice: str, customer: str, on: date) -> dict[str, Any]:
    at = datetime(on.year, on.month, on.day, 9, tzinfo=UTC)
    return {
        "connection_id": 1, "invoice_id": invoice, "step": "past_due", "recurrence_key": "", "customer_id": customer,
        "currency": "EUR", "completed_at": at, "completed_on": on,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
