"""Commands that only look: status, plan, explain, log."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.options import OptionalConnectionArgument, parse_instant
from connector.cli.terminal import (
    CommandError,
    JsonOption,
    LogGroup,
    build_group,
    echo,
    echo_err,
    echo_json,
    echo_table,
    empty_list_message,
    find_connection_id,
    open_command_app,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connector.audit.log_search import LogEntryItem


log = build_group(LogGroup, "The sync log: the story of every run. `duewell log CONNECTION` shows that of one company.")
_LIMIT_MAX = 1_000_000


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    for command in (status, plan, explain):
        parent.command(command.__name__)(command)
    parent.add_typer(log, name="log")


def status(as_json: JsonOption = False) -> None:
    """Tell how each connection is.

    Mode, health, last and next run, what is left of the vendor's budget, and what waits for a person.
    """
    from connector.connections.registry import NO_CONNECTIONS
    from connector.services.status import status as get_status

    with open_command_app() as app:
        rows = get_status(app)
    if as_json:
        echo_json(rows)
        return
    if not rows:
        echo_err(NO_CONNECTIONS)
        return
    echo_table(
        [_status_row(row) for row in rows], {name: name.upper().replace("_", " ") for name in _status_row(rows[0])}
    )
    for row in rows:
        if row["health_reason"]:
            echo(f"{row['short_name']}: {row['health_reason']}")


def plan(
    connection: OptionalConnectionArgument = None,
    days: Annotated[int, typer.Option(min=0, max=366, help="How many days ahead.")] = 14,
    as_json: JsonOption = False,
) -> None:
    """Show what would go out, when, why.

    Sends nothing. The coming days are simulated as if the books did not change.
    """
    from connector.cli.progress import customer_counter
    from connector.services.upcoming_actions import list_upcoming as make_plan

    with open_command_app() as app, customer_counter("deciding") as watch:
        items = make_plan(app, find_connection_id(app, connection), days, on_progress=watch)
        nothing = empty_list_message(app, f"Nothing would go out in the next {days} days.")
    if as_json:
        echo_json(items)
    elif items:
        for item in items:
            item["of"] = ", ".join(item["invoices"][:3]) + (" …" if len(item["invoices"]) > 3 else "")
        columns = {
            "on": "ON",
            "connection": "BOOKS",
            "mode": "MODE",
            "kind": "WHAT",
            "step": "STEP",
            "customer": "CUSTOMER",
        }
        echo_table(items, {**columns, "of": "INVOICES", "amount": "SUM", "currency": "", "reason": "WHY"})
        echo_err("Planned, not promised: who pays meanwhile hears nothing.")
    else:
        echo_err(nothing)


def explain(
    invoice_number: Annotated[str, typer.Argument(metavar="INVOICE_NUMBER", help="Its number, or the ledger's id.")],
    connection: Annotated[str | None, typer.Option(help="Where the number is not unique.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Explain what happens to an invoice.

    The facts, rules and holds behind what happened and what is next.
    """
    from connector.services.explain import explain as get_explanation

    with open_command_app() as app:
        told = get_explanation(app, invoice_number, connection)
    if as_json:
        echo_json(told)
        return
    for line in _explanation_lines(told):
        echo(line)


@log.command("show")
def show(
    connection: OptionalConnectionArgument = None,
    since: Annotated[str | None, typer.Option(metavar="T", help="2026-11-20, 2026-11-20T08:00 (UTC), 24h, 7d.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many of the newest lines.")] = 1000,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, safe to open in a spreadsheet.")] = False,
) -> None:
    """Show the log of one connection or of all."""
    from connector.audit import log_search, sync_log
    from connector.connections.registry import list_connections
    from connector.db.engine import reading
    from connector.reports.csv_export import csv_lines
    from connector.vocabulary.labels import label

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other.")
    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        since_at = parse_instant(since, app.now()) if since else None
        with reading(app.engine) as session:
            rows = sync_log.list_entries(session, connection_id=inside, since_at=since_at, limit=min(limit, _LIMIT_MAX))
            names = {item["id"]: item["short_name"] for item in list_connections(session)}
    entries = [log_search.as_item(row, names.get(row.connection_id, "")) for row in rows]
    if as_json:
        echo_json(entries)
    elif as_csv:
        sys.stdout.writelines(csv_lines(_csv_rows(entries)))
    else:
        for entry in entries:
            company = "" if inside else f"{entry.connection}: "
            kind = label(entry.kind, "log_kind")
            echo(f"{entry.at:%Y-%m-%d %H:%M:%S}  {kind:<32} {company}{' '.join(entry.text.split())}")
        if not entries:
            echo_err("The log has no such lines.")


