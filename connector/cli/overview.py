"""Commands that only show something: status, plan, explain, log."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import (
    AllOption,
    ConnectionOption,
    LimitOption,
    OptionalConnectionArgument,
    chosen_connection,
    parse_instant,
    rows_max,
)
from connector.cli.terminal import (
    Columns,
    CommandError,
    JsonOption,
    LogGroup,
    WideOption,
    build_group,
    echo,
    echo_err,
    echo_indented,
    echo_json,
    echo_note,
    echo_results,
    echo_table,
    empty_list_message,
    find_connection_id,
    money,
    open_command_app,
)
from connector.cli.wrong_values import WrongValueError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from connector.audit.log_search import LogEntryItem
    from connector.connections.registry import ConnectionItem
    from connector.services.invoice_explanation import DecisionAudit, InvoiceExplanation
    from connector.services.status import ConnectionStatus
    from connector.services.upcoming_actions import UpcomingAction


log = build_group(LogGroup, "The sync log: what every sync did. `duewell log CONNECTION` shows one company's.")
_LIMIT_MAX = 1_000_000


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    for command in (status, plan, explain):
        parent.command(command.__name__)(command)
    parent.add_typer(log, name="log")


def status(wide: WideOption = False, as_json: JsonOption = False) -> None:
    """Show the status of each company.

    Mode, health, last and next sync, remaining calls, and what needs your attention.
    """
    from connector.connections.registry import NO_CONNECTIONS
    from connector.connections.tokens import grant_end_text
    from connector.services.status import list_statuses
    from connector.vocabulary.labels import label

    with open_command_app() as app:
        rows = list_statuses(app)
    columns: Columns[ConnectionStatus] = {
        "ID": lambda row: row.id,
        "COMPANY": lambda row: row.short_name,
        "MODE": lambda row: "Paused" if row.pause_reason else label(row.mode),
        "HEALTH": lambda row: label(row.health),
        "LAST SYNC": lambda row: row.last_run_at,
        "RESULT": _last_result,
        "NEXT SYNC": lambda row: row.next_run_at,
        "CALLS LEFT": _format_budget,
        "NEEDS ATTENTION": _format_attention,
    }
    echo_results(rows, columns, NO_CONNECTIONS, as_json=as_json, wide=wide)
    for row in [] if as_json else rows:
        if row.health_reason:
            echo_indented(f"{row.short_name}: ", row.health_reason)
        if row.authorization_ends_on is not None:
            echo_indented(f"{row.short_name}: ", grant_end_text(row.authorization_ends_on, row.provider))


def plan(
    connection: OptionalConnectionArgument = None,
    company: ConnectionOption = None,
    days: Annotated[int, typer.Option(min=0, max=366, help="How many days ahead.")] = 14,
    limit: LimitOption = None,
    show_all: AllOption = False,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what would be sent, when and why.

    Sends nothing. The days ahead are simulated as if nothing changed in your accounting system.
    """
    from connector.cli.progress import customer_counter
    from connector.services.upcoming_actions import list_upcoming
    from connector.vocabulary.labels import label

    most = rows_max(limit, show_all=show_all, for_programs=as_json)
    named = chosen_connection(connection, company)
    with open_command_app() as app, customer_counter("evaluating") as on_progress:
        items = list_upcoming(app, find_connection_id(app, named), days, on_progress=on_progress)
        empty_message = empty_list_message(app, f"Nothing would be sent in the next {days} days.")
    columns: Columns[UpcomingAction] = {
        "DATE": lambda item: item.on,
        "COMPANY": lambda item: item.connection,
        "MODE": lambda item: label(item.mode),
        "ACTION": lambda item: label(item.kind),
        "STEP": lambda item: label(item.step, "task_code"),
        "CUSTOMER": lambda item: item.customer,
        "INVOICES": lambda item: ", ".join(item.invoices),
        "AMOUNT": lambda item: money(item.amount, item.currency) if item.amount else "",
        "REASON": lambda item: item.reason,
    }
    echo_results(items, columns, empty_message, as_json=as_json, wide=wide, limit=most)
    if items and not as_json:
        echo_err("This is a forecast: customers who pay in the meantime receive nothing.")


