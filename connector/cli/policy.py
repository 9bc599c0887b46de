"""Commands for the reminder policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import (
    ConnectionOption,
    OptionalConnectionArgument,
    chosen_connection,
    document_errors,
    read_document,
)
from connector.cli.terminal import (
    Columns,
    CommandError,
    JsonOption,
    ShowGroup,
    WideOption,
    build_group,
    echo,
    echo_err,
    echo_indented,
    echo_json,
    echo_results,
    find_connection_id,
    money,
    open_command_app,
    os_user,
)
from connector.db.ids import ID_MAX

if TYPE_CHECKING:
    from connector.app_context import AppContext
    from connector.policy_store import PolicyVersionItem
    from connector.services.policy_evaluation import BacktestEmail, PolicyChange
    from policies.policy import ReminderPolicy

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file, or - for stdin.")]
OptionalFileArgument = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="A TOML file. Default: the current policy.")
]
_INVALID_POLICY = "is not a valid policy"
policy = build_group(ShowGroup, "Show, check and change the reminder policy, a TOML document.")


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    from connector.cli import rates

    rates.register(policy)
    parent.add_typer(policy, name="policy")


@policy.command("show")
def show_policy(
    connection: ConnectionOption = None,
    version: Annotated[int | None, typer.Option(min=1, max=ID_MAX, help="Show this earlier version.")] = None,
    in_words: Annotated[
        bool, typer.Option("--words", help="Describe the reminder schedule in sentences instead, for each segment.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the current policy.

    Prints a complete document that you can edit and set.
    """
    from sqlalchemy.exc import NoResultFound

    from connector import policy_store
    from connector.db.engine import reading
    from connector.services.schedule_story import describe_schedule

    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            if version is not None:
                try:
                    document = policy_store.get_document(session, version)
                    in_force = policy_store.get_version_policy(session, version)
                except NoResultFound as missing:
                    raise CommandError(
                        f"There is no policy version {version}. See: duewell policy versions"
                    ) from missing
            else:
                in_force, version = policy_store.get_policy(session, inside)
                document = in_force.to_toml()
    if as_json:
        schedule = {"schedule": describe_schedule(in_force)} if in_words else {}
        echo_json({"version": version, "document": document, **schedule})
    elif in_words:
        _echo_in_words(in_force)
    else:
        echo(document)


def _echo_in_words(in_force: ReminderPolicy) -> None:
    from connector.services.schedule_story import contact_limits, describe_schedule
    from connector.vocabulary.labels import label

    for segment in describe_schedule(in_force):
        echo_indented("", f"{label(segment.id)} customers. {segment.definition}")
        for story in segment.stories:
            echo_indented("  ", f"{story.title}: {story.text}")
    echo_indented("", contact_limits(in_force))


@policy.command("versions")
def list_versions(connection: ConnectionOption = None, wide: WideOption = False, as_json: JsonOption = False) -> None:
    """List all policy versions, newest first."""
    from connector import policy_store
    from connector.db.engine import reading

    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            rows = policy_store.list_versions(session, inside)
    columns: Columns[PolicyVersionItem] = {
        "VERSION": lambda item: item.id,
        "COMPANY": lambda item: item.connection,
        "SET AT": lambda item: item.set_at,
        "SET BY": lambda item: item.set_by,
        "CURRENT": lambda item: "yes" if item.active else "",
    }
    echo_results(rows, columns, "No policy has been set yet: the default policy applies.", as_json=as_json, wide=wide)


@policy.command("check")
def check_policy(file: FileArgument, as_json: JsonOption = False) -> None:
    """Check a policy document.

    Reports errors with their line numbers.
    """
    from connector import policy_store
    from connector.db.engine import reading
    from policies.fee_checks import fee_warnings
    from policies.policy import PolicyError, ReminderPolicy

    document = read_document(file)
    with open_command_app() as app, reading(app.engine) as session:
        rates = policy_store.get_rates(session, None)
    with document_errors(file, PolicyError, _INVALID_POLICY):
        try:
            notes = fee_warnings(ReminderPolicy.from_toml(document, rates))
        except PolicyError as problem:
            if as_json:
                echo_json({"ok": False, "reason": str(problem)})
            raise
    if as_json:
        echo_json({"ok": True, "reason": "", "notes": notes})
    else:
        for note in notes:
            echo(note)
        echo(f"{file} is a valid policy. Activate it with: duewell policy set {file}")


