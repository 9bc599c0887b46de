"""Commands that look after the installation: doctor, db, backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connector.commands.terminal import (
    CommandError,
    Group,
    JsonOption,
    group,
    opened,
    put,
    put_json,
    say,
)

db = group(Group, "The database.")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(db, name="db")
    for command in (doctor, backup, restore):
        app.command(command.__name__)(command)


def doctor(as_json: JsonOption = False) -> None:
    """Check everything; say what to mend.

    Settings, files, database, log, keys, clock, sender, scopes and connections. Exits 1 when something is broken.
    """
    from connector.commands.doctor import examine
    from connector.commands.findings import BAD

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


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")], as_json: JsonOption = False
) -> None:
    """Copy the database, consistently.

    Everything may run on meanwhile.
    """
    from connector.backup import write_backup
    from policies.wording import moment

    if file.is_dir() or not file.absolute().parent.is_dir():
        what = f"{file} is a folder" if file.is_dir() else f"There is no folder {file.absolute().parent}"
        raise CommandError(f"{what}; name a file in a folder that there is. Nothing was written.")
    with opened() as installation:
        made = write_backup(installation.engine, file, at=installation.now())
        key_file = installation.settings.duewell_home / "secret.key"
    if as_json:
        put_json({"id": made.id, "file": str(file), "made_at": made.made_at})
    else:
        put(f"{file} holds everything of {moment(made.made_at)}.")
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
    from policies.wording import moment

    if not file.is_file():
        what = f"{file} is no file" if file.exists() else f"There is no file {file}"
        raise CommandError(f"{what}; name one that `duewell backup` wrote. Nothing was changed.")
    settings = load_settings()
    done = restore_backup(settings.duewell_database_url, file, at=utc_now())
    of = f" of {moment(done.backup.made_at)}" if done.backup else ""
    if as_json:
        kept = str(done.kept_aside) if done.kept_aside else None
        known = done.backup.id if done.backup else None
        put_json({"id": known, "file": str(file), "kept_aside": kept, "closed_again": done.closed_again})
    else:
        put(
            f"{file}{of} is in place."
            + (f" What was there before is kept as {done.kept_aside}." if done.kept_aside else "")
        )
    _erase_again(done.kept_aside)
    say("Companies that were live are in mode approve now: what left since the copy was made is not known to it.")
    say("If a company has to be connected again, it says so at: duewell run")
    say("Everybody signs in again.")
    if done.closed_again:
        say("Who was disabled and what was revoked since is so here, too. Users and tokens made since are not known.")
    else:
        say("Users and API tokens are as they were then: end again what was ended since (duewell users, tokens).")


def _erase_again(former: Path | None) -> None:
    """Erase anew the customers that were erased after the backup was made."""
    from connector.privacy.carried import carry_over, erased_in

    known = erased_in(former)
    if not known:
        return
    with opened() as installation:
        carried = carry_over(installation, known)
    if carried.erased:
        say(f"Erased since that backup was made, and now again: {', '.join(carried.erased)}.")
    for customer in carried.left:
        say(f"To be erased again, after the next run: duewell customers erase {customer}")
