"""What is explained about an invoice: the result that all three doors share."""

from __future__ import annotations

from datetime import date, datetime

from connector.arrangements.agreement_list import AgreementItem
from connector.arrangements.customer_settings import CustomerSettings
from connector.connections.registry import ConnectionItem
from connector.results import Amount, Result
from connector.services.invoice_recipients import RecipientItem
from connector.services.invoice_timeline import TimelineEvent
from connector.services.invoices import ActiveAgreements
from connector.services.upcoming_actions import UpcomingAction
from connector.vocabulary import LogKind, OutboxKind, OutboxState
from policies.decisions import DecisionKind
from policies.receivables import CreditKind, InvoiceStatus, SettlementKind, Step


class InvoiceFacts(Result):
    """An invoice as the ledger has it."""

    number: str
    status: InvoiceStatus
    currency: str
    total: Amount
    due: Amount
    issued_on: date
    due_on: date | None
    closed_on: date | None
    sent_to_customer: bool
    updated_at: datetime | None


class InvoiceCustomer(Result):
    """The customer of an invoice."""

    id: str
    name: str
    emails: str
    settings: CustomerSettings


class AppliedAmount(Result):
    """A payment, credit or journal entry that is applied to an invoice."""

    kind: CreditKind | SettlementKind
    id: str
    on: date
    amount: Amount


class UnappliedAmount(Result):
    """A payment or credit of the customer that is not, or not fully, applied yet, in the invoice's currency."""

    kind: CreditKind
    id: str
    remaining: Amount


class DecisionItem(Result):
    """A decision about an invoice; ``since_at`` is None for one that was not stored."""

    kind: DecisionKind
    code: str
    reason: str
    next_step: Step | None
    next_on: date | None
    policy_version: int | None
    since_at: datetime | None = None


class DecisionAudit(Result):
    """A recorded decision, and whether the policy of the time reproduces it from the recorded facts."""

    id: int
    at: datetime
    run_id: int
    policy_version: int | None
    kind: DecisionKind
    code: str
    reason: str
    reproduced: bool
    note: str


class StepItem(Result):
    """A step that was completed for an invoice."""

    step: Step
    at: datetime
    on: date
    outbox_id: int | None
    task_id: int | None


class InvoiceEntry(Result):
    """An outbox entry about an invoice."""

    id: int
    kind: OutboxKind
    state: OutboxState
    step: str
    key: str
    reason: str
    response: str
    planned_at: datetime
    dispatched_at: datetime | None
    ended_at: datetime | None


class InvoiceLogEntry(Result):
    """An entry of the sync log about an invoice."""

    id: int
    at: datetime
    kind: LogKind
    text: str


class InvoiceExplanation(Result):
    """Everything that is known about one invoice.

    ``decision`` is the last one that was stored, ``current_decision`` the one the policy would make now.
    """

    id: str
    invoice: InvoiceFacts
    connection: ConnectionItem
    customer: InvoiceCustomer
    active_agreements: ActiveAgreements
    applied: list[AppliedAmount]
    unapplied: list[UnappliedAmount]
    timeline: list[TimelineEvent]
    upcoming: list[UpcomingAction]
    decision_audit: list[DecisionAudit]
    agreements: list[AgreementItem]
    decision: DecisionItem | None
    current_decision: DecisionItem | None
    completed_steps: list[StepItem]
    outbox: list[InvoiceEntry]
    log: list[InvoiceLogEntry]
    exceptions: list[str]
    recipients: list[RecipientItem]
