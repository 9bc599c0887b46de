"""The half-yearly rates of the late fee presets: where they are published, and the rates that users add to them.

A preset's file has the rates known when this version was made. Later ones are added by users, with their source, and
are kept apart from the policy document: a preset's rate is the same in every document that uses the preset.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import ValidationError

from policies.document import PolicyError, Problem, Table, format_value, merge_tables, parse_toml
from policies.fee_rules import FeePreset
from policies.formatting import format_date, format_percent
from policies.half_years import half_year_start, next_half_year
from policies.validation import Reads, Section, calendar_date, line_of_text, number, refused

MAX_CHANGE = Decimal(4)  # percentage points from one half-year to the next: since 2002 no table has moved by more
SOURCE_MAX = 300
_PRESETS_DIR = Path(__file__).parent / "presets"
_read_line = line_of_text(SOURCE_MAX)


class RateError(PolicyError):
    """Rates that cannot be used; ``fields`` are what is wrong with which key of a rate."""

    def __init__(self, problems: Iterable[Problem], fields: Mapping[str, str]) -> None:
        """Take what is wrong with the document, and the same by key."""
        super().__init__(problems)
        self.fields = fields


class RateTable(NamedTuple):
    """What a preset's file says about its rates; ``rates`` are oldest first, with whether each was verified."""

    preset: FeePreset
    rule: str
    margin: Decimal  # the points above the reference rate
    published_at: str
    source: str
    checked_on: date
    known_until: date
    rates: tuple[tuple[date, Decimal, bool], ...]


def _half_year_date(value: object) -> date:
    on = calendar_date(value)
    if half_year_start(on) != on:
        raise refused(f"must be the first day of a half-year, 1 January or 1 July, not {format_date(on)}")
    return on


def _preset(value: object) -> FeePreset:
    """Read a preset; only those with a table are named, since only to them a rate can be added."""
    if isinstance(value, str) and value in set(FeePreset) - {FeePreset.NONE}:
        return FeePreset(value)
    names = ", ".join(preset for preset in FeePreset if load_rate_table(preset) is not None)
    raise refused(f"must be one of {names}, not {format_value(value)}")


def _rate(value: object) -> Decimal:
    """Read a rate as it is written: 10.15, 10,15 or 10.15 %."""
    written = value.removesuffix("%").strip() if isinstance(value, str) else value
    found = number(100)(written.replace(",", ".") if isinstance(written, str) else written)
    if found <= 0 or found != round(found, 2):
        raise refused(f"must be above 0 and have at most two decimals, not {format_value(value)}")
    return found


def _optional_line(value: object) -> str:
    return "" if value == "" else _read_line(value)


class AddedRate(Section):
    """A rate that a user added to a preset: what it is, where it is published, and who compared it when."""

    preset: Annotated[FeePreset, Reads(_preset)]
    from_on: Annotated[date, Reads(_half_year_date)]
    rate: Annotated[Decimal, Reads(_rate)]
    source: Annotated[str, Reads(_read_line)]
    checked_on: Annotated[date, Reads(calendar_date)]
    added_by: Annotated[str, Reads(_optional_line)] = ""
    added_on: Annotated[date | None, Reads(calendar_date)] = None


AddedRates = tuple[AddedRate, ...]


def load_preset(preset: str) -> Table:
    """Load what a preset sets in the policy document."""
    return {key: value for key, value in _load_file(preset).items() if key != "rate_table"}


@cache
def load_rate_table(preset: FeePreset) -> RateTable | None:
    """Load a preset's table of rates; ``None`` where it has one rate, or none at all."""
    document = {} if preset is FeePreset.NONE else _load_file(preset)
    about, fees = document.get("rate_table"), document.get("late_fees")
    if not isinstance(about, dict) or not isinstance(fees, dict):
        return None
    return RateTable(
        preset=preset,
        rule=about["rule"],
        margin=Decimal(about["margin"]),
        published_at=about["published_at"],
        source=about["source"],
        checked_on=about["checked_on"],
        known_until=fees["rates_known_until"],
        rates=tuple(
            (date.fromisoformat(on), Decimal(rate), on not in fees["unverified"]) for on, rate in fees["rates"].items()
        ),
    )


@cache
def _load_file(preset: str) -> Table:
    return parse_toml((_PRESETS_DIR / f"fees_{preset}.toml").read_text(encoding="utf-8"))


def apply_added_rates(defaults: Table, preset: str, added: Iterable[AddedRate]) -> Table:
    """Return the defaults of a document with the rates that were added to its preset: they count as verified."""
    rates = {each.from_on.isoformat(): each.rate for each in added if each.preset == preset}
    fees = defaults.get("late_fees")
    if not rates or not isinstance(fees, dict):
        return defaults
    unverified = [each for each in fees["unverified"] if each not in rates]
    return merge_tables(defaults, {"late_fees": {"rates": rates, "unverified": unverified}})


