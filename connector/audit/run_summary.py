"""The summary of a run, as a bookkeeper would tell it: what was read, sent, charged, noted and decided, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.db.invoice_names import name_of
from connector.db.tables import (
    Connection,
    CustomerRow,
    InvoiceDecisionRow,
    InvoiceRow,
    OutboxEntry,
    SyncLogEntry,
    SyncRun,
    Task,
)
from connector.vocabulary import CallKind, LogKind, RunOutcome
from connector.vocabulary.labels import in_sentence, label
from policies.receivables import Step
from providers import get_ledger_provider

_EXAMPLES_MAX = 5  # of a kind of entry that is listed one by one


class _Noun(NamedTuple):
    one: str
    many: str

    def counted(self, number: int) -> str:
        return f"{number} {self.one if number == 1 else self.many}"


_INVOICE = _Noun("invoice", "invoices")
_CUSTOMER = _Noun("customer", "customers")
# What a run did, in the order in which people ask for it: kind of log entry, heading, noun.
_ACTIONS = (
    (LogKind.EMAILED, "emails", _Noun("email sent", "emails sent")),
    (LogKind.OWNER_NOTIFIED, "alerts", _Noun("account owner notified by email", "account-owner emails sent")),
    (
        LogKind.CHARGED,
        "late fees",
        _Noun("late fee charged on a new invoice", "late fees charged, each on a new invoice"),
    ),
    (LogKind.WAIVED, "waivers", _Noun("late fee waived", "late fees waived")),
    (LogKind.NOTED, "notes", _Noun("note added to an invoice", "notes added to invoices")),
    (LogKind.TASK, "tasks", _Noun("task created", "tasks created")),
)
# What is worth reading itself is listed one by one.
_LISTED_FIRST = {
    LogKind.PULLED: "read",
    LogKind.ORGANISATION: "company",
    LogKind.WARNING: "warning",
    LogKind.MALFORMED: "unreadable",
    LogKind.DRIFT: "corrected",
}
_LISTED_LAST = {
    LogKind.PROVIDER_REJECTED: "rejected",
    LogKind.UNCONFIRMED: "unconfirmed",
    LogKind.ERROR: "error",
    LogKind.SUPPRESSED: "suppressed",
    LogKind.DRY_RUN: "dry run",
}
_CALLS = {
    CallKind.READ: _Noun("read", "reads"),
    CallKind.WRITE: _Noun("write", "writes"),
    CallKind.EMAIL: _Noun("email", "emails"),
    CallKind.TOKEN: _Noun("sign-in renewal", "sign-in renewals"),
}
_COUNTS = {
    "emailed": _Noun("email sent", "emails sent"),
    "noted": _Noun("note added", "notes added"),
    "charged": _Noun("late fee charged", "late fees charged"),
    "waived": _Noun("late fee waived", "late fees waived"),
    "tasks": _Noun("task created", "tasks created"),
    "rejected": _Noun("rejected", "rejected"),
    "unconfirmed": _Noun("delivery unconfirmed", "deliveries unconfirmed"),
}
# The entries' texts start with what the heading says already.
_TEXT_PREFIXES = ("Emailed: ", "Charged: ", "Waived: ", "Account owner notified: ")


def summarise_run(session: Session, connection: Connection, run_id: int, counts: Mapping[str, int]) -> list[str]:
    """Return the lines of a run's summary; many actions of one kind are counted, with an example."""
    provider, mode = get_ledger_provider(connection.provider).title, label(connection.mode, "connection_mode")
    lines = [f"{connection.name} ({provider}, mode: {in_sentence(mode)})"]
    entries: dict[LogKind, list[SyncLogEntry]] = {}
    query = select(SyncLogEntry).where(col(SyncLogEntry.run_id) == run_id).order_by(col(SyncLogEntry.id))
    for entry in session.scalars(query):
        entries.setdefault(entry.kind, []).append(entry)
    lines += _list_entries(entries, _LISTED_FIRST)
    for kind, heading, noun in _ACTIONS:
        lines += _action_lines(session, connection, heading, noun, entries.get(kind, []))
    lines += _list_entries(entries, _LISTED_LAST)
    run = session.get(SyncRun, run_id)
    if run is not None and run.dry_run:
        lines.append(_line("decisions", "dry run; those of the last run stand"))
    elif counts.get("unchanged"):
        lines.append(_line("decisions", "nothing has changed; all decisions stand"))
    elif "decisions" in counts:
        lines += _decision_lines(session, connection, counts)
    else:
        lines.append(_line("decisions", "none; those of the last run stand"))
    if calls := format_calls(counts):
        lines.append(_line("calls", calls))
    return lines


def format_calls(counts: Mapping[str, int]) -> str:
    """Return the calls a run made as text: ``30 reads, 1 sign-in renewal``; "" where it made none."""
    made = ((noun, counts.get(f"calls_{kind}", 0)) for kind, noun in _CALLS.items())
    return ", ".join(noun.counted(number) for noun, number in made if number)


