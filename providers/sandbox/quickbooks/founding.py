"""Founds companies: empty ones, and the one with a year of history, kept frozen so that tests get it quickly."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from providers.sandbox.quickbooks.books import REALM, Books, Profile
from providers.sandbox.quickbooks.company import state_company
from providers.sandbox.quickbooks.life import Life, open_books
from providers.sandbox.world import COMPANIES, DAYS_BEFORE, World, world

RATES = {
    "CAD": Decimal("0.7312"), "GBP": Decimal("1.2694"), "EUR": Decimal("1.0871"),
    "AUD": Decimal("0.6548"), "NZD": Decimal("0.6011"), "CHF": Decimal("1.1235"), "JPY": Decimal("0.0066"),
}  # fmt: skip


def found(realm: str, profile: Profile, opened_at: datetime, now: Callable[[], datetime]) -> Books:
    """Found a company: accounts, items, terms and its own facts, entered at ``opened_at``; no customers yet."""
    books = Books(realm, profile, now)
    books.at(opened_at)
    open_books(books)
    state_company(books)
    books.at(None)
    return books


def found_with_history(past: World, seed: int, now: Callable[[], datetime]) -> tuple[Books, Life]:
    """Found the company of the world and let it live up to now."""
    lived = len(past.between(None, now()))
    # A copy of what was made before for the same seed, day and number of events: five times quicker.
    books, life = pickle.loads(_frozen(seed, past.today, lived))  # noqa: S301 - our own bytes, from this process
    books.clock = now
    return books, life


@lru_cache(maxsize=8)
def _frozen(seed: int, today: date, lived: int) -> bytes:
    past = world(seed, "quickbooks", today)
    midnight = datetime.combine(today, time(), UTC)
    books = found(REALM, home_profile(), midnight - timedelta(days=DAYS_BEFORE + 30), _no_time)
    life = Life(books)
    life.go_on(past.events[:lived])
    return pickle.dumps((books, life), pickle.HIGHEST_PROTOCOL)


def _no_time() -> datetime:
    message = "history happens at its own instants"
    raise RuntimeError(message)


def home_profile() -> Profile:
    """Return what the company with the history is like."""
    home = COMPANIES["quickbooks"]
    return Profile(home.name, home.country, home.currency, home.time_zone, rates=dict(RATES))


def home_today(started_at: datetime) -> date:
    """Return the company's own calendar day at the sandbox's start: its history ends there."""
    return started_at.astimezone(ZoneInfo(COMPANIES["quickbooks"].time_zone)).date()
