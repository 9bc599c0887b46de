"""The reports command: the figures behind the charts, as a table, JSON or CSV."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import ConnectionOption, OptionalConnectionArgument, chosen_connection, parse_choice
from connector.cli.terminal import (
    JsonOption,
    WideOption,
    echo,
    echo_err,
    echo_json,
    echo_note,
    echo_table,
    find_connections,
    open_command_app,
)

if TYPE_CHECKING:
    from sqlmodel import Session

    from connector.reports.report import Report, ReportRow
    from connector.reports.scope import Scope

NameArgument = Annotated[str | None, typer.Argument(metavar="NAME", help="The report. Default: list all reports.")]


def register(parent: typer.Typer) -> None:
    """Add this command."""
    parent.command("reports")(reports)


def reports(
    name: NameArgument = None,
    connection: OptionalConnectionArgument = None,
    row: Annotated[str, typer.Option(metavar="ID", help="List the invoices behind a figure of this row.")] = "",
    column: Annotated[str, typer.Option(metavar="KEY", help="The column of that figure, as in --json.")] = "",
    company: ConnectionOption = None,
    wide: WideOption = False,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV that is safe to open in a spreadsheet.")] = False,
) -> None:
    """Print a report, or list the reports.

    Cash collected and forecast, aged receivables, days sales outstanding, promises to pay, reminder results, days to
    pay and late fees. With --row and --column: the invoices behind one figure.
    """
    from connector.db.engine import reading
    from connector.reports.catalogue import REPORTS, TITLES
    from connector.reports.csv_export import csv_lines
    from connector.reports.report import format_figure
    from connector.reports.scope import Scope

    if as_json and as_csv:
        raise typer.BadParameter("Choose either --json or --csv.")
    if name is None:
        _list_reports(TITLES, as_json=as_json)
        return
    parse_choice(name, REPORTS, "report")
    with open_command_app() as app, reading(app.engine) as session:
        named = chosen_connection(connection, company)
        companies = find_connections(session, [named] if named else [])
        scope = Scope(companies, app.now())
        report = _build_behind(session, scope, name, row, column) if row else REPORTS[name](session, scope)
    if as_json:
        echo_json(report.items())
    elif as_csv:
        sys.stdout.writelines(csv_lines(report.table_rows()))
    elif report.rows:
        headings = [each.heading.upper() for each in report.columns]
        cells = ([format_figure(report, each, shown) for shown in report.columns] for each in report.rows)
        echo_table(headings, cells, wide=wide)
        for line in (report.formula, *report.notes):
            echo_note(line)
    else:
        echo_err(report.empty)


def _build_behind(session: Session, scope: Scope, name: str, row: str, column: str) -> Report[ReportRow]:
    """Return the invoices behind a figure."""
    from connector.reports.catalogue import BEHIND

    build = BEHIND.get(name)
    report = build(session, scope, row, column) if build is not None else None
    if report is None:
        found = f"choose one of the reports {', '.join(BEHIND)}" if build is None else "take both from --json"
        message = f"There are no invoices to list for {row!r} and column {column!r} of this report: {found}."
        raise typer.BadParameter(message)
    return report


def _list_reports(titles: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        echo_json([{"id": name, "title": title} for name, title in titles.items()])
        return
    for name, title in titles.items():
        echo(f"{name:18} {title}")