def explain(
    invoice_number: Annotated[
        str, typer.Argument(metavar="INVOICE_NUMBER", help="The invoice's number, or its id in the accounting system.")
    ],
    connection: Annotated[str | None, typer.Option(help="Which company, where the number is not unique.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Explain what happens to an invoice.

    Shows the facts, decisions and holds behind what happened and what comes next.
    """
    from connector.services.explain import explain as explain_by_number

    with open_command_app() as app:
        explanation = explain_by_number(app, invoice_number, connection)
    if as_json:
        echo_json(explanation)
        return
    for line in _explanation_lines(explanation):
        echo(line)


@log.command("show")
def show(
    connection: OptionalConnectionArgument = None,
    since: Annotated[
        str | None, typer.Option(metavar="T", help="2026-11-20, 2026-11-20T08:00 (UTC), 24h or 7d.")
    ] = None,
    company: ConnectionOption = None,
    limit: LimitOption = None,
    show_all: AllOption = False,
    wide: WideOption = False,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV that is safe to open in a spreadsheet.")] = False,
) -> None:
    """Show the sync log of one company or of all."""
    from connector.audit import log_search, sync_log
    from connector.connections.registry import list_connections
    from connector.db.engine import reading
    from connector.reports.csv_export import csv_lines

    if as_json and as_csv:
        raise typer.BadParameter("Choose either --json or --csv.")
    most = rows_max(limit, show_all=show_all, for_programs=as_json or as_csv)
    with open_command_app() as app:
        connection_id = find_connection_id(app, chosen_connection(connection, company))
        since_at = parse_instant(since, app.now()) if since else None
        with reading(app.engine) as session:
            rows = sync_log.list_entries(
                session, connection_id=connection_id, since_at=since_at, limit=min(most or _LIMIT_MAX, _LIMIT_MAX)
            )
            count = sync_log.count_entries(session, connection_id=connection_id, since_at=since_at)
            names = {item.id: item.short_name for item in list_connections(session)}
    entries = [log_search.as_item(row, names.get(row.connection_id or 0, "")) for row in rows]
    if as_json:
        echo_json(entries)
    elif as_csv:
        sys.stdout.writelines(csv_lines(_csv_rows(entries)))
    elif entries:
        headings = ("TIME (UTC)", "KIND", *(() if connection_id else ("COMPANY",)), "ENTRY")
        echo_table(headings, (_log_cells(entry, with_company=not connection_id) for entry in entries), wide=wide)
        if len(entries) < count:
            echo_note(f"{count - len(entries):,} older entries are not shown. Add --limit N, --all or --since T.")
    else:
        echo_err("No log entries match.")


@log.command("verify")
def verify(
    head: Annotated[str, typer.Option(help="A hash you noted earlier: also check that it is still there.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Check the log's hash chain from the first entry to the last."""
    from connector.audit import sync_log
    from connector.db.engine import reading

    if head and not re.fullmatch(r"[0-9a-f]{16,64}", head):
        raise WrongValueError(f"{head!r} is no hash: it has at least 16 of the characters 0-9 and a-f.", head)
    with open_command_app() as app, reading(app.engine) as session:
        result = sync_log.verify(session)
        has_head = not head or sync_log.has_entry(session, head)
    if as_json:
        echo_json(result._asdict() | ({"has_head": has_head} if head else {}))
    elif result.ok:
        echo(f"The log is intact: {result.entries} entries, newest hash {result.head}")
    if not result.ok:
        raise CommandError(
            f"The log is broken at entry {result.broken_at_id}: {result.reason}. The {result.entries} entries before it"
            " are intact. Compare it with a backup (duewell restore), and find out who could write to the database."
        )
    if not has_head:
        raise CommandError(
            f"No log entry has the hash {head}: since you noted it, the log was rewritten or an older backup restored."
        )


def _last_result(row: ConnectionStatus) -> str:
    from connector.vocabulary.labels import label

    if row.running:
        return "In progress"
    return label(row.last_run.outcome) if row.last_run and row.last_run.outcome else ""


def _format_budget(row: ConnectionStatus) -> str:
    from connector.vocabulary.labels import in_sentence, label

    return ", ".join(
        f"{in_sentence(label(item.limit))}: "
        + (f"{item.remaining} left" if item.remaining is not None else f"{item.used} used")
        for item in row.budget
    )


def _format_attention(row: ConnectionStatus) -> str:
    counts = {
        "to approve": row.needs_attention.approvals,
        "unconfirmed": row.needs_attention.unconfirmed,
        "to do": row.needs_attention.tasks,
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _explanation_lines(explanation: InvoiceExplanation) -> list[str]:
    from connector.arrangements.customer_settings import format_settings
    from connector.services.invoice_timeline import format_decision
    from connector.services.invoices import format_active_agreements
    from connector.vocabulary import OutboxState
    from connector.vocabulary.labels import in_sentence, label

    invoice, customer = explanation.invoice, explanation.customer
    due, total = (money(each, invoice.currency) for each in (invoice.due, invoice.total))
    lines = [
        f"Invoice {invoice.number or 'without a number'} to {customer.name} ({explanation.connection.name})",
        f"  {label(invoice.status)}; {due} of {total} is due",
        f"  Issued on {invoice.issued_on}, due on {invoice.due_on or 'no date'}",
        *(
            f"  {each.field.capitalize()}: {each.address} ({in_sentence(each.reason)})"
            for each in explanation.recipients
        ),
        *([] if explanation.recipients else [f"  Email: {customer.emails or 'no address'}"]),
    ]
    lines += [f"  {line}" for line in format_settings(customer.settings)]
    agreements = format_active_agreements(explanation.active_agreements)
    lines += [f"  Agreements: {agreements}"] if agreements else []
    lines += [
        f"  {label(item.kind)} of {money(item.amount, invoice.currency)} applied on {item.on}"
        for item in explanation.applied
    ]
    lines += [
        f"  {label(item.kind)} of the customer: {money(item.remaining, invoice.currency)} not applied yet"
        for item in explanation.unapplied
    ]
    lines += ["What happened:", *(f"  {each.on} {each.text}" for each in explanation.timeline)]
    decision = explanation.current_decision or explanation.decision
    lines += ["Current decision:"]
    why_none = f"None: the invoice is {in_sentence(label(invoice.status))}, and is not chased"
    lines += [f"  {format_decision(decision.kind, decision.reason)}" if decision else f"  {why_none}"]
    lines += [f"  Exception: {each}" for each in explanation.exceptions]
    lines += [f"What happens next, if nothing changes{_mode_note(explanation.connection)}:"]
    lines += [f"  {each.on} {label(each.step, 'task_code')}: {each.reason}" for each in explanation.upcoming] or [
        "  Nothing"
    ]
    lines += [
        f"  Outbox entry {item.id}: {label(item.kind)}, {in_sentence(label(item.state))}. {item.reason}"
        + (f" ({item.response})" if item.response else "")
        for item in explanation.outbox
        if item.state is not OutboxState.DONE
    ]
    return lines + _audit_lines(explanation.decision_audit)


def _mode_note(connection: ConnectionItem) -> str:
    """Return why what comes next is not sent, where it is not: a date alone would promise it."""
    from connector.vocabulary import ConnectionHealth, ConnectionMode

    if connection.health is ConnectionHealth.DISCONNECTED:
        return f"; none of it is sent, because {connection.name} is disconnected"
    if connection.mode is ConnectionMode.OBSERVE:
        return f"; none of it is sent, because {connection.name} is in observe mode"
    if connection.pause_reason:
        return f"; none of it is sent while {connection.name} is paused"
    return "; emails and late fees await approval first" if connection.mode is ConnectionMode.APPROVE else ""


def _audit_lines(decisions: Sequence[DecisionAudit]) -> list[str]:
    """Return whether the recorded decisions are reproduced from the facts of the time."""
    if not decisions:
        return []
    from policies.formatting import format_datetime

    different = [each for each in decisions if not each.reproduced]
    if not different:
        count = "the decision is" if len(decisions) == 1 else f"all {len(decisions)} decisions are"
        return [f"Decision audit: {count} reproduced from the facts of the time."]
    return [
        f"Decision audit: {format_datetime(each.at)}: {each.reason} Not reproduced: {each.note}" for each in different
    ]


def _log_cells(entry: LogEntryItem, *, with_company: bool) -> list[str]:
    from connector.vocabulary.labels import label

    company = [entry.connection] if with_company else []
    return [f"{entry.at:%Y-%m-%d %H:%M:%S}", label(entry.kind, "log_kind"), *company, entry.text]


def _csv_rows(entries: Sequence[LogEntryItem]) -> Iterator[Sequence[object]]:
    names = ("id", "at", "connection", "kind", "run_id", "customer_id", "invoice_id", "text", "facts")
    yield names
    for entry in entries:
        facts = json.dumps(entry.facts, sort_keys=True, ensure_ascii=False)
        yield [*(getattr(entry, name) for name in names[:-1]), facts]
