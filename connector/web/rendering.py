"""Renders pages from the Jinja2 templates in ``templates``: everything is escaped, and no page has inline scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

from babel import Locale
from babel.numbers import format_decimal
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from connector.db.money import from_e4
from connector.guides import guide
from connector.reports.formatting import format_short
from connector.services.entry_email import format_size
from connector.vocabulary.labels import in_sentence, label, provider_name
from connector.web.schedule_timeline import DEFINITIONS, draw_timeline
from policies import formatting
from policies.currencies import plain_amount

_FOLDER = Path(__file__).parent
STYLE = (_FOLDER / "style.css").read_text(encoding="utf-8")
ICON = (_FOLDER / "icon.svg").read_text(encoding="utf-8")
PASSKEY_SCRIPT = (_FOLDER / "passkeys.js").read_text(encoding="utf-8")
LIVE_SCRIPT = (_FOLDER / "live.js").read_text(encoding="utf-8")
LIST_SCRIPT = (_FOLDER / "lists.js").read_text(encoding="utf-8")
BRAND_SCRIPT = (_FOLDER / "brand.js").read_text(encoding="utf-8")
POLICY_SCRIPT = (_FOLDER / "policy.js").read_text(encoding="utf-8")
REVIEW_SCRIPT = (_FOLDER / "review.js").read_text(encoding="utf-8")
# For the pages of a signed-in user: our own scripts, which may fetch our own pages. Public pages allow no script.
SIGNED_IN_CSP = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
# For pages that ask for a passkey, which browsers allow to scripts only.
PASSKEY_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)


def format_datetime(value: datetime | None, time_zone: str = "UTC") -> str | Markup:
    """Return an instant to the minute in a time zone, as a ``<time>`` element: ``3 Dec 2026 14:05 GMT``."""
    if value is None:
        return "never"
    shown = formatting.format_datetime(value.astimezone(ZoneInfo(time_zone)))
    return Markup('<time datetime="{}">{}</time>').format(f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", shown)


def format_date(value: date | None) -> str:
    """Return a date as reason sentences write it: ``3 Dec 2026``; "" for None."""
    return "" if value is None else formatting.format_date(value)


def format_money(value: str | Decimal, currency: str) -> str:
    """Return an amount as reason sentences write it: ``EUR 1,234.50``, ``JPY 1,000``, ``KWD 1.234``."""
    return f"{currency} {format_amount(value, currency)}".strip()


def format_whole_money(value: Decimal, currency: str) -> str:
    """Return an estimate without the decimals that it cannot know: ``EUR 1,235``."""
    return f"{currency} {_whole(value):,}"


def _whole(value: Decimal) -> Decimal:
    return value.quantize(Decimal(1))


def format_amount(value: str | Decimal, currency: str) -> str:
    """Return an amount without its currency, with the decimals of ISO 4217, or with more where it has more.

    Babel's own decimals are the habits of cash (HUF, IDR and COP would lose theirs), so the pattern sets ours.
    """
    amount = Decimal(value)
    decimals = len(plain_amount(amount, currency).partition(".")[2])
    return format_decimal(amount, f"#,##0.{'0' * decimals}" if decimals else "#,##0", locale="en")


def language_name(code: str) -> str:
    """Return the English name of a language: ``de`` is German; an unknown code stays."""
    return str(Locale("en").languages.get(code, code))


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class _PageZones:
    """The time zones of a page: the one that all its times are shown in, if any, and those they were given in."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.given: Counter[str] = Counter()


_zones: ContextVar[_PageZones | None] = ContextVar("zones", default=None)


def _page_datetime(value: datetime | None, time_zone: str = "UTC") -> str | Markup:
    """Return an instant in the zone of the page, else in the one given."""
    zones = _zones.get()
    if zones is None or value is None:
        return format_datetime(value, time_zone)
    zones.given[time_zone] += 1
    return format_datetime(value, zones.shown or time_zone)


class PageTime(str):
    """An instant in a cell of a list: its text in the zone given, and in a page in the zone of that page."""

    __slots__ = ("time_zone", "value")
    value: datetime
    time_zone: str

    def __new__(cls, value: datetime, time_zone: str) -> Self:
        """Take an instant, and the zone of the company that it belongs to."""
        made = super().__new__(cls, formatting.format_datetime(value.astimezone(ZoneInfo(time_zone))))
        made.value, made.time_zone = value, time_zone
        return made

    def __html__(self) -> str:
        """Return it as an element, when the page is made."""
        return str(_page_datetime(self.value, self.time_zone))


def _page_zone() -> str:
    """Return the zone of the times so far on the page, "" where it has none."""
    zones = _zones.get()
    return (zones.shown or next(iter(zones.given))) if zones is not None and zones.given else ""


_ENVIRONMENT.filters.update(
    datetime=_page_datetime,
    date=format_date,
    money=format_money,
    whole_money=format_whole_money,
    short_money=format_short,
    whole=_whole,
    amount=format_amount,
    label=label,
    provider_name=provider_name,
    in_sentence=in_sentence,
    language=language_name,
    from_e4=from_e4,
    file_size=format_size,
)


_ENVIRONMENT.globals.update(
    guide_path=guide, page_zone=_page_zone, draw_timeline=draw_timeline, timeline_marks=DEFINITIONS
)


def render(template: str, **values: object) -> str:
    """Return a page as HTML. ``request`` is the ``PageRequest`` it answers, None on pages without a user's name.

    All times of a page are in one zone: the one that the user has chosen, else that of ``time_zone`` among the values,
    else the company's. Where companies of several zones meet, it is the one of most of its times; the page is then made
    a second time.
    """
    chosen = str(getattr(values.get("request"), "time_zone", "") or values.get("time_zone", ""))
    page, given = _render_in(chosen, template, values)
    if not chosen and len(given) > 1:
        page, _given = _render_in(given.most_common(1)[0][0], template, values)
    return page


def _render_in(time_zone: str, template: str, values: Mapping[str, object]) -> tuple[str, Counter[str]]:
    zones = _PageZones(time_zone)
    token = _zones.set(zones)
    try:
        return _ENVIRONMENT.get_template(template).render({"request": None, **values}), zones.given
    finally:
        _zones.reset(token)
