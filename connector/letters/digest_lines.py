"""The sentences of a digest in its language: one line for each mail, task and late customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from connector.letters.languages import language_of, ordinary_spaces
from connector.letters.mail_layout import phrase, words
from connector.letters.plain_text import one_line
from connector.money import from_e4
from connector.tables import Connection, CustomerRow, InvoiceRow, OutboxEntry, Task

NUMBERS_MAX = 4  # invoices named in a line


class Lines:
    """What a digest of one company says, in one language."""

    def __init__(self, session: Session, connection: Connection, language: str, today: date) -> None:
        self._session, self._connection, self._today = session, connection, today
        self.language = language_of(language)
        self._texts: Mapping[str, Any] = words(self.language.code)
        self._company = one_line(connection.name)

    def say(self, name: str, **more: str) -> str:
        """Fill a text of the digest."""
        return phrase(self._texts["digest"][name], {"company": self._company, **more})

    def late(self, item: dict[str, Any]) -> str:
        """Say of a customer that he is late enough to know about."""
        return f"{item['name']}: {self._about(item['invoices'])}"

    def went(self, entry: OutboxEntry) -> str:
        """Say what went out, and what became of it."""
        fate = f" ({entry.delivery})" if entry.delivery else ""
        doubt = f"; {self.say('uncertain')}" if entry.state == "doubt" else ""
        return f"{self.customer(entry.customer_id)}: {self.step(entry)}{fate}{doubt}"

    def waiting(self, entry: OutboxEntry) -> str:
        """Say what waits for an approval or is in doubt."""
        what = self.say("approve" if entry.state == "waiting" else "doubt", id=str(entry.id))
        return f"{what}: {self.customer(entry.customer_id)}: {self.step(entry)}, {self.sum(entry)}"

    def task(self, task: Task) -> str:
        """Say what a person has to do; where it is somebody's own words, in those."""
        named, head = self._texts["digest"]["steps"].get(task.code), self.say("task", id=str(task.id))
        if named is None or not task.invoice_ids:
            return f"{head}: {task.why}"
        return f"{head}: {named}: {self.customer(task.customer_id)}: {self._about(task.invoice_ids)}"

    def step(self, entry: OutboxEntry) -> str:
        """Name the step of an entry, and the invoices it is about."""
        numbers = [row.number for row in self._invoices([pair[0] for pair in entry.payload["taken"]])]
        return f"{self._texts['digest']['steps'].get(entry.step, entry.step)}, {self._numbers(numbers)}"

    def sum(self, entry: OutboxEntry) -> str:
        """Give what an entry is about in money: the fee, or what the mail lists."""
        amounts = [entry.payload["amount"]] if "amount" in entry.payload else entry.payload.get("due", {}).values()
        return self._money(sum(map(Decimal, amounts), Decimal(0)), entry.currency)

    def customer(self, customer_id: str) -> str:
        """Name a customer."""
        row = self._session.get(CustomerRow, (self._connection.id, customer_id))
        return one_line(row.name, 80) if row is not None else customer_id

    def _about(self, invoice_ids: Sequence[str]) -> str:
        """Say which invoices, how much is open on them, and how late they are."""
        rows = self._invoices(invoice_ids)
        due = sum((from_e4(row.due_e4) for row in rows), Decimal(0))
        said = [self._numbers([row.number for row in rows]), self._money(due, rows[0].currency if rows else "")]
        late = max(((self._today - row.due_on).days for row in rows if row.due_on), default=0)
        if late > 0:
            days = phrase(self._texts["labels"]["day" if late == 1 else "days"], {"days": str(late)})
            said.append(self.say("past_due", days=days))
        return ", ".join(said)

    def _invoices(self, ids: Sequence[str]) -> list[InvoiceRow]:
        query = select(InvoiceRow).where(
            col(InvoiceRow.connection_id) == self._connection.id, col(InvoiceRow.external_id).in_(ids)
        )
        return list(self._session.scalars(query.order_by(col(InvoiceRow.due_on), col(InvoiceRow.number))))

    def _numbers(self, numbers: Sequence[str]) -> str:
        more = f" +{len(numbers) - NUMBERS_MAX}" if len(numbers) > NUMBERS_MAX else ""
        return one_line(", ".join(numbers[:NUMBERS_MAX]) + more, 120)

    def _money(self, amount: Decimal, currency: str) -> str:
        return ordinary_spaces(self.language.money(amount, currency))
