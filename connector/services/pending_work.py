"""What a company or a customer still has to come, shown before the access to it ends or their data is erased."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.db.money import from_e4
from connector.db.tables import InvoiceRow, OutboxEntry, Task
from connector.outbox.entries import UNSENT_STATES
from connector.vocabulary import OutboxKind, TaskState
from policies.formatting import format_amount


@dataclass(frozen=True, slots=True)
class PendingWork:
    """Open balances and unsent fees by currency, and the numbers of unsent emails and fees and of open tasks."""

    balances: list[tuple[str, Decimal]]
    emails: int
    fees: list[tuple[str, int, Decimal]]
    tasks: int

    @property
    def fee_count(self) -> int:
        """The number of late fees that are not in the accounting system yet."""
        return sum(count for _currency, count, _amount in self.fees)

    def open_text(self) -> str:
        """Return what is owed: ``CAD 1.00, EUR 333.00 and GBP 20.00``; "nothing" where no invoice is open."""
        return _listed([format_amount(amount, currency) for currency, amount in self.balances]) or "nothing"

    def unsent_text(self) -> str:
        """Return what is not sent any more: ``2 emails and 1 late fee (EUR 5.00)``; "" for nothing."""
        sums = _listed([format_amount(amount, currency) for currency, _count, amount in self.fees])
        parts = [_count(self.emails, "email")] if self.emails else []
        parts += [f"{_count(self.fee_count, 'late fee')} ({sums})"] if self.fees else []
        return " and ".join(parts)

    def tasks_text(self) -> str:
        """Return the number of open tasks: ``1 open task``; "" for none."""
        return _count(self.tasks, "open task") if self.tasks else ""


def load_pending_work(session: Session, connection_id: int, customer_id: str | None = None) -> PendingWork:
    """Count what is to come for a customer, or for all customers of a company."""
    balance = select(col(InvoiceRow.currency), func.sum(col(InvoiceRow.due_e4))).where(
        col(InvoiceRow.connection_id) == connection_id, col(InvoiceRow.is_open)
    )
    unsent = select(OutboxEntry).where(
        col(OutboxEntry.connection_id) == connection_id,
        col(OutboxEntry.state).in_(UNSENT_STATES),
        col(OutboxEntry.kind).in_([OutboxKind.EMAIL, OutboxKind.LATE_FEE]),
    )
    tasks = select(func.count()).where(col(Task.connection_id) == connection_id, col(Task.state) == TaskState.OPEN)
    if customer_id is not None:
        balance = balance.where(col(InvoiceRow.customer_id) == customer_id)
        unsent = unsent.where(col(OutboxEntry.customer_id) == customer_id)
        tasks = tasks.where(col(Task.customer_id) == customer_id)
    emails, fees = 0, dict[str, tuple[int, Decimal]]()
    for entry in session.scalars(unsent):
        if entry.kind == OutboxKind.EMAIL:
            emails += 1
        else:
            count, amount = fees.get(entry.currency, (0, Decimal()))
            fees[entry.currency] = (count + 1, amount + Decimal(entry.payload["amount"]))
    owed = session.execute(balance.group_by(col(InvoiceRow.currency)).order_by(col(InvoiceRow.currency)))
    return PendingWork(
        balances=[(currency, from_e4(int(amount_e4))) for currency, amount_e4 in owed if amount_e4],
        emails=emails,
        fees=[(currency, *totals) for currency, totals in sorted(fees.items())],
        tasks=session.scalar(tasks) or 0,
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _listed(texts: list[str]) -> str:
    """Return texts in a sentence, with "and" before the last."""
    return " and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))
