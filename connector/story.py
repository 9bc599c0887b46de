"""Tells a run as a bookkeeper would: what was read, decided and why, mailed, noted, charged."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.tables import AnswerRow, Connection, CustomerRow, InvoiceRow, SyncLogEntry

_SHOWN = {
    "pulled": "read",
    "organisation": "read",
    "warning": "note well",
    "malformed": "left aside",
    "mailed": "mailed",
    "told_owner": "told owner",
    "noted": "noted",
    "charged": "charged",
    "waived": "waived",
    "task": "task",
    "refused": "refused",
    "doubt": "in doubt",
    "would": "would",
    "odd": "odd",
}
_OUTCOMES = {
    "ok": "The run came to its end",
    "later": "The run was put off by a vendor and goes on later",
    "person": "The run needs a person",
    "failed": "The run failed",
}


def tell_run(session: Session, connection: Connection, run_id: int, numbers: dict[str, int]) -> list[str]:
    """Give the story of one run, a line each; answers that stood before are summed up, not repeated."""
    lines = [f"{connection.name} ({connection.provider}, {connection.mode})"]
    entries = session.scalars(
        select(SyncLogEntry).where(col(SyncLogEntry.run_id) == run_id).order_by(col(SyncLogEntry.id))
    )
    lines += [f"  {_SHOWN[entry.kind]:<11} {entry.text}" for entry in entries if entry.kind in _SHOWN]
    if numbers.get("unchanged"):
        lines.append("  decided     not one fact has changed: every invoice's answer stands")
    else:
        lines += _decided(session, connection)
    calls = {name.removeprefix("calls_"): count for name, count in numbers.items() if name.startswith("calls_")}
    if calls:
        lines.append("  calls       " + ", ".join(f"{count} {kind}" for kind, count in sorted(calls.items())))
    return lines


def summary(outcome: str, why: str, numbers: dict[str, Any]) -> str:
    """Say in one sentence how a run ended."""
    done = [
        f"{numbers[name]} {name.replace('_', ' ')}"
        for name in ("mailed", "noted", "charged", "waived", "tasks", "refused", "doubts")
        if numbers.get(name)
    ]
    text = _OUTCOMES[outcome] + (
        f": {', '.join(done)}." if done else ": nothing had to leave." if outcome == "ok" else "."
    )
    return f"{text} {why}".strip()


def _decided(session: Session, connection: Connection) -> list[str]:
    """Sum up the answers by kind, each with one example: a company may have a hundred thousand of them."""
    groups = session.execute(
        select(col(AnswerRow.kind), col(AnswerRow.code), func.count(), func.min(AnswerRow.invoice_id))
        .where(col(AnswerRow.connection_id) == connection.id)
        .group_by(col(AnswerRow.kind), col(AnswerRow.code))
        .order_by(func.count().desc(), col(AnswerRow.code))
    ).all()
    return [
        f"  decided     {count:>4} x {kind} {code.replace('_', ' ')}, e.g. {_example(session, connection, invoice_id)}"
        for kind, code, count, invoice_id in groups
    ]


def _example(session: Session, connection: Connection, invoice_id: str) -> str:
    answer = session.get_one(AnswerRow, (connection.id, invoice_id))
    invoice = session.get(InvoiceRow, (connection.id, invoice_id))
    customer = session.get(CustomerRow, (connection.id, answer.customer_id))
    who = ", ".join(row for row in (customer.name if customer else "", invoice.number if invoice else "") if row)
    return f"{who}: {answer.why}"
