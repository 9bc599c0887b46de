"""The house whose books are CSV files: the example of a provider outside the tree, with a text editor for a vendor."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from sandbox.server import Sandbox
from tests.providers.contract.ledger_fixtures import TODAY, InvoiceKey, LedgerFixture


class CsvFixture(LedgerFixture):
    """The example of a provider outside the tree; its vendor is a text editor."""

    name = "csv"
    unsupported = frozenset(
        {"credits", "merges", "closed books", "tokens", "disconnecting by the vendor", "archived accounts", "network"}
    )

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._folder = folder
        super().__init__(sandbox, "")

    def create_company(self) -> None:
        for name in ("customers", "invoices", "payments", "notes"):
            self._rows(name, [])
        self._paid = 0

    def approve_consent(self, url: str) -> str:
        return url

    @property
    def id(self) -> str:
        return str(self._folder)

    def customer(self, name: str) -> None:
        row = {"id": name, "name": name, "email": f"{name.lower()}@house.example", "country": "GB", "active": "yes"}
        self._rows("customers", [*self._read("customers"), row])

    def invoice(self, customer: str, amount: str, currency: str = "GBP") -> InvoiceKey:
        number = f"I-{len(self._read('invoices')) + 1}"
        days = {"issued": "2026-10-15", "due": "2026-11-15"}
        row = {"number": number, "customer": customer, "currency": currency, **days, "total": amount, "status": "open"}
        self._rows("invoices", [*self._read("invoices"), row])
        return number, number, customer, currency

    def pay(self, number: str, amount: str = "") -> Any:
        [row] = [one for one in self._read("invoices") if one["number"] == number]
        return self._receive(row["customer"], number, amount or row["total"])

    def overpay(self, customer: str, amount: str) -> None:
        self._receive(customer, "", amount)

    prepay = overpay

    def delete_payment(self, payment: Any) -> None:
        self._rows("payments", [one for one in self._read("payments") if one["id"] != payment])

    def void(self, number: str) -> None:
        rows = self._read("invoices")
        self._rows("invoices", [{**one, "status": "void"} if one["number"] == number else one for one in rows])

    def archive(self, customer: str) -> None:
        rows = self._read("customers")
        self._rows("customers", [{**one, "active": "no"} if one["id"] == customer else one for one in rows])

    def notes(self, number: str) -> list[str]:
        return [one["text"] for one in self._read("notes") if one["invoice"] == number]

    def amounts_due(self) -> dict[str, Decimal]:
        dues = {one["number"]: Decimal(one["total"]) for one in self._read("invoices") if one["status"] != "void"}
        for one in self._read("payments"):
            if one["invoice"]:
                dues[one["invoice"]] -= Decimal(one["amount"])
        return {number: due for number, due in dues.items() if due}

    def unapplied(self) -> Decimal:
        return sum((Decimal(one["amount"]) for one in self._read("payments") if not one["invoice"]), Decimal(0))

    def _receive(self, customer: str, invoice: str, amount: str) -> str:
        self._paid += 1
        row = {"id": f"P-{self._paid}", "customer": customer, "invoice": invoice, "currency": "GBP", "amount": amount}
        self._rows("payments", [*self._read("payments"), {**row, "on": TODAY.isoformat()}])
        return f"P-{self._paid}"

    def _read(self, name: str) -> list[dict[str, str]]:
        with (self._folder / f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def _rows(self, name: str, rows: Sequence[Mapping[str, str]]) -> None:
        columns = list(dict.fromkeys(column for row in rows for column in row)) or ["id"]
        with (self._folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
