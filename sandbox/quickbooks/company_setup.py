"""Founds companies: empty ones, and the one with a year of history, kept frozen so that tests get it quickly."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from sandbox.quickbooks.company import update_company_info
from sandbox.quickbooks.company_ledger import REALM, CompanyLedger, CompanyProfile
from sandbox.quickbooks.history import HistoryReplay, add_default_records
from sandbox.simulation import COMPANIES, DAYS_BEFORE, CompanyHistory, get_history

RATES = {
    "CAD": Decimal("0.7312"), "GBP": Decimal("1.2694"), "EUR": Decimal("1.0871"),
    "AUD": Decimal("0.6548"), "NZD": Decimal("0.6011"), "CHF": Decimal("1.1235"), "JPY": Decimal("0.0066"),
}  # fmt: skip


def create_company(
    realm: str, profile: CompanyProfile, opened_at: datetime, now: Callable[[], datetime]
) -> CompanyLedger:
    """Found a company: accounts, items, terms and its own facts, entered at ``opened_at``; no customers yet."""
    books = CompanyLedger(realm, profile, now)
    books.set_time(opened_at)
    add_default_records(books)
    update_company_info(books)
    books.set_time(None)
    return books


def create_company_with_history(
    history: CompanyHistory, seed: int, now: Callable[[], datetime]
) -> tuple[CompanyLedger, HistoryReplay]:
    """Found the company of the world and let it live up to now."""
    lived = len(history.between(None, now()))
    # A copy of what was made before for the same seed, day and number of events: five times quicker.
    books, life = pickle.loads(_pickled_company(seed, history.today, lived))  # noqa: S301 - our own bytes, from this process
    books.clock = now
    return books, life


@lru_cache(maxsize=8)
def _pickled_company(seed: int, today: date, event_count: int) -> bytes:
    past = get_history(seed, "quickbooks", today)
    midnight = datetime.combine(today, time(), UTC)
    books = create_company(REALM, home_profile(), midnight - timedelta(days=DAYS_BEFORE + 30), _clock_not_available)
    life = HistoryReplay(books)
    life.apply_events(past.events[:event_count])
    return pickle.dumps((books, life), pickle.HIGHEST_PROTOCOL)


def _clock_not_available() -> datetime:
    message = "history happens at its own instants"
    raise RuntimeError(message)


def home_profile() -> CompanyProfile:
    """Return what the company with the history is like."""
    home = COMPANIES["quickbooks"]
    return CompanyProfile(home.name, home.country, home.currency, home.time_zone, rates=dict(RATES))


def home_today(started_at: datetime) -> date:
    """Return the company's own calendar day at the sandbox's start: its history ends there."""
    return started_at.astimezone(ZoneInfo(COMPANIES["quickbooks"].time_zone)).date()
