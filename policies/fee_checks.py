"""What a person should know before rules for late fees come into force: figures to verify, fees that never come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import ROUND_UP, Decimal

from policies.currencies import smallest_unit
from policies.fee_rules import FeeKind, LateFees
from policies.formatting import format_amount, format_date, format_days, format_percent
from policies.interest import DAYS_PER_YEAR
from policies.policy import ReminderPolicy

_SHORTEST_MONTH, _LONGEST_MONTH = 28, 31


def fee_warnings(policy: ReminderPolicy) -> list[str]:
    """List the warnings about a policy and its customer policies, each once."""
    found = _warnings(policy)
    for _, customer_policy in policy.customer_policies:
        own = [each for each in _warnings(customer_policy) if each not in found]
        found += [f"In [policies.{customer_policy.name}]: {each}" for each in own]
    return found


def _warnings(policy: ReminderPolicy) -> list[str]:
    rules = policy.late_fees
    if not rules.enabled:
        return []
    days = sorted(
        {
            max(schedule.late_fee, rules.grace_days + 1)
            for schedule in policy.schedules.values()
            if schedule.late_fee is not None
        }
    )
    return [*rules.warnings(), *_general_warnings(rules, days), *_rate_warnings(rules, days)]


def _general_warnings(rules: LateFees, days: list[int]) -> Iterator[str]:
    if rules.terms_agreed_on is None:
        yield "No date of terms is set: fees are charged only to customers with a date of their own."
    if not days:
        yield "The step late_fee is off for all segments and sizes: no fee is ever charged."
    if rules.cap_percent == 0:
        yield "The cap is 0 % of the invoice: no fee is ever charged."
    for currency in sorted(rules.minimum.keys() & rules.maximum.keys()):
        if rules.minimum[currency] > rules.maximum[currency]:
            least, most = (format_amount(each[currency], currency) for each in (rules.minimum, rules.maximum))
            yield f"The smallest fee of {least} is above the largest of {most}: no fee is ever charged in {currency}."


def _rate_warnings(rules: LateFees, days: list[int]) -> Iterable[str]:
    """Name the fees whose annual rate is above the maximum: they are neither charged nor announced."""
    if rules.kind is FeeKind.FLAT:
        return _flat_warnings(rules, days)
    if rules.kind is FeeKind.PERCENT:
        refused = [(day, rules.rate * DAYS_PER_YEAR / day) for day in days]
        return [
            f"{format_percent(rules.rate)} charged once comes to {_percent(rate)} a year {format_days(day)} after the "
            f"due date, above the {_maximum(rules)}: where the schedule says so it is neither charged nor announced."
            for day, rate in refused
            if rate > rules.max_annual_percent
        ]
    return _monthly_warnings(rules)


def _flat_warnings(rules: LateFees, days: list[int]) -> Iterator[str]:
    """Name the balances on which a flat fee comes to too much; where the cap keeps it small enough there are none."""
    refused_days = [day for day in days if rules.cap_percent * DAYS_PER_YEAR > rules.max_annual_percent * day]
    for currency, amount in sorted(rules.amounts.items() if refused_days else ()):
        fee = min(amount, rules.maximum.get(currency, amount))
        limits = [
            f"{format_amount(_smallest_balance(rules, fee, currency, day), currency)} ({format_days(day)} late)"
            for day in refused_days
        ]
        yield (
            f"A flat fee of {format_amount(fee, currency)} is neither charged nor announced on a balance below "
            f"{' or '.join(limits)}: it would come to more than {format_percent(rules.max_annual_percent)} a year."
        )


def _smallest_balance(rules: LateFees, amount: Decimal, currency: str, day: int) -> Decimal:
    """Return the smallest balance on which a flat fee stays within the maximum annual rate."""
    highest = max(rules.max_annual_percent, Decimal("0.01"))
    return (amount * 100 * DAYS_PER_YEAR / (highest * day)).quantize(smallest_unit(currency), ROUND_UP)


def _monthly_warnings(rules: LateFees) -> Iterator[str]:
    if rules.kind is FeeKind.ANNUAL:
        for on, rate in rules.rates or ((None, rules.rate),):
            if rate > rules.max_annual_percent:
                since = f" from {format_date(on)}" if on else ""
                text = f"The rate of {format_percent(rate)} a year{since} is above the {_maximum(rules)}"
                yield f"{text}: it is neither charged nor announced."
        return
    lowest, highest = (rules.rate * DAYS_PER_YEAR / days for days in (_LONGEST_MONTH, _SHORTEST_MONTH))
    if highest > rules.max_annual_percent:
        always = lowest > rules.max_annual_percent
        text = f"{format_percent(rules.rate)} a month comes to {_percent(lowest)} to {_percent(highest)} a year"
        outcome = "it is neither charged nor announced" if always else "in short months it is not charged"
        yield f"{text}, above the {_maximum(rules)}: {outcome}."


def _maximum(rules: LateFees) -> str:
    return f"{format_percent(rules.max_annual_percent)} allowed"


def _percent(rate: Decimal) -> str:
    return format_percent(rate.quantize(Decimal("0.01")))
