"""The ``duewell`` command, put together from the files of its groups."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from connector.cli import (
    api_tokens,
    bank,
    bank_details,
    brand,
    connections,
    customer_data,
    customers,
    exceptions,
    fees,
    invoices,
    keys,
    maintenance,
    outbox,
    overview,
    policy,
    privacy,
    reports,
    run,
    search,
    setup,
    sync_log,
    tasks,
    templates,
    users,
)
from connector.cli.help_texts import CommandSet
from connector.cli.terminal import RootGroup
from connector.guides import guides_folder

cli = CommandSet(
    cls=RootGroup,
    name="duewell",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"duewell {version('duewell')}")
        except PackageNotFoundError:  # run from a folder that was never installed
            typer.echo("duewell (not installed)")
        raise typer.Exit


@cli.callback(epilog=f"Guides: {guides_folder()}, from README.md and docs/ on.")
def duewell(
    _shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Chase overdue invoices politely, exactly, and never wrongly.

    Connect your accounting system once; from then on duewell reads it every hour, sends reminders and adds a note of
    each to the invoice. Data goes to stdout, everything else to stderr.
    """


for module in (
    run,
    connections,
    bank_details,
    brand,
    overview,
    sync_log,
    search,
    outbox,
    fees,
    customers,
    customer_data,
    invoices,
    tasks,
    bank,
    policy,
    exceptions,
    reports,
    privacy,
    templates,
    setup,
    maintenance,
    keys,
    users,
    api_tokens,
):
    module.register(cli)


def main() -> None:
    """Run the command: the entry point of the distribution."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name the terminal cannot show must not stop the command
    cli(prog_name="duewell")


if __name__ == "__main__":
    main()
