"""Who a customer policy applies to, and who is in the control group that keeps the previous policy."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Annotated

from pydantic import model_validator

from policies.receivables import Customer, Segment
from policies.validation import Reads, Section, folded_texts, list_out_of, refused

NO_MATCH = 4


class AppliesTo(Section):
    """The customers a policy applies to. Names and tags are compared without regard to case."""

    customers: Annotated[frozenset[str], Reads(folded_texts)] = frozenset()
    tags: Annotated[frozenset[str], Reads(folded_texts)] = frozenset()
    groups: Annotated[frozenset[str], Reads(folded_texts)] = frozenset()
    segments: Annotated[frozenset[Segment], Reads(list_out_of({each.value: each for each in Segment}))] = frozenset()

    @model_validator(mode="after")
    def _names_somebody(self) -> AppliesTo:
        if not (self.customers or self.tags or self.groups or self.segments):
            raise refused("must name customers, tags, groups or segments")
        return self

    def match_rank(self, customer: Customer, segment: Segment) -> int:
        """Return how closely it names a customer: 0 by name, 1 by tag, 2 by group, 3 by segment, 4 not at all."""
        matches = (
            not self.customers.isdisjoint((customer.id.casefold(), customer.name.casefold())),
            _has_any(self.tags, customer.tags),
            _has_any(self.groups, customer.groups),
            segment in self.segments,
        )
        return next((rank for rank, match in enumerate(matches) if match), NO_MATCH)


def _has_any(names: frozenset[str], of_customer: Collection[str]) -> bool:
    return any(each.casefold() in names for each in of_customer)


def is_in_control_group(customer_id: str, percent: int, salt: str) -> bool:
    """Return whether a customer keeps the previous policy; a hash decides, so every run and machine agrees."""
    drawn = int.from_bytes(hashlib.sha256(f"{salt}:{customer_id}".encode()).digest()[:8])
    return drawn % 100 < percent
