"""Every value that is stored, printed or typed has a label for people."""

from __future__ import annotations

import importlib
import pkgutil
from enum import StrEnum

import pytest

import connector.vocabulary
import policies
from connector.vocabulary import labels as labels_module
from connector.vocabulary.labels import in_sentence, label, vocabularies
from policies.exception_checks import CHECKS
from policies.fee_rules import FeeKind, FeePreset
from policies.holds import HOLDS
from policies.receivables import Step


def enums() -> list[type[StrEnum]]:
    """Return every enum that ``connector.vocabulary`` and ``policies`` define."""
    found: dict[str, type[StrEnum]] = {}
    for package in (connector.vocabulary, policies):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, type) and issubclass(value, StrEnum) and value is not StrEnum:
                    found[f"{value.__module__}.{value.__qualname__}"] = value
    return list(found.values())


@pytest.mark.parametrize("enum", enums(), ids=lambda enum: enum.__name__)
def test_each_member_has_a_label_of_its_own(enum: type[StrEnum]) -> None:
    labels = [label(member) for member in enum]
    assert len(set(labels)) == len(labels)
    assert set(labels_module._BY_ENUM[enum]) == set(enum), "a label of no member"


@pytest.mark.parametrize("vocabulary", vocabularies())
def test_labels_are_words_in_sentence_case(vocabulary: str) -> None:
    for value, text in vocabularies()[vocabulary].items():
        assert label(value, vocabulary) == text
        assert text == text.strip()
        assert "_" not in text
        assert text[0].isupper() or text == "smtp"
        assert not text.endswith(".")


def test_codes_of_the_policy_have_labels() -> None:
    for code, _hold in HOLDS:
        assert label(code, "decision_code")
    for check in CHECKS:
        assert label(check.__name__, "exception_code")
    assert set(vocabularies()["fee_preset"]) == set(FeePreset)
    assert set(vocabularies()["fee_kind"]) == set(FeeKind)


def test_a_label_stands_in_a_sentence() -> None:
    assert in_sentence(label(Step.LATE_FEE)) == "late fee"
    assert in_sentence("OK") == "OK"
    assert in_sentence("API token created") == "API token created"
    assert label("", "step") == ""


def test_a_value_without_a_label_is_an_error() -> None:
    with pytest.raises(KeyError):
        label("unknown", "step")
    with pytest.raises(TypeError):
        label("late_fee")
