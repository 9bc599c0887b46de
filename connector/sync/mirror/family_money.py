"""What a family's balances say: credit that its members can use, and debt that stands on no invoice."""

from __future__ import annotations

from dataclasses import replace

from connector.sync.mirror.customer_data import CustomerData
from connector.sync.mirror.families import Families
from connector.sync.mirror.ledger_balances import find_debt_on_no_invoice, find_unexplained, find_unexplained_of_family
from policies.receivables import Credit, CreditKind, Customer
from policies.unapplied_credit import Group, share_credit


def with_debt_on_no_invoice(customer: Customer, families: Families, loaded: CustomerData) -> Customer:
    """Return a customer with what they owe on no invoice; that of a family stands at the first with a statement."""
    relatives = families.relatives(customer.id)
    root = families.root(customer.id)
    row = loaded.customers.get(root)
    if customer.erased or customer.id != _first_with_statement(root, relatives, families, loaded):
        return customer
    invoices = [invoice for each in relatives for invoice in loaded.invoices[each]]
    credits = [credit for each in relatives for credit in loaded.credits.get(each, ())]
    debt = find_debt_on_no_invoice(row, invoices, credits, of_family=len(relatives) > 1)
    if row is None or not debt:
        return customer
    holder = row.name if root != customer.id else ""
    return replace(customer, debt_on_no_invoice=debt, debt_currency=row.balance_currency, debt_holder=holder)


def _first_with_statement(root: str, relatives: list[str], families: Families, loaded: CustomerData) -> str:
    """Return the head of a family where it is written to, else the first of the others who is."""
    payers = families.payers([each for each in relatives if loaded.invoices.get(each)])
    return root if root in payers else min(payers, default="")


def find_credits(customer_id: str, families: Families, loaded: CustomerData) -> list[Credit]:
    """Return the unapplied credit that counts for a customer: their own, and what their family can spare."""
    relatives = families.relatives(customer_id)
    root = relatives[0]
    if root not in loaded.shared_credit:
        loaded.shared_credit[root] = _share_credit(relatives, families, loaded)
    found = loaded.shared_credit[root][customer_id]
    if len(relatives) == 1:
        return found
    return [_with_holder(each, loaded) if each.customer_id != customer_id else each for each in found]


def _with_holder(credit: Credit, loaded: CustomerData) -> Credit:
    """Name the relative whose credit it is: there it has to be looked for."""
    row = loaded.customers.get(credit.customer_id)
    return replace(credit, holder=row.name) if row is not None else credit


def _share_credit(relatives: list[str], families: Families, loaded: CustomerData) -> dict[str, list[Credit]]:
    credits: dict[str, list[Credit]] = {}
    for member in relatives:
        known = loaded.credits.get(member, [])
        changed_at = loaded.changed_at.get(member)
        unexplained = find_unexplained(loaded.customers.get(member), loaded.invoices[member], known, changed_at)
        credits[member] = [*known, *([unexplained] if unexplained else [])]
    if len(relatives) > 1:
        root = families.root(relatives[0])
        credits[root] += _family_credit(root, relatives, loaded, credits)
    payers = sorted(families.payers(relatives))
    groups = {}
    for payer in payers:
        members = families.billed_to(payer)
        invoices = [invoice for member in members for invoice in loaded.invoices[member]]
        groups[payer] = Group(invoices, [credit for member in members for credit in credits.get(member, ())])
    return share_credit(groups) if len(groups) > 1 else {payer: list(group.credits) for payer, group in groups.items()}


def _family_credit(
    root: str, relatives: list[str], loaded: CustomerData, credits: dict[str, list[Credit]]
) -> list[Credit]:
    """Return what the balance of the whole family lacks beyond what its members' balances lack."""
    known = [credit for member in relatives for credit in loaded.credits.get(member, ())]
    found = [each for own in credits.values() for each in own if each.kind is CreditKind.LEDGER_BALANCE]
    invoices = [invoice for member in relatives for invoice in loaded.invoices[member]]
    missing = find_unexplained_of_family(loaded.customers.get(root), invoices, known, found)
    return [missing] if missing else []
