"""The statutory rates of the late fee presets: what each table has, adding to it, and which tables end soon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlmodel import Session

from connector import policy_store
from connector.app_context import AppContext
from connector.connections.registry import list_connected
from connector.db.engine import reading
from connector.results import Result
from connector.services.doctor_checks import OK, WARNING, Finding
from connector.vocabulary.labels import label
from policies.fee_rules import FeeKind, FeePreset, LateFees
from policies.formatting import format_date
from policies.half_years import half_year_end
from policies.policy import ReminderPolicy
from policies.rate_tables import AddedRates, RateTable, load_rate_table

WARN_DAYS = 30


class StatutoryRate(Result):
    """One half-year's rate, in percent a year. ``added_by`` is "" for those that came with duewell."""

    id: str
    preset: FeePreset
    from_on: date
    until_on: date
    rate: Decimal
    verified: bool
    source: str
    checked_on: date
    added_by: str
    published_at: str


class EndingTable(NamedTuple):
    """A table in use that ends soon, or has ended: where its next rate is published, and whose policy uses it."""

    preset: FeePreset
    last_on: date
    published_at: str
    used_by: str


def list_rates(session: Session, connection_id: int | None, preset: FeePreset | None = None) -> list[StatutoryRate]:
    """List the rates of all presets, or of one, as they apply to a connection, oldest first."""
    added = policy_store.get_rates(session, connection_id)
    tables = [table for each in FeePreset if preset in {None, each} and (table := load_rate_table(each))]
    return [rate for table in tables for rate in sorted(_rates_of(table, added), key=lambda each: each.from_on)]


def _rates_of(table: RateTable, added: AddedRates) -> Iterator[StatutoryRate]:
    own = {each.from_on: each for each in added if each.preset == table.preset}
    for on, rate, verified in table.rates:
        if on not in own:
            yield _item(table, on, rate, verified=verified, source=table.source, checked_on=table.checked_on)
    for on, each in own.items():
        yield _item(
            table, on, each.rate, verified=True, source=each.source, checked_on=each.checked_on, by=each.added_by
        )


def _item(
    table: RateTable, on: date, rate: Decimal, *, verified: bool, source: str, checked_on: date, by: str = ""
) -> StatutoryRate:
    return StatutoryRate(
        id=f"{table.preset}:{on}",
        preset=table.preset,
        from_on=on,
        until_on=half_year_end(on),
        rate=rate,
        verified=verified,
        source=source,
        checked_on=checked_on,
        added_by=by,
        published_at=table.published_at,
    )


def list_ending_tables(app: AppContext) -> list[EndingTable]:
    """List the tables that policies with late fees use and that end within ``WARN_DAYS``."""
    soon_on = app.now().date() + timedelta(days=WARN_DAYS)
    found: dict[tuple[FeePreset, date], list[str]] = {}
    with reading(app.engine) as session:
        connections = list_connected(session)
        policies = policy_store.get_policies(session, [row.id for row in connections])
    for row in connections:
        for rules in _rules_in_use(policies[row.id][0]):
            missing_on = rules.missing_rate_on()
            if missing_on is not None and missing_on - timedelta(days=1) <= soon_on:
                names = found.setdefault((rules.preset, missing_on - timedelta(days=1)), [])
                names += [row.name] if row.name not in names else []
    return [_ending_table(preset, last_on, names) for (preset, last_on), names in found.items()]


def _rules_in_use(policy: ReminderPolicy) -> Iterator[LateFees]:
    for each in (policy, *(other for _, other in policy.customer_policies)):
        if each.late_fees.enabled and each.late_fees.kind is FeeKind.ANNUAL:
            yield each.late_fees


def _ending_table(preset: FeePreset, last_on: date, names: list[str]) -> EndingTable:
    table = load_rate_table(preset)
    used_by = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return EndingTable(preset, last_on, table.published_at if table else "", used_by)


def rates(app: AppContext) -> Iterator[Finding]:
    """Check that the rates of the coming days are known: without them every fee needs approval."""
    tables = list_ending_tables(app)
    for table in tables:
        name = label(table.preset, "fee_preset")
        ended = table.last_on < app.now().date()
        text = (
            f"The late fee rates ({name}) {'ended' if ended else 'end'} on {format_date(table.last_on)}: fees for later"
            f" days need a person's approval. Used by {table.used_by}."
        )
        from_on = table.last_on + timedelta(days=1)
        command = f'duewell policy rates add {table.preset} {from_on} RATE --source "where you read it"'
        fix = f"The next rate is published here: {table.published_at}. Then: {command}"
        if not table.published_at:  # rates of the policy's own
            fix = f"Add the rate from {format_date(from_on)} to rates in [late_fees] of the policy."
        yield Finding(f"rates.{table.preset}", WARNING, text, fix)
    if not tables:
        yield Finding("rates", OK, "The late fee rates of the next 30 days are known, where fees need them.")
