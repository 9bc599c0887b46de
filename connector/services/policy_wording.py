"""A policy's settings, problems and changes in words that do not need the document: for the form and the versions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from connector.services.policy_fields import BY_CALL, TONE, call_steps, groups
from connector.services.policy_form import format_value
from connector.vocabulary.labels import in_sentence, label, vocabularies
from policies.document import Problem, diff_tables, format_path, value_at
from policies.policy import ReminderPolicy
from policies.receivables import Segment, Size, Step
from policies.schedule_rules import SCHEDULED_STEPS

_CODES = re.compile(rf"\b({'|'.join(sorted((step.value for step in SCHEDULED_STEPS), key=len, reverse=True))})\b")
_INSIDE = re.compile(r"^in \[policies\.(?P<name>[^\]]+)\]: ")
_SETTINGS = {field.name: field for field in (TONE, *(field for group in groups() for field in group.fields))}
_PLAIN = {  # what a problem says with keys of the document
    "needs the first reminder, past_due, which is off": "needs the first reminder, which is off",
    "must be earlier than closes": "must be earlier than “Emails are sent until”",
}
_AMOUNTS = '; write amounts such as "EUR 15, USD 12.50"'
_CALL_STEPS = frozenset(call_steps())


class FieldProblem(NamedTuple):
    """What is wrong with fields of the form; without fields it is about another part of the document."""

    fields: tuple[str, ...]
    text: str
    line: int


class SettingChange(NamedTuple):
    """A setting that differs between two policies, in words."""

    setting: str
    before: str
    after: str


def describe_problems(problems: Iterable[Problem], names: Iterable[str]) -> list[FieldProblem]:
    """Return the problems in words, each with those of the form's fields (``names``) that it is about."""
    known = set(names)
    found = []
    for problem in problems:
        fields = tuple(name for path in problem.paths for name in sorted(known) if _is_about(path, name))
        found.append(FieldProblem(fields, _in_words(problem), 0 if fields else problem.line))
    return found


def describe_changes(before: ReminderPolicy, after: ReminderPolicy) -> list[SettingChange]:
    """Return what differs between two policies: the settings of the form by their labels, others by their keys."""
    return [
        *_setting_changes(before, after),
        *_day_changes(before, after),
        *_call_changes(before, after),
        *_customer_policy_changes(before, after),
        *_other_changes(before, after),
    ]


def _is_about(path: str, name: str) -> bool:
    """Return whether a problem at a path concerns a field: itself, or a value in it such as one currency."""
    return path == name or path.startswith(f"{name}.") or (name.startswith(f"{path}.") and name.count(".") == 2)


def _in_words(problem: Problem) -> str:
    inside = _INSIDE.match(problem.text)
    text = problem.text[inside.end() :] if inside else problem.text
    path = problem.paths[0] if problem.paths else ""
    prefix = format_path(tuple(path.split("."))) + " "
    if path and text.startswith(prefix):
        text = f"{_name_of(path)} {text.removeprefix(prefix)}{_AMOUNTS if _is_amount(path) else ''}"
    for keys, plain in _PLAIN.items():
        text = text.replace(keys, plain)
    text = _CODES.sub(lambda found: in_sentence(label(found[1], "step")), text)
    return f"{text[:1].upper()}{text[1:]}" + (f" (customer policy {inside['name']})" if inside else "")


def _name_of(path: str) -> str:
    keys = path.split(".")
    if keys[0] in SCHEDULED_STEPS:
        step = label(keys[0], "step")
        place = [label(key, "segment" if key in list(Segment) else "size") for key in keys[1:] if _is_cell(key)]
        return f"{step}, {' '.join(in_sentence(each) for each in place)}," if place else step
    known = [field.label for name, field in _SETTINGS.items() if path == name or path.startswith(f"{name}.")]
    return f"“{known[0]}”" if known else f"“{format_path(tuple(keys))}”"


