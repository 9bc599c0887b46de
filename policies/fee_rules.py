"""What the policy says about late fees: ``[late_fees]`` of the document, and its dated rates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from policies.document import Section
from policies.formatting import format_date, format_percent
from policies.receivables import Customer

PRESETS = ("none", "uk", "eu", "germany", "france", "us", "canada", "australia", "new_zealand")
KINDS = ("flat", "percent", "percent_per_month", "annual")
MONTHLY_KINDS = frozenset({"percent_per_month", "annual"})
_MAX_AMOUNT = Decimal(10) ** 12


@dataclass(frozen=True, slots=True)
class LateFees:
    """Whether, how and how much a late fee is.

    ``rates`` are yearly rates by the day from which they hold, oldest first; ``compensation`` fixed sums per currency
    by the total from which they hold, smallest first. ``unverified`` names what nobody has compared with its source.
    """

    enabled: bool
    needs_approval: bool
    terms_agreed_on: date | None
    consumer_tags: frozenset[str]
    preset: str
    kind: str
    rate: Decimal
    amounts: Mapping[str, Decimal]
    rates: tuple[tuple[date, Decimal], ...]
    rate_fixed_at_start: bool
    rates_known_until: date | None
    unverified: frozenset[str]
    compensation: Mapping[str, tuple[tuple[Decimal, Decimal], ...]]
    compound: bool
    minimum: Mapping[str, Decimal]
    maximum: Mapping[str, Decimal]
    grace_days: int
    cap_percent: Decimal
    max_annual_percent: Decimal
    due_days: int
    text: str
    monthly_invoice: bool
    invoice_day: int

    @classmethod
    def read(cls, section: Section) -> LateFees:
        """Read ``[late_fees]``."""
        read = cls(
            enabled=section.boolean("enabled"),
            needs_approval=section.choice("approval", ["person", "automatic"]) == "person",
            terms_agreed_on=section.optional_date("terms_agreed_on"),
            consumer_tags=frozenset(each.casefold() for each in section.strings("consumer_tags")),
            preset=section.choice("preset", PRESETS),
            kind=section.choice("kind", KINDS),
            rate=section.decimal("rate", Decimal(0), Decimal(100)),
            amounts=section.currency_amounts("amounts"),
            rates=_rates(section.section("rates")),
            rate_fixed_at_start=section.boolean("rate_fixed_at_start"),
            rates_known_until=section.optional_date("rates_known_until"),
            unverified=_unverified(section),
            compensation=_compensation(section.section("compensation")),
            compound=section.boolean("compound"),
            minimum=section.currency_amounts("minimum"),
            maximum=section.currency_amounts("maximum"),
            grace_days=section.integer("grace_days", 0, 365),
            cap_percent=section.decimal("cap_percent", Decimal(0), Decimal(100)),
            max_annual_percent=section.decimal("max_annual_percent", Decimal(0), Decimal(1000)),
            due_days=section.integer("due_days", 0, 365),
            text=_text(section),
            monthly_invoice=section.choice("invoicing", ["per_fee", "monthly"]) == "monthly",
            invoice_day=section.integer("invoice_day", 1, 28),
        )
        if read.enabled and read.kind == "flat" and not read.amounts:
            section.report_conflict("kind", 'is "flat", so amounts must say how much: { EUR = 15 }')
        section.check_unknown_keys()
        return read

    def annual_rate_on(self, on: date) -> Decimal:
        """Give the yearly rate that holds on a day: of the table where there is one, else the one rate."""
        held = [rate for from_on, rate in self.rates if from_on <= on]
        if held:
            return held[-1]
        return self.rates[0][1] if self.rates else self.rate

    def is_business(self, customer: Customer) -> bool:
        """Tell whether a customer is a business, as far as his tags and groups say: fees are for businesses alone."""
        return self.consumer_tags.isdisjoint(each.casefold() for each in (*customer.tags, *customer.groups))

    def warnings(self) -> list[str]:
        """Say what a person should know before this is in force: what is from memory, and what is done about it."""
        if not self.enabled:
            return []
        named = sorted(self.unverified)
        words = [
            f"the rate of {format_date(date.fromisoformat(name))}" if name[0].isdigit() else f"the {name}"
            for name in named
        ]
        said = [f"From memory, not compared with its source: {', '.join(words)}."] if words else []
        if self.rates_known_until is not None and self.rates and self.rates[-1][0] <= self.rates_known_until:
            said.append(f"Not known yet: every rate after {format_date(self.rates_known_until)}.")
        return [*said, "A fee that rests on it waits for a person, whatever approval says."] if said else []

    def unverified_inputs(self, first_on: date, last_on: date, *, with_compensation: bool) -> list[str]:
        """Name what a fee over these days, perhaps with a fixed sum, rests on that nobody compared with its source."""
        said = self._unverified_rates(first_on, last_on) if self.kind == "annual" and self.rates else []
        if "rate" in self.unverified and self.kind != "flat" and not (self.kind == "annual" and self.rates):
            said.append(f"the rate of {format_percent(self.rate)}")
        return [*said, "the fixed sum"] if with_compensation and "compensation" in self.unverified else said

    def _unverified_rates(self, first_on: date, last_on: date) -> list[str]:
        said, known_on = [], self.rates_known_until
        ends = [on for on, _ in self.rates[1:]] + [date.max]
        for (from_on, rate), until_on in zip(self.rates, ends, strict=True):
            if from_on <= last_on and first_on < until_on and from_on.isoformat() in self.unverified:
                said.append(f"the rate of {format_percent(rate)} from {format_date(from_on)} on")
        if first_on < self.rates[0][0]:
            said.append(f"the rate before {format_date(self.rates[0][0])}, of which the table says nothing")
        if known_on is not None and self.rates[-1][0] <= known_on < last_on:
            said.append(f"the rate after {format_date(known_on)}, of which the table says nothing yet")
        return said

    def compensation_for(self, total: Decimal, currency: str) -> Decimal:
        """Give the fixed sum for an invoice of this total."""
        sums = [amount for from_total, amount in self.compensation.get(currency, ()) if from_total <= total]
        return sums[-1] if sums else Decimal(0)

    def format_line(self, number: str, calculation: str) -> str:
        """Write the line of a fee's invoice."""
        return self.text.replace("{number}", number).replace("{calculation}", calculation)


