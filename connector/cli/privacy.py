"""Commands about how long what is held is kept."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.cli.options import parse_choice
from connector.cli.terminal import Group, JsonOption, build_group, echo_list, open_command_app, os_user

privacy = build_group(Group, "How long what is held is kept.")


def register(parent: typer.Typer) -> None:
    """Add this group."""
    parent.add_typer(privacy, name="privacy")


@privacy.command("retention")
def retention(
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[KIND=DAYS]...", help="Like decisions=200, or log=off: for good.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show, or set, for how many days what is held is kept; the nightly pruning follows it."""
    from connector.db.engine import reading
    from connector.privacy.retention import KINDS, retention_days, set_retention

    with open_command_app() as app:
        if changes:
            set_retention(app, dict(map(_parse_retention, changes)), by=os_user())
        with reading(app.engine) as session:
            kept = retention_days(session)
    rows = [{"id": name, "days": kept[name] or None, "what": kind.description} for name, kind in KINDS.items()]
    if not as_json:
        rows = [{**row, "days": row["days"] or "for good"} for row in rows]
    echo_list(rows, {"id": "KIND", "days": "DAYS", "what": "WHAT"}, "", as_json=as_json)


@privacy.command("prune")
def prune(as_json: JsonOption = False) -> None:
    """Take away now what is older than it is kept; it happens by itself once a day."""
    from connector.privacy.retention import prune as do_prune

    with open_command_app() as app:
        counts = do_prune(app)
    rows = [{"id": name, "pruned": count} for name, count in counts.items()]
    echo_list(rows, {"id": "KIND", "pruned": "PRUNED"}, "", as_json=as_json)


def _parse_retention(text: str) -> tuple[str, int]:
    from connector.privacy.retention import KINDS, RetentionError, parse_days

    name, equals, count = text.partition("=")
    parse_choice(name, KINDS, "kind")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not like decisions=200 or log=off.")
    try:
        return name, parse_days(name, count)
    except RetentionError as problem:
        raise typer.BadParameter(str(problem)) from None
