"""Commands for the policy: show, check, try, set and measure it; and what is odd in the books."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connector.commands.given import OneOrAllArgument, WithinOption, named, read_document
from connector.commands.terminal import (
    CommandError,
    JsonOption,
    ShowGroup,
    group,
    opened,
    put,
    put_json,
    put_list,
    put_table,
    say,
    unless_unconnected,
    who,
    within,
)
from connector.ids import ID_MAX

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A TOML document; - reads stdin.")]
MaybeFile = Annotated[Path | None, typer.Argument(metavar="FILE", help="A TOML document; default: what is in force.")]
_NOT_FOLLOWED = "is not a policy duewell would follow"
policy = group(ShowGroup, "The reminder policy, a TOML document.")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(policy, name="policy")
    app.command("exceptions")(exceptions)


@policy.command("show")
def show_policy(
    connection: WithinOption = None,
    version: Annotated[int | None, typer.Option(min=1, max=ID_MAX, help="An earlier version, as it was set.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the policy in force, complete, as a document that can be edited and set."""
    from sqlalchemy.exc import NoResultFound

    from connector import policies_store
    from connector.database import reading

    with opened() as installation:
        inside = within(installation, connection)
        with reading(installation.engine) as session:
            if version is not None:
                try:
                    document = policies_store.document_of(session, version)
                except NoResultFound as missing:
                    raise CommandError(
                        f"There is no policy version {version}; those there are: duewell policy versions"
                    ) from missing
            else:
                in_force, version = policies_store.current(session, inside)
                document = in_force.to_toml()
    if as_json:
        put_json({"version": version, "document": document})
    else:
        put(document)


@policy.command("versions")
def list_versions(connection: WithinOption = None, as_json: JsonOption = False) -> None:
    """List every version ever set, newest first."""
    from connector import policies_store
    from connector.database import reading

    with opened() as installation:
        inside = within(installation, connection)
        with reading(installation.engine) as session:
            rows = policies_store.versions(session, inside)
    columns = {"id": "VERSION", "connection": "BOOKS", "set_at": "SET AT", "set_by": "BY", "in_force": "IN FORCE"}
    put_list(rows, columns, "No policy was ever set: the one that comes with duewell holds.", as_json=as_json)


@policy.command("check")
def check_policy(file: FileArgument, as_json: JsonOption = False) -> None:
    """Check a document, and say where it breaks a rule."""
    from policies.policy import PolicyError, ReminderPolicy

    document = read_document(file)
    with named(file, PolicyError, _NOT_FOLLOWED):
        try:
            notes = ReminderPolicy.from_toml(document).late_fees.notes()
        except PolicyError as problem:
            if as_json:
                put_json({"ok": False, "why": str(problem)})
            raise
    if as_json:
        put_json({"ok": True, "why": "", "notes": notes})
    else:
        for note in notes:
            put(note)
        put(f"{file} is a policy duewell would follow. Put it in force with: duewell policy set {file}")


@policy.command("diff")
def diff_policy(file: FileArgument, connection: WithinOption = None, as_json: JsonOption = False) -> None:
    """Show what a document would alter in the next 30 days."""
    from connector.commands.progress import counting
    from connector.people import trials
    from policies.policy import PolicyError, ReminderPolicy

    with named(file, PolicyError, _NOT_FOLLOWED):
        proposed = ReminderPolicy.from_toml(read_document(file))
    with opened() as installation, counting("deciding") as watch:
        changes = trials.difference(installation, within(installation, connection), proposed, watch=watch)
    if as_json:
        put_json(changes)
        return
    put(trials.summary(changes))
    columns = {"change": "", "on": "ON", "connection": "BOOKS", "kind": "WHAT", "step": "STEP", "customer": "CUSTOMER"}
    if changes:
        put_table(changes, {**columns, "amount": "SUM", "currency": "", "why": "WHY"})


@policy.command("backtest")
def backtest_policy(
    file: MaybeFile = None,
    connection: WithinOption = None,
    days: Annotated[int, typer.Option(min=1, max=1096, help="How many days back.")] = 90,
    as_json: JsonOption = False,
) -> None:
    """Replay a policy over the books' own past: how many mails, to whom, when, how many about what was paid anyway."""
    from connector.access.connections import NONE_YET
    from connector.commands.progress import counting
    from connector.people import trials
    from policies.policy import PolicyError, ReminderPolicy

    with named(file, PolicyError, _NOT_FOLLOWED):
        proposed = ReminderPolicy.from_toml(read_document(file)) if file else None
    with opened() as installation, counting("replaying") as watch:
        tests = trials.backtest(installation, within(installation, connection), days, policy=proposed, watch=watch)
    items = [trials.mail_item(test, mail) for test in tests for mail in test.report.mails]
    if as_json:
        put_json(items)
        return
    for test in tests:
        put(f"{test.connection}: in the last {days} days: {test.report.words()}")
        for step, count in sorted(test.report.steps().items()):
            put(f"  {step.value.replace('_', ' ')}: {count}")
    columns = {"on": "ON", "connection": "BOOKS", "customer": "CUSTOMER", "step": "STEP", "invoices": "INVOICES"}
    if items:
        shown = [{**item, "paid_anyway": "yes" if item["paid_anyway"] else ""} for item in items]
        put_table(shown, {**columns, "paid_anyway": "PAID ANYWAY"})
    if not tests:
        say(NONE_YET)
        return
    say("Payments are those that really came; nobody knows what a mail would have changed.")


@policy.command("hold-out")
def report_hold_out(connection: OneOrAllArgument = None, as_json: JsonOption = False) -> None:
    """Tell what the newest policy did, beside the customers who keep the one of before."""
    from connector.people import trials

    with opened() as installation:
        reports = trials.hold_out(installation, within(installation, connection))
    if as_json:
        put_json(reports)
    for report in [] if as_json else reports:
        put(f"{report['id']}: since {report['since_on']}: {report['why']}")
    if not reports:
        say("No policy in force has a hold-out. Set one with: [hold_out] percent = 5")


@policy.command("set")
def set_policy(file: FileArgument, connection: WithinOption = None, as_json: JsonOption = False) -> None:
    """Put a document in force from the next run on."""
    from connector import policies_store
    from connector.database import writing
    from policies.policy import PolicyError

    document = read_document(file)
    with opened() as installation:
        inside = within(installation, connection)
        with named(file, PolicyError, _NOT_FOLLOWED), writing(installation.engine) as session:
            at = installation.now()
            version = policies_store.put_in_force(session, document, by=who(), at=at, connection_id=inside)
    if as_json:
        put_json({"version": version})
    elif document:
        put(f"Policy version {version} is in force from the next run on.")
    else:
        whose = "the policy that comes with duewell" if inside is None else "the general policy"
        put(f"The document is empty (version {version}): {whose} holds again from the next run on.")


def exceptions(connection: OneOrAllArgument = None, as_json: JsonOption = False) -> None:
    """List what is odd in the books and worth a person's eye.

    Probable duplicates, unusual amounts, money that matches an open invoice but is not applied, missing addresses.
    """
    from connector.people.exceptions import every

    with opened() as installation:
        rows = every(installation, within(installation, connection))
        nothing = unless_unconnected(installation, "Nothing in the books looks odd.")
    columns = {"connection": "BOOKS", "customer": "CUSTOMER", "invoice": "INVOICE", "code": "WHAT", "why": "WHY"}
    put_list(rows, columns, nothing, as_json=as_json)
