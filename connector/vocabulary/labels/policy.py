"""Labels: what the policy document offers to choose from."""

from __future__ import annotations

from collections.abc import Mapping

from connector.vocabulary import PolicyChangeKind, TemplateOrigin
from connector.vocabulary.labels.fees import (
    FEE_APPROVALS,
    FEE_INVOICINGS,
    FEE_KINDS,
    FEE_PRESETS,
    UNPAID_FEES,
    WEEKEND_DUE_DATES,
)
from connector.vocabulary.labels.steps import STEPS
from policies.recipients import RecipientRole
from policies.schedule import DUNNING_LEVELS
from policies.sections import Language, PlanApproval, Tone

POLICY_CHANGES: dict[str, str] = {
    PolicyChangeKind.REMOVED: "No longer sent",
    PolicyChangeKind.ADDED: "New",
    PolicyChangeKind.ALTERED: "Changed",
}
TEMPLATE_ORIGINS: dict[str, str] = {TemplateOrigin.CUSTOM: "Custom", TemplateOrigin.DEFAULT: "Default"}
TONES: dict[str, str] = {Tone.GENTLE: "Gentle", Tone.STANDARD: "Standard", Tone.FIRM: "Firm"}
DIGEST_LANGUAGES: dict[str, str] = {
    Language.OF_COMPANY: "Language of the company",
    Language.ENGLISH: "English",
    Language.GERMAN: "German",
    Language.FRENCH: "French",
    Language.SPANISH: "Spanish",
    Language.DUTCH: "Dutch",
    Language.ITALIAN: "Italian",
    Language.PORTUGUESE: "Portuguese (Portugal)",
}
PLAN_APPROVALS: dict[str, str] = {
    PlanApproval.OFF: "Not offered",
    PlanApproval.PERSON: "A user decides",
    PlanApproval.AUTOMATIC: "Automatic",
}
POLICY_CHOICES: dict[str, str] = {
    **TONES,
    **FEE_PRESETS,
    **FEE_KINDS,
    **WEEKEND_DUE_DATES,
    **PLAN_APPROVALS,
    **FEE_APPROVALS,
    **FEE_INVOICINGS,
    **UNPAID_FEES,
    RecipientRole.OWNER: "Account owner",
    RecipientRole.SALES_REP: "Sales rep",
    "off": "Off",
    **{step: STEPS[step] for step in DUNNING_LEVELS},
    "mon": "Monday",
    "tue": "Tuesday",
    "wed": "Wednesday",
    "thu": "Thursday",
    "fri": "Friday",
    "sat": "Saturday",
    "sun": "Sunday",
}
VOCABULARIES: dict[str, Mapping[str, str]] = {
    "digest_language": DIGEST_LANGUAGES,
    "plan_approval": PLAN_APPROVALS,
    "policy_change": POLICY_CHANGES,
    "policy_choice": POLICY_CHOICES,
    "template_origin": TEMPLATE_ORIGINS,
    "tone": TONES,
}
