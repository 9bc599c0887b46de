"""The example provider from outside the source tree: its ledger is a folder of CSV files, edited directly."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from sandbox.server import Sandbox
from tests.providers.contract.companies import TODAY, Company, InvoiceKey


class CsvCompany(Company):
    """A company whose ledger is a folder of CSV files; its bookkeeper uses a text editor."""

    name = "csv"
    unsupported = frozenset(
        {"credits", "merges", "locked periods", "tokens", "remote disconnection", "archived accounts", "network"}
    )

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._folder = folder
        super().__init__(sandbox, "")

    def create_company(self) -> None:
        for name in ("customers", "invoices", "payments", "notes"):
            self._write_rows(name, [])
        self._payment_count = 0

    def approve_consent(self, url: str) -> str:
        return url

    @property
    def id(self) -> str:
        return str(self._folder)

    def add_customer(self, name: str) -> None:
        row = {"id": name, "name": name, "email": f"{name.lower()}@customer.example", "country": "GB", "active": "yes"}
        self._write_rows("customers", [*self._read_rows("customers"), row])

    def add_invoice(self, customer: str, amount: str, currency: str = "GBP") -> InvoiceKey:
        number = f"I-{len(self._read_rows('invoices')) + 1}"
        days = {"issued": "2026-10-15", "due": "2026-11-15"}
        row = {"number": number, "customer": customer, "currency": currency, **days, "total": amount, "status": "open"}
        self._write_rows("invoices", [*self._read_rows("invoices"), row])
        return InvoiceKey(number, number, customer, currency)

    def pay(self, number: str, amount: str = "") -> str:
        [row] = [one for one in self._read_rows("invoices") if one["number"] == number]
        return self._add_payment(row["customer"], number, amount or row["total"])

    def overpay(self, customer: str, amount: str) -> None:
        self._add_payment(customer, "", amount)

    prepay = overpay

    def delete_payment(self, payment: str) -> None:
        self._write_rows("payments", [one for one in self._read_rows("payments") if one["id"] != payment])

    def void(self, number: str) -> None:
        rows = self._read_rows("invoices")
        self._write_rows("invoices", [{**one, "status": "void"} if one["number"] == number else one for one in rows])

    def archive(self, customer: str) -> None:
        rows = self._read_rows("customers")
        self._write_rows("customers", [{**one, "active": "no"} if one["id"] == customer else one for one in rows])

    def notes(self, number: str) -> list[str]:
        return [one["text"] for one in self._read_rows("notes") if one["invoice"] == number]

    def amounts_due(self) -> dict[str, Decimal]:
        dues = {one["number"]: Decimal(one["total"]) for one in self._read_rows("invoices") if one["status"] != "void"}
        for one in self._read_rows("payments"):
            if one["invoice"]:
                dues[one["invoice"]] -= Decimal(one["amount"])
        return {number: due for number, due in dues.items() if due}

    def unapplied(self) -> Decimal:
        return sum((Decimal(one["amount"]) for one in self._read_rows("payments") if not one["invoice"]), Decimal(0))

    def _add_payment(self, customer: str, invoice: str, amount: str) -> str:
        self._payment_count += 1
        row = {
            "id": f"P-{self._payment_count}",
            "customer": customer,
            "invoice": invoice,
            "currency": "GBP",
            "amount": amount,
        }
        self._write_rows("payments", [*self._read_rows("payments"), {**row, "on": TODAY.isoformat()}])
        return f"P-{self._payment_count}"

    def _read_rows(self, name: str) -> list[dict[str, str]]:
        with (self._folder / f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def _write_rows(self, name: str, rows: Sequence[Mapping[str, str]]) -> None:
        columns = list(dict.fromkeys(column for row in rows for column in row)) or ["id"]
        with (self._folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
