"""One desk for both ledgers: what a bookkeeper does, in the same words in Xero and in QuickBooks.

Customers and invoices are named by their ids in the ledger; amounts are in the company's currency.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Protocol

from sandbox.core import JsonObject
from sandbox.quickbooks.bookkeeper import Bookkeeper as QuickBooksBookkeeper
from sandbox.sendgrid.service import SendGrid
from sandbox.state import SandboxState
from sandbox.xero.bookkeeper import Bookkeeper as XeroBookkeeper


class Desk(Protocol):
    """The bookkeeper's desk of one company."""

    def add_customer(self, name: str, email: str, *, parent: str = "") -> str:
        """Add a customer (with ``parent``, one that is billed with it) and return its id."""
        ...

    def add_invoice(self, customer: str, amount: str, *, on: date, due_on: date, number: str | None = None) -> str:
        """Add an invoice that was sent, and return its id; ``number`` None takes the ledger's next one, "" none."""
        ...

    def pay(self, invoice: str, amount: str = "", *, on: date | None = None) -> str:
        """Enter a payment of an invoice (by default of all that is due, today) and return its id."""
        ...

    def delete_payment(self, payment: str) -> None:
        """Delete a payment: the amount is due again."""
        ...

    def pay_on_account(self, customer: str, amount: str) -> None:
        """Enter a payment that is applied to no invoice."""
        ...

    def credit(self, invoice: str, customer: str, amount: str) -> None:
        """Enter a credit note and apply it to the invoice."""
        ...

    def pay_all(self, customer: str) -> None:
        """Enter a payment of each open invoice of a customer, whoever raised it."""
        ...

    def write_off(self, invoice: str) -> None:
        """Clear an invoice by a payment to an account of bad debts: no money came."""
        ...

    def void(self, invoice: str) -> None:
        """Void an unpaid invoice."""
        ...

    def move_due_date(self, invoice: str, due_on: date) -> None:
        """Change the due date of an invoice."""
        ...

    def change_total(self, invoice: str, amount: str) -> None:
        """Change what an invoice is for."""
        ...

    def archive(self, customer: str) -> None:
        """Archive a customer, or make them inactive."""
        ...

    def bill(self, customer: str, parent: str) -> None:
        """Bill a sub-customer with another parent, or with "" themselves, where the ledger has parents."""
        ...

    def repeat_number(self, invoice: str, other: str) -> None:
        """Assign an invoice the number of another one, where the ledger allows it."""
        ...

    def merge(self, customer: str, into: str) -> None:
        """Merge a customer into another."""
        ...

    def fail_address(self, email: str, outcome: str) -> None:
        """Return every email to an address, with an outcome of the simulated SendGrid."""
        ...


def open_desk(sandbox: SandboxState, ledger: str, company: str = "") -> Desk:
    """Open the desk of a company, by its id on the ledger; "" is the company with a history."""
    if ledger == "xero":
        return XeroDesk(sandbox.xero, sandbox.sendgrid, company)
    bookkeeper = sandbox.quickbooks.bookkeeper(company) if company else sandbox.quickbooks
    return QuickBooksDesk(bookkeeper, sandbox.sendgrid)


class XeroDesk:
    """The desk of a Xero organisation."""

    def __init__(self, bookkeeper: XeroBookkeeper, mailer: SendGrid, organisation: str) -> None:
        """Work on the organisation with this id ("" is the first one)."""
        self._bookkeeper, self._organisation, self._numbered = bookkeeper, organisation, 0
        self.fail_address = mailer.set_outcome

    def add_customer(self, name: str, email: str, *, parent: str = "") -> str:
        """Add a contact; Xero has no parents."""
        del parent
        return self._bookkeeper.add_contact(name, self._organisation, email=email, country="United Kingdom").id

    def add_invoice(self, customer: str, amount: str, *, on: date, due_on: date, number: str | None = None) -> str:
        """Add an approved invoice that is marked as sent."""
        if number is None:
            self._numbered += 1
            number = f"INV-{9000 + self._numbered}"  # far from those of the history
        return self._bookkeeper.add_invoice(
            customer, amount, on.isoformat(), due_on.isoformat(), self._organisation, sent=True, number=number
        ).id

    def pay(self, invoice: str, amount: str = "", *, on: date | None = None) -> str:
        """Enter a payment."""
        return self._bookkeeper.pay(invoice, amount, on.isoformat() if on else "", self._organisation).id

    def delete_payment(self, payment: str) -> None:
        """Delete a payment."""
        self._bookkeeper.delete_payment(payment, self._organisation)

    def pay_on_account(self, customer: str, amount: str) -> None:
        """Enter an overpayment."""
        self._bookkeeper.add_credit(customer, amount, "Overpayment", organisation=self._organisation)

    def credit(self, invoice: str, customer: str, amount: str) -> None:
        """Enter a credit note and allocate it; the invoice names its contact."""
        del customer
        self._bookkeeper.credit(invoice, amount, self._organisation)

    def pay_all(self, customer: str) -> None:
        """Pay each approved invoice of the contact."""
        for invoice in self._bookkeeper.invoices(self._organisation):
            if invoice.contact.id == customer and invoice.status == "AUTHORISED":
                self.pay(invoice.id)

    def write_off(self, invoice: str) -> None:
        """Enter a payment to the account of bad debts."""
        self._bookkeeper.pay(invoice, "", "", self._organisation, account="431")

    def void(self, invoice: str) -> None:
        """Void the invoice."""
        self._bookkeeper.void(invoice, self._organisation)

    def move_due_date(self, invoice: str, due_on: date) -> None:
        """Change the due date."""
        self._bookkeeper.edit(invoice, self._organisation, due_on=due_on)

    def change_total(self, invoice: str, amount: str) -> None:
        """Change the total."""
        self._bookkeeper.edit(invoice, self._organisation, total=Decimal(amount))

    def archive(self, customer: str) -> None:
        """Archive the contact."""
        self._bookkeeper.archive(customer, self._organisation)

    def bill(self, customer: str, parent: str) -> None:
        """Do nothing: Xero has no parents."""

    def repeat_number(self, invoice: str, other: str) -> None:
        """Do nothing: Xero keeps the numbers of sales invoices unique."""

    def merge(self, customer: str, into: str) -> None:
        """Merge two contacts."""
        self._bookkeeper.merge(customer, into, self._organisation)


