"""Commands for the statutory rates of the late fee presets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import ConnectionOption, document_errors, parse_choice, parse_date, read_document
from connector.cli.terminal import (
    Columns,
    CommandError,
    JsonOption,
    ListGroup,
    WideOption,
    build_group,
    echo,
    echo_json,
    echo_results,
    find_connection_id,
    open_command_app,
    os_user,
)
from connector.cli.wrong_values import NamedValueError

if TYPE_CHECKING:
    from connector.services.statutory_rates import StatutoryRate
    from policies.rate_tables import AddedRate

rates = build_group(ListGroup, "List the statutory rates of late fees, and add new ones.")


_NAMES = {"preset": "PRESET", "from_on": "FROM", "rate": "RATE", "source": "--source", "checked_on": "--checked-on"}


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(rates, name="rates")


@rates.command("list")
def list_rates(
    connection: ConnectionOption = None,
    preset: Annotated[str, typer.Option(help="Only this preset.")] = "",
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the rates of each half-year, with their source."""
    from connector.db.engine import reading
    from connector.services import statutory_rates
    from connector.vocabulary.labels import label
    from policies.fee_rules import FeePreset

    only = FeePreset(parse_choice(preset, FeePreset, "preset")) if preset else None
    with open_command_app() as app, reading(app.engine) as session:
        rows = statutory_rates.list_rates(session, find_connection_id(app, connection), only)
    columns: Columns[StatutoryRate] = {
        "PRESET": lambda item: item.preset,
        "COUNTRY": lambda item: label(item.preset, "fee_preset"),
        "FROM": lambda item: item.from_on,
        "UNTIL": lambda item: item.until_on,
        "RATE": lambda item: f"{item.rate} %",
        "STATE": lambda item: "added" if item.added_by else "verified" if item.verified else "not verified",
        "SOURCE": lambda item: item.source,
        "COMPARED": lambda item: item.checked_on,
        "ADDED BY": lambda item: item.added_by,
    }
    echo_results(rows, columns, "This preset has no half-yearly rates.", as_json=as_json, wide=wide)


@rates.command("add")
def add_rate(  # noqa: PLR0917 - typer's parameters
    preset: Annotated[str, typer.Argument(metavar="[PRESET]", help="The preset, for example uk.")] = "",
    from_on: Annotated[str, typer.Argument(metavar="[FROM]", help="The first day of the half-year: 2027-01-01.")] = "",
    rate: Annotated[str, typer.Argument(metavar="[RATE]", help="The whole rate in percent a year: 11.75.")] = "",
    source: Annotated[str, typer.Option(help="Required: where you read it, for example a page and its date.")] = "",
    checked_on: Annotated[str, typer.Option("--checked-on", help="When you read it. Default: today.")] = "",
    file: Annotated[Path | None, typer.Option(help="A TOML file of [[rates]] instead, or - for stdin.")] = None,
    connection: ConnectionOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a rate that the table has already.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Add the rate of a half-year, for all companies or for one.

    From the next sync on it applies wherever the preset is used. Enter the rate itself, not only the reference rate.
    """
    from connector.db.engine import writing
    from connector.services import added_rates
    from policies.policy import PolicyError

    invalid = "has rates that cannot be added" if file else ""
    with open_command_app() as app:
        connection_id, at, by = find_connection_id(app, connection), app.now(), os_user()
        with document_errors(file, PolicyError, invalid), _replace_hint():
            new = [
                each.model_copy(update={"added_by": by, "added_on": at.date()})
                for each in _read_rates(file, (preset, from_on, rate), source, checked_on, at.date())
            ]
            with writing(app.engine) as session:
                version = added_rates.add_rates(
                    session, new, by=by, at=at, connection_id=connection_id, replace=replace
                )
                overruled = added_rates.list_overruled_rates(session, new, connection_id)
    if as_json:
        echo_json({"version": version, "rates": [f"{each.preset}:{each.from_on}" for each in new]})
        return
    for each in new:
        echo(f"{each.rate} % from {each.from_on} was added to {each.preset}.")
    for name in overruled:
        echo(f"{name} has a rate of its own for this half-year in the policy document; that one applies.")
    echo(f"Policy version {version} applies from the next sync.")


@contextmanager
def _replace_hint() -> Iterator[None]:
    """Name the option that replaces a rate where the table has one already."""
    from policies.rate_tables import RateError

    try:
        yield
    except RateError as problem:
        if "replace" in problem.fields:
            raise CommandError(f"{problem}\nTo replace it, add --replace.") from problem
        raise


def _read_rates(
    file: Path | None, words: tuple[str, str, str], source: str, checked_on: str, today: date
) -> tuple[AddedRate, ...]:
    from policies.rate_tables import RateError, parse_rates, read_rate

    if file is not None:
        if any(words):
            raise CommandError("Name a file, or a preset, a date and a rate, not both.")
        return parse_rates(read_document(file))
    preset, from_on, rate = words
    given = {"PRESET": preset, "FROM": from_on, "RATE": rate, "--source": source}
    missing = [name for name, value in given.items() if not value]
    if missing:
        example = f'{preset or "uk"} {from_on or "2027-01-01"} {rate or "RATE"} --source "{source or "…"}"'
        raise typer.BadParameter(f"Missing: {', '.join(missing)}. For example: {example}")
    values: dict[str, object] = {
        "preset": preset,
        "from_on": parse_date(from_on),
        "rate": rate,
        "source": source,
        "checked_on": (parse_date(checked_on) if checked_on else None) or today,
    }
    try:
        return (read_rate(values),)
    except RateError as problem:
        raise NamedValueError(
            "\n".join(f"{_NAMES.get(key, key)}: {text}" for key, text in problem.fields.items())
        ) from None
