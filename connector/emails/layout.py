"""Fill the texts and the layouts of emails with minijinja; the HTML layout is compiled from MJML.

MJML turns the layout into HTML once, with its placeholders still in it. Values are filled in afterwards and escaped, so
nothing that comes from a ledger is ever read as MJML, and escaping happens in one place.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, cast

from connector.branding import colours
from connector.languages import elide_articles
from connector.plain_text import in_left_to_right_text
from providers.import_lock import IMPORT_LOCK

if TYPE_CHECKING:
    import minijinja

FUEL = 60_000  # steps a template may take: a full table of rows needs a third of it
TEMPLATES = files("connector.emails") / "templates"

# All that a text may contain besides plain text: {{ name }}, and {% if %} about names and literals. Fuel counts steps,
# but one single step of a filter, of ~ or of format can fill the memory, so none of these is allowed.
_CONDITION = r"(?:\w++|'[^'{}]*'|\"[^\"{}]*\"|==|!=|\s++)++"  # possessive: no backtracking
_ALLOWED_SYNTAX = re.compile(
    r"\{\{-?\s*[A-Za-z_]\w*\s*-?\}\}|\{%-?\s*(?:else|endif|(?:el)?if\s" + _CONDITION + r")\s*-?%\}"
)
_TEMPLATE_LENGTH_MAX = 20_000

Lines = Mapping[str, str]
StepTable = Mapping[str, str | Lines]


class RenderError(Exception):
    """A text that cannot be filled: an unknown placeholder, broken syntax, or too much work for an email."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Every text in one language, by the table of the TOML file that it stands in."""

    labels: Lines
    portal: Lines
    stop: Lines
    statement: Lines
    bank: Lines
    digest: Lines
    digest_steps: Lines
    digest_delivery: Lines
    since_last: Lines
    steps: Mapping[str, StepTable]

    def step_lines(self, step: str, tone: str) -> dict[str, str]:
        """Return the lines of one step; those that the tone words differently replace the step's own."""
        table = self.steps[step]
        lines = {name: text for name, text in table.items() if isinstance(text, str)}
        return {**lines, **cast("Lines", table.get(tone, {}))}

    def again_lines(self, step: str, earlier: int) -> dict[str, str]:
        """Return the lines that replace those of a step for a customer who had ``earlier`` emails of it.

        Openings and closings take turns, each with its own number of them, so that their combinations last longer.
        """
        table = cast("Lines", self.steps[step].get("again", {}))
        lines = {}
        for name in ("opening", "closing"):
            worded = [text for key, text in sorted(table.items()) if key.startswith(name)]
            turn = earlier % (len(worded) + 1)
            if turn:
                lines[name] = worded[turn - 1]
        return lines

    def moved_lines(self, step: str) -> dict[str, str]:
        """Return the lines that replace those of a step about an invoice that was due on no business day."""
        return dict(cast("Lines", self.steps[step].get("moved", {})))


@dataclass(frozen=True, slots=True)
class RowDetail:
    """A line below an invoice number; ``style`` is "muted" or "overdue"."""

    text: str
    style: str = "muted"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table; ``sentence`` is the same in plain text."""

    number: str
    sentence: str
    due: str = ""
    of_total: str = ""
    details: Sequence[RowDetail] = ()
    link: str = ""
    pay_label: str = ""


@dataclass(frozen=True, slots=True)
class Total:
    """A line below the table."""

    label: str
    amount: str


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows of the table below a heading of their own, with their sum."""

    heading: str = ""
    rows: Sequence[Row] = ()
    subtotal: Total | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What an email says first: how much, and when it is or was due."""

    amount: str
    due: str


@dataclass(frozen=True, slots=True)
class LinkedLine:
    """A line of a section, with the page that it opens, and a second link for what can be done about it."""

    text: str
    link: str = ""
    action: str = ""
    action_link: str = ""


@dataclass(frozen=True, slots=True)
class LineSection:
    """Lines below a heading; ``more`` says how many are left out, and opens them."""

    heading: str
    lines: Sequence[LinkedLine]
    more: LinkedLine | None = None


@dataclass(frozen=True, slots=True)
class Button:
    """The one button of an email."""

    text: str
    link: str


@dataclass(frozen=True, slots=True)
class InlinePicture:
    """A picture of the email, by its content id; width and height are those it is shown with."""

    content_id: str
    text: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Look:
    """What a company's emails look like; the colours are ``#rrggbb``."""

    accent: str = colours.DEFAULT_ACCENT
    dark_link: str = colours.dark_link(colours.DEFAULT_ACCENT)
    dark_button: str = colours.dark_button(colours.DEFAULT_ACCENT)
    logo: InlinePicture | None = None
    portrait: InlinePicture | None = None
    signature: Sequence[str] = ()
    legal_footer: Sequence[str] = ()
    links: Sequence[LinkedLine] = ()


