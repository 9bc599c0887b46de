"""Policies for some customers: by customer, tag, group or segment, laid over the one for all; and the hold-out."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from policies.document import Section
from policies.receivables import Customer, Segment

MAX_CONTROL_PERCENT = 50


@dataclass(frozen=True, slots=True)
class AppliesTo:
    """Whom a policy is for. Names and tags are compared without regard to capitals."""

    customers: frozenset[str]
    tags: frozenset[str]
    groups: frozenset[str]
    segments: frozenset[Segment]

    @classmethod
    def read(cls, section: Section) -> AppliesTo:
        """Read ``applies_to`` of a policy; it has to name somebody."""
        named = {
            key: frozenset(each.casefold() for each in section.strings(key)) for key in ("customers", "tags", "groups")
        }
        segments = (
            section.choices("segments", [segment.value for segment in Segment]) if section.has("segments") else []
        )
        if not segments and not any(named.values()):
            section.report_conflict("segments", "customers, tags or groups must say whom this policy is for")
        section.check_unknown_keys()
        return cls(**named, segments=frozenset(map(Segment, segments)))

    def match_rank(self, customer: Customer, segment: Segment) -> int:
        """Tell how closely it names him: 0 himself, 1 his tag, 2 his group, 3 his segment, 4 not at all."""
        named = (
            not self.customers.isdisjoint((customer.id.casefold(), customer.name.casefold())),
            _has_any(self.tags, customer.tags),
            _has_any(self.groups, customer.groups),
            segment in self.segments,
        )
        return next((place for place, true in enumerate(named) if true), len(named))


NO_MATCH = 4


def _has_any(names: frozenset[str], has: Collection[str]) -> bool:
    return any(each.casefold() in names for each in has)


def is_in_control_group(customer_id: str, percent: int, salt: str) -> bool:
    """Tell whether a customer keeps the old policy: a hash decides, so it is the same on every run and machine."""
    drawn = int.from_bytes(hashlib.sha256(f"{salt}:{customer_id}".encode()).digest()[:8])
    return drawn % 100 < percent
