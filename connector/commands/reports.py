"""The command for reports: the figures that the pages plot, as a table, JSON or CSV."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from connector.commands.given import OneOrAllArgument, one_of
from connector.commands.terminal import JsonOption, find_ids, opened, put, put_json, put_table, say

NameArgument = Annotated[str | None, typer.Argument(metavar="NAME", help="Which report; without it they are listed.")]


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command("reports")(reports)


def reports(
    name: NameArgument = None,
    connection: OneOrAllArgument = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV that a spreadsheet never computes.")] = False,
) -> None:
    """Print a report.

    What is owed, by age and customer; days of sales outstanding; days to pay; cash expected; what reminders do; fees.
    """
    from connector.commands.spreadsheet import csv_lines
    from connector.database import reading
    from connector.reports.catalogue import REPORTS, TITLES
    from connector.reports.scope import Scope

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other.")
    if name is None:
        _list(TITLES, as_json=as_json)
        return
    one_of(name, REPORTS, "report")
    with opened() as installation, reading(installation.engine) as session:
        companies = find_ids(session, [connection] if connection else [])
        report = REPORTS[name](session, Scope(companies, installation.now()))
    if as_json:
        put_json(report.rows)
    elif as_csv:
        sys.stdout.writelines(csv_lines(report.table()))
    elif report.rows:
        put_table(report.rows, {column.key: column.heading.upper() for column in report.columns})
        for line in (report.formula, *report.notes):
            say(line)
    else:
        say("There is nothing to report yet.")


def _list(titles: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        put_json([{"id": name, "title": title} for name, title in titles.items()])
        return
    for name, title in titles.items():
        put(f"{name:12} {title}")