@log.command("verify")
def verify(
    head: Annotated[str, typer.Option(help="A hash noted before: also check that its line is still there.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Check the log's hash chain from its first line to its last."""
    from connector.audit import sync_log
    from connector.db.engine import reading

    if head and not re.fullmatch(r"[0-9a-f]{16,64}", head):
        raise typer.BadParameter("a hash is at least 16 of the figures 0-9 and a-f", param_hint="--head")
    with open_command_app() as app, reading(app.engine) as session:
        verdict = sync_log.verify(session)
        known = not head or sync_log.has_entry(session, head)
    if as_json:
        echo_json(verdict._asdict() | ({"has_head": known} if head else {}))
    elif verdict.ok:
        echo(f"The log holds: {verdict.entries} lines, newest hash {verdict.head}")
    if not verdict.ok:
        raise CommandError(
            f"The log is broken at line {verdict.broken_at_id}: {verdict.reason}. The {verdict.entries} lines before it"
            " are intact. Compare it with a backup (duewell restore), and find out who could write to the database."
        )
    if not known:
        raise CommandError(
            f"No line of the log has the hash {head}: the log was written anew, or put back from an older backup, since"
            " that hash was noted."
        )


def _status_row(row: Mapping[str, Any]) -> dict[str, Any]:
    waiting, last = row["needs_attention"], row["last_run"] or {}
    budget = ", ".join(
        f"{item['limit']}: {item['remaining']} left"
        if item["remaining"] is not None
        else f"{item['limit']}: {item['used']} reads"
        for item in row["budget"]
    )
    return {
        "id": row["id"],
        "name": row["short_name"],
        "mode": "pause_reason" if row["pause_reason"] else row["mode"],
        "health": row["health"],
        "last_run": row["last_run_at"],
        "result": "under way" if row["running"] else last.get("outcome") or "",
        "next_run": row["next_run_at"],
        "budget": budget,
        "needs_attention": ", ".join(
            (
                f"{waiting['approvals']} to approve",
                f"{waiting['unconfirmed']} deliveries unconfirmed",
                f"{waiting['tasks']} tasks",
            )
        ),
    }


def _explanation_lines(explanation: Mapping[str, Any]) -> list[str]:
    invoice, customer = explanation["invoice"], explanation["customer"]
    lines = [
        f"Invoice {invoice['number']} to {customer['name']} ({explanation['connection']['name']})",
        f"  {invoice['status']}; {invoice['due']} of {invoice['total']} {invoice['currency']} is due",
        f"  issued {invoice['issued_on']}, due {invoice['due_on'] or 'on no day'}",
        f"  mail goes to: {customer['emails'] or 'no address'}",
    ]
    lines += [
        f"  a person set: {name.replace('_', ' ')} {value}" for name, value in customer.get("settings", {}).items()
    ]
    lines += [
        f"  a person said: {name.replace('_', ' ')} {value}"
        for name, value in explanation["active_agreements"].model_dump().items()
        if value
    ]
    lines += [f"  {item['amount']} applied on {item['on']} ({item['kind']})" for item in explanation["applied"]]
    lines += [
        f"  {item['remaining']} of the customer's money is not applied yet ({item['kind']})"
        for item in explanation["unapplied"]
    ]
    lines += ["What happened:", *(f"  {each['on']} {each['text']}" for each in explanation["timeline"])]
    answer = explanation["current_decision"] or explanation["decision"]
    lines += [
        "What is decided now:",
        f"  {answer['reason']} [{answer['code']}]" if answer else "  nothing: it is not chased",
    ]
    lines += ["What comes next, if nothing changes:"]
    lines += [
        f"  {each['on']} {each['kind'].replace('_', ' ')}: {each['reason']}" for each in explanation["upcoming"]
    ] or ["  nothing"]
    lines += [
        f"  outbox {item['id']}: {item['kind']} {item['state']}. {item['reason']}"
        + (f" ({item['response']})" if item["response"] else "")
        for item in explanation["outbox"]
        if item["state"] != "done"
    ]
    return lines + _audit_lines(explanation["decision_audit"])


def _audit_lines(decisions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say whether the recorded decisions come out the same when they are made again from the facts of their day."""
    if not decisions:
        return []
    from policies.formatting import format_datetime

    odd = [each for each in decisions if not each["reproduced"]]
    if not odd:
        many = "the decision comes" if len(decisions) == 1 else f"all {len(decisions)} decisions come"
        return [f"Made again from the facts of the day, {many} out the same."]
    return [f"Decided on {format_datetime(each['at'])}: {each['reason']} Made again, {each['note']}" for each in odd]


def _csv_rows(entries: Sequence[LogEntryItem]) -> Iterator[Sequence[object]]:
    names = ("id", "at", "connection", "kind", "run_id", "customer_id", "invoice_id", "text", "facts")
    yield names
    for entry in entries:
        facts = json.dumps(entry.facts, sort_keys=True, ensure_ascii=False)
        yield [*(getattr(entry, name) for name in names[:-1]), facts]