def _text(section: Section) -> str:
    text = section.string("text", 400)
    for unknown in sorted(set(re.findall(r"\{[^}]*\}?", text)) - {"{number}", "{calculation}"}):
        section.report_conflict("text", f"names {unknown}; it may name {{number}} and {{calculation}}")
    return text


def _unverified(section: Section) -> frozenset[str]:
    named = frozenset(section.strings("unverified"))
    for name in sorted(named - {"rate", "compensation"}):
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", name):
            section.report_conflict("unverified", f'names {name}; it may name "rate", "compensation" and days of rates')
    return named


def _rates(section: Section) -> tuple[tuple[date, Decimal], ...]:
    rates: list[tuple[date, Decimal]] = []
    for key in sorted(section.table):
        try:
            from_on = date.fromisoformat(key)
        except ValueError:
            section.report_conflict(key, 'is no day: write "2026-07-01" = 11.75')
        else:
            rates.append((from_on, section.decimal(key, Decimal(0), Decimal(100))))
        section.read_keys.add(key)
    return tuple(sorted(rates))


def _compensation(section: Section) -> dict[str, tuple[tuple[Decimal, Decimal], ...]]:
    return {code: _amounts_by_total(section.section(code)) for code in section.currencies()}


def _amounts_by_total(section: Section) -> tuple[tuple[Decimal, Decimal], ...]:
    section.read_keys.update(section.table)
    wrong = [key for key in section.table if not key.isdecimal()]
    for key in wrong:
        section.report_conflict(key, 'is no total: write "1000" = 70')
    read = [(Decimal(key), section.decimal(key, Decimal(0), _MAX_AMOUNT)) for key in section.table if key not in wrong]
    return tuple(sorted(read))
