"""Commands that look after the installation: doctor, db, backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connector.cli.terminal import (
    CommandError,
    Group,
    JsonOption,
    build_group,
    echo,
    echo_err,
    echo_json,
    open_command_app,
)

db = build_group(Group, "The database.")


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(db, name="db")
    for command in (doctor, backup, restore):
        parent.command(command.__name__)(command)


def doctor(as_json: JsonOption = False) -> None:
    """Check everything; say what to mend.

    Settings, files, database, log, keys, clock, sender, scopes and connections. Exits 1 when something is broken.
    """
    from connector.services.doctor import run_checks
    from connector.services.doctor_checks import ERROR

    with open_command_app() as app:
        findings = run_checks(app)
    if as_json:
        echo_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            echo(f"{finding.status:<8} {finding.message}")
            if finding.fix:
                echo(f"         -> {finding.fix}")
    if any(finding.status == ERROR for finding in findings):
        raise typer.Exit(1)


@db.command()
def upgrade(as_json: JsonOption = False) -> None:
    """Bring the database to the state this duewell needs."""
    from connector.db.engine import open_engine, schema_revision
    from connector.db.engine import upgrade as do_upgrade
    from connector.settings import load_settings

    engine = open_engine(load_settings().duewell_database_url)
    try:
        before = schema_revision(engine)
        do_upgrade(engine)
        after = schema_revision(engine)
    finally:
        engine.dispose()
    if as_json:
        echo_json({"before": before, "after": after})
    else:
        echo(
            f"The database is at {after}" + (", as before." if before == after else f" (before: {before or 'empty'}).")
        )


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")], as_json: JsonOption = False
) -> None:
    """Copy the database, consistently.

    Everything may run on meanwhile.
    """
    from connector.restore.backup import write_backup
    from policies.formatting import format_datetime

    if file.is_dir() or not file.absolute().parent.is_dir():
        what = f"{file} is a folder" if file.is_dir() else f"There is no folder {file.absolute().parent}"
        raise CommandError(f"{what}; name a file in a folder that there is. Nothing was written.")
    with open_command_app() as app:
        made = write_backup(app.engine, file, at=app.now())
        key_file = app.settings.duewell_home / "secret.key"
    if as_json:
        echo_json({"id": made.id, "file": str(file), "created_at": made.created_at})
    else:
        echo(f"{file} holds everything of {format_datetime(made.created_at)}.")
    echo_err(
        f"Its tokens can be opened only with the key of this installation ({key_file}): keep that too, and elsewhere."
    )


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy to put back.")], as_json: JsonOption = False
) -> None:
    """Put a copy of the database back.

    Nothing else of duewell may be running; what was there before is kept beside it.
    """
    from connector.app_context import utc_now
    from connector.restore.backup import restore_backup
    from connector.settings import load_settings
    from policies.formatting import format_datetime

    if not file.is_file():
        what = f"{file} is no file" if file.exists() else f"There is no file {file}"
        raise CommandError(f"{what}; name one that `duewell backup` wrote. Nothing was changed.")
    settings = load_settings()
    done = restore_backup(settings.duewell_database_url, file, at=utc_now())
    of = f" of {format_datetime(done.backup.created_at)}" if done.backup else ""
    if as_json:
        kept = str(done.replaced_file) if done.replaced_file else None
        known = done.backup.id if done.backup else None
        echo_json({"id": known, "file": str(file), "previous_database": kept, "access_revoked": done.access_revoked})
    else:
        echo(
            f"{file}{of} is in place."
            + (f" What was there before is kept as {done.replaced_file}." if done.replaced_file else "")
        )
    _erase_again(done.replaced_file)
    echo_err("Companies that were live are in mode approve now: what left since the copy was made is not known to it.")
    echo_err("If a company has to be connected again, it says so at: duewell run")
    echo_err("Everybody signs in again.")
    if done.access_revoked:
        echo_err(
            "Who was disabled and what was revoked since is so here, too. Users and tokens made since are not known."
        )
    else:
        echo_err("Users and API tokens are as they were then: end again what was ended since (duewell users, tokens).")


def _erase_again(previous_database: Path | None) -> None:
    """Erase anew the customers that were erased after the backup was made."""
    from connector.privacy.reapply_erasures import read_erased_customers, reapply_erasures

    known = read_erased_customers(previous_database)
    if not known:
        return
    with open_command_app() as app:
        carried = reapply_erasures(app, known)
    if carried.erased:
        echo_err(f"Erased since that backup was made, and now again: {', '.join(carried.erased)}.")
    for customer in carried.pending:
        echo_err(f"To be erased again, after the next run: duewell customers erase {customer}")
