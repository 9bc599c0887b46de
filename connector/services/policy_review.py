"""Reviewing a policy before it is saved: its errors, its diff and what it would change in the next 30 days."""

from __future__ import annotations

import difflib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

from connector import policy_store
from connector.app_context import AppContext
from connector.db.engine import reading
from connector.services import policy_evaluation
from connector.services.policy_evaluation import PolicyChange
from connector.services.upcoming_actions import ProgressCallback
from policies.document import PolicyError, Problem
from policies.fee_checks import fee_warnings
from policies.fee_rules import FeePreset, LateFees
from policies.policy import ReminderPolicy
from policies.rate_tables import AddedRates

CHANGES_MAX = 200
SECONDS_MAX = 20.0  # a user waits for the page; on the command line there is no limit
TOO_LARGE = (
    "There are too many customers to show the effects here. See them on the command line with: duewell policy diff"
)


class TimeLimitExceededError(Exception):
    """The comparison takes longer than a page may."""


@dataclass(frozen=True, slots=True)
class PolicyReview:
    """What a user reads before saving a policy; ``changes`` has up to ``CHANGES_MAX``, the summary counts all."""

    problems: tuple[Problem, ...] = ()
    summary: str = ""
    changes: Sequence[PolicyChange] = ()
    omitted: int = 0
    notes: Sequence[str] = ()  # about late fees: figures to verify, fees that never come
    diff_lines: list[str] = field(default_factory=list)  # of the document: removed (-) and added (+) lines


def review_policy(app: AppContext, connection_id: int | None, document: str) -> PolicyReview:
    """Review a policy document; "" for a connection means that it follows the general policy again."""
    with reading(app.engine) as session:
        _policy, version = policy_store.get_policy(session, connection_id)
        before = policy_store.get_document(session, version) if version is not None else ""
        general = policy_store.get_policy(session, None)[0]
        rates = policy_store.get_rates(session, connection_id)
    try:
        proposed = ReminderPolicy.from_toml(document, rates) if document or connection_id is None else general
    except PolicyError as error:
        return PolicyReview(problems=error.problems)
    lines = diff_documents(before, document)
    try:
        changes = policy_evaluation.diff_policy(app, connection_id, proposed, on_progress=time_limit())
    except TimeLimitExceededError:
        return PolicyReview(summary=TOO_LARGE, notes=fee_warnings(proposed), diff_lines=lines)
    return PolicyReview(
        summary=policy_evaluation.summarise(changes),
        changes=changes[:CHANGES_MAX],
        omitted=max(0, len(changes) - CHANGES_MAX),
        notes=fee_warnings(proposed),
        diff_lines=lines,
    )


def time_limit() -> ProgressCallback:
    """Return what ends a comparison, with ``TimeLimitExceededError``, that takes longer than a page may."""
    started = time.monotonic()

    def watch(_company: str, _customers: int) -> None:
        if time.monotonic() - started > SECONDS_MAX:
            raise TimeLimitExceededError

    return watch


def diff_documents(before: str, after: str) -> list[str]:
    """Return the changed lines of a document: removed ones begin with "-", added ones with "+"."""
    compared = difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm="")
    return [line for line in compared if not line.startswith(("---", "+++"))]


class Preset(NamedTuple):
    """A late fee preset: its rules, and the source and date that its file names."""

    name: str
    rules: LateFees
    notes: list[str]


@lru_cache(maxsize=32)
def presets(added_rates: AddedRates = ()) -> list[Preset]:
    """List the late fee presets, with the rates that were added to them."""
    folder = resources.files("policies") / "presets"
    found = []
    for name in FeePreset:
        if name is not FeePreset.NONE:
            text = (folder / f"fees_{name}.toml").read_text(encoding="utf-8")
            notes = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
            rules = ReminderPolicy.from_toml(f'[late_fees]\npreset = "{name}"\n', added_rates).late_fees
            found.append(Preset(name, rules, notes))
    return found
