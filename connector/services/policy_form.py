"""The policy as a form: what each field shows, and the document that results from what a person changed.

A document contains only what differs from the default. A field therefore changes it only if its value was changed:
choosing another tone brings that tone's days, not the old ones that the form showed as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal

from connector.services.policy_fields import Field, fields
from policies.document import KeyPath, Table, parse_decimal, parse_toml, value_at
from policies.document_editor import edit_document
from policies.policy import PRESET_FIGURES, PolicyError, ReminderPolicy
from policies.receivables import Size

_SIZES = tuple(size.value for size in Size)
_BRINGING = ("tone", "late_fees.preset")  # they bring values for other fields, which the form may show already


def field_values(policy: ReminderPolicy, *, customer_specific: bool = False) -> dict[str, str]:
    """Return what each field shows of a policy."""
    return {
        field.name: format_value(value_at(policy.document, field.path))
        for field in fields(customer_specific=customer_specific)
    }


def submitted_values(
    policy: ReminderPolicy, form: Mapping[str, Sequence[str]], *, customer_specific: bool = False
) -> dict[str, str]:
    """Return what each field shows after it was submitted: as it was filled in, else what the policy has."""
    return field_values(policy, customer_specific=customer_specific) | {
        field.name: _submitted_text(field, form[field.name])[:500]
        for field in fields(customer_specific=customer_specific)
        if field.name in form
    }


def format_value(value: object) -> str:
    """Format a value as its field shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, time):
        return f"{value:%H:%M}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return ", ".join(f"{code} {amount}" for code, amount in value.items())
    if isinstance(value, list):
        return " | ".join(map(str, value))
    return str(value)


def apply_form(
    document: str, shown_policy: ReminderPolicy, form: Mapping[str, Sequence[str]], *, name: str = ""
) -> tuple[str, list[str]]:
    """Return the document with what was changed in the form, comments kept, and the names of the changed fields.

    Args:
        document: the document in force, which says only what differs from the defaults.
        shown_policy: the policy that the form showed.
        form: what was submitted, by field name.
        name: the customer policy that is edited; "" for the policy of all customers.

    """
    prefix: KeyPath = ("policies", name) if name else ()
    changes: dict[KeyPath, object] = {}
    changed = []
    brought: Mapping[str, object] = {}
    for field in fields(customer_specific=bool(name)):
        if field.name not in form:
            continue
        text = _submitted_text(field, form[field.name])
        if text == format_value(value_at(shown_policy.document, field.path)):
            continue
        if brought and text == format_value(value_at(brought, field.path)):
            continue
        _add_change(changes, shown_policy.document, prefix, field.path, _parse_value(field, text))
        changed.append(field.name)
        if field.name in _BRINGING:
            if field.name == "late_fees.preset":  # the old preset's figures are of another law
                changes |= {(*prefix, "late_fees", key): None for key in PRESET_FIGURES}
            brought = _read(edit_document(document, changes), name)
    return edit_document(document, changes) if changes else document, changed


def _read(document: str, name: str) -> Mapping[str, object]:
    """Return the values of a document, or of a customer policy in it; none where it is not valid yet."""
    try:
        policy = ReminderPolicy.from_toml(document)
    except PolicyError:
        return {}
    return next((each for _, each in policy.customer_policies if each.name == name), policy).document


def _add_change(
    changes: dict[KeyPath, object], shown: Mapping[str, object], prefix: KeyPath, path: KeyPath, value: object
) -> None:
    """Add the change of one value; where one day stands for a whole segment, each size gets a day of its own."""
    segment = value_at(shown, path[:2])
    if len(path) == 3 and segment is not None and not isinstance(segment, Mapping):
        days = changes.get((*prefix, *path[:2]), dict.fromkeys(_SIZES, segment))
        changes[*prefix, *path[:2]] = {**days, path[2]: value} if isinstance(days, dict) else value
    else:
        changes[*prefix, *path] = value


def set_customer_policy(document: str, name: str, applies_to: Mapping[str, Sequence[str]] | None) -> str:
    """Return the document with a customer policy that applies to other customers; ``None`` removes the policy."""
    if applies_to is not None:
        named = {key: list(values) for key, values in applies_to.items() if values}
        return edit_document(document, {("policies", name, "applies_to"): named})
    others = parse_toml(document).get("policies")
    is_last = isinstance(others, Mapping) and set(others) <= {name}
    return edit_document(document, {("policies",) if is_last else ("policies", name): None})


def _submitted_text(field: Field, values: Sequence[str]) -> str:
    """Return what was submitted for a field as text; unticked boxes send only their hidden field."""
    if field.kind == "switch":
        return "yes" if "yes" in values else "no"
    if field.kind == "list":
        return " | ".join(choice for choice in field.choices if choice in values)
    text = values[0].strip() if values else ""
    if field.kind == "texts":
        return " | ".join(each for each in (part.strip() for part in text.split(",")) if each)
    is_off = field.kind == "number_or_off" and text.casefold() in {"", "off", "-", "–"}
    return "off" if is_off else text


def _parse_value(field: Field, text: str) -> object:
    """Return the value of a field's text; invalid text stays text, and the policy reports what is wrong with it."""
    if field.kind in {"number", "number_or_off"}:
        return _parse_number(text)
    if field.kind == "switch":
        return text == "yes"
    if field.kind in {"list", "texts"}:
        return [each for each in text.split(" | ") if each]
    if field.kind == "date":
        return _parse_date(text)
    return _parse_amounts(text) if field.kind == "amounts" else text


def _parse_number(text: str) -> object:
    if re.fullmatch(r"[+-]?\d{1,9}", text):
        return int(text)
    number = parse_decimal(text) if len(text) < 30 else None
    return text if number is None else number


def _parse_date(text: str) -> object:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return text


def _parse_amounts(text: str) -> Table:
    """Parse ``EUR 15, USD 12.50``; the comma separates amounts, so a decimal comma is not possible."""
    found: Table = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        code, _, amount = part.partition(" ")
        number = parse_decimal(amount.strip())
        found[code] = amount.strip() if number is None else _int_if_whole(number)
    return found


def _int_if_whole(number: Decimal) -> int | Decimal:
    return int(number) if number == number.to_integral_value() else number
