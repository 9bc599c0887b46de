"""Renders pages from the Jinja2 templates in ``templates``: everything is escaped, and no page has inline scripts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale
from babel.numbers import format_decimal
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from connector.db.money import from_e4
from connector.services.entry_email import format_size
from connector.vocabulary.labels import in_sentence, label
from policies import formatting
from policies.currencies import plain_amount

_FOLDER = Path(__file__).parent
STYLE = (_FOLDER / "style.css").read_text(encoding="utf-8")
ICON = (_FOLDER / "icon.svg").read_text(encoding="utf-8")
PASSKEY_SCRIPT = (_FOLDER / "passkeys.js").read_text(encoding="utf-8")
LIST_SCRIPT = (_FOLDER / "lists.js").read_text(encoding="utf-8")
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
_ENVIRONMENT.filters.update(
    datetime=format_datetime,
    date=format_date,
    money=format_money,
    label=label,
    in_sentence=in_sentence,
    language=language_name,
    from_e4=from_e4,
    file_size=format_size,
)


def render(template: str, **values: object) -> str:
    """Return a page as HTML. ``request`` is the ``PageRequest`` it answers, None on pages without a user's name."""
    return _ENVIRONMENT.get_template(template).render({"request": None, **values})
