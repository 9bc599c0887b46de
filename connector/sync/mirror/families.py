"""Families: who is written to about a sub-customer's invoices, and whose money counts for whom.

Where a sub-customer is billed with its parent, the parent gets one statement for both. A parent that is inactive or not
in the mirror is not written to: its sub-customers are, as if they were billed themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from connector.sync.mirror.customer_batch import TABLES

_LEVELS_MAX = 10  # QuickBooks has five; a circle ends here
_MERGES_MAX = 20  # one after the other


class FamilyLink(NamedTuple):
    """A sub-customer, its parent, whether the parent is written to, and whether it may be written to at all.

    ``asks_parent`` is whether the sub-customer is billed with a parent who may be inactive or not in the mirror.
    """

    customer_id: str
    parent_id: str
    is_billed: bool
    is_active: bool = True
    asks_parent: bool = False


class Families:
    """The families of one company; without sub-customers it is empty, and everybody is written to themselves."""

    def __init__(self, links: Iterable[FamilyLink]) -> None:
        """Build from the link of each sub-customer with its parent."""
        self.links = tuple(sorted(links))
        self._parents: dict[str, str] = {}
        self._billed: set[str] = set()
        self._inactive: set[str] = set()
        self._asking_parent: set[str] = set()
        for link in self.links:
            self._parents[link.customer_id] = link.parent_id
            if link.is_billed:
                self._billed.add(link.customer_id)
            if not link.is_active:
                self._inactive.add(link.parent_id)
            if link.asks_parent:
                self._asking_parent.add(link.customer_id)
        self._by_root: defaultdict[str, list[str]] = defaultdict(list)
        self._by_payer: defaultdict[str, list[str]] = defaultdict(list)
        for customer_id in self._parents:
            self._by_root[self.root(customer_id)].append(customer_id)
            if (payer := self.payer(customer_id)) != customer_id:
                self._by_payer[payer].append(customer_id)

    def ancestors(self, customer_id: str) -> list[str]:
        """Return the parent, its parent and so on."""
        found: list[str] = []
        parent = self._parents.get(customer_id)
        while parent is not None and parent not in (customer_id, *found) and len(found) < _LEVELS_MAX:
            found.append(parent)
            parent = self._parents.get(parent)
        return found

    def address_holders(self, customer_id: str) -> list[str]:
        """Return the parents at whose address a sub-customer without one can be written to, the nearest first."""
        return [each for each in self.ancestors(customer_id) if each not in self._inactive]

    def named_payers(self, customer_id: str) -> list[str]:
        """Return the parents whom the ledger names as those to write to, whether they can be written to or not."""
        found: list[str] = []
        for parent in self.ancestors(customer_id):
            if customer_id not in self._asking_parent:
                break
            found.append(customer_id := parent)
        return found

    def inactive_payers(self, customer_id: str) -> list[str]:
        """Return the parents that the ledger names as those to write to, and that are inactive."""
        return [each for each in self.named_payers(customer_id) if each in self._inactive]

    def payer(self, customer_id: str) -> str:
        """Return who is written to about a customer's invoices: themselves, where their parents go in a circle."""
        if self._is_circular(customer_id):
            return customer_id
        for parent in self.ancestors(customer_id):
            if customer_id not in self._billed:
                break
            customer_id = parent
        return customer_id

    def payers(self, customer_ids: Collection[str]) -> set[str]:
        """Return who is written to about the invoices of these customers."""
        return {self.payer(each) for each in customer_ids}

    def billed_to(self, payer: str) -> list[str]:
        """Return the customers whose invoices are on a payer's statement, the payer first."""
        return [payer, *sorted(self._by_payer.get(payer, ()))]

    def relatives(self, customer_id: str) -> list[str]:
        """Return the whole family of a customer, themselves included."""
        root = self.root(customer_id)
        return sorted({customer_id, root, *self._by_root.get(root, ())})

    def with_relatives(self, customer_ids: Collection[str]) -> set[str]:
        """Return these customers with their whole families."""
        return {relative for each in customer_ids for relative in self.relatives(each)}

    def root(self, customer_id: str) -> str:
        """Return the head of a customer's family."""
        ancestors = self.ancestors(customer_id)
        return min(customer_id, *ancestors) if self._is_circular(customer_id) else (ancestors or [customer_id])[-1]

    def _is_circular(self, customer_id: str) -> bool:
        ancestors = self.ancestors(customer_id)
        return bool(ancestors) and self._parents.get(ancestors[-1]) is not None


def load_families(session: Session, connection_id: int) -> Families:
    """Load the families of a company; the parent of a sub-customer whose parent was merged is the survivor."""
    customer, parent = TABLES["customer"], TABLES["customer"].alias("parent")
    of_company = customer.c.connection_id == connection_id
    query = select(customer.c.external_id, customer.c.parent_id, customer.c.bill_with_parent)
    subs = session.execute(query.where(of_company, customer.c.parent_id.is_not(None))).all()
    if not subs:
        return Families(())
    parent_ids = select(parent.c.parent_id).where(parent.c.connection_id == connection_id)
    survivors = select(parent.c.merged_into).where(parent.c.connection_id == connection_id)
    is_parent = or_(customer.c.external_id.in_(parent_ids), customer.c.external_id.in_(survivors))
    columns = (customer.c.external_id, customer.c.active, customer.c.deleted, customer.c.merged_into)
    known = {row.external_id: row for row in session.execute(select(*columns).where(of_company, is_parent))}
    links: list[FamilyLink] = []
    for row in subs:
        parent_id = row.parent_id
        for _ in range(_MERGES_MAX):
            parent_id = known[parent_id].merged_into or parent_id if parent_id in known else parent_id
        is_active = parent_id in known and known[parent_id].active and not known[parent_id].deleted
        if parent_id != row.external_id:  # a parent that was merged into its own sub-customer
            asks = bool(row.bill_with_parent)
            links.append(FamilyLink(row.external_id, parent_id, asks and bool(is_active), bool(is_active), asks))
    return Families(links)
