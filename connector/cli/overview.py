"""Commands that only show something: status, plan, explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import (
    AllOption,
    ConnectionOption,
    LimitOption,
    OptionalConnectionArgument,
    chosen_connection,
    rows_max,
)
from connector.cli.terminal import (
    Columns,
    JsonOption,
    WideOption,
    echo,
    echo_err,
    echo_indented,
    echo_json,
    echo_results,
    empty_list_message,
    find_connection_id,
    money,
    open_command_app,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.connections.registry import ConnectionItem
    from connector.services.invoice_explanation import DecisionAudit, InvoiceExplanation
    from connector.services.status import AttentionCounts, ConnectionStatus
    from connector.services.upcoming_actions import UpcomingAction


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    for command in (status, plan, explain):
        parent.command(command.__name__)(command)


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
        "NEEDS ATTENTION": lambda row: format_attention(row.needs_attention),
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


def format_attention(needed: AttentionCounts) -> str:
    """Return what needs a user in a company: ``3 to approve, 2 to do``; "" for nothing."""
    counts = {"to approve": needed.approvals, "unconfirmed": needed.unconfirmed, "to do": needed.tasks}
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
