"""Creates companies: empty ones, and the one with a year of history, which is cached so that tests get it quickly."""

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
    """Create a company with accounts, items, terms and its own records, dated ``opened_at``, without customers."""
    ledger = CompanyLedger(realm, profile, now)
    ledger.set_time(opened_at)
    add_default_records(ledger)
    update_company_info(ledger)
    ledger.set_time(None)
    return ledger


def create_company_with_history(
    history: CompanyHistory, seed: int, now: Callable[[], datetime]
) -> tuple[CompanyLedger, HistoryReplay]:
    """Create the company of this history with all events up to now."""
    lived = len(history.between(None, now()))
    # A copy of what was created before for the same seed, date and number of events is five times faster.
    ledger, life = pickle.loads(_pickled_company(seed, history.today, lived))  # noqa: S301 - our own bytes, from this process
    ledger.clock = now
    return ledger, life


@lru_cache(maxsize=8)
def _pickled_company(seed: int, today: date, event_count: int) -> bytes:
    past = get_history(seed, "quickbooks", today)
    midnight = datetime.combine(today, time(), UTC)
    ledger = create_company(REALM, home_profile(), midnight - timedelta(days=DAYS_BEFORE + 30), _clock_not_available)
    life = HistoryReplay(ledger)
    life.apply_events(past.events[:event_count])
    return pickle.dumps((ledger, life), pickle.HIGHEST_PROTOCOL)


def _clock_not_available() -> datetime:
    message = "the history dates its own changes"
    raise RuntimeError(message)


def home_profile() -> CompanyProfile:
    """Return the profile of the company with a history."""
    home = COMPANIES["quickbooks"]
    return CompanyProfile(home.name, home.country, home.currency, home.time_zone, rates=dict(RATES))


def home_today(started_at: datetime) -> date:
    """Return the date in the company's time zone at the sandbox's start, where the past ends."""
    return started_at.astimezone(ZoneInfo(COMPANIES["quickbooks"].time_zone)).date()
