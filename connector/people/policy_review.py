"""A policy before it is saved: what is wrong with it, line by line, and what it would alter in the next 30 days."""

from __future__ import annotations

import difflib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

from connector import policies_store
from connector.database import reading
from connector.installation import Installation
from connector.people import trials
from connector.people.plan import Watch
from policies.document import PolicyError, Problem
from policies.fee_rules import PRESETS, LateFees
from policies.policy import ReminderPolicy

LISTED_MAX = 200
SECONDS_MAX = 20.0  # so long a page may keep a person waiting; the terminal has more time
_TOO_LARGE = (
    "These books are too large to try it on all of them while a page waits: duewell policy diff does, at the terminal."
)


class _TookTooLongError(Exception):
    """Trying a policy took longer than a page may take."""


@dataclass(frozen=True, slots=True)
class Review:
    """What a person reads before he saves a document; ``changes`` are cut at ``LISTED_MAX``, the summary is not."""

    problems: tuple[Problem, ...] = ()
    summary: str = ""
    changes: Sequence[dict[str, Any]] = ()
    more: int = 0
    lines: list[str] = field(default_factory=list)  # of the document: what goes (-) and what comes (+)


def review(installation: Installation, connection_id: int | None, document: str) -> Review:
    """Try a document. "" for a connection means that it follows the general one again."""
    with reading(installation.engine) as session:
        _policy, version = policies_store.current(session, connection_id)
        before = policies_store.document_of(session, version) if version is not None else ""
        general = policies_store.current(session, None)[0]
    try:
        proposed = ReminderPolicy.from_toml(document) if document or connection_id is None else general
    except PolicyError as error:
        return Review(problems=error.problems)
    lines = differing(before, document)
    try:
        changes = trials.difference(installation, connection_id, proposed, watch=_impatient())
    except _TookTooLongError:
        return Review(summary=_TOO_LARGE, lines=lines)
    return Review(
        summary=trials.summary(changes),
        changes=changes[:LISTED_MAX],
        more=max(0, len(changes) - LISTED_MAX),
        lines=lines,
    )


def _impatient() -> Watch:
    started = time.monotonic()

    def watch(_company: str, _customers: int) -> None:
        if time.monotonic() - started > SECONDS_MAX:
            raise _TookTooLongError

    return watch


def differing(before: str, after: str) -> list[str]:
    """Compare two documents: the lines that go begin with "-", those that come with "+"."""
    compared = difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm="")
    return [line for line in compared if not line.startswith(("---", "+++"))]


class Preset(NamedTuple):
    """A preset of late fees: its rules, and what its file says about source and date."""

    name: str
    rules: LateFees
    words: list[str]


@lru_cache(maxsize=1)
def presets() -> list[Preset]:
    """List the presets of late fees."""
    folder = resources.files("policies") / "presets"
    found = []
    for name in PRESETS:
        if name != "none":
            text = (folder / f"fees_{name}.toml").read_text(encoding="utf-8")
            words = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
            rules = ReminderPolicy.from_toml(f'[late_fees]\npreset = "{name}"\n').late_fees
            found.append(Preset(name, rules, words))
    return found
