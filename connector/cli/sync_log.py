"""Commands for the sync log."""

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
    CommandError,
    JsonOption,
    LogGroup,
    WideOption,
    build_group,
    echo,
    echo_err,
    echo_json,
    echo_note,
    echo_table,
    find_connection_id,
    open_command_app,
)
from connector.cli.wrong_values import WrongValueError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from connector.audit.log_search import LogEntryItem

log = build_group(LogGroup, "The sync log: what every sync did. `duewell log CONNECTION` shows one company's.")
_LIMIT_MAX = 1_000_000


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(log, name="log")


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
