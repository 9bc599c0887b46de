"""Commands about the keys that encrypt what this installation may do at the vendors."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.cli.terminal import Group, JsonOption, build_group, echo, echo_err, echo_json, open_command_app

keys = build_group(Group, "The keys that encrypt tokens.")


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(keys, name="keys")


@keys.command()
def rotate(
    keep_old: Annotated[bool, typer.Option("--keep-old", help="Keep the old keys too: backups need them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a new key and seal all tokens with it.

    Old keys are dropped once nothing needs them; everything may run on meanwhile. Exits 1 when a token was not opened.
    """
    from connector.services.key_rotation import rotate as do_rotate

    with open_command_app() as app:
        done = do_rotate(app, keep_old=keep_old)
        from_file = app.keyring.file is not None
    if as_json:
        echo_json({"id": done.current_key, **done._asdict()})
    else:
        echo(f"The newest key is {done.current_key}; sealed with it anew: {done.reencrypted}.")
        for each in done.removed_keys:
            echo(f"The key {each} was dropped.")
        for each in done.unused_keys:
            echo(f"Nothing in the database needs the key {each} any more.")
        for each in done.undecryptable:
            echo(f"Not opened: {each}.")
    if done.removed_keys:
        echo_err(
            "Tokens in backups made before today can't be opened any more, and links in yesterday's digests are void."
        )
    if done.unused_keys and not from_file:
        echo_err("Take them out of DUEWELL_SECRET_KEYS, and restart.")
    if done.undecryptable:
        echo_err("Put the key that is missing back, or connect these companies again.")
        raise typer.Exit(1)
