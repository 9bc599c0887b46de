"""Commands about how long what is held is kept."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.commands.given import one_of
from connector.commands.terminal import Group, JsonOption, group, opened, put_list, who

privacy = group(Group, "How long what is held is kept.")


def add_to(app: typer.Typer) -> None:
    """Add this group."""
    app.add_typer(privacy, name="privacy")


@privacy.command("retention")
def retention(
    wanted: Annotated[
        list[str] | None, typer.Argument(metavar="[KIND=DAYS]...", help="Like decisions=200, or log=off: for good.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show, or set, for how many days what is held is kept; the nightly pruning follows it."""
    from connector.database import reading
    from connector.privacy.retention import KINDS, days, keep

    with opened() as installation:
        if wanted:
            keep(installation, dict(map(_read, wanted)), by=who())
        with reading(installation.engine) as session:
            kept = days(session)
    rows = [{"id": name, "days": kept[name] or None, "what": kind.what} for name, kind in KINDS.items()]
    if not as_json:
        rows = [{**row, "days": row["days"] or "for good"} for row in rows]
    put_list(rows, {"id": "KIND", "days": "DAYS", "what": "WHAT"}, "", as_json=as_json)


@privacy.command("prune")
def prune(as_json: JsonOption = False) -> None:
    """Take away now what is older than it is kept; it happens by itself once a day."""
    from connector.privacy.retention import prune as do_prune

    with opened() as installation:
        counts = do_prune(installation)
    rows = [{"id": name, "pruned": count} for name, count in counts.items()]
    put_list(rows, {"id": "KIND", "pruned": "PRUNED"}, "", as_json=as_json)


def _read(text: str) -> tuple[str, int]:
    from connector.privacy.retention import KINDS, RetentionError, days_said

    name, equals, count = text.partition("=")
    one_of(name, KINDS, "kind")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not like decisions=200 or log=off.")
    try:
        return name, days_said(name, count)
    except RetentionError as problem:
        raise typer.BadParameter(str(problem)) from None
