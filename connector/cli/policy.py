"""Commands for the policy: show, check, try, set and measure it; and what is odd in the books."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import ConnectionOption, OptionalConnectionArgument, document_errors, read_document
from connector.cli.terminal import (
    Columns,
    CommandError,
    JsonOption,
    ShowGroup,
    build_group,
    echo,
    echo_err,
    echo_json,
    echo_list,
    echo_results,
    empty_list_message,
    find_connection_id,
    open_command_app,
    os_user,
)
from connector.db.ids import ID_MAX

if TYPE_CHECKING:
    from connector.services.policy_evaluation import BacktestEmail, PolicyChange

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A TOML document; - reads stdin.")]
OptionalFileArgument = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="A TOML document; default: what is in force.")
]
_INVALID_POLICY = "is not a policy duewell would follow"
policy = build_group(ShowGroup, "The reminder policy, a TOML document.")


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(policy, name="policy")
    parent.command("exceptions")(exceptions)


@policy.command("show")
def show_policy(
    connection: ConnectionOption = None,
    version: Annotated[int | None, typer.Option(min=1, max=ID_MAX, help="An earlier version, as it was set.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the policy in force, complete, as a document that can be edited and set."""
    from sqlalchemy.exc import NoResultFound

    from connector import policy_store
    from connector.db.engine import reading

    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            if version is not None:
                try:
                    document = policy_store.get_document(session, version)
                except NoResultFound as missing:
                    raise CommandError(
                        f"There is no policy version {version}; those there are: duewell policy versions"
                    ) from missing
            else:
                in_force, version = policy_store.get_policy(session, inside)
                document = in_force.to_toml()
    if as_json:
        echo_json({"version": version, "document": document})
    else:
        echo(document)


@policy.command("versions")
def list_versions(connection: ConnectionOption = None, as_json: JsonOption = False) -> None:
    """List every version ever set, newest first."""
    from connector import policy_store
    from connector.db.engine import reading

    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            rows = [item.model_dump() for item in policy_store.list_versions(session, inside)]
    columns = {"id": "VERSION", "connection": "BOOKS", "set_at": "SET AT", "set_by": "BY", "active": "IN FORCE"}
    echo_list(rows, columns, "No policy was ever set: the one that comes with duewell holds.", as_json=as_json)


@policy.command("check")
def check_policy(file: FileArgument, as_json: JsonOption = False) -> None:
    """Check a document, and say where it breaks a rule."""
    from policies.policy import PolicyError, ReminderPolicy

    document = read_document(file)
    with document_errors(file, PolicyError, _INVALID_POLICY):
        try:
            notes = ReminderPolicy.from_toml(document).late_fees.warnings()
        except PolicyError as problem:
            if as_json:
                echo_json({"ok": False, "reason": str(problem)})
            raise
    if as_json:
        echo_json({"ok": True, "reason": "", "notes": notes})
    else:
        for note in notes:
            echo(note)
        echo(f"{file} is a policy duewell would follow. Put it in force with: duewell policy set {file}")


@policy.command("diff")
def diff_policy(file: FileArgument, connection: ConnectionOption = None, as_json: JsonOption = False) -> None:
    """Show what a document would alter in the next 30 days."""
    from connector.cli.progress import customer_counter
    from connector.services import policy_evaluation
    from connector.vocabulary.labels import label
    from policies.policy import PolicyError, ReminderPolicy

    with document_errors(file, PolicyError, _INVALID_POLICY):
        proposed = ReminderPolicy.from_toml(read_document(file))
    with open_command_app() as app, customer_counter("deciding") as on_progress:
        connection_id = find_connection_id(app, connection)
        changes = policy_evaluation.diff_policy(app, connection_id, proposed, on_progress=on_progress)
    if as_json:
        echo_json(changes)
        return
    columns: Columns[PolicyChange] = {
        "CHANGE": lambda item: label(item.change),
        "DATE": lambda item: item.on,
        "COMPANY": lambda item: item.connection,
        "ACTION": lambda item: label(item.kind),
        "STEP": lambda item: label(item.step, "task_code"),
        "CUSTOMER": lambda item: item.customer,
        "AMOUNT": lambda item: f"{item.amount} {item.currency}" if item.amount else "",
        "REASON": lambda item: item.reason,
    }
    echo(policy_evaluation.summarise(changes))
    if changes:
        echo_results(changes, columns, "", as_json=False)


