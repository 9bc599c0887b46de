"""The reminder policy: one TOML document, merged over ``defaults.toml``, validated, and compiled into schedules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import create_model

from policies import sections
from policies.customer_policies import NO_MATCH, AppliesTo
from policies.document import (
    KeyPath,
    PolicyError,
    Problem,
    ProblemCollector,
    Table,
    diff_tables,
    line_numbers,
    merge_tables,
    parse_toml,
)
from policies.document_editor import edit_document
from policies.fee_rules import FeePreset, LateFees
from policies.rate_tables import AddedRates, apply_added_rates, load_preset
from policies.receivables import Customer, Step
from policies.recipients import CopyRules
from policies.schedule import Schedule
from policies.schedule_rules import SCHEDULED_STEPS, Cell, check_schedule
from policies.segments import segment_of
from policies.step_tables import CELLS, StepTable, step_model
from policies.validation import Section, validate

__all__ = ["PolicyError", "Problem", "ReminderPolicy"]

_PACKAGE_DIR = Path(__file__).parent
PRESET_FIGURES = ("rates", "rate", "rates_known_until", "unverified", "compensation")
_COMPANY_WIDE = frozenset({"segments", "sizes", "control_group", "digest", "exceptions", "policies"})

CUSTOMER_POLICIES_MAX = 200
_NOBODY: Table = {"applies_to": {"customers": ["-"]}}


class _Target(Section):
    """Who a customer policy applies to."""

    applies_to: AppliesTo


class _Document(sections.Sections):
    """The whole policy document, except the tables of the steps, which are added below."""

    late_fees: LateFees


_STEP_FIELDS: dict[str, Any] = {step.value: (step_model(step), ...) for step in SCHEDULED_STEPS}
_DOCUMENT_MODEL = create_model("PolicyDocument", __base__=_Document, **_STEP_FIELDS)


@dataclass(frozen=True)
class ReminderPolicy:
    """The whole policy, valid. ``document`` is what it was read from, merged over the defaults."""

    tone: sections.Tone
    schedules: Mapping[Cell, Schedule]
    frequency: sections.Frequency
    send_window: sections.SendWindow
    due_soon_days: int
    gather_days: int
    chase_unsent: bool
    segments: sections.Segments
    sizes: sections.Sizes
    minimum_balance: sections.PerCurrency[Decimal]
    plan_offer_minimum: sections.PerCurrency[Decimal]
    data_freshness: sections.DataFreshness
    exceptions: sections.Exceptions
    thank_you: sections.ThankYou
    late_fees: LateFees
    disputes: sections.Disputes
    promises: sections.Promises
    payment_returned: sections.ReturnedPayments
    bank_statements: sections.BankStatements
    replies: sections.Replies
    payment_plans: sections.PaymentPlans
    copies: CopyRules
    tracking: sections.Tracking
    payment_instructions: sections.PerCurrency[str]
    digest_language: sections.Language
    control_group_percent: int
    step_tables: Mapping[Step, StepTable]
    document: Table = field(repr=False, compare=False)
    name: str = ""
    customer_policies: tuple[tuple[AppliesTo, ReminderPolicy], ...] = ()

    @classmethod
    def from_toml(cls, text: str, added_rates: AddedRates = ()) -> ReminderPolicy:
        """Read a document, merged over the defaults and the rates that were added to its preset.

        Raises:
            PolicyError: with everything that is wrong with the document.

        """
        own = parse_toml(text)
        others = own.pop("policies", {})
        problems = ProblemCollector(line_numbers(text))
        policy = _build_policy(own, problems, added_rates)
        _raise_problems(problems)
        tables = _customer_policy_tables(others, problems)
        customer_policies = tuple(
            _read_customer_policy(own, name, table, problems, added_rates) for name, table in tables.items()
        )
        _raise_problems(problems)
        differences = {
            each.name: {"applies_to": tables[each.name]["applies_to"], **diff_tables(each.document, policy.document)}
            for _, each in customer_policies
        }
        document = {**policy.document, "policies": differences} if differences else policy.document
        return replace(policy, customer_policies=customer_policies, document=document)

    def policy_for(self, customer: Customer, today: date) -> ReminderPolicy:
        """Return the policy that names a customer most closely, the first among equals; else this one."""
        if not self.customer_policies:
            return self
        segment = segment_of(customer, self.segments, today)
        ranked = [(applies_to.match_rank(customer, segment), policy) for applies_to, policy in self.customer_policies]
        rank, closest = min(ranked, key=lambda each: each[0])
        return closest if rank < NO_MATCH else self

    @classmethod
    def default(cls) -> ReminderPolicy:
        """Return the policy that applies where nobody has set one."""
        return _default()

    def to_toml(self) -> str:
        """Format the whole policy, defaults included, as a commented document."""
        return edit_document(_default_document(), dict(_changes(self.document, parse_toml(_default_document()))))


def _changes(
    table: Mapping[str, object], base: Mapping[str, object], prefix: KeyPath = ()
) -> Iterator[tuple[KeyPath, object]]:
    for key, value in table.items():
        path, below = (*prefix, key), base.get(key)
        if isinstance(value, Mapping) and (isinstance(below, Mapping) or (path[0] == "policies" and len(path) < 3)):
            yield from _changes(value, below if isinstance(below, Mapping) else {}, path)
        elif value != below:
            yield path, value


def _raise_problems(problems: ProblemCollector) -> None:
    if problems.problems:
        raise PolicyError(problems.problems)


def _build_policy(own: Table, problems: ProblemCollector, added_rates: AddedRates) -> ReminderPolicy:
    fees = _late_fees_table(own)
    preset = _text_or_empty(fees.get("preset"))
    defaults = apply_added_rates(_load_defaults(_text_or_empty(own.get("tone")), preset), preset, added_rates)
    table = _drop_verified(merge_tables(defaults, own), fees)
    read = validate(_DOCUMENT_MODEL, table, defaults, problems)
    steps = read.steps
    check_schedule({step: each.days for step, each in steps.items()}, problems)
    return ReminderPolicy(
        tone=read.tone,
        schedules={cell: _build_schedule(steps, cell) for cell in CELLS},
        frequency=read.frequency,
        send_window=read.send_window,
        due_soon_days=read.statement.due_soon_days,
        gather_days=read.statement.gather_days,
        chase_unsent=read.statement.chase_unsent,
        segments=read.segments,
        sizes=read.sizes,
        minimum_balance=read.minimum_balance,
        plan_offer_minimum=read.plan_offer_minimum,
        data_freshness=read.data_freshness,
        exceptions=read.exceptions,
        thank_you=read.thank_you,
        late_fees=read.late_fees,
        disputes=read.dispute_raised,
        promises=read.promise_broken,
        payment_returned=read.payment_returned,
        bank_statements=read.bank_statements,
        replies=read.replies,
        payment_plans=read.payment_plans,
        tracking=read.tracking,
        copies=CopyRules(read.copies.cc, read.copies.bcc, read.copies.second_contact_from),
        payment_instructions=read.payment_instructions,
        digest_language=read.digest.language,
        control_group_percent=read.control_group.percent,
        step_tables=steps,
        document=table,
    )


def _drop_verified(table: Table, own_fees: Table) -> Table:
    """Take the figures a document sets itself out of ``unverified``; a list of its own there counts as it is."""
    fees = table["late_fees"]
    if "unverified" in own_fees or not isinstance(fees, dict):
        return table
    rates = own_fees.get("rates")
    own = {*own_fees, *(rates if isinstance(rates, dict) else ())}
    return {**table, "late_fees": {**fees, "unverified": [each for each in fees["unverified"] if each not in own]}}


def _customer_policy_tables(others: object, problems: ProblemCollector) -> dict[str, Table]:
    if isinstance(others, dict) and len(others) > CUSTOMER_POLICIES_MAX:
        problems.add(("policies",), f"there are {len(others)} customer policies, and {CUSTOMER_POLICIES_MAX} at most")
        return {}
    if isinstance(others, dict) and all(isinstance(table, dict) for table in others.values()):
        return others
    problems.add(("policies",), "[policies] holds tables: [policies.friends] with applies_to and what is different")
    return {}


def _read_customer_policy(
    own: Table, name: str, table: Table, problems: ProblemCollector, added_rates: AddedRates
) -> tuple[AppliesTo, ReminderPolicy]:
    """Read a customer policy: the document with what its own table says instead."""
    inner = ProblemCollector(problems.line_numbers, prefix=("policies", name))
    target = validate(_Target, {"applies_to": table.get("applies_to", {})}, _NOBODY, inner)
    for key in _COMPANY_WIDE & table.keys():
        inner.add((key,), f"{key} belongs to the whole document")
    different = {key: value for key, value in table.items() if key != "applies_to" and key not in _COMPANY_WIDE}
    policy = _build_policy(merge_tables(_without_other_presets_figures(own, different), different), inner, added_rates)
    problems.problems += [each._replace(text=f"in [policies.{name}]: {each.text}") for each in inner.problems]
    return target.applies_to, replace(policy, name=name)


def _without_other_presets_figures(own: Table, different: Table) -> Table:
    """Take the document's own figures out where a customer policy has another preset: they are of another law."""
    fees, preset = _late_fees_table(own), _late_fees_table(different).get("preset")
    if preset is None or preset == fees.get("preset", FeePreset.NONE):
        return own
    return {**own, "late_fees": {key: value for key, value in fees.items() if key not in PRESET_FIGURES}}


