"""Renders the pages: Jinja2 templates of the folder ``templates``, everything escaped; no script but passkeys' own."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from connector.db.money import from_e4
from connector.vocabulary.labels import label
from policies import formatting

_FOLDER = Path(__file__).parent
STYLE = (_FOLDER / "style.css").read_text(encoding="utf-8")
ICON = (_FOLDER / "icon.svg").read_text(encoding="utf-8")
PASSKEY_SCRIPT = (_FOLDER / "passkeys.js").read_text(encoding="utf-8")
# For the pages that ask for a passkey, which no browser does without a script; all others allow none.
PASSKEY_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)


def format_datetime(value: datetime | None, time_zone: str = "UTC") -> str | Markup:
    """Show an instant to a person, to the minute."""
    if value is None:
        return "never"
    there = value.astimezone(ZoneInfo(time_zone))
    shown = formatting.format_datetime(there)
    return Markup('<time datetime="{}">{}</time>').format(f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", shown)


def format_date(value: date | None) -> str:
    """Show a day to a person, written as in the sentences: ``3 Dec 2026``."""
    return "" if value is None else formatting.format_date(value)


def format_money(value: str | Decimal, currency: str) -> str:
    """Show a sum with its currency."""
    return f"{Decimal(value):,.2f} {currency}".strip()


def format_label(value: str) -> str:
    """Show a name of ours, like ``past_due``, in words."""
    return value.replace("_", " ")


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(
    moment=format_datetime, day=format_date, money=format_money, spoken=format_label, label=label, from_e4=from_e4
)


def render(template: str, **values: object) -> str:
    """Fill in a page; ``visit`` is the request it answers, None where nobody's name is on the page."""
    return _ENVIRONMENT.get_template(template).render({"request": None, **values})
