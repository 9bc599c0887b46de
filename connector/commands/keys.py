"""Commands about the keys that encrypt what this installation may do at the vendors."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.commands.terminal import Group, JsonOption, group, opened, put, put_json, say

keys = group(Group, "The keys that encrypt tokens.")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(keys, name="keys")


@keys.command()
def rotate(
    keep_old: Annotated[bool, typer.Option("--keep-old", help="Keep the old keys too: backups need them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a new key and seal all tokens with it.

    Old keys are dropped once nothing needs them; everything may run on meanwhile. Exits 1 when a token was not opened.
    """
    from connector.access.rotation import rotate as do_rotate

    with opened() as installation:
        done = do_rotate(installation, keep_old=keep_old)
        from_file = installation.keyring.file is not None
    if as_json:
        put_json({"id": done.newest, **done._asdict()})
    else:
        put(f"The newest key is {done.newest}; sealed with it anew: {done.sealed_anew}.")
        for each in done.dropped:
            put(f"The key {each} was dropped.")
        for each in done.unused:
            put(f"Nothing in the database needs the key {each} any more.")
        for each in done.unopened:
            put(f"Not opened: {each}.")
    if done.dropped:
        say("Tokens in backups made before today can't be opened any more, and links in yesterday's digests are void.")
    if done.unused and not from_file:
        say("Take them out of DUEWELL_SECRET_KEYS, and restart.")
    if done.unopened:
        say("Put the key that is missing back, or connect these companies again.")
        raise typer.Exit(1)
