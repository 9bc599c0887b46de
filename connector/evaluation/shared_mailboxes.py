"""One email a day to one address: of the customers who share it, the first with something due has it today."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.tables import OutboxEntry
from connector.outbox.drafts import Draft
from connector.outbox.payloads import EmailPayload
from connector.vocabulary import OutboxState
from policies.receivables import Customer, Statement


class SharedMailboxes:
    """The addresses that emails planned in this pass go to, each with the name of its customer.

    Customers who share an address come in the same order in every pass, so that the same one has it. ``peers`` has
    those who do, relatives included.
    """

    def __init__(self, session: Session, peers: Container[str]) -> None:
        self._session = session
        self._peers = peers
        self._taken: dict[str, str] = {}

    def mark_taken(self, statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
        """Return the statements of a customer with the name of whoever's email goes to their address today."""
        customer = statements[0].customer
        if customer.id not in self._peers or not self._taken:
            return statements
        addresses = [*customer.emails, *(each for one in statements for some in one.invoices for each in some.emails)]
        taken_by = next((name for each in addresses if (name := self._taken.get(each.casefold()))), "")
        if not taken_by:
            return statements
        customer = replace(customer, mailbox_taken_by=taken_by)
        return tuple(replace(statement, customer=customer) for statement in statements)

    def take(self, customer: Customer, drafts: Sequence[Draft]) -> None:
        """Remember to which addresses the emails of this customer go; one that was rejected before goes nowhere."""
        if customer.id not in self._peers:
            return
        for draft in drafts:
            if isinstance(draft.payload, EmailPayload) and not self._was_rejected(draft.key):
                self._taken |= dict.fromkeys(map(str.casefold, draft.payload.recipients), customer.name)

    def _was_rejected(self, key: str) -> bool:
        state = self._session.scalar(select(col(OutboxEntry.state)).where(col(OutboxEntry.key) == key))
        return state == OutboxState.REJECTED
