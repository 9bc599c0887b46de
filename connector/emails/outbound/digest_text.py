"""The lines of a digest in its language: one for each email, task and overdue customer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.money import from_e4
from connector.db.tables import Connection, CustomerRow, InvoiceRow, OutboxEntry, Task
from connector.emails.layout import load_texts, render_line
from connector.languages import language_of, replace_nbsp
from connector.outbox.payloads import (
    DigestItem,
    EmailPayload,
    FeeWaiverPayload,
    LateFeePayload,
    invoice_ids,
    load_payload,
)
from connector.plain_text import one_line
from connector.vocabulary import OutboxState

NUMBERS_MAX = 4  # invoices named in a line


class DigestText:
    """The texts of one company's digest, in one language."""

    def __init__(self, session: Session, connection: Connection, language: str, today: date) -> None:
        self._session, self._connection, self._today = session, connection, today
        self.language = language_of(language)
        self._texts = load_texts(self.language.code)
        self._company = one_line(connection.name)
        self.colon = self._texts.labels["colon"]
        self._weights: dict[str, Decimal] | None = None

    def render(self, name: str, **more: str) -> str:
        """Fill a text of the digest."""
        return render_line(self._texts.digest[name], {"company": self._company, **more})

    def weigh(self, ids: Sequence[str]) -> Decimal:
        """Return what is due on these invoices, each amount times the days that it is overdue: for an order of lines.

        What is not overdue yet counts as one day, so that it is ordered by its amount.
        """
        if self._weights is None:  # all of the company's at once: a digest has many lines
            columns = (col(InvoiceRow.external_id), col(InvoiceRow.due_e4), col(InvoiceRow.due_on))
            query = select(*columns).where(
                col(InvoiceRow.connection_id) == self._connection.id, col(InvoiceRow.is_open)
            )
            self._weights = {
                invoice: from_e4(due) * max((self._today - due_on).days if due_on else 0, 1)
                for invoice, due, due_on in self._session.execute(query)
            }
        return sum((self._weights.get(each, Decimal(0)) for each in ids), Decimal(0))

    def overdue_customer(self, item: DigestItem) -> str:
        """Return the line about a customer who is overdue enough for an account-owner alert."""
        return self._join(item.name, self._summarise_invoices(item.invoices))

    def email_to_send(self, entry: OutboxEntry) -> str:
        """Return an email that will be sent today."""
        detail = f"{self.step_and_invoices(entry)}, {self.total(entry)}"
        if entry.state == OutboxState.AWAITING_APPROVAL:
            detail = f"{detail}, {self.render('awaiting_approval')}"
        return self._join(self.customer_name(entry.customer_id), detail)

    def sent_email(self, entry: OutboxEntry) -> str:
        """Return what was sent, and what is known about its delivery."""
        delivery = self._texts.digest_delivery.get(entry.delivery_status, "")
        if entry.state == OutboxState.UNCONFIRMED:
            delivery = self.render("delivery_unconfirmed")
        line = self._join(self.customer_name(entry.customer_id), self.step_and_invoices(entry))
        return f"{line} ({delivery})" if delivery else line

    def pending_entry(self, entry: OutboxEntry) -> str:
        """Return an entry that awaits approval, or whose delivery is unconfirmed."""
        is_waiting = entry.state == OutboxState.AWAITING_APPROVAL
        head = self.render("to_approve" if is_waiting else "unconfirmed", id=str(entry.id))
        what = f"{self.step_and_invoices(entry)}, {self.total(entry)}"
        return self._join(head, self.customer_name(entry.customer_id), what)

    def task_line(self, task: Task) -> str:
        """Return what is to be done: by its label, or in the words in which it was entered."""
        label, head = self._texts.digest_steps.get(task.code), self.render("task", id=str(task.id))
        if label is None or not task.invoice_ids:
            return self._join(head, task.reason)
        invoices = self._summarise_invoices(task.invoice_ids)
        return self._join(head, label, self.customer_name(task.customer_id), invoices)

    def step_and_invoices(self, entry: OutboxEntry) -> str:
        """Return the step of an entry and the invoices it is about."""
        invoices = self._load_invoices(invoice_ids(load_payload(entry).completed))
        return f"{self._texts.digest_steps[entry.step]}, {self._format_numbers(invoices)}"

    def total(self, entry: OutboxEntry) -> str:
        """Return the amount of a fee, or the sum of what an email lists."""
        payload = load_payload(entry)
        if isinstance(payload, EmailPayload):
            return self._format_money(sum(payload.due.values(), Decimal(0)), entry.currency)
        amount = payload.amount if isinstance(payload, LateFeePayload | FeeWaiverPayload) else Decimal(0)
        return self._format_money(amount, entry.currency)

    def customer_name(self, customer_id: str) -> str:
        """Return a customer's name, or the id where the customer is gone."""
        row = self._session.get(CustomerRow, (self._connection.id, customer_id))
        return one_line(row.name, 80) if row is not None else customer_id

    def _join(self, *parts: str) -> str:
        return self.colon.join(parts)

    def _summarise_invoices(self, ids: Sequence[str]) -> str:
        """Return the numbers, the open balance, and how long the oldest is overdue."""
        rows = self._load_invoices(ids)
        due = sum((from_e4(row.due_e4) for row in rows), Decimal(0))
        parts = [
            self._format_numbers(rows),
            self._format_money(due, rows[0].currency if rows else ""),
        ]
        days = max(((self._today - row.due_on).days for row in rows if row.due_on), default=0)
        if days > 0:
            text = self._texts.labels["one_day" if days == 1 else "number_of_days"]
            parts.append(self.render("days_overdue", days=render_line(text, {"days": str(days)})))
        return ", ".join(parts)

    def _load_invoices(self, ids: Sequence[str]) -> list[InvoiceRow]:
        query = select(InvoiceRow).where(
            col(InvoiceRow.connection_id) == self._connection.id, col(InvoiceRow.external_id).in_(ids)
        )
        return list(self._session.scalars(query.order_by(col(InvoiceRow.due_on), col(InvoiceRow.number))))

    def _format_numbers(self, rows: Sequence[InvoiceRow]) -> str:
        """Return the numbers; what has none, or the same as another, is told apart by its date."""
        repeated = Counter(row.number for row in rows)
        names = [self._name(row, is_repeated=repeated[row.number] > 1) for row in rows[:NUMBERS_MAX]]
        more = f" +{len(rows) - NUMBERS_MAX}" if len(rows) > NUMBERS_MAX else ""
        return one_line(", ".join(names) + more, 120)

    def _name(self, row: InvoiceRow, *, is_repeated: bool) -> str:
        labels, issued_on = self._texts.labels, self.language.format_date(row.issued_on)
        if not row.number:
            dates = render_line(labels["date_item"], {"issued_on": issued_on})
            return render_line(labels["one_reference_by_date"], {"dates": dates})
        if is_repeated:
            return render_line(labels["number_of_date"], {"number": row.number, "issued_on": issued_on})
        return row.number

    def _format_money(self, amount: Decimal, currency: str) -> str:
        return replace_nbsp(self.language.format_money(amount, currency))
