"""What the policy says about late fees: ``[late_fees]`` of the document, and its dated rates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from policies.document import Section
from policies.receivables import Customer
from policies.wording import day, percent

PRESETS = ("none", "uk", "eu", "germany", "france", "us", "canada", "australia", "new_zealand")
KINDS = ("flat", "percent", "percent_per_month", "annual")
MONTHLY = frozenset({"percent_per_month", "annual"})
_MOST = Decimal(10) ** 12


@dataclass(frozen=True, slots=True)
class LateFees:
    """Whether, how and how much a late fee is.

    ``rates`` are yearly rates by the day from which they hold, oldest first; ``compensation`` fixed sums per currency
    by the total from which they hold, smallest first. ``unchecked`` names what nobody has compared with its source.
    """

    enabled: bool
    needs_approval: bool
    terms_agreed_on: date | None
    no_business: frozenset[str]
    preset: str
    kind: str
    rate: Decimal
    amounts: Mapping[str, Decimal]
    rates: tuple[tuple[date, Decimal], ...]
    rate_of_first_day: bool
    rates_until: date | None
    unchecked: frozenset[str]
    compensation: Mapping[str, tuple[tuple[Decimal, Decimal], ...]]
    compound: bool
    minimum: Mapping[str, Decimal]
    maximum: Mapping[str, Decimal]
    grace_days: int
    cap_percent: Decimal
    ceiling_annual_percent: Decimal
    due_days: int
    text: str
    monthly_invoice: bool
    invoice_day: int

    @classmethod
    def read(cls, section: Section) -> LateFees:
        """Read ``[late_fees]``."""
        read = cls(
            enabled=section.switch("enabled"),
            needs_approval=section.choice("approval", ["person", "automatic"]) == "person",
            terms_agreed_on=section.day("terms_agreed_on"),
            no_business=frozenset(each.casefold() for each in section.texts("no_business")),
            preset=section.choice("preset", PRESETS),
            kind=section.choice("kind", KINDS),
            rate=section.amount("rate", Decimal(0), Decimal(100)),
            amounts=section.amounts("amounts"),
            rates=_rates(section.section("rates")),
            rate_of_first_day=section.switch("rate_of_first_day"),
            rates_until=section.day("rates_until"),
            unchecked=_unchecked(section),
            compensation=_compensation(section.section("compensation")),
            compound=section.switch("compound"),
            minimum=section.amounts("minimum"),
            maximum=section.amounts("maximum"),
            grace_days=section.whole("grace_days", 0, 365),
            cap_percent=section.amount("cap_percent", Decimal(0), Decimal(100)),
            ceiling_annual_percent=section.amount("ceiling_annual_percent", Decimal(0), Decimal(1000)),
            due_days=section.whole("due_days", 0, 365),
            text=_text(section),
            monthly_invoice=section.choice("invoice", ["each", "monthly"]) == "monthly",
            invoice_day=section.whole("invoice_day", 1, 28),
        )
        if read.enabled and read.kind == "flat" and not read.amounts:
            section.refuse("kind", 'is "flat", so amounts must say how much: { EUR = 15 }')
        section.done()
        return read

    def yearly_rate(self, on: date) -> Decimal:
        """Give the yearly rate that holds on a day: of the table where there is one, else the one rate."""
        held = [rate for from_on, rate in self.rates if from_on <= on]
        if held:
            return held[-1]
        return self.rates[0][1] if self.rates else self.rate

    def is_business(self, customer: Customer) -> bool:
        """Tell whether a customer is a business, as far as his tags and groups say: fees are for businesses alone."""
        return self.no_business.isdisjoint(each.casefold() for each in (*customer.tags, *customer.groups))

    def notes(self) -> list[str]:
        """Say what a person should know before this is in force: what is from memory, and what is done about it."""
        if not self.enabled:
            return []
        named = sorted(self.unchecked)
        words = [
            f"the rate of {day(date.fromisoformat(name))}" if name[0].isdigit() else f"the {name}" for name in named
        ]
        said = [f"From memory, not compared with its source: {', '.join(words)}."] if words else []
        if self.rates_until is not None and self.rates and self.rates[-1][0] <= self.rates_until:
            said.append(f"Not known yet: every rate after {day(self.rates_until)}.")
        return [*said, "A fee that rests on it waits for a person, whatever approval says."] if said else []

    def doubts(self, first_on: date, last_on: date, *, fixed: bool) -> list[str]:
        """Name what a fee over these days, perhaps with a fixed sum, rests on that nobody compared with its source."""
        said = self._doubtful_rates(first_on, last_on) if self.kind == "annual" and self.rates else []
        if "rate" in self.unchecked and self.kind != "flat" and not (self.kind == "annual" and self.rates):
            said.append(f"the rate of {percent(self.rate)}")
        return [*said, "the fixed sum"] if fixed and "compensation" in self.unchecked else said

    def _doubtful_rates(self, first_on: date, last_on: date) -> list[str]:
        said, known_on = [], self.rates_until
        ends = [on for on, _ in self.rates[1:]] + [date.max]
        for (from_on, rate), until_on in zip(self.rates, ends, strict=True):
            if from_on <= last_on and first_on < until_on and from_on.isoformat() in self.unchecked:
                said.append(f"the rate of {percent(rate)} from {day(from_on)} on")
        if first_on < self.rates[0][0]:
            said.append(f"the rate before {day(self.rates[0][0])}, of which the table says nothing")
        if known_on is not None and self.rates[-1][0] <= known_on < last_on:
            said.append(f"the rate after {day(known_on)}, of which the table says nothing yet")
        return said

    def compensation_of(self, total: Decimal, currency: str) -> Decimal:
        """Give the fixed sum for an invoice of this total."""
        sums = [amount for from_total, amount in self.compensation.get(currency, ()) if from_total <= total]
        return sums[-1] if sums else Decimal(0)

    def words(self, number: str, calculation: str) -> str:
        """Write the line of a fee's invoice."""
        return self.text.replace("{number}", number).replace("{calculation}", calculation)


def _text(section: Section) -> str:
    text = section.text("text", 400)
    for unknown in sorted(set(re.findall(r"\{[^}]*\}?", text)) - {"{number}", "{calculation}"}):
        section.refuse("text", f"names {unknown}; it may name {{number}} and {{calculation}}")
    return text


def _unchecked(section: Section) -> frozenset[str]:
    named = frozenset(section.texts("unchecked"))
    for name in sorted(named - {"rate", "compensation"}):
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", name):
            section.refuse("unchecked", f'names {name}; it may name "rate", "compensation" and days of rates')
    return named


def _rates(section: Section) -> tuple[tuple[date, Decimal], ...]:
    rates: list[tuple[date, Decimal]] = []
    for key in sorted(section.table):
        try:
            from_on = date.fromisoformat(key)
        except ValueError:
            section.refuse(key, 'is no day: write "2026-07-01" = 11.75')
        else:
            rates.append((from_on, section.amount(key, Decimal(0), Decimal(100))))
        section.asked.add(key)
    return tuple(sorted(rates))


def _compensation(section: Section) -> dict[str, tuple[tuple[Decimal, Decimal], ...]]:
    return {code: _sums(section.section(code)) for code in section.currencies()}


def _sums(section: Section) -> tuple[tuple[Decimal, Decimal], ...]:
    section.asked.update(section.table)
    wrong = [key for key in section.table if not key.isdecimal()]
    for key in wrong:
        section.refuse(key, 'is no total: write "1000" = 70')
    read = [(Decimal(key), section.amount(key, Decimal(0), _MOST)) for key in section.table if key not in wrong]
    return tuple(sorted(read))
