"""A filled mirror and log of one company, as after many invoices and a year of hourly syncs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, SQLModel

from connector.db.tables import Connection
from connector.vocabulary import ConnectionHealth, ConnectionMode

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
_OPEN_SHARE = 0.3
_CHUNK = 2000
_TABLES = SQLModel.metadata.tables


@dataclass(frozen=True, slots=True)
class DataSize:
    """The number of invoices, of invoices per customer, of runs, and of log entries per run."""

    invoices: int
    runs: int
    log_lines_per_run: int = 12
    invoices_per_customer: int = 10

    @property
    def customers(self) -> int:
        """Return the number of customers."""
        return max(self.invoices // self.invoices_per_customer, 1)


@dataclass(frozen=True, slots=True)
class _CompanyData:
    company_id: int
    size: DataSize
    first_run: int

    def customer_id(self, n: int) -> str:
        return f"c{n // self.size.invoices_per_customer}"

    def first_invoice_id(self, customer: int) -> str:
        return f"i{customer * self.size.invoices_per_customer}"

    def is_open(self, n: int) -> bool:
        return n % self.size.invoices_per_customer < self.size.invoices_per_customer * _OPEN_SHARE


def add_company(session: Session, name: str = "Books Ltd") -> int:
    """Add a company, in the caller's transaction; returns its connection's id."""
    row = Connection(
        short_name=name.lower().replace(" ", "-"), provider="xero", external_id=name, name=name,
        mode=ConnectionMode.APPROVE,
        base_currency="EUR", country="DE", time_zone="Europe/Berlin", health=ConnectionHealth.OK,
        created_at=NOW - timedelta(days=366),
        first_pull_done_at=NOW - timedelta(days=365), synced_at=NOW, live_since_at=NOW - timedelta(days=365),
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row.id or 0


def fill_company(session: Session, size: DataSize, company_id: int) -> None:
    """Fill a company's mirror and log, in the caller's transaction."""
    books = _CompanyData(company_id, size, _next_run_id(session))
    for table, make, count in (
        ("customer", _customer, size.customers),
        ("invoice", _invoice, size.invoices),
        ("payment", _payment, size.invoices),
        ("application", _application, size.invoices),
        ("invoice_decision", _invoice_decision, size.invoices),
        ("outbox", _outbox_entry, size.runs),
        ("task", _task, min(size.runs, 30)),
        ("exception", _exception, min(size.customers, 40)),
        ("sync_run", _sync_run, size.runs),
        ("sync_log", _log_line, size.runs * size.log_lines_per_run),
    ):
        _insert(session, table, (row for n in range(count) if (row := make(books, n))))


def _insert(session: Session, table: str, rows: Iterator[dict[str, Any]]) -> None:
    some: list[dict[str, Any]] = []
    for row in rows:
        some.append(row)
        if len(some) == _CHUNK:
            session.execute(_TABLES[table].insert(), some)
            some = []
    if some:
        session.execute(_TABLES[table].insert(), some)


def _customer(data: _CompanyData, n: int) -> dict[str, Any]:
    return {
        "connection_id": data.company_id, "external_id": f"c{n}", "name": f"Customer {n:05}", "contact_name": "",
        "region": "", "emails": f"c{n}@example.org", "country": "DE", "language": "", "active": True,
        "deleted": False, "groups": "", "updated_at": NOW,
    }  # fmt: skip


def _due_on(n: int) -> date:
    return NOW.date() - timedelta(days=(n * 7) % 330 - 20)


def _invoice(data: _CompanyData, n: int) -> dict[str, Any]:
    due_on, total = _due_on(n), (100 + n % 900) * 10_000
    settled_on = None if data.is_open(n) else min(due_on + timedelta(days=n % 12), NOW.date())
    return {
        "connection_id": data.company_id, "external_id": f"i{n}", "number": f"INV-{n}",
        "customer_id": data.customer_id(n),
        "currency": "EUR", "issued_on": due_on - timedelta(days=30), "due_on": due_on, "total_e4": total,
        "due_e4": total if settled_on is None else 0, "status": "open" if settled_on is None else "paid",
        "is_open": settled_on is None, "sent_to_customer": True, "closed_on": settled_on, "reference": "",
        "ledger_fee": False, "version": "", "lines": "[]", "updated_at": NOW,
    }  # fmt: skip


def _payment(data: _CompanyData, n: int) -> dict[str, Any] | None:
    row = _invoice(data, n)
    return None if row["is_open"] else {
        "connection_id": data.company_id, "external_id": f"p{n}", "customer_id": row["customer_id"], "currency": "EUR",
        "paid_on": row["closed_on"], "total_e4": row["total_e4"], "unapplied_e4": 0, "updated_at": NOW,
    }  # fmt: skip


def _application(data: _CompanyData, n: int) -> dict[str, Any] | None:
    row = _invoice(data, n)
    return None if row["is_open"] else {
        "connection_id": data.company_id, "source_kind": "payment", "source_id": f"p{n}", "invoice_id": f"i{n}",
        "applied_on": row["closed_on"], "amount_e4": row["total_e4"],
    }  # fmt: skip


def _invoice_decision(data: _CompanyData, n: int) -> dict[str, Any] | None:
    return None if not data.is_open(n) else {
        "connection_id": data.company_id, "invoice_id": f"i{n}", "customer_id": data.customer_id(n), "kind": "hold",
        "code": "not_due_yet", "reason": "Nothing due until then.", "next_step": "second_notice",
        "next_on": NOW.date() + timedelta(days=n % 30), "run_id": 1, "since_at": NOW,
    }  # fmt: skip


def _outbox_entry(data: _CompanyData, n: int) -> dict[str, Any]:
    """Return outbox entries: the newest await approval or are planned, all others were sent during the year."""
    state = "awaiting_approval" if n < 55 else "unconfirmed" if n < 58 else "planned" if n < 60 else "done"
    customer = n % data.size.customers
    lead = data.first_invoice_id(customer)
    ended_at = NOW - timedelta(hours=n) if state in {"done", "unconfirmed"} else None
    return {
        "connection_id": data.company_id, "key": f"{data.company_id}:mail:{n}", "kind": "email", "state": state,
        "customer_id": f"c{customer}", "invoice_id": lead, "currency": "EUR", "step": "past_due",
        "content": "abc", "reason": "Some days late.",
        "payload": {"to": [f"c{customer}@example.org"], "completed": [[lead, "past_due"]], "listed": [lead],
                    "due": {lead: "100.00"}, "suspension_on": None},
        "approved_by": "", "resolved_by": "", "attempts": 1, "dispatched_at": ended_at, "ended_at": ended_at,
        "reference": "", "delivery_status": "", "response": "", "planned_at": NOW - timedelta(hours=n),
    }  # fmt: skip


def _task(data: _CompanyData, n: int) -> dict[str, Any]:
    customer = n % data.size.customers
    return {
        "connection_id": data.company_id, "key": f"{data.company_id}:task:{n}", "code": "call", "step": "call",
        "customer_id": f"c{customer}", "invoice_ids": [data.first_invoice_id(customer)], "due_on": NOW.date(),
        "reason": "A call.", "owner": "", "state": "open", "outcome": "", "created_at": NOW, "ended_by": "",
    }  # fmt: skip


def _exception(data: _CompanyData, n: int) -> dict[str, Any]:
    return {
        "connection_id": data.company_id, "customer_id": f"c{n}", "code": "unusual_amount",
        "invoice_id": data.first_invoice_id(n),
        "reason": "Far above what is usual here.", "since_at": NOW, "resolved_by": "",
    }  # fmt: skip


def _next_run_id(session: Session) -> int:
    return int(session.execute(select(func.coalesce(func.max(_TABLES["sync_run"].c.id), 0))).scalar_one()) + 1


def _sync_run(data: _CompanyData, n: int) -> dict[str, Any]:
    at = NOW - timedelta(hours=data.size.runs - n)
    return {
        "id": data.first_run + n, "connection_id": data.company_id, "started_at": at, "ended_at": at, "outcome": "ok",
        "reason": "", "dry_run": False, "counts": {"emailed": 2, "calls_read": 3},
    }  # fmt: skip


def _log_line(data: _CompanyData, n: int) -> dict[str, Any]:
    """Return a log entry of realistic length; its hashes are not valid, and pages do not check them."""
    kinds = ("decided", "planned", "sending", "emailed", "noted")
    run, place = divmod(n, data.size.log_lines_per_run)
    ends = {0: "run_started", data.size.log_lines_per_run - 1: "run_ended"}
    invoice = n % data.size.invoices
    seal = hashlib.sha256(f"{data.company_id}:{n}".encode()).hexdigest()
    return {
        "connection_id": data.company_id, "run_id": data.first_run + run,
        "at": NOW - timedelta(hours=data.size.runs - run),
        "kind": ends.get(place, kinds[place % len(kinds)]),
        "customer_id": "" if place in ends else data.customer_id(invoice),
        "invoice_id": "" if place in ends else f"i{invoice}",
        "text": f"The friendly reminder about INV-{invoice}: EUR 100.00 was due some days ago.", "facts": "{}",
        "salt": "", "digest": "", "previous_hash": seal, "hash": seal,
    }  # fmt: skip
