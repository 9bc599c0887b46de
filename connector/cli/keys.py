"""Commands for the keys that encrypt access tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.cli.terminal import Group, JsonOption, build_group, echo, echo_err, echo_json, open_command_app

keys = build_group(Group, "Manage the keys that encrypt access tokens.")


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(keys, name="keys")


@keys.command()
def rotate(
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Keep the old keys as well; older backups need them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Create a new encryption key and re-encrypt all tokens with it.

    Old keys are removed once nothing needs them; duewell can keep running. Exits with 1 when a token could not be
    decrypted.
    """
    from connector.services.key_rotation import rotate as do_rotate

    with open_command_app() as app:
        done = do_rotate(app, keep_old=keep_old)
        from_file = app.keyring.file is not None
    if as_json:
        echo_json({"id": done.current_key, **done._asdict()})
    else:
        echo(f"The current key is {done.current_key}; re-encrypted with it: {done.reencrypted}.")
        for each in done.removed_keys:
            echo(f"The key {each} was removed.")
        for each in done.unused_keys:
            echo(f"The key {each} is no longer used in the database.")
        for each in done.undecryptable:
            echo(f"Could not be decrypted: {each}.")
    if done.removed_keys:
        echo_err(
            "Older backups now count as sealed with a foreign key, and tokens in them can no longer be decrypted: make"
            " a backup now."
        )
    if done.unused_keys and not from_file:
        echo_err("Remove the unused keys from DUEWELL_SECRET_KEYS and restart duewell.")
    if done.undecryptable:
        echo_err("Restore the missing key, or reconnect these companies.")
        raise typer.Exit(1)