def _build_schedule(steps: Mapping[Step, StepTable], cell: Cell) -> Schedule:
    calls = frozenset(step for step, table in steps.items() if cell in table.calls)
    return Schedule.from_days({step: table.days[cell] for step, table in steps.items()}, calls)


@cache
def _default() -> ReminderPolicy:
    return ReminderPolicy.from_toml("")


@cache
def _default_document() -> str:
    return (_PACKAGE_DIR / "defaults.toml").read_text(encoding="utf-8")


@cache
def _load_defaults(tone: str, fee_preset: str) -> Table:
    """Load the defaults with the presets a document names; an unknown name is reported later."""
    defaults = parse_toml(_default_document())
    names = [f"tone_{tone}"] if tone in list(sections.Tone) and tone != sections.Tone.STANDARD else []
    for name in names:
        defaults = merge_tables(defaults, parse_toml((_PACKAGE_DIR / "presets" / f"{name}.toml").read_text("utf-8")))
    if fee_preset in list(FeePreset) and fee_preset != FeePreset.NONE:
        defaults = merge_tables(defaults, load_preset(fee_preset))
    return defaults


def _late_fees_table(own: Table) -> Table:
    table = own.get("late_fees")
    return table if isinstance(table, dict) else {}


def _text_or_empty(value: object) -> str:
    return value if isinstance(value, str) else ""
