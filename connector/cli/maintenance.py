"""Commands for maintaining the installation: doctor, db, backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.terminal import (
    CommandError,
    Group,
    JsonOption,
    build_group,
    echo,
    echo_err,
    echo_indented,
    echo_json,
    echo_table,
    open_command_app,
)
from connector.cli.wrong_values import WrongValueError

if TYPE_CHECKING:
    from connector.restore.backup import RestoreResult

db = build_group(Group, "Maintain the database.")


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(db, name="db")
    for command in (doctor, backup, restore):
        parent.command(command.__name__)(command)


def doctor(as_json: JsonOption = False) -> None:
    """Check the installation and suggest fixes.

    Checks settings, files, database, log, encryption keys, clock, sender, scopes and connections. Exits with 1 when
    there is an error.
    """
    from connector.services.doctor import run_checks
    from connector.services.doctor_checks import ERROR

    with open_command_app() as app:
        findings = run_checks(app)
    if as_json:
        echo_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            echo_indented(f"{finding.status:<8} ", finding.message)
            if finding.fix:
                echo_indented("         -> ", finding.fix)
    if any(finding.status == ERROR for finding in findings):
        raise typer.Exit(1)


@db.command()
def upgrade(as_json: JsonOption = False) -> None:
    """Upgrade the database schema to this version of duewell."""
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
            f"The database schema is {after}"
            + (", already up to date." if before == after else f", upgraded from {before or 'an empty database'}.")
        )


@db.command()
def copy(
    url: Annotated[str, typer.Argument(metavar="URL", help="The new, empty database: postgresql://… or sqlite:///….")],
    trial: Annotated[
        bool,
        typer.Option("--trial", help="Keep using the database as it is; in the copy, everything waits for approval."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy everything into another database, checked row by row.

    Stop duewell first. Afterwards duewell uses the copy, and in the first database everything awaits approval, so that
    nothing is sent twice if it is started again.
    """
    from connector.app_context import utc_now
    from connector.cli.progress import row_counter
    from connector.restore.database_copy import copy_database_to
    from connector.settings import describe_database_line, load_settings

    settings = load_settings()
    _check_url(url)
    if problem := describe_database_line(url):
        if settings.duewell_strict == "1":
            raise CommandError(f"Nothing was copied: {problem}.")
        echo_err(f"Warning: {problem}.")
    with row_counter() as count:
        done = copy_database_to(
            settings.duewell_database_url,
            url,
            home=settings.duewell_home,
            at=utc_now(),
            is_trial=trial,
            report=lambda progress: count(progress.table, progress.done, progress.total),
        )
    if as_json:
        echo_json(done._asdict() | {"tables": [each._asdict() for each in done.tables]})
    else:
        echo_table(["Table", "Rows", "SHA-256"], [(each.name, f"{each.rows:,}", each.sha256) for each in done.tables])
        echo(f"Copied {done.rows:,} rows into {done.target}; each was read back and compared. SHA-256: {done.sha256}")
    if trial:
        echo_err("In the copy, companies are in approve mode instead of live. The database in use is as it was.")
    else:
        echo_err("Now set DUEWELL_DATABASE_URL to the new database, then start duewell.")
        echo_err(
            "In the old database, companies are in approve mode instead of live, so that nothing is sent twice if it is"
            " started again."
        )
    if settings.duewell_secret_keys == "":
        key_file = settings.duewell_home / "secret.key"
        echo_err(f"The same key opens both. To use the copy on another machine, take the key along: {key_file}")


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup file to write.")], as_json: JsonOption = False
) -> None:
    """Back up the database.

    The copy is consistent; duewell can keep running.
    """
    from connector.restore.backup import write_backup
    from policies.formatting import format_datetime

    if file.is_dir() or not file.absolute().parent.is_dir():
        what = f"{file} is a folder" if file.is_dir() else f"The folder {file.absolute().parent} does not exist"
        raise CommandError(f"{what}. Name a file in an existing folder. Nothing was written.")
    with open_command_app() as app:
        made = write_backup(app.engine, file, app.keyring, at=app.now())
        key_file = app.settings.duewell_home / "secret.key"
    if as_json:
        echo_json({"id": made.id, "file": str(file), "created_at": made.created_at})
    else:
        echo(f"{file} is a backup as of {format_datetime(made.created_at)}.")
    echo_err(
        f"The tokens in it can be decrypted only with this installation's key ({key_file}). Keep a copy of the key in a"
        " different place."
    )


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup to restore.")],
    unsealed: Annotated[
        bool, typer.Option("--unsealed", help="Also restore a file that is not an intact backup of this installation.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup.

    Stop duewell first. The database that is replaced is kept beside the new one.
    """
    from connector.app_context import utc_now
    from connector.restore.backup import restore_backup
    from connector.secrets.keyring import Keyring
    from connector.secrets.private_files import is_shared
    from connector.settings import load_settings
    from policies.formatting import format_datetime

    if not file.is_file():
        what = f"{file} is not a file" if file.exists() else f"The file {file} does not exist"
        raise CommandError(f"{what}. Name a file that `duewell backup` wrote. Nothing was changed.")
    settings = load_settings()
    keyring = Keyring.existing(settings)
    done = restore_backup(settings.duewell_database_url, file, keyring, at=utc_now(), unsealed=unsealed)
    of = f" of {format_datetime(done.backup.created_at)}" if done.backup else ""
    if as_json:
        kept = str(done.replaced_file) if done.replaced_file else None
        known = done.backup.id if done.backup else None
        echo_json(
            {
                "id": known,
                "file": str(file),
                "previous_database": kept,
                "access_revoked": done.access_revoked,
                "sealed": not done.unsealed_reason,
                "approve_companies": list(done.approve_companies),
            }
        )
    else:
        echo(
            f"Restored {file}{of}."
            + (f" The previous database is kept as {done.replaced_file}." if done.replaced_file else "")
        )
    _erase_again(done.replaced_file)
    if done.unsealed_reason:
        _warn_unsealed(file, done)
    if is_shared(file):
        echo_err(f"Other users of this machine can read {file}. Fix it with: chmod 600 '{file}'")
    _report_consequences(done)


def _report_consequences(done: RestoreResult) -> None:
    if done.approve_companies:
        echo_err(
            f"Now in approve mode instead of live: {', '.join(done.approve_companies)}. The backup does not know what"
            " was sent after it was made."
        )
    else:
        echo_err("No company was live.")
    echo_err("If a company has to be reconnected, `duewell run` says so.")
    echo_err("All users have to sign in again.")
    if done.access_revoked:
        echo_err(
            "Users disabled, tokens revoked, and companies and mailboxes disconnected since the backup stay so. Users"
            " and tokens created since are missing. Customers pay into the accounts that were in use last."
        )
    else:
        echo_err(
            "Users and API tokens are as they were in the backup. Disable or revoke again what has changed since, with"
            " `duewell users` and `duewell tokens`. A company or mailbox that was disconnected since looks"
            " connected until it is read: run `duewell run`, or disconnect it again. Customers pay into the accounts"
            " of the backup: check them with `duewell bank-details`."
        )


def _warn_unsealed(file: Path, done: RestoreResult) -> None:
    from connector.plain_text import one_line

    owners = ", ".join(one_line(each) for each in done.owners) or "nobody"
    echo_err(f"WARNING: {file} is not an intact backup of this installation: {done.unsealed_reason}.")
    echo_err("WARNING: Whoever could write to that file decided who may sign in, what is sent and to whom.")
    echo_err(f"WARNING: Owners in it: {owners}. Before you start duewell, look through `duewell users list`,")
    echo_err("WARNING: `duewell tokens list`, `duewell templates list`, `duewell policy show` and the webhooks.")


def _erase_again(previous_database: Path | None) -> None:
    """Erase again the customers that were erased after the backup was made."""
    from connector.privacy.reapply_erasures import read_erased_customers, reapply_erasures

    known = read_erased_customers(previous_database)
    if not known:
        return
    with open_command_app() as app:
        carried = reapply_erasures(app, known)
    if carried.erased:
        echo_err(f"Customers erased after the backup was made, now erased again: {', '.join(carried.erased)}.")
    for customer in carried.pending:
        echo_err(f"After the next sync, erase this customer again: duewell customers erase {customer}")


def _check_url(url: str) -> None:
    """Raise where a text is no address of a database that duewell can use."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        name = make_url(url).get_backend_name()
    except ArgumentError:
        name = ""
    if name not in {"postgresql", "sqlite"}:
        message = f"{url!r} is no database; write it like postgresql://user@host/duewell or sqlite:////folder/new.db."
        raise WrongValueError(message, url)