def _is_amount(path: str) -> bool:
    return any(field.kind == "amounts" and path.startswith(f"{name}.") for name, field in _SETTINGS.items())


def _is_cell(key: str) -> bool:
    return key in list(Segment) or key in list(Size)


def _setting_changes(before: ReminderPolicy, after: ReminderPolicy) -> Iterator[SettingChange]:
    for field in _SETTINGS.values():
        was, will = (_show(value_at(each.document, field.path), field.kind) for each in (before, after))
        if was != will:
            yield SettingChange(field.label, was, will)


def _day_changes(before: ReminderPolicy, after: ReminderPolicy) -> Iterator[SettingChange]:
    for step in SCHEDULED_STEPS:
        for segment in Segment:
            was, will = (_days(each, step, segment) for each in (before, after))
            if was != will:
                sizes = " / ".join(in_sentence(label(size)) for size in Size)
                name = f"{label(step)}, {in_sentence(label(segment))} customers, day ({sizes})"
                yield SettingChange(name, was, will)


def _days(policy: ReminderPolicy, step: Step, segment: Segment) -> str:
    days = policy.step_tables[step].days
    return " / ".join("off" if (day := days[segment, size]) is None else str(day) for size in Size)


def _call_changes(before: ReminderPolicy, after: ReminderPolicy) -> Iterator[SettingChange]:
    for step in _CALL_STEPS:
        was, will = (_cells(value_at(each.document, (step.value, BY_CALL))) for each in (before, after))
        if was != will:
            yield SettingChange(f"{label(step)} by phone instead of email", was, will)


def _cells(value: object) -> str:
    cells = [str(each).split(" ") for each in value] if isinstance(value, list) else []
    return (
        ", ".join(
            f"{in_sentence(label(segment, 'segment'))} {in_sentence(label(size, 'size'))}" for segment, size in cells
        )
        or "nobody"
    )


def _customer_policy_changes(before: ReminderPolicy, after: ReminderPolicy) -> Iterator[SettingChange]:
    was, will = ({policy.name: policy for _, policy in each.customer_policies} for each in (before, after))
    for name in sorted(was.keys() - will.keys()):
        yield SettingChange(f"Policy for some customers: {name}", "existed", "deleted")
    for name in sorted(will.keys() - was.keys()):
        yield SettingChange(f"Policy for some customers: {name}", "did not exist", "added")
    applied = [{policy.name: applies_to for applies_to, policy in each.customer_policies} for each in (before, after)]
    for name in sorted(was.keys() & will.keys()):
        if applied[0][name] != applied[1][name]:
            yield SettingChange(f"Policy for some customers: {name}, applies to", "others", "changed")
        own = diff_tables(will[name].document, after.document) != diff_tables(was[name].document, before.document)
        if own:
            yield SettingChange(f"Policy for some customers: {name}", "other settings", "changed")


def _other_changes(before: ReminderPolicy, after: ReminderPolicy) -> Iterator[SettingChange]:
    """Yield what the form has no field for, by its keys."""
    steps = {step.value for step in SCHEDULED_STEPS}
    for path in _leaves({**before.document, **after.document}):
        name = ".".join(path)
        if path[0] == "policies" or (path[0] in steps and path[1] != "kind"):
            continue
        if any(name == known or name.startswith(f"{known}.") for known in _SETTINGS):
            continue
        was, will = (_show(value_at(each.document, path), "") for each in (before, after))
        if was != will:
            yield SettingChange(format_path(path), was, will)


def _leaves(table: Mapping[str, object], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and value and len(prefix) < 1:
            yield from _leaves(value, (*prefix, key))
        else:
            yield *prefix, key


def _show(value: object, kind: str) -> str:
    choices = vocabularies()["policy_choice"]
    if kind in {"choice", "list"}:
        values: Sequence[object] = value if isinstance(value, list) else [value]
        return ", ".join(choices.get(str(each), str(each)) for each in values) or "none"
    return format_value(value).replace(" | ", ", ") or "none"
