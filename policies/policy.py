"""What a bookkeeper sets: one TOML document, laid over ``defaults.toml``, checked, and compiled into a timetable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from policies import parts, rules, toml_writer
from policies.document import Findings, PolicyError, Problem, Section, Table, laid_over, lines_of, parse
from policies.fee_rules import PRESETS, LateFees
from policies.receivables import Step
from policies.timetable import Row

__all__ = ["PolicyError", "Problem", "ReminderPolicy"]

_HERE = Path(__file__).parent
_TONES = ("gentle", "standard", "firm")


@dataclass(frozen=True)
class ReminderPolicy:
    """The whole policy, checked. ``document`` is what it was read from, with the defaults below it."""

    tone: str
    rows: Mapping[parts.Cell, Row]
    frequency: parts.Frequency
    window: parts.Window
    due_soon_days: int
    segments: parts.Segments
    sizes: parts.Sizes
    minimum: parts.Minimum
    books: parts.Books
    thanks: parts.Thanks
    late_fees: LateFees
    disputes: parts.Disputes
    promises: parts.Promises
    document: Table = field(repr=False, compare=False)

    @classmethod
    def from_toml(cls, text: str) -> ReminderPolicy:
        """Read a document laid over the defaults; raises ``PolicyError`` with everything that is wrong."""
        own = parse(text)
        below = _below(_word(own.get("tone")), _word(_late_fees(own).get("preset")))
        findings = Findings(lines_of(text))
        policy = _read(laid_over(below, own), below, findings)
        if findings.problems:
            raise PolicyError(findings.problems)
        return policy

    @classmethod
    def default(cls) -> ReminderPolicy:
        """Give the policy that holds where nobody set anything."""
        return _default()

    def to_toml(self) -> str:
        """Write the whole policy, defaults and all, as a document."""
        return toml_writer.to_toml(self.document)


@cache
def _default() -> ReminderPolicy:
    return ReminderPolicy.from_toml("")


@cache
def _below(tone: str, fees: str) -> Table:
    """Read the defaults with the presets a document names laid over them; an unknown name is refused later."""
    below = parse((_HERE / "defaults.toml").read_text(encoding="utf-8"))
    names = [f"tone_{tone}"] if tone in _TONES and tone != "standard" else []
    names += [f"fees_{fees}"] if fees in PRESETS and fees != "none" else []
    for name in names:
        below = laid_over(below, parse((_HERE / "presets" / f"{name}.toml").read_text(encoding="utf-8")))
    return below


def _late_fees(own: Table) -> Table:
    table = own.get("late_fees")
    return table if isinstance(table, dict) else {}


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _read(table: Table, defaults: Table, findings: Findings) -> ReminderPolicy:
    root = Section(table, defaults, (), findings)
    tables: dict[Step, parts.StepTable] = {
        step: parts.StepTable.read(root.section(step.value), step) for step in rules.TABLED
    }
    rules.check({step: each.days for step, each in tables.items()}, findings)
    statement = root.section("statement")
    policy = ReminderPolicy(
        tone=root.choice("tone", _TONES),
        rows={cell: _row(tables, cell) for cell in parts.CELLS},
        frequency=parts.Frequency.read(root.section("frequency")),
        window=parts.Window.read(root.section("window")),
        due_soon_days=statement.whole("due_soon_days", 0, 60),
        segments=parts.Segments.read(root.section("segments")),
        sizes=parts.Sizes.read(root.section("sizes")),
        minimum=parts.Minimum.read(root.section("minimum")),
        books=parts.Books.read(root.section("books")),
        thanks=parts.Thanks.read(root.section("thank_you")),
        late_fees=LateFees.read(root.section("late_fees")),
        disputes=parts.Disputes.read(root.section("dispute_raised")),
        promises=parts.Promises.read(root.section("promise_broken")),
        document=table,
    )
    statement.done()
    root.done()
    return policy


def _row(tables: Mapping[Step, parts.StepTable], cell: parts.Cell) -> Row:
    by_call = frozenset(step for step, table in tables.items() if cell in table.by_call)
    return Row.of({step: table.days[cell] for step, table in tables.items()}, by_call)
