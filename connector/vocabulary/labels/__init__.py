"""The labels people read for every kind, state, mode, step and code; raw identifiers reach nobody.

``label`` takes an enum member, or the name of a vocabulary and a stored value:
``label(OutboxState.DONE)`` and ``label("done", "outbox_state")`` are both "Sent". Labels are in sentence case;
``in_sentence`` puts one into running text.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from connector.vocabulary.labels import (
    access,
    agreements,
    bank,
    connections,
    customers,
    fees,
    log,
    outbox,
    policy,
    steps,
    tasks,
)

_ROOMS = (access, agreements, bank, connections, customers, fees, log, outbox, policy, steps, tasks)
_VOCABULARIES: dict[str, Mapping[str, str]] = {
    **{name: labels for room in _ROOMS for name, labels in room.VOCABULARIES.items()},
    "decision_code": {**steps.HOLD_CODES, **tasks.TASK_CODES, **steps.STEPS, "decision_failed": "No decision possible"},
    "planned_action": {**outbox.OUTBOX_KINDS, **tasks.TASK_CODES, **steps.STEPS},
    "task_code": {**steps.STEPS, **tasks.TASK_CODES},
}
_BY_ENUM: dict[type[str], Mapping[str, str]] = {
    type(next(iter(labels))): labels
    for labels in (*_VOCABULARIES.values(), tasks.TASK_CODES)
    if len({type(value) for value in labels}) == 1 and isinstance(next(iter(labels)), StrEnum)
}


def label(value: StrEnum | str, vocabulary: str = "") -> str:
    """Return the label of an enum member, or of a stored value of a vocabulary; "" stays "".

    Raises:
        KeyError: the value has no label. ``tests/connector/vocabulary/test_labels.py`` walks every enum.

    """
    if vocabulary:
        labels = _VOCABULARIES[vocabulary]
        return labels[value] if value or value in labels else ""
    if not isinstance(value, StrEnum):
        message = f"{value!r} is not an enum member: name its vocabulary"
        raise TypeError(message)
    return _BY_ENUM[type(value)][value]


def provider_name(name: str) -> str:
    """Return the label of a service that can be connected; of one that a plug-in adds, its own name."""
    return _VOCABULARIES["provider"].get(name, name)


def in_sentence(text: str) -> str:
    """Return a label as it stands inside a sentence: ``Late fee`` becomes ``late fee``; abbreviations stay."""
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def vocabularies() -> Mapping[str, Mapping[str, str]]:
    """Return every vocabulary by name, each with the labels of its values."""
    return _VOCABULARIES
