"""What a bookkeeper sets: one TOML document, laid over ``defaults.toml``, checked, and compiled into a timetable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from pathlib import Path

from policies import parts, rules, toml_writer
from policies.document import Findings, PolicyError, Problem, Section, Table, different, laid_over, lines_of, parse
from policies.fee_rules import PRESETS, LateFees
from policies.receivables import Customer, Step
from policies.segments import segment_of
from policies.special import MOST_PERCENT, NOT_AT_ALL, AppliesTo
from policies.timetable import Row

__all__ = ["PolicyError", "Problem", "ReminderPolicy"]

_HERE = Path(__file__).parent
_TONES = ("gentle", "standard", "firm")
_OF_ALL = frozenset({"segments", "sizes", "hold_out", "digest", "policies"})
LANGUAGES = ("", "en", "de", "fr", "es")  # "": of the company's country


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
    replies: parts.Replies
    ways_to_pay: parts.WaysToPay
    digest_language: str
    hold_out_percent: int
    document: Table = field(repr=False, compare=False)
    name: str = ""
    special: tuple[tuple[AppliesTo, ReminderPolicy], ...] = ()

    @classmethod
    def from_toml(cls, text: str) -> ReminderPolicy:
        """Read a document laid over the defaults; raises ``PolicyError`` with everything that is wrong."""
        own = parse(text)
        others = own.pop("policies", {})
        findings = Findings(lines_of(text))
        policy = _laid(own, findings)
        if findings.problems:
            raise PolicyError(findings.problems)
        special = tuple(_special(own, name, table, findings) for name, table in _tables(others, findings))
        if findings.problems:
            raise PolicyError(findings.problems)
        said = {
            each.name: {"applies_to": others[each.name]["applies_to"], **different(each.document, policy.document)}
            for _, each in special
        }
        document = {**policy.document, "policies": said} if said else policy.document
        return replace(policy, special=special, document=document)

    def chosen_for(self, customer: Customer, today: date) -> ReminderPolicy:
        """Choose the policy of a customer: the one that names him most closely, the first of equals, else this one."""
        if not self.special:
            return self
        segment = segment_of(customer, self.segments, today)
        ranked = [(applies_to.closeness(customer, segment), policy) for applies_to, policy in self.special]
        closest, chosen = min(ranked, key=lambda each: each[0])
        return chosen if closest < NOT_AT_ALL else self

    @classmethod
    def default(cls) -> ReminderPolicy:
        """Give the policy that holds where nobody set anything."""
        return _default()

    def to_toml(self) -> str:
        """Write the whole policy, defaults and all, as a document."""
        return toml_writer.to_toml(self.document)


def _laid(own: Table, findings: Findings) -> ReminderPolicy:
    below = _below(_word(own.get("tone")), _word(_late_fees(own).get("preset")))
    return _read(_spoken_for(laid_over(below, own), _late_fees(own)), below, findings)


def _spoken_for(table: Table, said: Table) -> Table:
    """Take what the document says itself out of what is from memory; where it lists that itself, its list holds."""
    fees = table["late_fees"]
    if "unchecked" in said or not isinstance(fees, dict):
        return table
    rates = said.get("rates")
    own = {*said, *(rates if isinstance(rates, dict) else ())}
    return {**table, "late_fees": {**fees, "unchecked": [each for each in fees["unchecked"] if each not in own]}}


def _tables(others: object, findings: Findings) -> list[tuple[str, Table]]:
    found = [(name, table) for name, table in others.items()] if isinstance(others, dict) else []
    if not isinstance(others, dict) or not all(isinstance(table, dict) for _, table in found):
        findings.add(("policies",), "[policies] holds tables: [policies.friends] with applies_to and what is different")
        return []
    return found


def _special(own: Table, name: str, table: Table, findings: Findings) -> tuple[AppliesTo, ReminderPolicy]:
    """Read a policy for some customers: the document with what its table says instead."""
    inner = Findings(findings.lines, inside=("policies", name))
    applies_to = AppliesTo.read(Section(table.get("applies_to", {}), {}, ("applies_to",), inner))
    for key in _OF_ALL & table.keys():
        inner.add((key,), f"{key} belongs to the whole document")
    said = {key: value for key, value in table.items() if key != "applies_to" and key not in _OF_ALL}
    policy = _laid(laid_over(own, said), inner)
    findings.problems += [Problem(line, f"in [policies.{name}]: {text}") for line, text in inner.problems]
    return applies_to, replace(policy, name=name)


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
    statement, hold_out, digest = root.section("statement"), root.section("hold_out"), root.section("digest")
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
        replies=parts.Replies.read(root.section("replies")),
        ways_to_pay=parts.WaysToPay.read(root.section("ways_to_pay")),
        digest_language=digest.choice("language", LANGUAGES),
        hold_out_percent=hold_out.whole("percent", 0, MOST_PERCENT),
        document=table,
    )
    hold_out.done()
    digest.done()
    statement.done()
    root.done()
    return policy


def _row(tables: Mapping[Step, parts.StepTable], cell: parts.Cell) -> Row:
    by_call = frozenset(step for step, table in tables.items() if cell in table.by_call)
    return Row.of({step: table.days[cell] for step, table in tables.items()}, by_call)
