"""The rules for late fees: ``[late_fees]`` of the policy document, with its dated rates."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import model_validator

from policies.formatting import format_date, format_percent
from policies.half_years import half_year_end
from policies.receivables import Customer
from policies.validation import (
    Reads,
    Section,
    by_currency,
    calendar_date,
    folded_texts,
    line_of_text,
    number,
    one_of,
    refused,
    switch,
    table_of,
    texts,
    whole_number,
)

_MAX_AMOUNT = 10**12


class FeePreset(StrEnum):
    """The rules of a country, as a starting point."""

    NONE = "none"
    UK = "uk"
    EU = "eu"
    GERMANY = "germany"
    FRANCE = "france"
    US = "us"
    CANADA = "canada"
    AUSTRALIA = "australia"
    NEW_ZEALAND = "new_zealand"
    IRELAND = "ireland"
    NETHERLANDS = "netherlands"
    AUSTRIA = "austria"
    BELGIUM = "belgium"
    SPAIN = "spain"
    SWITZERLAND = "switzerland"


class FeeKind(StrEnum):
    """How a late fee is calculated, and how often it is charged."""

    FLAT = "flat"  # once
    PERCENT = "percent"  # once
    PERCENT_PER_MONTH = "percent_per_month"  # for each full month
    ANNUAL = "annual"  # by the day, charged for each full month


MONTHLY_KINDS = frozenset({FeeKind.PERCENT_PER_MONTH, FeeKind.ANNUAL})


class FeeApproval(StrEnum):
    """Who approves a late fee."""

    PERSON = "person"
    AUTOMATIC = "automatic"


class FeeInvoicing(StrEnum):
    """How late fees become invoices."""

    PER_FEE = "per_fee"
    MONTHLY = "monthly"  # one invoice a month for all fees of a customer in a currency


class WeekendDueDate(StrEnum):
    """Until when an invoice that is due on a weekend or public holiday is paid in time."""

    STAYS = "stays"  # until that day
    NEXT_BUSINESS_DAY = "next_business_day"


class UnpaidFee(StrEnum):
    """What happens to a late fee that is left unpaid when its invoice is settled."""

    TASK = "task"  # a person collects or waives it
    CHASE = "chase"  # like an invoice


def _rate_date(key: str) -> date:
    try:
        return date.fromisoformat(key)
    except ValueError:
        raise refused('is not a date: write "2026-07-01" = 11.75') from None


def _from_total(key: str) -> Decimal:
    if re.fullmatch(r"\d{1,12}(\.\d{1,4})?", key):
        return Decimal(key)
    raise refused('is not a total: write "1000" = 70, or "1000.01" = 70 for totals above 1,000')


_read_rate_table = table_of(_rate_date, number(100))
_read_compensation_table = table_of(_from_total, number(_MAX_AMOUNT))
_read_line = line_of_text(400)
_AMOUNTS = by_currency(number(_MAX_AMOUNT))
Amounts = Mapping[str, Decimal]


def _read_rates(value: object) -> tuple[tuple[date, Decimal], ...]:
    return tuple(sorted(_read_rate_table(value).items()))


def _read_compensation(value: object) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple(sorted(_read_compensation_table(value).items()))


def _read_unverified(value: object) -> frozenset[str]:
    named = texts(value)
    for name in sorted(named - {"rate", "compensation"}):
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", name):
            raise refused(f'names {name}; it may name "rate", "compensation" and dates of rates')
    return named


def _read_regions(value: object) -> frozenset[str]:
    named = frozenset(each.upper() for each in texts(value))
    for name in sorted(named):
        if not re.fullmatch(r"[A-Z]{2}(-[A-Z0-9]{1,3})?", name):
            raise refused(f"names {name}; it may name countries and regions like DE or US-NY")
    return named


def _read_description(value: object) -> str:
    text = _read_line(value)
    unknown = sorted(set(re.findall(r"\{[^}]*\}?", text)) - {"{number}", "{calculation}"})
    if unknown:
        raise refused(f"names {', '.join(unknown)}; it may name {{number}} and {{calculation}}")
    return text


class LateFees(Section):
    """Whether late fees are charged, how they are calculated, and how much they may be.

    ``rates`` are annual rates by the first day they apply, oldest first; ``compensation`` holds fixed amounts by
    currency and by the invoice total from which they apply, smallest first. ``unverified`` names the figures that
    nobody has compared with their source. Where ``rates_known_until`` is set the rates are half-yearly: one that
    applies later covers the rest of its half-year, and nothing is known after it. ``due_on_weekend`` applies to
    customers in ``due_on_weekend_regions``; to all of them where that is empty.
    """

    enabled: Annotated[bool, Reads(switch)]
    approval: Annotated[FeeApproval, Reads(one_of(FeeApproval))]
    terms_agreed_on: Annotated[date | None, Reads(calendar_date)] = None
    consumer_tags: Annotated[frozenset[str], Reads(folded_texts)]
    preset: Annotated[FeePreset, Reads(one_of(FeePreset))]
    kind: Annotated[FeeKind, Reads(one_of(FeeKind))]
    rate: Annotated[Decimal, Reads(number(100))]
    amounts: Annotated[Amounts, Reads(_AMOUNTS)]
    rates: Annotated[tuple[tuple[date, Decimal], ...], Reads(_read_rates)]
    rate_fixed_at_start: Annotated[bool, Reads(switch)]
    rates_known_until: Annotated[date | None, Reads(calendar_date)] = None
    unverified: Annotated[frozenset[str], Reads(_read_unverified)]
    compensation: Annotated[Mapping[str, tuple[tuple[Decimal, Decimal], ...]], Reads(by_currency(_read_compensation))]
    compound: Annotated[bool, Reads(switch)]
    minimum: Annotated[Amounts, Reads(_AMOUNTS)]
    maximum: Annotated[Amounts, Reads(_AMOUNTS)]
    due_on_weekend: Annotated[WeekendDueDate, Reads(one_of(WeekendDueDate))]
    due_on_weekend_regions: Annotated[frozenset[str], Reads(_read_regions)]
    grace_days: Annotated[int, Reads(whole_number(0, 365))]
    cap_percent: Annotated[Decimal, Reads(number(100))]
    max_annual_percent: Annotated[Decimal, Reads(number(1000))]
    due_days: Annotated[int, Reads(whole_number(0, 365))]
    text: Annotated[str, Reads(_read_description)]
    invoicing: Annotated[FeeInvoicing, Reads(one_of(FeeInvoicing))]
    invoice_day: Annotated[int, Reads(whole_number(1, 28))]
    unpaid_fee: Annotated[UnpaidFee, Reads(one_of(UnpaidFee))]

    @model_validator(mode="after")
    def _names_flat_amounts(self) -> LateFees:
        if self.enabled and self.kind is FeeKind.FLAT and not self.amounts:
            raise refused('is "flat", so amounts must say how much: { EUR = 15 }', key="kind")
        return self

    @property
    def needs_approval(self) -> bool:
        """Whether a person approves every fee."""
        return self.approval is FeeApproval.PERSON

    def terms_in(self, currency: str) -> str:
        """Return what stands for the fee in a currency as customers are told of it: another text is another fee.

        Statutory rates change by law, and are no other fee.
        """
        amounts = (each.get(currency) for each in (self.amounts, self.minimum, self.maximum, self.compensation))
        rates = self.rates if self.rates_known_until is None else ()
        terms = (self.preset, self.kind, self.rate, *amounts, rates, self.compound, self.cap_percent)
        return hashlib.blake2b(repr(terms).encode(), digest_size=6).hexdigest()

    @property
    def monthly_invoice(self) -> bool:
        """Whether all fees of a month share one invoice."""
        return self.invoicing is FeeInvoicing.MONTHLY

    def annual_rate_on(self, on: date) -> Decimal:
        """Return the annual rate, in percent, that applies on a day: from ``rates`` if there are any, else ``rate``."""
        applicable = [rate for from_on, rate in self.rates if from_on <= on]
        if applicable:
            return applicable[-1]
        return self.rates[0][1] if self.rates else self.rate

    def is_business(self, customer: Customer) -> bool:
        """Return whether a customer is a business, as far as tags and groups say: consumers are charged no fees."""
        return self.consumer_tags.isdisjoint(each.casefold() for each in (*customer.tags, *customer.groups))

    def warnings(self) -> list[str]:
        """List what a person should know before these rules come into force: which figures nobody has verified."""
        if not self.enabled:
            return []
        figures = [
            f"the rate of {format_date(date.fromisoformat(name))}" if name[0].isdigit() else f"the {name}"
            for name in sorted(self.unverified)
        ]
        found = [f"Not verified against the source: {', '.join(figures)}."] if figures else []
        missing_on = self.missing_rate_on()
        if missing_on is not None:
            found.append(f"Not known yet: any rate after {format_date(missing_on - timedelta(days=1))}.")
        return [*found, "Fees based on these figures always need a person's approval."] if found else []

    def unverified_inputs(self, first_on: date, last_on: date, *, with_compensation: bool) -> list[str]:
        """List the unverified figures that a fee for these days is based on."""
        uses_rates = self.kind is FeeKind.ANNUAL and bool(self.rates)
        found = self._unverified_rates(first_on, last_on) if uses_rates else []
        if "rate" in self.unverified and self.kind is not FeeKind.FLAT and not uses_rates:
            found.append(f"the rate of {format_percent(self.rate)}")
        return [*found, "the fixed compensation"] if with_compensation and "compensation" in self.unverified else found

    def _unverified_rates(self, first_on: date, last_on: date) -> list[str]:
        found = []
        ends = [on for on, _ in self.rates[1:]] + [date.max]
        for (from_on, rate), until_on in zip(self.rates, ends, strict=True):
            if from_on <= last_on and first_on < until_on and from_on.isoformat() in self.unverified:
                found.append(f"the rate of {format_percent(rate)} from {format_date(from_on)}")
        if first_on < self.rates[0][0]:
            found.append(f"the rate before {format_date(self.rates[0][0])}, which is not in the table")
        missing_on = self.missing_rate_on(first_on, last_on)
        if missing_on is not None:
            last_known_on = missing_on - timedelta(days=1)
            found.append(f"the rate after {format_date(last_known_on)}, which is not in the table yet")
        return found

    def missing_rate_on(self, first_on: date = date.min, last_on: date = date.max) -> date | None:
        """Return where the first gap in half-yearly rates begins that has a day in this period; ``None`` without one.

        Half-yearly are rates with ``rates_known_until``; others apply until a later one replaces them.
        """
        if self.rates_known_until is None or not self.rates or self.kind is not FeeKind.ANNUAL:
            return None
        on = self.rates_known_until + timedelta(days=1)
        while on <= last_on:
            end_on = half_year_end(on)
            starts = [from_on for from_on, _ in self.rates if on <= from_on <= end_on]
            gap_end_on = min(starts) - timedelta(days=1) if starts else end_on
            if gap_end_on >= max(on, first_on):
                return on
            on = end_on + timedelta(days=1)
        return None

    def compensation_for(self, total: Decimal, currency: str) -> Decimal:
        """Return the fixed compensation for an invoice of this total."""
        applicable = [amount for from_total, amount in self.compensation.get(currency, ()) if from_total <= total]
        return applicable[-1] if applicable else Decimal(0)

    def format_line(self, number: str, calculation: str) -> str:
        """Return the description on the fee's invoice."""
        return self.text.replace("{number}", number).replace("{calculation}", calculation)
