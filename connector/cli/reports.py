"""The reports command: the figures behind the charts, as a table, JSON or CSV."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import OptionalConnectionArgument, parse_choice
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
    from connector.reports.report import Column, ReportRow

NameArgument = Annotated[str | None, typer.Argument(metavar="NAME", help="The report. Default: list all reports.")]


def register(parent: typer.Typer) -> None:
    """Add this command."""
    parent.command("reports")(reports)


def reports(
    name: NameArgument = None,
    connection: OptionalConnectionArgument = None,
    wide: WideOption = False,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV that is safe to open in a spreadsheet.")] = False,
) -> None:
    """Print a report, or list the reports.

    Aged receivables, days sales outstanding, days to pay, cash forecast, reminder results and late fees.
    """
    from connector.db.engine import reading
    from connector.reports.catalogue import REPORTS, TITLES
    from connector.reports.csv_export import csv_lines
    from connector.reports.scope import Scope

    if as_json and as_csv:
        raise typer.BadParameter("Choose either --json or --csv.")
    if name is None:
        _list_reports(TITLES, as_json=as_json)
        return
    parse_choice(name, REPORTS, "report")
    with open_command_app() as app, reading(app.engine) as session:
        companies = find_connections(session, [connection] if connection else [])
        report = REPORTS[name](session, Scope(companies, app.now()))
    if as_json:
        echo_json(report.items())
    elif as_csv:
        sys.stdout.writelines(csv_lines(report.table_rows()))
    elif report.rows:
        headings = [column.heading.upper() for column in report.columns]
        echo_table(headings, ([_format_cell(row, each) for each in report.columns] for row in report.rows), wide=wide)
        for line in (report.formula, *report.notes):
            echo_note(line)
    else:
        echo_err("There is no data for this report yet.")


def _format_cell(row: ReportRow, column: Column) -> str:
    """Return a figure as text, without its currency, which is a column of its own."""
    from connector.reports.report import format_cell, report_value

    text = format_cell(row, column)
    return text.removeprefix(f"{report_value(row, 'currency')} ") if column.kind == "money" else text


def _list_reports(titles: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        echo_json([{"id": name, "title": title} for name, title in titles.items()])
        return
    for name, title in titles.items():
        echo(f"{name:12} {title}")