def format_outcome(outcome: RunOutcome, reason: str, counts: Mapping[str, int]) -> str:
    """Return how a run ended as a sentence: for example ``Completed: 2 emails sent``."""
    done = ", ".join(noun.counted(counts[name]) for name, noun in _COUNTS.items() if counts.get(name))
    if not done and outcome == RunOutcome.OK:
        done = "nothing to send"
    return f"{label(outcome, 'run_outcome')}{': ' if done else ''}{done}. {reason}".strip()


def _line(heading: str, text: str) -> str:
    return f"  {heading:<11} {text}"


def _list_entries(entries: Mapping[LogKind, Sequence[SyncLogEntry]], headings: Mapping[LogKind, str]) -> list[str]:
    lines: list[str] = []
    for kind, heading in headings.items():
        found = entries.get(kind, [])
        lines += [_line(heading, entry.text) for entry in found[:_EXAMPLES_MAX]]
        if len(found) > _EXAMPLES_MAX:
            lines.append(_line("", f"… and {len(found) - _EXAMPLES_MAX} more: duewell log"))
    return lines


def _action_lines(
    session: Session, connection: Connection, heading: str, noun: _Noun, entries: Sequence[SyncLogEntry]
) -> list[str]:
    """Count the actions of one kind, and show an example of each step."""
    if not entries:
        return []
    lines = [_line(heading, noun.counted(len(entries)))]
    if entries[0].kind == LogKind.NOTED:  # each repeats an action shown above
        return lines
    groups: dict[str, list[SyncLogEntry]] = {}
    for entry in entries:
        groups.setdefault(_step_label(session, entry), []).append(entry)
    for step, group in sorted(groups.items(), key=lambda item: -len(item[1])):
        example = _customer_prefix(session, connection, group[0]) + _without_prefix(group[0].text)
        if len(groups) == 1:
            lines.append(_line("", f"  {'e.g. ' if len(group) > 1 else ''}{example}"))
        else:
            lines.append(_line("", f"  {len(group)} × {step}{', e.g. ' if len(group) > 1 else ': '}{example}"))
    return lines


def _step_label(session: Session, entry: SyncLogEntry) -> str:
    facts = json.loads(entry.facts)
    if "task" in facts:
        task = session.get(Task, facts["task"])
        name = label(task.code, "task_code") if task is not None else label(entry.kind, "log_kind")
    else:
        row = session.get(OutboxEntry, facts.get("entry", 0))
        known = row is not None and row.step in set(Step)
        name = label(row.step, "step") if row is not None and known else label(entry.kind, "log_kind")
    return in_sentence(name)


def _customer_prefix(session: Session, connection: Connection, entry: SyncLogEntry) -> str:
    customer = session.get(CustomerRow, (connection.id, entry.customer_id)) if entry.customer_id else None
    return f"{customer.name}: " if customer is not None else ""


def _without_prefix(text: str) -> str:
    for prefix in _TEXT_PREFIXES:
        text = text.removeprefix(prefix)
    return text


def format_scope(counts: Mapping[str, int]) -> str:
    """Return whom a run decided about, where that were not all: only what has changed may change a decision."""
    if "customers" not in counts or counts.get("unchanged"):
        return ""
    customers, decided = _CUSTOMER.counted(counts["customers"]), _INVOICE.counted(counts.get("decisions", 0))
    return f"{customers} looked at ({decided}); nothing has changed for the others, whose decisions stand"


def _decision_lines(session: Session, connection: Connection, counts: Mapping[str, int]) -> list[str]:
    """Count the decisions by code, each with an example: a company may have a hundred thousand of them."""
    code, invoice_id = col(InvoiceDecisionRow.code), col(InvoiceDecisionRow.invoice_id)
    groups = session.execute(
        select(code, func.count(), func.min(invoice_id))
        .where(col(InvoiceDecisionRow.connection_id) == connection.id)
        .group_by(code)
        .order_by(func.count().desc(), code)
    ).all()
    if not groups:
        return []
    total = sum(count for _code, count, _invoice in groups)
    lines = [_line("decisions", f"{_INVOICE.counted(total)}, each with its reason")]
    if scope := format_scope(counts):
        lines.append(_line("", scope))
    for group_code, count, example_id in groups:
        name = in_sentence(label(group_code, "decision_code"))
        lines.append(_line("", f"  {count:>4} × {name}, e.g. {_decision_example(session, connection, example_id)}"))
    return lines


def _decision_example(session: Session, connection: Connection, invoice_id: str) -> str:
    decision = session.get_one(InvoiceDecisionRow, (connection.id, invoice_id))
    invoice = session.get(InvoiceRow, (connection.id, invoice_id))
    customer = session.get(CustomerRow, (connection.id, decision.customer_id))
    names = (customer.name if customer else "", name_of(session, invoice) if invoice else "")
    return f"{', '.join(filter(None, names))}: {decision.reason}"
