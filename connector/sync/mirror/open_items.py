"""Open items of some customers: invoices with their agreements and payments, and unapplied credits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

from sqlalchemy import Select, and_, or_, select, text

from connector.sync.mirror.charged_fees import ChargedFees
from connector.sync.mirror.customer_batch import TABLES, CustomerBatch
from connector.sync.mirror.facts import (
    INVOICE_COLUMNS,
    NEVER_CHANGED,
    NO_OVERRIDES,
    KnownDates,
    build_balance_changes,
    build_credit,
    build_invoice,
    build_known_dates,
    build_payment_plan,
    build_unapplied_payment,
)
from connector.sync.mirror.former_applications import build_former_history, load_sources
from connector.sync.mirror.portfolio_stats import InvoicePercentiles
from connector.vocabulary import AgreementKind, AgreementState
from policies.receivables import BalanceChange, Credit, DateSpan, FormerHistory, Invoice, PastAction, PaymentPlan

_INVOICE = TABLES["invoice"]
_TOTAL = INVOICE_COLUMNS.index("total_e4")


def load_invoices(
    batch: CustomerBatch,
    fees: ChargedFees,
    unreadable: Collection[str],
    percentiles: Mapping[str, InvoicePercentiles],
    past_actions: Mapping[str, Sequence[PastAction]],
    zone: ZoneInfo,
) -> dict[str, list[Invoice]]:
    """Return each customer's invoices, open or recently closed, ordered by due date."""
    ids = select(_INVOICE.c.external_id).where(batch.on_statement())  # a subquery: passing thousands of ids is slow
    setting = TABLES["invoice_setting"]
    overrides = batch.one_per_key(select(setting).where(batch.with_ids(setting, "invoice_id", ids)), "invoice_id")
    changes, plans = _balance_changes(batch, ids), _payment_plans(batch, ids)
    known, spans, former = _known_dates(batch, past_actions, zone), _spans(batch, ids, zone), _former(batch, ids, zone)
    query = select(*(_INVOICE.c[name] for name in INVOICE_COLUMNS), _INVOICE.c.reference).where(batch.on_statement())
    query = query.order_by(_INVOICE.c.due_on, _INVOICE.c.number, _INVOICE.c.external_id)
    found: defaultdict[str, list[Invoice]] = defaultdict(list)
    for *row, reference in batch.session.execute(query).all():
        external_id, number, customer_id, currency = row[:4]
        own = percentiles.get(currency)
        invoice = build_invoice(
            row,
            overrides.get(external_id, NO_OVERRIDES),
            tuple(changes.get(external_id, ())),
            own.percentile(row[_TOTAL]) if own else 0,
            fee_of=fees.find_original(batch, external_id, number, reference, customer_id),
            unreadable=external_id in unreadable,
            payment_plan=plans.get(external_id),
            known=known.get(external_id, NEVER_CHANGED),
        )
        if external_id in fees.proposed_waivers:
            invoice = replace(invoice, waiver_proposed=True)
        past = spans.get(external_id)
        if past is not None or external_id in former:
            disputes, plan_spans = past or ((), ())
            histories = former.get(external_id, ())
            invoice = replace(invoice, disputes=disputes, plan_spans=plan_spans, former_histories=histories)
        found[customer_id].append(invoice)
    return found


def _spans(
    batch: CustomerBatch, ids: Select[tuple[str]], zone: ZoneInfo
) -> dict[str, tuple[tuple[DateSpan, ...], tuple[DateSpan, ...]]]:
    """Return the days of the disputes and of the payment plans of each invoice, those that are over included."""
    agreement = TABLES["agreement"]
    query = select(agreement.c.invoice_id, agreement.c.kind, agreement.c.since_on, agreement.c.ended_at).where(
        batch.with_ids(agreement, "invoice_id", ids),
        agreement.c.kind.in_([AgreementKind.DISPUTE, AgreementKind.PAYMENT_PLAN]),
    )
    found: dict[str, tuple[tuple[DateSpan, ...], tuple[DateSpan, ...]]] = {}
    for row in batch.session.execute(query.order_by(agreement.c.id)):
        span = DateSpan(row.since_on, row.ended_at.astimezone(zone).date() if row.ended_at else None)
        disputes, plans = found.get(row.invoice_id, ((), ()))
        is_dispute = row.kind == AgreementKind.DISPUTE
        found[row.invoice_id] = ((*disputes, span), plans) if is_dispute else (disputes, (*plans, span))
    return found


def _former(batch: CustomerBatch, ids: Select[tuple[str]], zone: ZoneInfo) -> dict[str, tuple[FormerHistory, ...]]:
    """Return what the ledger said of each invoice until some of its payments were deleted or changed."""
    former = TABLES["former_applications"]
    same = and_(_INVOICE.c.connection_id == former.c.connection_id, _INVOICE.c.external_id == former.c.invoice_id)
    query = select(former, _INVOICE.c.customer_id).join(_INVOICE, same)
    query = query.where(batch.with_ids(former, "invoice_id", ids)).order_by(former.c.id)
    rows = batch.session.execute(query).all()
    sources = load_sources(batch.session, batch.connection_id, rows)
    found: defaultdict[str, tuple[FormerHistory, ...]] = defaultdict(tuple)
    for row in rows:
        found[row.invoice_id] += (build_former_history(row, row.until_at.astimezone(zone).date(), sources),)
    return found


def _known_dates(
    batch: CustomerBatch, past_actions: Mapping[str, Sequence[PastAction]], zone: ZoneInfo
) -> dict[str, KnownDates]:
    """Return the dates of the invoices that were entered late, sent late, moved or raised, by their ids."""
    columns = (_INVOICE.c.known_at, _INVOICE.c.sent_at, _INVOICE.c.due_changed_at, _INVOICE.c.raised_at)
    is_any = or_(*(column.is_not(None) for column in columns))
    columns_read = (_INVOICE.c.external_id, *columns, _INVOICE.c.former_total_e4)
    rows = batch.session.execute(select(*columns_read).where(batch.on_statement(), is_any)).all()
    contacts = (
        [each for actions in past_actions.values() for each in actions if each.is_contact and not each.refused]
        if rows
        else []
    )
    first_at = {each.invoice_id: each.at for each in sorted(contacts, key=lambda each: each.at, reverse=True)}
    return {row.external_id: build_known_dates(row, first_at.get(row.external_id), zone) for row in rows}


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