@policy.command("diff")
def diff_policy(
    file: FileArgument, connection: ConnectionOption = None, wide: WideOption = False, as_json: JsonOption = False
) -> None:
    """Show what a policy would change in the next 30 days."""
    from connector.cli.progress import customer_counter
    from connector.services import policy_evaluation
    from connector.vocabulary.labels import label

    document = read_document(file)
    with open_command_app() as app, customer_counter("evaluating") as on_progress:
        connection_id = find_connection_id(app, connection)
        proposed = _parse_proposed(app, file, document, connection_id)
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
        "AMOUNT": lambda item: money(item.amount, item.currency) if item.amount else "",
        "REASON": lambda item: item.reason,
    }
    echo_indented("", policy_evaluation.summarise(changes))
    if changes:
        echo_results(changes, columns, "", as_json=False, wide=wide)


@policy.command("backtest")
def backtest_policy(
    file: OptionalFileArgument = None,
    connection: ConnectionOption = None,
    days: Annotated[int, typer.Option(min=1, max=1096, help="The number of days to replay.")] = 90,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Replay a policy over past invoices.

    Shows how many emails it would have sent, to whom and when, and how many were about invoices that were paid anyway.
    """
    from connector.cli.progress import customer_counter
    from connector.connections.registry import NO_CONNECTIONS
    from connector.services import policy_evaluation
    from connector.vocabulary.labels import label

    document = read_document(file) if file else ""
    with open_command_app() as app, customer_counter("replaying") as watch:
        connection_id = find_connection_id(app, connection)
        proposed = _parse_proposed(app, file, document, connection_id) if file else None
        tests = policy_evaluation.backtest(app, connection_id, days, policy=proposed, on_progress=watch)
    items = [item for test in tests for item in policy_evaluation.list_backtest_emails(test)]
    if as_json:
        echo_json(items)
        return
    for test in tests:
        echo_indented("", f"{test.connection}, last {days} days: {test.report.summary()}")
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
        echo_results(items, columns, "", as_json=False, wide=wide)
    if not tests:
        echo_err(NO_CONNECTIONS)
        return
    echo_err("Payments are the actual ones: a backtest cannot show how an email would have changed them.")


def _parse_proposed(app: AppContext, file: Path, document: str, connection_id: int | None) -> ReminderPolicy:
    from connector import policy_store
    from connector.db.engine import reading
    from policies.policy import PolicyError

    with document_errors(file, PolicyError, _INVALID_POLICY), reading(app.engine) as session:
        return policy_store.parse_policy(session, document, connection_id)


@policy.command("control-group")
def report_hold_out(
    connection: OptionalConnectionArgument = None, company: ConnectionOption = None, as_json: JsonOption = False
) -> None:
    """Compare the policy with its control group.

    The control group is made up of customers who keep the previous policy.
    """
    from connector.services import policy_evaluation
    from policies.formatting import format_date

    named = chosen_connection(connection, company)
    with open_command_app() as app:
        reports = policy_evaluation.list_control_group_reports(app, find_connection_id(app, named))
    if as_json:
        echo_json(reports)
    for report in [] if as_json else reports:
        echo(f"{report.id}, since {format_date(report.since_on)}: {report.reason}")
    if not reports:
        echo_err("No current policy has a control group. Add one to the policy with: [control_group] percent = 5")


@policy.command("set")
def set_policy(
    file: FileArgument,
    connection: ConnectionOption = None,
    seen: Annotated[
        str, typer.Option("--seen", metavar="VERSION", help="Only if this is still the current version.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Activate a policy document from the next sync."""
    from connector import policy_store
    from connector.db.engine import writing
    from policies.policy import PolicyError

    document = read_document(file)
    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with document_errors(file, PolicyError, _INVALID_POLICY), writing(app.engine) as session:
            at = app.now()
            version = policy_store.activate_policy(
                session, document, by=os_user(), at=at, connection_id=inside, seen=seen
            )
    if as_json:
        echo_json({"version": version})
    elif document:
        echo(f"Policy version {version} applies from the next sync.")
    else:
        fallback = "the default policy" if inside is None else "the general policy"
        echo(f"The document is empty (version {version}): {fallback} applies again from the next sync.")
