"""What was saved while a person edited the policy, and their own changes put on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from itertools import chain

from sqlmodel import Session

from connector import policy_store
from connector.db.tables import PolicyVersion
from connector.services.policy_wording import SettingChange, describe_changes
from policies.document import PolicyError, parse_toml
from policies.policy import ReminderPolicy


@dataclass(frozen=True, slots=True)
class MissedVersion:
    """A version that was saved since a form was opened; ``read`` is the policy that the form showed."""

    version: int | None
    saved_by: str
    saved_at: datetime | None
    read: ReminderPolicy
    read_document: str
    changes: Sequence[SettingChange]


@dataclass(frozen=True, slots=True)
class MissedChange:
    """A setting that others changed meanwhile, beside what was entered for it; "" where that is nothing."""

    setting: str
    before: str
    saved: str
    entered: str = ""


def find_missed(
    session: Session, read_version: int | None, connection_id: int | None, policy: ReminderPolicy, version: int | None
) -> MissedVersion | None:
    """Return what was saved since ``read_version``, None for nothing; ``policy`` and ``version`` are those in force.

    Raises:
        LookupError: there is no such version of this policy.

    """
    if read_version == version:
        return None
    row = session.get(PolicyVersion, read_version) if read_version is not None else None
    if (row is None and read_version is not None) or (row and row.connection_id not in {None, connection_id}):
        raise LookupError(read_version)
    read = policy_store.get_version_policies(session, [read_version] if read_version is not None else [])
    before = read.get(read_version or 0) or ReminderPolicy.default()
    newest = session.get(PolicyVersion, version) if version is not None else None
    return MissedVersion(
        version=version,
        saved_by=newest.set_by if newest else "",
        saved_at=newest.set_at if newest else None,
        read=before,
        read_document=row.document if row else "",
        changes=describe_changes(before, policy),
    )


def compare_with_entered(missed: MissedVersion, document: str) -> list[MissedChange]:
    """Return what others changed, each beside what a person's own document, made from the one they read, says of it."""
    try:
        entered = {
            each.setting: each.after for each in describe_changes(missed.read, ReminderPolicy.from_toml(document))
        }
    except PolicyError:  # not valid yet: the form says what is wrong
        entered = {}
    return [
        MissedChange(each.setting, each.before, each.after, entered.get(each.setting, "")) for each in missed.changes
    ]


def merge_entered(missed: MissedVersion, saved: str, entered: str) -> str:
    """Return the saved document with a person's changes; where the form showed the default, that is what they read."""
    default = "" if missed.read_document else missed.read.to_toml()
    shown = set(default.splitlines())
    read = default if len(shown & set(entered.splitlines())) > len(shown) / 2 else missed.read_document
    return merge_documents(read, saved or read, entered)


def merge_documents(read: str, saved: str, entered: str) -> str:
    r"""Return the saved document with the changes that were made to the one that was read.

    Of lines that both changed, those that were entered stand. What was entered stays as it is where the two do not go
    together, such as two tables of one name.

    >>> print(merge_documents("a = 1\nb = 2\n", "a = 1\nb = 3\n", "# note\na = 1\nb = 2\n"), end="")
    # note
    a = 1
    b = 3
    """
    base = read.splitlines()
    hunks = [*_hunks(base, saved.splitlines(), is_own=False), *_hunks(base, entered.splitlines(), is_own=True)]
    merged: list[str] = []
    place = 0
    for region in _regions(sorted(hunks, key=lambda hunk: (hunk.start, hunk.end, hunk.is_own))):
        start, end = region[0].start, max(hunk.end for hunk in region)
        kept = region if start == end else [hunk for hunk in region if hunk.is_own] or region
        merged += chain(base[place:start], _apply(base, start, end, kept))
        place = end
    text = "".join(f"{line}\n" for line in chain(merged, base[place:]))
    try:
        parse_toml(text)
    except PolicyError:
        return entered
    return text


@dataclass(frozen=True, slots=True)
class _Hunk:
    """Lines of the document that was read, and what stands in their place; no lines where some are added."""

    start: int
    end: int
    lines: tuple[str, ...]
    is_own: bool


def _hunks(base: Sequence[str], other: Sequence[str], *, is_own: bool) -> list[_Hunk]:
    found = SequenceMatcher(None, base, other, autojunk=False).get_opcodes()
    return [_Hunk(a, b, tuple(other[c:d]), is_own) for tag, a, b, c, d in found if tag != "equal"]


def _regions(hunks: Sequence[_Hunk]) -> list[list[_Hunk]]:
    """Return the changes in groups that overlap: they are about the same lines, or add lines at the same place."""
    found: list[list[_Hunk]] = []
    end = -1
    for hunk in hunks:
        if found and (hunk.start < end or (hunk.start == hunk.end == end == found[-1][0].start)):
            found[-1].append(hunk)
        else:
            found.append([hunk])
            end = hunk.end
        end = max(end, hunk.end)
    return found


def _apply(base: Sequence[str], start: int, end: int, hunks: Sequence[_Hunk]) -> list[str]:
    """Return the lines of a region after some changes; lines that two added alike are there once."""
    lines: list[str] = []
    for hunk in {hunk.lines: hunk for hunk in hunks}.values() if start == end else hunks:
        lines += chain(base[start : hunk.start], hunk.lines)
        start = hunk.end
    return [*lines, *base[start:end]]
