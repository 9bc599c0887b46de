"""Tells a run as a bookkeeper would: what was read, mailed, charged, noted, decided and why; sums before examples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, col

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
from connector.vocabulary import ConnectionMode
from policies.formatting import STEP_NAMES
from policies.receivables import Step

# What a run did, in the order a person asks for it: the kind of the log's line, the heading, one of it, many of it.
_ACTIONS = (
    ("emailed", "emailed", "email", "mails"),
    ("owner_notified", "told owner", "mail to the owner", "mails to the owner"),
    ("charged", "charged", "late fee, a new invoice in the ledger", "late fees, each a new invoice in the ledger"),
    ("waived", "waived", "late fee", "late fees"),
    ("noted", "noted", "note on an invoice in the ledger", "notes on invoices in the ledger"),
    ("task", "tasks", "task for a person", "tasks for a person"),
)
# What needs to be read itself comes line by line, up to a handful.
_LISTED = {
    "pulled": "read",
    "organisation": "company",
    "warning": "note well",
    "malformed": "left aside",
    "drift": "mended",
}
_PROBLEMS = {"rejected": "rejected", "unconfirmed": "in doubt", "error": "error", "suppressed": "no mail to"}
_LINES_MAX = 5
_KINDS = {"reminder": "email", "task": "task", "fee": "late fee", "hold": "no action"}
# Answers are told by what the invoice waits for; a code that is not here is told by its own name.
_HOLD_TEXTS = {
    "not_due_yet": "wait for their day",
    "nothing_owed": "are paid or owe nothing",
    "fee_invoice": "are late fees, chased with their invoice",
    "frequency_cap": "wait, as the customer was written to just now",
    "no_email_address": "have no mail address",
    "unapplied_credit": "are covered by money not applied yet",
    "all_steps_completed": "have had every step",
    "disputed": "are disputed",
    "promised": "wait for a promised day",
    "payment_plan": "follow a payment plan",
    "paused": "are paused",
    "opted_out": "belong to customers who want no mail",
    "erased": "belong to customers whose data were erased",
    "ledger_reminders": "are reminded by the ledger itself",
    "suppressed": "have an address that takes no mail",
    "stale_data": "wait for the books to be brought up to date",
    "below_minimum": "are too small to chase",
    "draft": "are drafts",
    "never_sent": "were never sent",
    "no_due_date": "have no due date",
}
_SINGULAR_VERBS = {
    "are": "is",
    "have": "has",
    "wait": "waits",
    "wait,": "waits,",
    "belong": "belongs",
    "were": "was",
    "follow": "follows",
    "get": "gets",
}
_CALL_PLURALS = {"read": "reads", "write": "writes", "email": "mails", "token": "sign-in renewals"}
_CALL_SINGULARS = {"read": "read", "write": "write", "email": "email", "token": "sign-in renewal"}
_OUTCOMES = {
    "ok": "The run came to its end",
    "deferred": "The run was put off by a vendor and goes on later",
    "action_required": "The run needs a person",
    "failed": "The run failed",
}


def summarise_run(session: Session, connection: Connection, run_id: int, counts: dict[str, int]) -> list[str]:
    """Give the story of one run, a line each; many things of one kind are summed up with an example."""
    lines = [f"{connection.name} ({connection.provider}, mode {connection.mode})"]
    by_kind: dict[str, list[SyncLogEntry]] = {}
    query = select(SyncLogEntry).where(col(SyncLogEntry.run_id) == run_id).order_by(col(SyncLogEntry.id))
    for entry in session.scalars(query):
        by_kind.setdefault(entry.kind, []).append(entry)
    lines += _one_by_one(by_kind, _LISTED)
    for kind, heading, one, many in _ACTIONS:
        lines += _action_lines(session, connection, heading, (one, many), by_kind.get(kind, []))
    lines += _one_by_one(by_kind, {**_PROBLEMS, "dry_run": "dry_run"})
    run = session.get(SyncRun, run_id)
    if run is not None and run.dry_run:
        lines.append(_line("decided", "for show only; the answers of the last run stand"))
    elif counts.get("unchanged"):
        lines.append(_line("decided", "not one fact has changed: every invoice's answer stands"))
    elif "decisions" in counts:
        lines += _decision_summary(session, connection)
    else:
        lines.append(_line("decided", "nothing; the answers of the last run stand"))
    if calls := format_calls(counts):
        lines.append(_line("calls", calls))
    return lines


def format_calls(counts: Mapping[str, Any]) -> str:
    """Say which calls a run made: ``30 reads, 1 sign-in renewal``; nothing where it made none."""
    calls = [(name, counts[f"calls_{name}"]) for name in _CALL_PLURALS if counts.get(f"calls_{name}")]
    return ", ".join(_counted(count, _CALL_SINGULARS[name], _CALL_PLURALS[name]) for name, count in calls)


def format_outcome(outcome: str, reason: str, counts: dict[str, Any]) -> str:
    """Say in one sentence how a run ended."""
    done = [
        f"{counts[name]} {name.replace('_', ' ')}"
        for name in ("emailed", "noted", "charged", "waived", "tasks", "rejected", "unconfirmed")
        if counts.get(name)
    ]
    text = _OUTCOMES[outcome] + (
        f": {', '.join(done)}." if done else ": nothing had to leave." if outcome == "ok" else "."
    )
    return f"{text} {reason}".strip()


def _line(heading: str, text: str) -> str:
    return f"  {heading:<11} {text}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _one_by_one(by_kind: Mapping[str, Sequence[SyncLogEntry]], headings: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    for kind, heading in headings.items():
        entries = by_kind.get(kind, [])
        lines += [_line(heading, entry.text) for entry in entries[:_LINES_MAX]]
        if len(entries) > _LINES_MAX:
            lines.append(_line("", f"… and {len(entries) - _LINES_MAX} more: duewell log"))
    return lines


def _action_lines(
    session: Session, connection: Connection, heading: str, words: tuple[str, str], entries: Sequence[SyncLogEntry]
) -> list[str]:
    """Sum up what was done of one kind, by step, each with one example."""
    if not entries:
        return []
    groups: dict[str, list[SyncLogEntry]] = {}
    for entry in entries:
        groups.setdefault(_step_of(session, entry), []).append(entry)
    lines = [_line(heading, _counted(len(entries), *words))]
    if entries[0].kind == "noted":  # a note tells what the lines above tell already
        return lines
    for step, some in sorted(groups.items(), key=lambda item: -len(item[1])):
        example = _customer_prefix(session, connection, some[0]) + _without_heading(some[0].text)
        if len(groups) == 1:
            lines.append(_line("", f"  {'e.g. ' if len(some) > 1 else ''}{example}"))
        else:
            lines.append(_line("", f"  {len(some)} x {step}{', e.g. ' if len(some) > 1 else ': '}{example}"))
    return lines


def _step_of(session: Session, entry: SyncLogEntry) -> str:
    facts = json.loads(entry.facts)
    row = session.get(Task, facts["task"]) if "task" in facts else session.get(OutboxEntry, facts.get("entry", 0))
    step = row.step if row is not None else ""
    if step in set(Step):
        return STEP_NAMES[Step(step)].removeprefix("the ").removeprefix("a ")
    return str(facts.get("code") or entry.kind).replace("_", " ")


def _customer_prefix(session: Session, connection: Connection, entry: SyncLogEntry) -> str:
    customer = session.get(CustomerRow, (connection.id, entry.customer_id)) if entry.customer_id else None
    return f"{customer.name}: " if customer is not None else ""


def _without_heading(text: str) -> str:
    """Leave out the words that the heading says already."""
    for word in ("Mailed: ", "Charged: ", "Waived: ", "Told the owner: "):
        text = text.removeprefix(word)
    return text


def _decision_summary(session: Session, connection: Connection) -> list[str]:
    """Sum up the answers by kind, each with one example: a company may have a hundred thousand of them."""
    groups = session.execute(
        select(
            col(InvoiceDecisionRow.kind),
            col(InvoiceDecisionRow.code),
            func.count(),
            func.min(InvoiceDecisionRow.invoice_id),
        )
        .where(col(InvoiceDecisionRow.connection_id) == connection.id)
        .group_by(col(InvoiceDecisionRow.kind), col(InvoiceDecisionRow.code))
        .order_by(func.count().desc(), col(InvoiceDecisionRow.code))
    ).all()
    if not groups:
        return []
    total = sum(count for _kind, _code, count, _invoice in groups)
    return [
        _line("decided", f"{_counted(total, 'invoice', 'invoices')}, each with its reason"),
        *_decision_lines(session, connection, (tuple(group) for group in groups)),
    ]


def _decision_lines(session: Session, connection: Connection, groups: Iterable[tuple[str, str, int, str]]) -> list[str]:
    lines: list[str] = []
    acts = "get" if connection.mode == ConnectionMode.LIVE else "are due for"
    for kind, code, count, invoice_id in groups:
        words = (
            _HOLD_TEXTS.get(code, code.replace("_", " ")) if kind == "hold" else f"{acts} {_action_text(kind, code)}"
        )
        verb = _SINGULAR_VERBS.get(words.partition(" ")[0], "") if count == 1 else ""
        words = f"{verb} {words.partition(' ')[2]}" if verb else words
        lines.append(_line("", f"  {count:>4} {words}, e.g. {_example(session, connection, invoice_id)}"))
    return lines


def _action_text(kind: str, code: str) -> str:
    return STEP_NAMES[Step(code)] if code in set(Step) else f"a {_KINDS.get(kind, kind)}: {code.replace('_', ' ')}"


def _example(session: Session, connection: Connection, invoice_id: str) -> str:
    answer = session.get_one(InvoiceDecisionRow, (connection.id, invoice_id))
    invoice = session.get(InvoiceRow, (connection.id, invoice_id))
    customer = session.get(CustomerRow, (connection.id, answer.customer_id))
    who = ", ".join(row for row in (customer.name if customer else "", invoice.number if invoice else "") if row)
    return f"{who}: {answer.reason}"