class QuickBooksDesk:
    """The desk of a QuickBooks company."""

    def __init__(self, bookkeeper: QuickBooksBookkeeper, mailer: SendGrid) -> None:
        """Work on the bookkeeper's company."""
        self._bookkeeper, self._bad_debts = bookkeeper, ""
        self.fail_address = mailer.set_outcome

    def add_customer(self, name: str, email: str, *, parent: str = "") -> str:
        """Add a customer; a sub-customer is billed with its parent."""
        family: JsonObject = {"ParentRef": {"value": parent}, "Job": True, "BillWithParent": True} if parent else {}
        return str(self._bookkeeper.add_customer(name, email=email, **family)["Id"])

    def add_invoice(self, customer: str, amount: str, *, on: date, due_on: date, number: str | None = None) -> str:
        """Add an invoice that was emailed."""
        added = self._bookkeeper.add_invoice(customer, amount, number=number or "", on=on, due_on=due_on)
        if number == "":
            self._bookkeeper.renumber(added["Id"], "")
        return str(added["Id"])

    def pay(self, invoice: str, amount: str = "", *, on: date | None = None) -> str:
        """Receive a payment."""
        return str(self._bookkeeper.pay(invoice, amount or None, on=on)["Id"])

    def delete_payment(self, payment: str) -> None:
        """Delete a payment."""
        self._bookkeeper.delete_payment(payment)

    def pay_on_account(self, customer: str, amount: str) -> None:
        """Receive an unapplied payment."""
        self._bookkeeper.pay_unapplied(customer, amount)

    def credit(self, invoice: str, customer: str, amount: str) -> None:
        """Enter a credit memo and apply it."""
        self._bookkeeper.apply_credit(self._bookkeeper.credit(customer, amount)["Id"], invoice)

    def pay_all(self, customer: str) -> None:
        """Receive a payment of each open invoice of the customer."""
        for invoice in self._bookkeeper.invoices():
            if invoice["CustomerRef"]["value"] == customer and invoice["Balance"]:
                self.pay(invoice["Id"])

    def write_off(self, invoice: str) -> None:
        """Deposit a payment to an account of bad debts."""
        self._bad_debts = self._bad_debts or self._bookkeeper.add_account("Bad Debts", "Other Current Asset")
        self._bookkeeper.pay(invoice, deposit_to=self._bad_debts)

    def void(self, invoice: str) -> None:
        """Void the invoice: its total and balance become 0."""
        self._bookkeeper.void(invoice)

    def move_due_date(self, invoice: str, due_on: date) -> None:
        """Change the due date."""
        self._bookkeeper.edit(invoice, DueDate=due_on.isoformat())

    def change_total(self, invoice: str, amount: str) -> None:
        """Change the amount of the only line."""
        line = self._bookkeeper.find(invoice)["Line"][0]
        self._bookkeeper.edit(invoice, Line=[{**line, "Amount": Decimal(amount)}])

    def archive(self, customer: str) -> None:
        """Make the customer inactive."""
        self._bookkeeper.deactivate(customer)

    def bill(self, customer: str, parent: str) -> None:
        """Change the parent, or bill the customer themselves."""
        family: JsonObject = {"ParentRef": {"value": parent}} if parent else {}
        self._bookkeeper.edit_customer(customer, BillWithParent=bool(parent), **family)

    def repeat_number(self, invoice: str, other: str) -> None:
        """Change the number: the browser only warns."""
        self._bookkeeper.renumber(invoice, str(self._bookkeeper.find(other)["DocNumber"]))

    def merge(self, customer: str, into: str) -> None:
        """Merge two customers; the merged one becomes inactive."""
        self._bookkeeper.merge(customer, into)
