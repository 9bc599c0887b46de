"""Commands that only look: status, plan, explain, log."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.commands.given import OneOrAllArgument, parse_moment
from connector.commands.terminal import (
    CommandError,
    JsonOption,
    LogGroup,
    group,
    opened,
    put,
    put_json,
    put_table,
    say,
    unless_unconnected,
    within,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


log = group(LogGroup, "The sync log: the story of every run. `duewell log CONNECTION` shows that of one company.")
_FOREVER = 1_000_000


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (status, plan, explain):
        app.command(command.__name__)(command)
    app.add_typer(log, name="log")


def status(as_json: JsonOption = False) -> None:
    """Tell how each connection is.

    Mode, health, last and next run, what is left of the vendor's budget, and what waits for a person.
    """
    from connector.access.connections import NONE_YET
    from connector.people.status import status as get_status

    with opened() as installation:
        rows = get_status(installation)
    if as_json:
        put_json(rows)
        return
    if not rows:
        say(NONE_YET)
        return
    put_table(
        [_status_row(row) for row in rows], {name: name.upper().replace("_", " ") for name in _status_row(rows[0])}
    )
    for row in rows:
        if row["health_why"]:
            put(f"{row['short_name']}: {row['health_why']}")


def plan(
    connection: OneOrAllArgument = None,
    days: Annotated[int, typer.Option(min=0, max=366, help="How many days ahead.")] = 14,
    as_json: JsonOption = False,
) -> None:
    """Show what would go out, when, why.

    Sends nothing. The coming days are simulated as if the books did not change.
    """
    from connector.commands.progress import counting
    from connector.people.plan import plan as make_plan

    with opened() as installation, counting("deciding") as watch:
        items = make_plan(installation, within(installation, connection), days, watch=watch)
        nothing = unless_unconnected(installation, f"Nothing would go out in the next {days} days.")
    if as_json:
        put_json(items)
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
        put_table(items, {**columns, "of": "INVOICES", "amount": "SUM", "currency": "", "why": "WHY"})
        say("Planned, not promised: who pays meanwhile hears nothing.")
    else:
        say(nothing)


def explain(
    invoice_number: Annotated[str, typer.Argument(metavar="INVOICE_NUMBER", help="Its number, or the ledger's id.")],
    connection: Annotated[str | None, typer.Option(help="Where the number is not unique.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Explain what happens to an invoice.

    The facts, rules and holds behind what happened and what is next.
    """
    from connector.people.explain import explain as get_explanation

    with opened() as installation:
        told = get_explanation(installation, invoice_number, connection)
    if as_json:
        put_json(told)
        return
    for line in _explanation(told):
        put(line)


@log.command("show")
def show(
    connection: OneOrAllArgument = None,
    since: Annotated[str | None, typer.Option(metavar="T", help="2026-11-20, 2026-11-20T08:00 (UTC), 24h, 7d.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many of the newest lines.")] = 1000,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, safe to open in a spreadsheet.")] = False,
) -> None:
    """Show the log of one connection or of all."""
    from connector import sync_log
    from connector.access.connections import listing
    from connector.commands.spreadsheet import csv_lines
    from connector.database import reading
    from connector.people import log_search

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other.")
    with opened() as installation:
        inside = within(installation, connection)
        since_at = parse_moment(since, installation.now()) if since else None
        with reading(installation.engine) as session:
            rows = sync_log.entries(session, connection_id=inside, since_at=since_at, limit=min(limit, _FOREVER))
            names = {item["id"]: item["short_name"] for item in listing(session)}
    entries = [log_search.as_dict(row, names.get(row.connection_id, "")) for row in rows]
    if as_json:
        put_json(entries)
    elif as_csv:
        sys.stdout.writelines(csv_lines(_csv_rows(entries)))
    else:
        for entry in entries:
            books = "" if inside else f"{entry['connection']}: "
            put(f"{entry['at']:%Y-%m-%d %H:%M:%S}  {entry['kind']:<14} {books}{' '.join(entry['text'].split())}")
        if not entries:
            say("The log has no such lines.")


