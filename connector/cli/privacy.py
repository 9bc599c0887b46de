"""Commands for data retention."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.cli.options import parse_choice
from connector.cli.terminal import (
    Group,
    JsonOption,
    WideOption,
    build_group,
    echo_json,
    echo_table,
    open_command_app,
    os_user,
)
from connector.cli.wrong_values import WrongValueError

privacy = build_group(Group, "Set how long data is kept.")


def register(parent: typer.Typer) -> None:
    """Add this group."""
    parent.add_typer(privacy, name="privacy")


@privacy.command("retention")
def retention(
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KIND=DAYS]...", help="For example decisions=200; log=off keeps it forever."),
    ] = None,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show or set for how many days each kind of data is kept."""
    from connector.db.engine import reading
    from connector.privacy.retention import KINDS, retention_days, set_retention

    with open_command_app() as app:
        if changes:
            set_retention(app, dict(map(_parse_retention, changes)), by=os_user())
        with reading(app.engine) as session:
            kept = retention_days(session)
    if as_json:
        echo_json([{"id": name, "days": kept[name] or None, "what": kind.description} for name, kind in KINDS.items()])
    else:
        rows = [(name, kept[name] or "forever", kind.description) for name, kind in KINDS.items()]
        echo_table(("KIND", "DAYS", "DATA"), rows, wide=wide)


@privacy.command("prune")
def prune(wide: WideOption = False, as_json: JsonOption = False) -> None:
    """Delete data past its retention period now.

    This also happens automatically once a day.
    """
    from connector.privacy.retention import prune as do_prune

    with open_command_app() as app:
        counts = do_prune(app)
    if as_json:
        echo_json([{"id": name, "pruned": count} for name, count in counts.items()])
    else:
        echo_table(("KIND", "DELETED"), list(counts.items()), wide=wide)


def _parse_retention(text: str) -> tuple[str, int]:
    from connector.privacy.retention import KINDS, RetentionError, parse_days

    name, equals, count = text.partition("=")
    parse_choice(name, KINDS, "kind")
    if not equals:
        raise WrongValueError(f"{text!r} is not a retention period; write it like decisions=200 or log=off.", text)
    try:
        return name, parse_days(name, count)
    except RetentionError as problem:
        raise WrongValueError(str(problem), text) from None
