"""Commands that look after the installation: policy, doctor, db, backup, restore."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from connector.cli_terminal import (
    CommandError,
    Group,
    JsonOption,
    ShowGroup,
    group,
    opened,
    put,
    put_json,
    put_table,
    say,
    who,
    within,
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A TOML document; - reads stdin.")]
WithinOption = Annotated[str | None, typer.Option("--connection", help="Only this connection: its id or short name.")]
_DIFF_DAYS = 30
policy = group(ShowGroup, "The reminder policy, a TOML document.")
db = group(Group, "The database.")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(policy, name="policy")
    app.add_typer(db, name="db")
    for command in (doctor, backup, restore):
        app.command(command.__name__)(command)


@policy.command("show")
def show_policy(connection: WithinOption = None, as_json: JsonOption = False) -> None:
    """Print the policy in force, complete, as a document that can be edited and set."""
    from connector import policies_store
    from connector.database import reading

    with opened() as installation:
        inside = within(installation, connection)
        with reading(installation.engine) as session:
            in_force, version = policies_store.current(session, inside)
    document = in_force.to_toml()
    if as_json:
        put_json({"version": version, "document": document})
    else:
        put(document)


@policy.command("check")
def check_policy(file: FileArgument, as_json: JsonOption = False) -> None:
    """Check a document, and say where it breaks a rule."""
    from policies.policy import PolicyError, ReminderPolicy

    try:
        ReminderPolicy.from_toml(_read(file))
    except PolicyError as problem:
        if as_json:
            put_json({"ok": False, "why": str(problem)})
        raise CommandError(f"{file} is not a policy duewell would follow:\n{problem}") from problem
    if as_json:
        put_json({"ok": True, "why": ""})
    else:
        put(f"{file} is a policy duewell would follow. Put it in force with: duewell policy set {file}")


@policy.command("diff")
def diff_policy(file: FileArgument, connection: WithinOption = None, as_json: JsonOption = False) -> None:
    """Show what a document would alter in the next 30 days."""
    from connector.plan import plan
    from policies.policy import ReminderPolicy

    proposed = ReminderPolicy.from_toml(_read(file))
    with opened() as installation:
        inside = within(installation, connection)
        before = {item["id"]: item for item in plan(installation, inside, _DIFF_DAYS)}
        after = {item["id"]: item for item in plan(installation, inside, _DIFF_DAYS, policy=proposed)}
    changes = [{"change": "-", **before[each]} for each in before if each not in after]
    changes += [{"change": "+", **after[each]} for each in after if each not in before]
    changes += [
        {"change": "~", **after[each]} for each in after if each in before and _moved(before[each], after[each])
    ]
    changes.sort(key=lambda item: (item["on"], item["customer"], item["change"]))
    if as_json:
        put_json(changes)
    elif changes:
        columns = {
            "change": "",
            "on": "ON",
            "connection": "BOOKS",
            "kind": "WHAT",
            "step": "STEP",
            "customer": "CUSTOMER",
        }
        put_table(changes, {**columns, "amount": "SUM", "currency": "", "why": "WHY"})
    else:
        put(f"In the next {_DIFF_DAYS} days it would alter nothing.")


@policy.command("set")
def set_policy(file: FileArgument, connection: WithinOption = None, as_json: JsonOption = False) -> None:
    """Put a document in force from the next run on."""
    from connector import policies_store, sync_log
    from connector.database import writing

    document = _read(file)
    with opened() as installation:
        inside = within(installation, connection)
        with writing(installation.engine) as session:
            at = installation.now()
            version = policies_store.set_policy(session, document, by=who(), at=at, connection_id=inside)
            text = f"{who()} put policy version {version} in force."
            sync_log.write(
                session, at=at, kind="policy_set", text=text, connection_id=inside, facts={"version": version}
            )
    if as_json:
        put_json({"version": version})
    else:
        put(f"Policy version {version} is in force from the next run on.")


def doctor(as_json: JsonOption = False) -> None:
    """Check everything; say what to mend.

    Settings, files, database, log, keys, clock, sender, scopes and connections. Exits 1 when something is broken.
    """
    from connector.doctor import BAD, examine

    with opened() as installation:
        findings = examine(installation)
    if as_json:
        put_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            put(f"{finding.verdict:<8} {finding.text}")
            if finding.mend:
                put(f"         -> {finding.mend}")
    if any(finding.verdict == BAD for finding in findings):
        raise typer.Exit(1)


@db.command()
def upgrade(as_json: JsonOption = False) -> None:
    """Bring the database to the state this duewell needs."""
    from connector.database import open_engine, schema_revision
    from connector.database import upgrade as do_upgrade
    from connector.settings import load_settings

    engine = open_engine(load_settings().duewell_database_url)
    try:
        before = schema_revision(engine)
        do_upgrade(engine)
        after = schema_revision(engine)
    finally:
        engine.dispose()
    if as_json:
        put_json({"before": before, "after": after})
    else:
        put(f"The database is at {after}" + (", as before." if before == after else f" (before: {before or 'empty'})."))


def _moved(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return any(before[name] != after[name] for name in ("amount", "invoices"))


def _read(file: Path) -> str:
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise CommandError(f"{file} is not text in UTF-8.") from problem


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")], as_json: JsonOption = False
) -> None:
    """Copy the database, consistently.

    Everything may run on meanwhile.
    """
    from connector.backup import write_backup

    with opened() as installation:
        made = write_backup(installation.engine, file, at=installation.now())
        key_file = installation.settings.duewell_home / "secret.key"
    if as_json:
        put_json({"id": made.id, "file": str(file), "made_at": made.made_at})
    else:
        put(f"{file} holds everything of {made.made_at:%Y-%m-%d %H:%M:%S} UTC.")
    say(f"Its tokens can be opened only with the key of this installation ({key_file}): keep that too, and elsewhere.")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy to put back.")], as_json: JsonOption = False
) -> None:
    """Put a copy of the database back.

    Nothing else of duewell may be running; what was there before is kept beside it.
    """
    from connector.backup import restore_backup
    from connector.installation import utc_now
    from connector.settings import load_settings

    if not file.is_file():
        raise CommandError(f"There is no file {file}.")
    settings = load_settings()
    done = restore_backup(settings.duewell_database_url, file, at=utc_now())
    of = f" of {done.backup.made_at:%Y-%m-%d %H:%M:%S} UTC" if done.backup else ""
    if as_json:
        kept = str(done.kept_aside) if done.kept_aside else None
        put_json({"id": done.backup.id if done.backup else None, "file": str(file), "kept_aside": kept})
    else:
        put(
            f"{file}{of} is in place."
            + (f" What was there before is kept as {done.kept_aside}." if done.kept_aside else "")
        )
    say("If a company has to be connected again, it says so at: duewell run")
