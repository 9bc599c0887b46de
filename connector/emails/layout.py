"""Fills the templates: words and layouts by minijinja with fuel, from plain strings alone; the HTML is MJML's.

MJML turns the layout into HTML once, with its placeholders still in it; values come in afterwards, escaped. So nothing
that a ledger says is ever read as MJML, and escaping happens in one place.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import minijinja
from mjml import mjml2html

FUEL = 60_000  # steps a template may take: a full table of rows needs a third of it
TEMPLATES = files("connector.emails") / "templates"

TemplateValues = Mapping[
    str, Any
]  # strings, lists of strings, and dicts of strings: nothing that has methods worth calling


# All that words may hold besides text: {{ name }}, and {% if %} about names and fixed texts. Fuel counts steps, and one
# step of a filter, of ~ or of format can fill the memory: so there are none.
_CONDITION = r"(?:\w++|'[^'{}]*'|\"[^\"{}]*\"|==|!=|\s++)++"  # possessive: nothing to try again
_ALLOWED_SYNTAX = re.compile(
    r"\{\{-?\s*[A-Za-z_]\w*\s*-?\}\}|\{%-?\s*(?:else|endif|(?:el)?if\s" + _CONDITION + r")\s*-?%\}"
)
_TEMPLATE_LENGTH_MAX = 20_000


class RenderError(Exception):
    """A line that cannot be filled: a name that does not exist, broken syntax, or more work than a mail is worth."""


def _needs_escaping(name: str) -> bool:
    return name.endswith(".html")


@cache
def _environment() -> minijinja.Environment:
    html = mjml2html((TEMPLATES / "layout.mjml").read_text(encoding="utf-8"), fonts={})  # no fonts from elsewhere
    text = (TEMPLATES / "layout.txt").read_text(encoding="utf-8")
    return minijinja.Environment(
        templates={"layout.html": html, "layout.txt": text},
        fuel=FUEL,
        debug=False,  # its errors would show the values
        undefined_behavior="strict",
        auto_escape_callback=_needs_escaping,
    )


def render_line(template: str, values: TemplateValues) -> str:
    """Fill one line of the words; the outcome is plain text. Raises ``WordsError`` where it cannot be filled."""
    _check_syntax(template)
    try:
        return _environment().render_str(template, "words", **values)
    except minijinja.TemplateError as error:
        raise RenderError(str(error).splitlines()[0]) from error


@lru_cache(maxsize=2000)
def _check_syntax(template: str) -> None:
    if len(template) > _TEMPLATE_LENGTH_MAX:
        message = f"these words are longer than {_TEMPLATE_LENGTH_MAX} letters"
        raise RenderError(message)
    left = re.search(r"\{[{%#].{0,40}", _ALLOWED_SYNTAX.sub("", template), re.DOTALL)
    if left is not None:
        message = f"only {{{{ name }}}} and {{% if name %}} may stand in words, not {' '.join(left[0].split())!r}"
        raise RenderError(message)


def render_layout(name: str, values: TemplateValues) -> str:
    """Fill ``layout.html`` or ``layout.txt``."""
    return _environment().render_template(name, **values)


@cache
def load_texts(language: str) -> Mapping[str, Any]:
    """Read the texts of one language."""
    return tomllib.loads((TEMPLATES / "text" / f"{language}.toml").read_text(encoding="utf-8"))


def load_step_lines(language: str, step: str, tone: str) -> dict[str, str]:
    """Pick the lines of one step; what a tone says differently takes the place of the step's own."""
    own = load_texts(language)[step]
    lines: dict[str, str] = {name: text for name, text in own.items() if isinstance(text, str)}
    return {**lines, **own.get(tone, {})}
