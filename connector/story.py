"""Tells a run as a bookkeeper would: what was read, mailed, charged, noted, decided and why; sums before examples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.tables import AnswerRow, Connection, CustomerRow, InvoiceRow, OutboxEntry, SyncLogEntry, SyncRun, Task
from policies.receivables import Step
from policies.wording import NAMES

# What a run did, in the order a person asks for it: the kind of the log's line, the heading, one of it, many of it.
_DEEDS = (
    ("mailed", "mailed", "mail", "mails"),
    ("told_owner", "told owner", "mail to the owner", "mails to the owner"),
    ("charged", "charged", "late fee, a new invoice in the ledger", "late fees, each a new invoice in the ledger"),
    ("waived", "waived", "late fee", "late fees"),
    ("noted", "noted", "note on an invoice in the ledger", "notes on invoices in the ledger"),
    ("task", "tasks", "task for a person", "tasks for a person"),
)
# What needs to be read itself comes line by line, up to a handful.
_TOLD = {
    "pulled": "read",
    "organisation": "company",
    "warning": "note well",
    "malformed": "left aside",
    "drift": "mended",
}
_TROUBLE = {"refused": "refused", "doubt": "in doubt", "odd": "odd", "suppressed": "no mail to"}
_MOST = 5
_KINDS = {"reminder": "mail", "task": "task", "fee": "late fee", "hold": "no action"}
# Answers are told by what the invoice waits for; a code that is not here is told by its own name.
_HOLDS = {
    "not_yet": "wait for their day",
    "nothing_owed": "are paid or owe nothing",
    "fee_invoice": "are late fees, chased with their invoice",
    "frequency": "wait, as the customer was written to just now",
    "no_address": "have no mail address",
    "unapplied_credit": "are covered by money not applied yet",
    "all_taken": "have had every step",
    "disputed": "are disputed",
    "promised": "wait for a promised day",
    "payment_plan": "follow a payment plan",
    "paused": "are paused",
    "opted_out": "belong to customers who want no mail",
    "erased": "belong to customers whose data were erased",
    "own_reminders": "are reminded by the ledger itself",
    "suppressed": "have an address that takes no mail",
    "stale_books": "wait for the books to be brought up to date",
    "below_minimum": "are too small to chase",
    "draft": "are drafts",
    "never_sent": "were never sent",
    "no_due_date": "have no due date",
}
_VERBS_OF_ONE = {
    "are": "is",
    "have": "has",
    "wait": "waits",
    "wait,": "waits,",
    "belong": "belongs",
    "were": "was",
    "follow": "follows",
    "get": "gets",
}
_CALLS = {"read": "reads", "write": "writes", "mail": "mails", "token": "sign-in renewals"}
_ONE_CALL = {"read": "read", "write": "write", "mail": "mail", "token": "sign-in renewal"}
_OUTCOMES = {
    "ok": "The run came to its end",
    "later": "The run was put off by a vendor and goes on later",
    "person": "The run needs a person",
    "failed": "The run failed",
}


def tell_run(session: Session, connection: Connection, run_id: int, numbers: dict[str, int]) -> list[str]:
    """Give the story of one run, a line each; many things of one kind are summed up with an example."""
    lines = [f"{connection.name} ({connection.provider}, mode {connection.mode})"]
    by_kind: dict[str, list[SyncLogEntry]] = {}
    query = select(SyncLogEntry).where(col(SyncLogEntry.run_id) == run_id).order_by(col(SyncLogEntry.id))
    for entry in session.scalars(query):
        by_kind.setdefault(entry.kind, []).append(entry)
    lines += _one_by_one(by_kind, _TOLD)
    for kind, heading, one, many in _DEEDS:
        lines += _deeds(session, connection, heading, (one, many), by_kind.get(kind, []))
    lines += _one_by_one(by_kind, {**_TROUBLE, "would": "would"})
    run = session.get(SyncRun, run_id)
    if run is not None and run.dry:
        lines.append(_line("decided", "for show only; the answers of the last run stand"))
    elif numbers.get("unchanged"):
        lines.append(_line("decided", "not one fact has changed: every invoice's answer stands"))
    elif "answers" in numbers:
        lines += _decided(session, connection)
    else:
        lines.append(_line("decided", "nothing; the answers of the last run stand"))
    if calls := calls_made(numbers):
        lines.append(_line("calls", calls))
    return lines


def calls_made(numbers: Mapping[str, Any]) -> str:
    """Say which calls a run made: ``30 reads, 1 sign-in renewal``; nothing where it made none."""
    calls = [(name, numbers[f"calls_{name}"]) for name in _CALLS if numbers.get(f"calls_{name}")]
    return ", ".join(_counted(count, _ONE_CALL[name], _CALLS[name]) for name, count in calls)


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


def _line(heading: str, text: str) -> str:
    return f"  {heading:<11} {text}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _one_by_one(by_kind: Mapping[str, Sequence[SyncLogEntry]], headings: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    for kind, heading in headings.items():
        entries = by_kind.get(kind, [])
        lines += [_line(heading, entry.text) for entry in entries[:_MOST]]
        if len(entries) > _MOST:
            lines.append(_line("", f"… and {len(entries) - _MOST} more: duewell log"))
    return lines


def _deeds(
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
        example = _whom(session, connection, some[0]) + _short(some[0].text)
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
        return NAMES[Step(step)].removeprefix("the ").removeprefix("a ")
    return str(facts.get("code") or entry.kind).replace("_", " ")


def _whom(session: Session, connection: Connection, entry: SyncLogEntry) -> str:
    customer = session.get(CustomerRow, (connection.id, entry.customer_id)) if entry.customer_id else None
    return f"{customer.name}: " if customer is not None else ""


def _short(text: str) -> str:
    """Leave out the words that the heading says already."""
    for word in ("Mailed: ", "Charged: ", "Waived: ", "Told the owner: "):
        text = text.removeprefix(word)
    return text


def _decided(session: Session, connection: Connection) -> list[str]:
    """Sum up the answers by kind, each with one example: a company may have a hundred thousand of them."""
    groups = session.execute(
        select(col(AnswerRow.kind), col(AnswerRow.code), func.count(), func.min(AnswerRow.invoice_id))
        .where(col(AnswerRow.connection_id) == connection.id)
        .group_by(col(AnswerRow.kind), col(AnswerRow.code))
        .order_by(func.count().desc(), col(AnswerRow.code))
    ).all()
    if not groups:
        return []
    total = sum(count for _kind, _code, count, _invoice in groups)
    return [
        _line("decided", f"{_counted(total, 'invoice', 'invoices')}, each with its reason"),
        *_answers(session, connection, (tuple(group) for group in groups)),
    ]


def _answers(session: Session, connection: Connection, groups: Iterable[tuple[str, str, int, str]]) -> list[str]:
    lines: list[str] = []
    acts = "get" if connection.mode == "live" else "are due for"
    for kind, code, count, invoice_id in groups:
        words = _HOLDS.get(code, code.replace("_", " ")) if kind == "hold" else f"{acts} {_got(kind, code)}"
        verb = _VERBS_OF_ONE.get(words.partition(" ")[0], "") if count == 1 else ""
        words = f"{verb} {words.partition(' ')[2]}" if verb else words
        lines.append(_line("", f"  {count:>4} {words}, e.g. {_example(session, connection, invoice_id)}"))
    return lines


def _got(kind: str, code: str) -> str:
    return NAMES[Step(code)] if code in set(Step) else f"a {_KINDS.get(kind, kind)}: {code.replace('_', ' ')}"


def _example(session: Session, connection: Connection, invoice_id: str) -> str:
    answer = session.get_one(AnswerRow, (connection.id, invoice_id))
    invoice = session.get(InvoiceRow, (connection.id, invoice_id))
    customer = session.get(CustomerRow, (connection.id, answer.customer_id))
    who = ", ".join(row for row in (customer.name if customer else "", invoice.number if invoice else "") if row)
    return f"{who}: {answer.why}"