@dataclass(frozen=True, slots=True)
class TransferLine:
    """A line to copy into a bank transfer."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class TransferText:
    """How to pay by bank, in one language.

    ``alt`` says what the code for banking apps holds to those who do not see it, ``image`` is its content id; both are
    "" without a code.
    """

    heading: str
    lines: Sequence[TransferLine]
    scan: str = ""
    alt: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutValues:
    """What ``layout.html`` and ``layout.txt`` are filled with; the fields that are lists are paragraphs."""

    language: str
    subject: str
    heading: str
    preview: str
    greeting: str
    opening: Sequence[str]
    closing: Sequence[str]
    footer: Sequence[str]
    company: str
    sender: str
    sign_off: str
    colon: str  # with its spaces, which differ in French
    summary: Summary | None = None
    groups: Sequence[RowGroup] = ()
    row_heading: str = ""
    amount_heading: str = ""
    totals: Sequence[Total] = ()
    button: Button | None = None
    notes: Sequence[str] = ()
    sections: Sequence[LineSection] = ()
    transfer: TransferText | None = None
    payment_instructions: str = ""
    portal_label: str = ""
    portal_link: str = ""
    stop_label: str = ""
    stop_link: str = ""
    look: Look = Look()


def render_line(template: str, values: Lines) -> str:
    """Fill one text and return plain text. Raises ``RenderError`` where it cannot be filled."""
    with IMPORT_LOCK:
        import minijinja  # noqa: PLC0415 - loaded with the first text

    _check_syntax(template)
    try:
        safe = {
            name: in_left_to_right_text(value) if isinstance(value, str) else value for name, value in values.items()
        }
        return elide_articles(_environment().render_str(template, "text", **safe))
    except minijinja.TemplateError as error:
        raise RenderError(str(error).splitlines()[0]) from error


def render_html(values: LayoutValues) -> str:
    """Fill the HTML layout."""
    return _environment().render_template("layout.html", **asdict(values))


def render_text(values: LayoutValues) -> str:
    """Fill the plain-text layout."""
    return _environment().render_template("layout.txt", **asdict(values))


@cache
def load_texts(language: str) -> Texts:
    """Return the texts of one language, by its code."""
    tables = tomllib.loads((TEMPLATES / "text" / f"{language}.toml").read_text(encoding="utf-8"))
    digest = tables.pop("digest")
    return Texts(
        labels=tables.pop("labels"),
        portal=tables.pop("portal"),
        stop=tables.pop("stop"),
        statement=tables.pop("statement"),
        bank=tables.pop("bank"),
        since_last=tables.pop("since_last"),
        digest_steps=digest.pop("steps"),
        digest_delivery=digest.pop("delivery"),
        digest=digest,
        steps=tables,
    )


@cache
def _environment() -> minijinja.Environment:
    with IMPORT_LOCK:
        import minijinja  # noqa: PLC0415
        from mjml import mjml2html  # noqa: PLC0415 - 20 MiB that only emails need

    html = mjml2html((TEMPLATES / "layout.mjml").read_text(encoding="utf-8"), fonts={})  # no web fonts
    text = (TEMPLATES / "layout.txt").read_text(encoding="utf-8")
    return minijinja.Environment(
        templates={"layout.html": html, "layout.txt": text},
        fuel=FUEL,
        debug=False,  # debug errors would show the values
        undefined_behavior="strict",
        auto_escape_callback=_needs_escaping,
    )


def _needs_escaping(name: str) -> bool:
    return name.endswith(".html")


@lru_cache(maxsize=2000)
def _check_syntax(template: str) -> None:
    if len(template) > _TEMPLATE_LENGTH_MAX:
        message = f"the text is longer than {_TEMPLATE_LENGTH_MAX} characters"
        raise RenderError(message)
    rest = re.search(r"\{[{%#].{0,40}", _ALLOWED_SYNTAX.sub("", template), re.DOTALL)
    if rest is not None:
        message = f"only {{{{ name }}}} and {{% if name %}} are allowed, not {' '.join(rest[0].split())!r}"
        raise RenderError(message)
