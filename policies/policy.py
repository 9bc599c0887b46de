"""What a bookkeeper sets: one TOML document, laid over ``defaults.toml``, checked, and compiled into a timetable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from pathlib import Path

from policies import schedule_rules, sections, toml_writer
from policies.customer_policies import MAX_CONTROL_PERCENT, NO_MATCH, AppliesTo
from policies.document import (
    PolicyError,
    Problem,
    ProblemCollector,
    Section,
    Table,
    diff_tables,
    line_numbers,
    merge_tables,
    parse_toml,
)
from policies.fee_rules import PRESETS, LateFees
from policies.receivables import Customer, Step
from policies.schedule import Schedule
from policies.segments import segment_of

__all__ = ["PolicyError", "Problem", "ReminderPolicy"]

_PACKAGE_DIR = Path(__file__).parent
_TONES = ("gentle", "standard", "firm")
_GLOBAL_TABLES = frozenset({"segments", "sizes", "control_group", "digest", "policies"})
LANGUAGES = ("", "en", "de", "fr", "es")  # "": of the company's country


@dataclass(frozen=True)
class ReminderPolicy:
    """The whole policy, checked. ``document`` is what it was read from, with the defaults below it."""

    tone: str
    schedules: Mapping[sections.Cell, Schedule]
    frequency: sections.Frequency
    send_window: sections.SendWindow
    due_soon_days: int
    segments: sections.Segments
    sizes: sections.Sizes
    minimum_balance: sections.MinimumBalance
    data_freshness: sections.DataFreshness
    thank_you: sections.ThankYou
    late_fees: LateFees
    disputes: sections.Disputes
    promises: sections.Promises
    replies: sections.Replies
    payment_instructions: sections.PaymentInstructions
    digest_language: str
    control_group_percent: int
    document: Table = field(repr=False, compare=False)
    name: str = ""
    customer_policies: tuple[tuple[AppliesTo, ReminderPolicy], ...] = ()

    @classmethod
    def from_toml(cls, text: str) -> ReminderPolicy:
        """Read a document laid over the defaults; raises ``PolicyError`` with everything that is wrong."""
        own = parse_toml(text)
        others = own.pop("policies", {})
        findings = ProblemCollector(line_numbers(text))
        policy = _build_policy(own, findings)
        if findings.problems:
            raise PolicyError(findings.problems)
        special = tuple(
            _read_customer_policy(own, name, table, findings)
            for name, table in _customer_policy_tables(others, findings)
        )
        if findings.problems:
            raise PolicyError(findings.problems)
        said = {
            each.name: {"applies_to": others[each.name]["applies_to"], **diff_tables(each.document, policy.document)}
            for _, each in special
        }
        document = {**policy.document, "policies": said} if said else policy.document
        return replace(policy, customer_policies=special, document=document)

    def policy_for(self, customer: Customer, today: date) -> ReminderPolicy:
        """Choose the policy of a customer: the one that names him most closely, the first of equals, else this one."""
        if not self.customer_policies:
            return self
        segment = segment_of(customer, self.segments, today)
        ranked = [(applies_to.match_rank(customer, segment), policy) for applies_to, policy in self.customer_policies]
        closest, chosen = min(ranked, key=lambda each: each[0])
        return chosen if closest < NO_MATCH else self

    @classmethod
    def default(cls) -> ReminderPolicy:
        """Give the policy that holds where nobody set anything."""
        return _default()

    def to_toml(self) -> str:
        """Write the whole policy, defaults and all, as a document."""
        return toml_writer.to_toml(self.document)


def _build_policy(own: Table, findings: ProblemCollector) -> ReminderPolicy:
    below = _load_defaults(_string_or_empty(own.get("tone")), _string_or_empty(_late_fees_table(own).get("preset")))
    return _read_policy(_drop_overridden_unverified(merge_tables(below, own), _late_fees_table(own)), below, findings)


def _drop_overridden_unverified(table: Table, own_fees: Table) -> Table:
    """Take what the document says itself out of what is from memory; where it lists that itself, its list holds."""
    fees = table["late_fees"]
    if "unverified" in own_fees or not isinstance(fees, dict):
        return table
    rates = own_fees.get("rates")
    own = {*own_fees, *(rates if isinstance(rates, dict) else ())}
    return {**table, "late_fees": {**fees, "unverified": [each for each in fees["unverified"] if each not in own]}}


def _customer_policy_tables(others: object, findings: ProblemCollector) -> list[tuple[str, Table]]:
    found = [(name, table) for name, table in others.items()] if isinstance(others, dict) else []
    if not isinstance(others, dict) or not all(isinstance(table, dict) for _, table in found):
        findings.add(("policies",), "[policies] holds tables: [policies.friends] with applies_to and what is different")
        return []
    return found


def _read_customer_policy(
    own: Table, name: str, table: Table, findings: ProblemCollector
) -> tuple[AppliesTo, ReminderPolicy]:
    """Read a policy for some customers: the document with what its table says instead."""
    inner = ProblemCollector(findings.line_numbers, prefix=("policies", name))
    applies_to = AppliesTo.read(Section(table.get("applies_to", {}), {}, ("applies_to",), inner))
    for key in _GLOBAL_TABLES & table.keys():
        inner.add((key,), f"{key} belongs to the whole document")
    said = {key: value for key, value in table.items() if key != "applies_to" and key not in _GLOBAL_TABLES}
    policy = _build_policy(merge_tables(own, said), inner)
    findings.problems += [Problem(line, f"in [policies.{name}]: {text}") for line, text in inner.problems]
    return applies_to, replace(policy, name=name)


@cache
def _default() -> ReminderPolicy:
    return ReminderPolicy.from_toml("")


@cache
def _load_defaults(tone: str, fee_preset: str) -> Table:
    """Read the defaults with the presets a document names laid over them; an unknown name is refused later."""
    below = parse_toml((_PACKAGE_DIR / "defaults.toml").read_text(encoding="utf-8"))
    names = [f"tone_{tone}"] if tone in _TONES and tone != "standard" else []
    names += [f"fees_{fee_preset}"] if fee_preset in PRESETS and fee_preset != "none" else []
    for name in names:
        below = merge_tables(below, parse_toml((_PACKAGE_DIR / "presets" / f"{name}.toml").read_text(encoding="utf-8")))
    return below


def _late_fees_table(own: Table) -> Table:
    table = own.get("late_fees")
    return table if isinstance(table, dict) else {}


def _string_or_empty(value: object) -> str:
    return value if isinstance(value, str) else ""


def _read_policy(table: Table, defaults: Table, findings: ProblemCollector) -> ReminderPolicy:
    root = Section(table, defaults, (), findings)
    tables: dict[Step, sections.StepTable] = {
        step: sections.StepTable.read(root.section(step.value), step) for step in schedule_rules.SCHEDULED_STEPS
    }
    schedule_rules.check_schedule({step: each.days for step, each in tables.items()}, findings)
    statement, hold_out, digest = root.section("statement"), root.section("control_group"), root.section("digest")
    policy = ReminderPolicy(
        tone=root.choice("tone", _TONES),
        schedules={cell: _build_schedule(tables, cell) for cell in sections.CELLS},
        frequency=sections.Frequency.read(root.section("frequency")),
        send_window=sections.SendWindow.read(root.section("send_window")),
        due_soon_days=statement.integer("due_soon_days", 0, 60),
        segments=sections.Segments.read(root.section("segments")),
        sizes=sections.Sizes.read(root.section("sizes")),
        minimum_balance=sections.MinimumBalance.read(root.section("minimum_balance")),
        data_freshness=sections.DataFreshness.read(root.section("data_freshness")),
        thank_you=sections.ThankYou.read(root.section("thank_you")),
        late_fees=LateFees.read(root.section("late_fees")),
        disputes=sections.Disputes.read(root.section("dispute_raised")),
        promises=sections.Promises.read(root.section("promise_broken")),
        replies=sections.Replies.read(root.section("replies")),
        payment_instructions=sections.PaymentInstructions.read(root.section("payment_instructions")),
        digest_language=digest.choice("language", LANGUAGES),
        control_group_percent=hold_out.integer("percent", 0, MAX_CONTROL_PERCENT),
        document=table,
    )
    hold_out.check_unknown_keys()
    digest.check_unknown_keys()
    statement.check_unknown_keys()
    root.check_unknown_keys()
    return policy


def _build_schedule(tables: Mapping[Step, sections.StepTable], cell: sections.Cell) -> Schedule:
    by_call = frozenset(step for step, table in tables.items() if cell in table.by_call)
    return Schedule.from_days({step: table.days[cell] for step, table in tables.items()}, by_call)
