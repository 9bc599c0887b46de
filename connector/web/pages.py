"""Renders the pages: Jinja2 templates beside this file, everything escaped, no script anywhere."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_FOLDER = Path(__file__).parent
STYLE = (_FOLDER / "style.css").read_text(encoding="utf-8")


def moment(value: datetime | None) -> str:
    """Show an instant to a person, to the minute."""
    return "never" if value is None else f"{value:%d %b %Y %H:%M} UTC"


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_ENVIRONMENT.filters["moment"] = moment


def render(template: str, **values: object) -> str:
    """Fill in a page."""
    return _ENVIRONMENT.get_template(template).render(values)
