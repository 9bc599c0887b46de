"""The history of a simulated company by seed: a year of realistic events up to today, and further ones after it.

All bookkeeping is late in the evening, when it is night for every customer who is emailed: how often a client syncs
during the day cannot change what it sees while it may send emails. The history does not react to reminders.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from sandbox.customers import CustomerProfile, build_customer_profiles
from sandbox.events import (
    BillReceived,
    Customer,
    CustomerAdded,
    CustomerArchived,
    EmailChanged,
    Event,
    InvoiceIssued,
    Line,
)
from sandbox.payment_history import build_payment_events, build_scenario_events

DAYS_BEFORE = 365
DAYS_AFTER = 430


@dataclass(frozen=True, slots=True)
class SimulatedCompany:
    """A simulated company; ``bookkeeping_hour`` is when its bookkeeper works, in local time."""

    name: str
    country: str
    currency: str
    time_zone: str
    bookkeeping_hour: int


COMPANIES = {
    "xero": SimulatedCompany("Harbour & Finch Studio Ltd", "GB", "GBP", "Europe/London", 23),
    "quickbooks": SimulatedCompany("Larkspur Field Services LLC", "US", "USD", "America/New_York", 21),
}
# code, description, price
ITEMS = (
    ("DESIGN", "Design work, per day", 480),
    ("CONSULT", "Consulting, per hour", 95),
    ("HOST", "Hosting and support, one month", 120),
    ("PHOTO", "Photography, half a day", 350),
    ("COPY", "Copy-editing, per page", 18),
    ("PRINT", "Print run, per hundred", 64),
)
_SUPPLIERS = ("Northgate Utilities", "Paperwright Supplies", "Clearline Telecom")


class CompanyHistory:
    """All customers and events of a company, oldest first; ``today`` is where its past ends."""

    def __init__(self, seed: int, company: str, today: date) -> None:
        """Generate the whole history: about 1,500 invoices in some fifty milliseconds."""
        self.seed = seed
        self.company = COMPANIES[company]
        self.today = today
        self.calendar = BookkeepingCalendar(self.company, today)
        profiles = build_customer_profiles(seed, company)
        self.customers: tuple[Customer, ...] = tuple(profile.customer for profile in profiles)
        invoices = _assign_numbers(
            sorted(_issue_invoices(profiles, self.calendar, seed, company), key=lambda pair: pair[0].at)
        )
        events: list[Event] = [*_contact_events(profiles, self.calendar), *_bill_events(self.calendar, self.company)]
        events += [invoice for invoice, _ in invoices]
        events += build_payment_events(invoices, self.calendar, seed)
        events += build_scenario_events(invoices, self.calendar)
        self.events: tuple[Event, ...] = tuple(sorted(events, key=lambda event: event.at))
        self._times = [event.at for event in self.events]

    def between(self, after: datetime | None, until: datetime) -> tuple[Event, ...]:
        """Return the events after ``after``, up to and including ``until``."""
        first = 0 if after is None else bisect_right(self._times, after)
        return self.events[first : bisect_right(self._times, until)]

    def next_at(self, after: datetime) -> datetime | None:
        """Return the time of the next event after ``after``."""
        n = bisect_right(self._times, after)
        return self._times[n] if n < len(self._times) else None


@lru_cache(maxsize=16)
def get_history(seed: int, company: str, today: date) -> CompanyHistory:
    """Return a history; it is generated once and never changes."""
    return CompanyHistory(seed, company, today)


class BookkeepingCalendar:
    """Converts days relative to today into dates, and these into the time at which something is entered."""

    def __init__(self, company: SimulatedCompany, today: date) -> None:
        """Use the bookkeeping hour of the company."""
        self._zone = ZoneInfo(company.time_zone)
        self._bookkeeping_hour = company.bookkeeping_hour
        self.today = today

    def day(self, days: int) -> date:
        """Return the first working day on or after today plus ``days``."""
        on = self.today + timedelta(days=days)
        return on + timedelta(days=max(0, 7 - on.isoweekday() + 1) if on.isoweekday() > 5 else 0)

    def weekday(self, on: date) -> date:
        """Return the first working day on or after ``on``."""
        return self.day((on - self.today).days)

    def evening(self, on: date, minute: int, second: int = 0) -> datetime:
        """Return the instant in the bookkeeping hour of a date."""
        local = datetime.combine(on, time(self._bookkeeping_hour, minute % 60, second % 60), self._zone)
        return local.astimezone(UTC)


def _issue_invoices(
    profiles: tuple[CustomerProfile, ...], calendar: BookkeepingCalendar, seed: int, company: str
) -> Iterator[tuple[InvoiceIssued, CustomerProfile]]:
    for profile in profiles:
        rng = random.Random(f"{seed}:{company}:{profile.customer.key}")
        days = profile.joined_offset_days + rng.randint(0, profile.invoice_interval_days)
        last = -220 if profile.scenario == "archived" else DAYS_AFTER
        while days < last:
            yield _build_invoice(rng, profile, calendar, days, company), profile
            days += max(5, profile.invoice_interval_days + rng.randint(-4, 6))


def _build_invoice(
    rng: random.Random, profile: CustomerProfile, calendar: BookkeepingCalendar, days: int, company: str
) -> InvoiceIssued:
    customer = profile.customer
    on = calendar.day(days)
    tax_percent = 20 if company == "xero" and customer.country == "GB" else 0
    lines = tuple(_build_line(rng, profile.amount_scale, tax_percent) for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 5))))
    other = profile.scenario == "two_currencies" and rng.random() < 0.4
    return InvoiceIssued(
        at=calendar.evening(on, rng.randint(0, 25), rng.randint(0, 59)),
        on=on,
        key="",
        number="",
        customer_key=customer.key,
        currency="EUR" if other else customer.currency,
        due_on=on + timedelta(days=customer.terms_days),
        lines=lines,
        total=sum((line.net + line.tax for line in lines), Decimal(0)),
        draft=rng.random() < 0.01,
        reference=f"PO {rng.randint(1000, 9999)}" if rng.random() < 0.5 else "",
    )


def _build_line(rng: random.Random, scale: int, tax_percent: int) -> Line:
    code, description, price = rng.choice(ITEMS)
    quantity = Decimal(rng.randint(1, 6 * scale)) if rng.random() < 0.8 else Decimal(rng.randint(1, 40)) / 4
    cents = rng.choice((0, 0, 0, 50, 95))
    return Line(code, description, quantity, Decimal(price * 100 + cents) / 100, tax_percent)


def _assign_numbers(issued: list[tuple[InvoiceIssued, CustomerProfile]]) -> list[tuple[InvoiceIssued, CustomerProfile]]:
    result = []
    for n, (event, profile) in enumerate(issued, 1):
        result.append((_with_number(event, n), profile))
    return result


def _with_number(event: InvoiceIssued, n: int) -> InvoiceIssued:
    return InvoiceIssued(
        at=event.at,
        on=event.on,
        key=f"I{n:05}",
        number=f"INV-{1000 + n}",
        customer_key=event.customer_key,
        currency=event.currency,
        due_on=event.due_on,
        lines=event.lines,
        total=event.total,
        draft=event.draft,
        reference=event.reference,
    )


def _contact_events(profiles: tuple[CustomerProfile, ...], calendar: BookkeepingCalendar) -> Iterator[Event]:
    for n, profile in enumerate(profiles):
        # Before their first invoice: entered on the evening before they joined.
        on = calendar.today + timedelta(days=profile.joined_offset_days - 1)
        yield CustomerAdded(calendar.evening(on, n // 60, n), on, profile.customer)
        if profile.scenario == "archived":
            archived_on = calendar.day(-120)
            yield CustomerArchived(calendar.evening(archived_on, 57), archived_on, profile.customer.key)
        if profile.scenario == "changes_email":
            for days, mailbox in ((-30, "billing"), (45, "finance")):
                on = calendar.day(days)
                email = profile.customer.email.replace("accounts", mailbox)
                yield EmailChanged(calendar.evening(on, 57), on, profile.customer.key, email)


def _bill_events(calendar: BookkeepingCalendar, company: SimulatedCompany) -> Iterator[Event]:
    for n, days in enumerate(range(-DAYS_BEFORE + 3, DAYS_AFTER, 30)):
        for m, supplier in enumerate(_SUPPLIERS):
            on = calendar.day(days + m)
            yield BillReceived(
                at=calendar.evening(on, 50 + m),
                on=on,
                key=f"B{n:03}{m}",
                number=f"{supplier[:2].upper()}-{7000 + n}",
                supplier=supplier,
                currency=company.currency,
                due_on=on + timedelta(days=30),
                total=Decimal(8000 + 37 * n + 1100 * m) / 100,
                paid_on=calendar.day(days + m + 20),
            )