def parse_rates(text: str) -> AddedRates:
    """Parse a file of rates: one ``[[rates]]`` table for each.

    Raises:
        PolicyError: with everything that is wrong with the file.

    """
    document = parse_toml(text)
    tables = document.pop("rates", [])
    if document or not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise PolicyError([Problem(0, "A file of rates has [[rates]] tables only.")])
    return tuple(read_rate(each, f"rate {place}: ") for place, each in enumerate(tables, start=1))


def read_rate(table: Table, prefix: str = "") -> AddedRate:
    """Read one rate.

    Raises:
        PolicyError: with everything that is wrong with it.

    """
    try:
        return AddedRate.model_validate(table)
    except ValidationError as error:
        found = [
            (str(detail["loc"][0]), str(detail["type"]), str(detail["msg"]))
            for detail in error.errors(include_url=False)
        ]
        raise RateError(
            [Problem(0, prefix + _describe(*each)) for each in found],
            {key: f"{message[:1].upper()}{message[1:]}." for key, _kind, message in found},
        ) from None


def _describe(key: str, kind: str, message: str) -> str:
    if kind == "missing":
        return f"{key} is missing"
    return f"{key} is not known here" if kind == "extra_forbidden" else f"{key} {message}"


def format_rates(rates: Iterable[AddedRate]) -> str:
    """Format rates as a file of rates, oldest first."""
    blocks = []
    for each in sorted(rates, key=lambda rate: (rate.preset, rate.from_on)):
        values = {key: value for key, value in each.model_dump().items() if value not in {None, ""}}
        blocks.append("\n".join(["[[rates]]", *(f"{key} = {format_value(value)}" for key, value in values.items())]))
    return "".join(f"{block}\n\n" for block in blocks).removesuffix("\n")


def merge_rates(added: AddedRates, new: Sequence[AddedRate]) -> AddedRates:
    """Return the added rates with new ones, which replace those of the same half-year."""
    by_key = {(each.preset, each.from_on): each for each in (*added, *new)}
    return tuple(by_key[key] for key in sorted(by_key))


def check_new_rates(new: Sequence[AddedRate], added: AddedRates, today: date, *, replace: bool) -> None:
    """Check rates before they are added: each against its preset's table and the rates added so far.

    Raises:
        PolicyError: a figure or date that cannot be right.

    """
    problems, fields = [], dict[str, str]()
    for each in sorted(new, key=lambda rate: rate.from_on):
        field, reason = _refusal_reason(each, added, today, replace=replace)
        if reason:
            fields[field] = f"{reason[:1].upper()}{reason[1:]}."
            problems.append(Problem(0, f"{each.preset} from {format_date(each.from_on)}: {reason}."))
        else:
            added = merge_rates(added, [each])
    if len({(each.preset, each.from_on) for each in new}) < len(new):
        problems.append(Problem(0, "A half-year is named twice."))
    if problems:
        raise RateError(problems, fields)


def _refusal_reason(new: AddedRate, added: AddedRates, today: date, *, replace: bool) -> tuple[str, str]:
    """Return the key of a rate that cannot be right, and why; "" twice where it can be added."""
    table = load_rate_table(new.preset)
    if table is None:
        return "preset", "this preset has no half-yearly rates; set the rate in the policy itself"
    if new.checked_on > today:
        return "checked_on", f"it was compared on {format_date(new.checked_on)}, which is not yet past"
    if new.from_on > next_half_year(today):
        return "from_on", "the rate of that half-year is not published yet"
    rates = {on: (rate, verified) for on, rate, verified in table.rates}
    rates |= {each.from_on: (each.rate, True) for each in added if each.preset == new.preset}
    known = rates.get(new.from_on)
    if known is not None and known[1] and not replace:
        return "replace", f"the table already has {format_percent(known[0])} for it"
    before_on, after_on = half_year_start(new.from_on - timedelta(days=1)), next_half_year(new.from_on)
    if new.from_on > max(rates) and before_on not in rates:
        missing_on = next_half_year(max(rates))
        return "from_on", f"the rate from {format_date(missing_on)} is missing: add it first"
    if new.from_on < min(rates) and after_on not in rates:
        return "from_on", f"the table begins on {format_date(min(rates))}; add the half-year just before it first"
    for on in (before_on, after_on):
        if on in rates and abs(rates[on][0] - new.rate) > MAX_CHANGE:
            near = f"{format_percent(rates[on][0])} from {format_date(on)}"
            whole = (
                f". Enter the whole rate: the reference rate plus {table.margin} points"
                if new.rate < table.margin
                else ""
            )
            return "rate", f"{format_percent(new.rate)} is too far from {near}{whole}"
    return "", ""
