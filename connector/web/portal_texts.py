"""The texts of the customer portal in the customer's language, filled; and what a customer reported, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from babel.dates import format_time

from connector.bank_details.payment_codes import BankTransfer
from connector.emails.layout import TransferText, load_texts, render_line
from connector.emails.outbound.bank_transfer import word_transfer
from connector.languages import replace_nbsp
from connector.portal import handlers, payment_plans
from connector.portal.customer_page import CustomerPage, OpenInvoice
from connector.portal.customer_response import CustomerResponse
from connector.vocabulary import PaymentMethod, ResponseKind

ACTIONS = {
    ResponseKind.CONTACT: "add_contact",
    ResponseKind.STOP: "stop_reminders",
    ResponseKind.LANGUAGE: "language",
}  # of the others, the name of the text is "act_" and the kind


class SummaryLine(NamedTuple):
    """A line of a summary: what it is, and its value."""

    label: str
    value: str


class PortalTexts:
    """The texts of the page in the customer's language, filled. ``numbers`` are invoices that may be closed by now."""

    def __init__(self, page: CustomerPage, numbers: Mapping[str, str] | None = None) -> None:
        self.language = page.language
        self._page, self._numbers = page, numbers or {}
        texts = load_texts(page.language.code)
        self._tables = (texts.portal, texts.labels, texts.statement)
        self._values = {
            "company": page.company,
            "customer": page.customer,
            "reply_to": page.reply_to,
            "today": self.long_date(page.as_of),
            "latest": self.long_date(page.today + timedelta(days=handlers.PROMISE_DAYS_MAX)),
        }

    def __call__(self, name: str, **more: str) -> str:
        """Fill a text of the portal, else one that it shares with emails or statements."""
        text = next(table[name] for table in self._tables if name in table)
        return render_line(text, {**self._values, **more})

    def action(self, kind: ResponseKind) -> str:
        """Return what a customer chooses to say, or says."""
        return self(ACTIONS.get(kind, f"act_{kind}"))

    def transfer(self, transfer: BankTransfer) -> TransferText:
        """Return how to pay by bank."""
        return word_transfer(transfer, self.language)

    def money(self, amount: Decimal, currency: str) -> str:
        """Format an amount."""
        return self.language.format_money(amount, currency)

    def long_date(self, on: date) -> str:
        """Format a date in full."""
        return replace_nbsp(self.language.format_date(on))

    def short_date(self, on: date) -> str:
        """Format a date with a short month."""
        return self.language.format_date(on, short=True)

    def date_of(self, at: datetime) -> str:
        """Format the date of an instant where the company is."""
        return self.short_date(at.astimezone(ZoneInfo(self._page.time_zone)).date())

    def time_of(self, at: datetime) -> str:
        """Format the time of day of an instant where the company is."""
        local = at.astimezone(ZoneInfo(self._page.time_zone))
        return replace_nbsp(format_time(local.time(), "short", locale=self.language.locale))

    def due_status(self, invoice: OpenInvoice) -> str:
        """Return when an invoice is due, and how long it is overdue."""
        line = invoice.line
        if line.due_on is None:
            return self("no_due_date")
        if line.days_late > 0:
            state = self("one_day_overdue" if line.days_late == 1 else "days_overdue", days=str(line.days_late))
            if line.counted_from_on is not None:
                state = self("counted_from", state=state, from_on=self.short_date(line.counted_from_on))
        elif line.payable_by_on is not None:
            state = self("payable_by", payable_on=self.short_date(line.payable_by_on))
        else:
            state = self("due_soon" if line.days_late < 0 else "due_today")
        return self("falls_due", due_on=self.short_date(line.due_on), state=state)

    def summary(self, said: CustomerResponse, files: int = 0) -> list[SummaryLine]:
        """Return what a customer reports, line by line."""
        return [SummaryLine(label, value) for label, value in self._lines(said, files) if value]

    def sentence(self, said: CustomerResponse) -> str:
        """Return what a customer reported, in one line."""
        return ", ".join(line.value for line in self.summary(said))

    def _lines(self, said: CustomerResponse, files: int) -> Iterator[tuple[str, str]]:
        known = {each.id: each.line.number for each in self._page.invoices}
        names = [known.get(each) or self._numbers.get(each, "") for each in said.invoices]
        yield self("invoice"), ", ".join(filter(None, names))
        date_label = {ResponseKind.PROMISE: "promise_on", ResponseKind.PLAN: "first_on"}.get(said.kind, "paid_on")
        instalments = payment_plans.list_instalments(said)
        yield self(date_label), self.long_date(said.on) if said.on and not instalments else ""
        if said.amount is not None:
            yield self("amount"), self.money(said.amount, said.currency)
        for number, each in enumerate(instalments, start=1):
            value = f"{self.long_date(each.due_on)}: {self.money(each.amount, said.currency)}"
            yield f"{self('entry_payment')} {number}", value
        if said.method is not PaymentMethod.NONE:
            yield self("method"), self(f"method_{said.method}")
        yield self("reference"), said.reference
        text_label = {ResponseKind.DISPUTE: "dispute_reason", ResponseKind.CONTACT: "contact_name"}.get(
            said.kind, "note"
        )
        yield self(text_label), said.text
        yield self("contact_email"), said.email
        yield self("file"), str(files) if files else ""
