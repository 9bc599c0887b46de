"""The sentences of a digest in its language: one line for each mail, task and late customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.money import from_e4
from connector.db.tables import Connection, CustomerRow, InvoiceRow, OutboxEntry, Task
from connector.emails.layout import load_texts, render_line
from connector.languages import language_of, replace_nbsp
from connector.outbox.payloads import DigestItem, invoice_ids, load_payload
from connector.plain_text import one_line
from connector.vocabulary import OutboxState

NUMBERS_MAX = 4  # invoices named in a line


class DigestText:
    """What a digest of one company says, in one language."""

    def __init__(self, session: Session, connection: Connection, language: str, today: date) -> None:
        self._session, self._connection, self._today = session, connection, today
        self.language = language_of(language)
        self._texts: Mapping[str, Any] = load_texts(self.language.code)
        self._company = one_line(connection.name)

    def render(self, name: str, **more: str) -> str:
        """Fill a text of the digest."""
        return render_line(self._texts["digest"][name], {"company": self._company, **more})

    def overdue_customer(self, item: DigestItem) -> str:
        """Say of a customer that he is late enough to know about."""
        return f"{item.name}: {self._summarise_invoices(item.invoices)}"

    def sent_email(self, entry: OutboxEntry) -> str:
        """Say what went out, and what became of it."""
        fate = f" ({entry.delivery_status})" if entry.delivery_status else ""
        doubt = f"; {self.render('delivery_unconfirmed')}" if entry.state == OutboxState.UNCONFIRMED else ""
        return f"{self.customer_name(entry.customer_id)}: {self.step_and_invoices(entry)}{fate}{doubt}"

    def pending_entry(self, entry: OutboxEntry) -> str:
        """Say what waits for an approval or is in doubt."""
        what = self.render(
            "to_approve" if entry.state == OutboxState.AWAITING_APPROVAL else "unconfirmed", id=str(entry.id)
        )
        return f"{what}: {self.customer_name(entry.customer_id)}: {self.step_and_invoices(entry)}, {self.total(entry)}"

    def task_line(self, task: Task) -> str:
        """Say what a person has to do; where it is somebody's own words, in those."""
        named, head = self._texts["digest"]["steps"].get(task.code), self.render("task", id=str(task.id))
        if named is None or not task.invoice_ids:
            return f"{head}: {task.reason}"
        return f"{head}: {named}: {self.customer_name(task.customer_id)}: {self._summarise_invoices(task.invoice_ids)}"

    def step_and_invoices(self, entry: OutboxEntry) -> str:
        """Name the step of an entry, and the invoices it is about."""
        numbers = [row.number for row in self._load_invoices(invoice_ids(load_payload(entry).completed))]
        return f"{self._texts['digest']['steps'].get(entry.step, entry.step)}, {self._format_numbers(numbers)}"

    def total(self, entry: OutboxEntry) -> str:
        """Give what an entry is about in money: the fee, or what the mail lists."""
        amounts = [entry.payload["amount"]] if "amount" in entry.payload else entry.payload.get("due", {}).values()
        return self._format_money(sum(map(Decimal, amounts), Decimal(0)), entry.currency)

    def customer_name(self, customer_id: str) -> str:
        """Name a customer."""
        row = self._session.get(CustomerRow, (self._connection.id, customer_id))
        return one_line(row.name, 80) if row is not None else customer_id

    def _summarise_invoices(self, invoice_ids: Sequence[str]) -> str:
        """Say which invoices, how much is open on them, and how late they are."""
        rows = self._load_invoices(invoice_ids)
        due = sum((from_e4(row.due_e4) for row in rows), Decimal(0))
        said = [
            self._format_numbers([row.number for row in rows]),
            self._format_money(due, rows[0].currency if rows else ""),
        ]
        late = max(((self._today - row.due_on).days for row in rows if row.due_on), default=0)
        if late > 0:
            days = render_line(self._texts["labels"]["one_day" if late == 1 else "number_of_days"], {"days": str(late)})
            said.append(self.render("days_past_due", days=days))
        return ", ".join(said)

    def _load_invoices(self, ids: Sequence[str]) -> list[InvoiceRow]:
        query = select(InvoiceRow).where(
            col(InvoiceRow.connection_id) == self._connection.id, col(InvoiceRow.external_id).in_(ids)
        )
        return list(self._session.scalars(query.order_by(col(InvoiceRow.due_on), col(InvoiceRow.number))))

    def _format_numbers(self, numbers: Sequence[str]) -> str:
        more = f" +{len(numbers) - NUMBERS_MAX}" if len(numbers) > NUMBERS_MAX else ""
        return one_line(", ".join(numbers[:NUMBERS_MAX]) + more, 120)

    def _format_money(self, amount: Decimal, currency: str) -> str:
        return replace_nbsp(self.language.format_money(amount, currency))
