"""Open items of some customers: invoices with their agreements and payments, and unapplied credits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import Select, select, text

from connector.sync.mirror.customer_batch import TABLES, CustomerBatch
from connector.sync.mirror.facts import (
    INVOICE_COLUMNS,
    NO_OVERRIDES,
    build_balance_changes,
    build_credit,
    build_invoice,
    build_payment_plan,
    build_unapplied_payment,
)
from connector.sync.mirror.past_actions import ChargedFees
from connector.sync.mirror.portfolio_stats import InvoicePercentiles
from connector.vocabulary import AgreementKind, AgreementState
from policies.receivables import BalanceChange, Credit, Invoice, PaymentPlan

_INVOICE = TABLES["invoice"]
_TOTAL = INVOICE_COLUMNS.index("total_e4")


def load_invoices(
    batch: CustomerBatch,
    fees: ChargedFees,
    unreadable: Collection[str],
    percentiles: Mapping[str, InvoicePercentiles],
) -> dict[str, list[Invoice]]:
    """Return each customer's invoices, open or recently closed, ordered by due date."""
    ids = select(_INVOICE.c.external_id).where(batch.on_statement())  # a subquery: passing thousands of ids is slow
    setting = TABLES["invoice_setting"]
    overrides = batch.one_per_key(select(setting).where(batch.with_ids(setting, "invoice_id", ids)), "invoice_id")
    changes, plans = _balance_changes(batch, ids), _payment_plans(batch, ids)
    query = select(*(_INVOICE.c[name] for name in INVOICE_COLUMNS), _INVOICE.c.reference).where(batch.on_statement())
    query = query.order_by(_INVOICE.c.due_on, _INVOICE.c.number, _INVOICE.c.external_id)
    found: defaultdict[str, list[Invoice]] = defaultdict(list)
    for *row, reference in batch.session.execute(query).all():
        external_id, number, customer_id, currency = row[:4]
        own = percentiles.get(currency)
        found[customer_id].append(
            build_invoice(
                row,
                overrides.get(external_id, NO_OVERRIDES),
                tuple(changes.get(external_id, ())),
                own.percentile(row[_TOTAL]) if own else 0,
                fee_of=fees.find_original(batch, external_id, number, reference, customer_id),
                unreadable=external_id in unreadable,
                payment_plan=plans.get(external_id),
            )
        )
    return found


def load_credits(batch: CustomerBatch) -> dict[str, list[Credit]]:
    """Return each customer's unapplied credits and payments, oldest first."""
    credit, payment = TABLES["credit"], TABLES["payment"]
    unused = select(credit).where(batch.of_customers(credit), credit.c.remaining_e4 > 0)
    found = batch.many_per_key(unused, "customer_id", build_credit)
    unapplied = select(payment).where(batch.of_customers(payment), text("unapplied_e4 > 0"))  # as in its partial index
    for customer_id, more in batch.many_per_key(unapplied, "customer_id", build_unapplied_payment).items():
        found.setdefault(customer_id, []).extend(more)
    for each in found.values():
        each.sort(key=lambda credit: (credit.dated_on, credit.id))
    return found


def _balance_changes(batch: CustomerBatch, ids: Select[tuple[str]]) -> dict[str, list[BalanceChange]]:
    application = TABLES["application"]
    query = select(application).where(batch.with_ids(application, "invoice_id", ids))
    query = query.order_by(application.c.applied_on, application.c.source_id)
    found: defaultdict[str, list[BalanceChange]] = defaultdict(list)
    for row in batch.session.execute(query):
        found[row.invoice_id].extend(build_balance_changes(row))
    return found


def _payment_plans(batch: CustomerBatch, ids: Select[tuple[str]]) -> dict[str, PaymentPlan]:
    """Return the open payment plans; a broken one is void for good."""
    agreement = TABLES["agreement"]
    is_open = (agreement.c.kind == AgreementKind.PAYMENT_PLAN, agreement.c.state == AgreementState.OPEN)
    query = select(agreement).where(batch.with_ids(agreement, "invoice_id", ids), *is_open)
    return {row.invoice_id: build_payment_plan(row) for row in batch.session.execute(query)}