@log.command("verify")
def verify(
    head: Annotated[str, typer.Option(help="A hash noted before: also check that its line is still there.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Check the log's hash chain from its first line to its last."""
    from connector import sync_log
    from connector.database import reading

    if head and not re.fullmatch(r"[0-9a-f]{16,64}", head):
        raise typer.BadParameter("a hash is at least 16 of the figures 0-9 and a-f", param_hint="--head")
    with opened() as installation, reading(installation.engine) as session:
        verdict = sync_log.verify(session)
        known = not head or sync_log.holds_line(session, head)
    if as_json:
        put_json(verdict._asdict() | ({"has_head": known} if head else {}))
    elif verdict.ok:
        put(f"The log holds: {verdict.entries} lines, newest hash {verdict.head}")
    if not verdict.ok:
        raise CommandError(
            f"The log breaks at line {verdict.broken_at_id}: {verdict.why}. The {verdict.entries} lines before it hold."
            " Compare it with a backup (duewell restore), and find out who could write to the database."
        )
    if not known:
        raise CommandError(
            f"No line of the log has the hash {head}: the log was written anew, or put back from an older backup, since"
            " that hash was noted."
        )


def _status_row(row: Mapping[str, Any]) -> dict[str, Any]:
    waiting, last = row["waiting"], row["last_run"] or {}
    budget = ", ".join(
        f"{item['limit']}: {item['left']} left"
        if item["left"] is not None
        else f"{item['limit']}: {item['used']} reads"
        for item in row["budget"]
    )
    return {
        "id": row["id"],
        "name": row["short_name"],
        "mode": "paused" if row["paused"] else row["mode"],
        "health": row["health"],
        "last_run": row["last_run_at"],
        "result": "under way" if row["running"] else last.get("outcome", ""),
        "next_run": row["next_run_at"],
        "budget": budget,
        "waits_for_you": f"{waiting['approvals']} to approve, {waiting['doubts']} in doubt, {waiting['tasks']} tasks",
    }


def _explanation(told: Mapping[str, Any]) -> list[str]:
    invoice, customer = told["invoice"], told["customer"]
    lines = [
        f"Invoice {invoice['number']} to {customer['name']} ({told['connection']['name']})",
        f"  {invoice['status']}; {invoice['due']} of {invoice['total']} {invoice['currency']} is due",
        f"  issued {invoice['issued_on']}, due {invoice['due_on'] or 'on no day'}",
        f"  mail goes to: {customer['emails'] or 'no address'}",
    ]
    lines += [f"  a person set: {name.replace('_', ' ')} {value}" for name, value in customer.get("set", {}).items()]
    lines += [f"  a person said: {name.replace('_', ' ')} {value}" for name, value in told["said"].items()]
    lines += [f"  {item['amount']} applied on {item['on']} ({item['kind']})" for item in told["applied"]]
    lines += [
        f"  {item['left']} of the customer's money is not applied yet ({item['kind']})" for item in told["unapplied"]
    ]
    lines += ["What happened:", *(f"  {each['on']} {each['text']}" for each in told["story"])]
    answer = told["now"] or told["answer"]
    lines += [
        "What is decided now:",
        f"  {answer['why']} [{answer['code']}]" if answer else "  nothing: it is not chased",
    ]
    lines += ["What comes next, if nothing changes:"]
    lines += [f"  {each['on']} {each['kind'].replace('_', ' ')}: {each['why']}" for each in told["next"]] or [
        "  nothing"
    ]
    lines += [
        f"  outbox {item['id']}: {item['kind']} {item['state']}. {item['why']}"
        + (f" ({item['answer']})" if item["answer"] else "")
        for item in told["outbox"]
        if item["state"] != "done"
    ]
    return lines + _replayed(told["decisions"])


def _replayed(decisions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say whether the recorded decisions come out the same when they are made again from the facts of their day."""
    if not decisions:
        return []
    from policies.wording import moment

    odd = [each for each in decisions if not each["same_again"]]
    if not odd:
        many = "the decision comes" if len(decisions) == 1 else f"all {len(decisions)} decisions come"
        return [f"Made again from the facts of the day, {many} out the same."]
    return [f"Decided on {moment(each['at'])}: {each['why']} Made again, {each['note']}" for each in odd]


def _csv_rows(entries: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[object]]:
    names = ("id", "at", "connection", "kind", "run_id", "customer_id", "invoice_id", "text", "facts")
    yield names
    for entry in entries:
        told = {"at": entry["at"].isoformat(), "facts": json.dumps(entry["facts"], sort_keys=True, ensure_ascii=False)}
        yield [{**entry, **told}[name] for name in names]
