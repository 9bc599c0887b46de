"""Reads what stands open between us and some customers: invoices, with what was said and paid on them, and credits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import Select, select, text

from connector.sync.mirror.customer_batch import TABLES, CustomerBatch
from connector.sync.mirror.facts import (
    INVOICE_COLUMNS,
    NO_OVERRIDES,
    build_balance_change,
    build_credit,
    build_invoice,
    build_payment_plan,
    build_unapplied_payment,
)
from connector.sync.mirror.past_actions import ChargedFees
from connector.sync.mirror.portfolio_stats import InvoicePercentiles
from policies.receivables import BalanceChange, Credit, Invoice, PaymentPlan

_INVOICE = TABLES["invoice"]
_TOTAL = INVOICE_COLUMNS.index("total_e4")


def load_invoices(
    chunk: CustomerBatch,
    fees: ChargedFees,
    unreadable: Collection[str],
    percentiles: Mapping[str, InvoicePercentiles],
) -> dict[str, list[Invoice]]:
    """Read each customer's invoices, open and settled lately, in order of their due days."""
    ids = select(_INVOICE.c.external_id).where(chunk.on_statement())  # a query: handing over thousands of ids is slow
    setting = TABLES["invoice_setting"]
    said = chunk.one_per_key(select(setting).where(chunk.with_ids(setting, "invoice_id", ids)), "invoice_id")
    changes, plans = _balance_changes(chunk, ids), _payment_plans(chunk, ids)
    query = select(*(_INVOICE.c[name] for name in INVOICE_COLUMNS), _INVOICE.c.reference).where(chunk.on_statement())
    query = query.order_by(_INVOICE.c.due_on, _INVOICE.c.number, _INVOICE.c.external_id)
    found: defaultdict[str, list[Invoice]] = defaultdict(list)
    for *row, reference in chunk.session.execute(query).all():
        external_id, number, customer_id, currency = row[:4]
        own = percentiles.get(currency)
        found[customer_id].append(
            build_invoice(
                row,
                said.get(external_id, NO_OVERRIDES),
                tuple(changes.get(external_id, ())),
                own.percentile(row[_TOTAL]) if own else 0,
                fee_of=fees.find_original(chunk, external_id, number, reference, customer_id),
                unreadable=external_id in unreadable,
                payment_plan=plans.get(external_id),
            )
        )
    return found


def load_credits(chunk: CustomerBatch) -> dict[str, list[Credit]]:
    """Read each customer's money that is not applied to an invoice yet, oldest first."""
    credit, payment = TABLES["credit"], TABLES["payment"]
    unused = select(credit).where(chunk.of_customers(credit), credit.c.remaining_e4 > 0)
    found = chunk.many_per_key(unused, "customer_id", build_credit)
    unapplied = select(payment).where(
        chunk.of_customers(payment), text("unapplied_e4 > 0")
    )  # literally as its index says
    for customer_id, more in chunk.many_per_key(unapplied, "customer_id", build_unapplied_payment).items():
        found.setdefault(customer_id, []).extend(more)
    for each in found.values():
        each.sort(key=lambda credit: (credit.dated_on, credit.id))
    return found


def _balance_changes(chunk: CustomerBatch, ids: Select[tuple[str]]) -> dict[str, list[BalanceChange]]:
    application = TABLES["application"]
    query = select(application).where(chunk.with_ids(application, "invoice_id", ids))
    query = query.order_by(application.c.applied_on, application.c.source_id)
    return chunk.many_per_key(query, "invoice_id", build_balance_change)


def _payment_plans(chunk: CustomerBatch, ids: Select[tuple[str]]) -> dict[str, PaymentPlan]:
    """Read the payment plans that are kept; a broken one is void for good."""
    agreement = TABLES["agreement"]
    kept = (agreement.c.kind == "payment_plan", agreement.c.state == "open")
    query = select(agreement).where(chunk.with_ids(agreement, "invoice_id", ids), *kept)
    return {row.invoice_id: build_payment_plan(row) for row in chunk.session.execute(query)}