@policy.command("backtest")
def backtest_policy(
    file: OptionalFileArgument = None,
    connection: ConnectionOption = None,
    days: Annotated[int, typer.Option(min=1, max=1096, help="How many days back.")] = 90,
    as_json: JsonOption = False,
) -> None:
    """Replay a policy over the books' own past: how many mails, to whom, when, how many about what was paid anyway."""
    from connector.cli.progress import customer_counter
    from connector.connections.registry import NO_CONNECTIONS
    from connector.services import policy_evaluation
    from connector.vocabulary.labels import label
    from policies.policy import PolicyError, ReminderPolicy

    with document_errors(file, PolicyError, _INVALID_POLICY):
        proposed = ReminderPolicy.from_toml(read_document(file)) if file else None
    with open_command_app() as app, customer_counter("replaying") as watch:
        tests = policy_evaluation.backtest(
            app, find_connection_id(app, connection), days, policy=proposed, on_progress=watch
        )
    items = [item for test in tests for item in policy_evaluation.list_backtest_emails(test)]
    if as_json:
        echo_json(items)
        return
    for test in tests:
        echo(f"{test.connection}: in the last {days} days: {test.report.summary()}")
        for step, count in sorted(test.report.steps().items()):
            echo(f"  {label(step)}: {count}")
    columns: Columns[BacktestEmail] = {
        "DATE": lambda item: item.on,
        "COMPANY": lambda item: item.connection,
        "CUSTOMER": lambda item: item.customer,
        "STEP": lambda item: label(item.step),
        "INVOICES": lambda item: item.invoices,
        "PAID ANYWAY": lambda item: "yes" if item.paid_anyway else "",
    }
    if items:
        echo_results(items, columns, "", as_json=False)
    if not tests:
        echo_err(NO_CONNECTIONS)
        return
    echo_err("Payments are those that really came; nobody knows what a mail would have changed.")


@policy.command("control-group")
def report_hold_out(connection: OptionalConnectionArgument = None, as_json: JsonOption = False) -> None:
    """Tell what the newest policy did, beside the customers who keep the one of before."""
    from connector.services import policy_evaluation
    from policies.formatting import format_date

    with open_command_app() as app:
        reports = policy_evaluation.list_control_group_reports(app, find_connection_id(app, connection))
    if as_json:
        echo_json(reports)
    for report in [] if as_json else reports:
        echo(f"{report.id}, since {format_date(report.since_on)}: {report.reason}")
    if not reports:
        echo_err("No policy in force has a control-group. Set one with: [control_group] percent = 5")


@policy.command("set")
def set_policy(file: FileArgument, connection: ConnectionOption = None, as_json: JsonOption = False) -> None:
    """Put a document in force from the next run on."""
    from connector import policy_store
    from connector.db.engine import writing
    from policies.policy import PolicyError

    document = read_document(file)
    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with document_errors(file, PolicyError, _INVALID_POLICY), writing(app.engine) as session:
            at = app.now()
            version = policy_store.activate_policy(session, document, by=os_user(), at=at, connection_id=inside)
    if as_json:
        echo_json({"version": version})
    elif document:
        echo(f"Policy version {version} is in force from the next run on.")
    else:
        whose = "the policy that comes with duewell" if inside is None else "the general policy"
        echo(f"The document is empty (version {version}): {whose} holds again from the next run on.")


def exceptions(connection: OptionalConnectionArgument = None, as_json: JsonOption = False) -> None:
    """List what is odd in the books and worth a person's eye.

    Probable duplicates, unusual amounts, money that matches an open invoice but is not applied, missing addresses.
    """
    from dataclasses import asdict

    from connector.evaluation.exceptions import list_exceptions

    with open_command_app() as app:
        rows = [asdict(each) for each in list_exceptions(app, find_connection_id(app, connection))]
        nothing = empty_list_message(app, "Nothing in the books looks odd.")
    columns = {"connection": "BOOKS", "customer": "CUSTOMER", "invoice": "INVOICE", "code": "WHAT", "reason": "WHY"}
    echo_list(rows, columns, nothing, as_json=as_json)
