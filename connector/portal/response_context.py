"""Everything that recording a customer's response needs: who says what about which invoices, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlmodel import Session, col

from connector import policy_store
from connector.app_context import AppContext
from connector.arrangements import review_tasks
from connector.arrangements.agreements import Attribution
from connector.arrangements.customer_settings import SettingChanges, apply_settings
from connector.db.invoice_names import name_of, title_of
from connector.db.money import from_e4
from connector.db.tables import Agreement, Connection, CustomerRow, InvoiceRow, InvoiceSetting
from connector.emails.portal_links import PortalVisitor
from connector.geo import today_in
from connector.outbox import entries
from connector.plain_text import one_line
from connector.portal.customer_response import ABOUT_INVOICES, ABOUT_ONE, CustomerResponse, ResponseRejected
from connector.sync.mirror.families import load_families
from connector.sync.mirror.pages import load_statements
from connector.vocabulary import AgreementKind, AgreementState, ResponseKind, TaskCode
from policies.formatting import format_amount, format_date
from policies.policy import ReminderPolicy

PORTAL_SUFFIX = "(customer portal)"  # how agreements name who recorded them
NOTES_MAX = 10  # per response, on the invoices due longest: each is a call to the ledger
_NAMED_MAX = 20  # invoices that a task names


@dataclass
class ResponseContext:
    """A response with everything its handler needs; ``task_code`` is of the task that it creates."""

    app: AppContext
    session: Session
    customer: CustomerRow
    invoices: Sequence[InvoiceRow]
    response: CustomerResponse
    today: date
    now: datetime
    key: str
    files: int = 0
    task_code: TaskCode | None = None

    @property
    def customer_name(self) -> str:
        """The customer's name on one line."""
        return one_line(self.customer.name)

    @property
    def attribution(self) -> Attribution:
        """Who says it, and when: every agreement of one response has the same."""
        return Attribution(f"{self.customer_name} {PORTAL_SUFFIX}", self.now)

    @property
    def customer_key(self) -> tuple[int, str]:
        """The key of the customer's rows."""
        return (self.customer.connection_id, self.customer.external_id)

    @property
    def is_about_invoices(self) -> bool:
        """Whether the response names invoices."""
        return self.response.kind in ABOUT_INVOICES

    def apply_settings(self, changes: SettingChanges, working_emails: Sequence[str] = ()) -> None:
        """Change settings of the customer; only ``working_emails`` are emailed even if they are suppressed."""
        apply_settings(
            self.session,
            *self.customer_key,
            changes,
            by=self.attribution.by,
            at=self.attribution.at,
            working_emails=working_emails,
        )

    def create_task(self, code: TaskCode, reason: str) -> None:
        """Create the task about the response."""
        ids = [each.external_id for each in self.invoices] if self.is_about_invoices else []
        review_tasks.create_review_task(
            self.app, self.session, self.customer, code=code, recurrence_key=self.key, reason=reason, invoice_ids=ids
        )
        self.task_code = code

    def plan_notes(self, note: str) -> None:
        """Plan a note in the ledger on each invoice it is about, else on the one due longest."""
        for invoice in self.invoices[: NOTES_MAX if self.is_about_invoices else 1]:
            who = f"{format_date(self.today)}, {self.attribution.by}"
            entries.plan_note(
                self.session,
                invoice,
                recurrence_key=note_recurrence(self.response.kind, self.key),
                text=f"{who}: {note} ({title_of(self.session, invoice)}).",
                at=self.now,
            )

    def count_agreements(self, invoice: InvoiceRow, kind: AgreementKind, *conditions: ColumnElement[bool]) -> int:
        """Count the agreements of a kind about an invoice."""
        query = select(func.count()).where(
            col(Agreement.connection_id) == invoice.connection_id,
            col(Agreement.invoice_id) == invoice.external_id,
            col(Agreement.kind) == kind,
            *conditions,
        )
        return int(self.session.scalar(query) or 0)

    def setting_of(self, invoice: InvoiceRow) -> InvoiceSetting | None:
        """Return what is recorded for an invoice."""
        return self.session.get(InvoiceSetting, (invoice.connection_id, invoice.external_id))

    def own_agreements(self, invoice: InvoiceRow) -> list[Agreement]:
        """Return the agreements about an invoice that apply and that the customer recorded themselves."""
        query = select(Agreement).where(
            col(Agreement.connection_id) == invoice.connection_id,
            col(Agreement.invoice_id) == invoice.external_id,
            col(Agreement.state) == AgreementState.OPEN,
            col(Agreement.recorded_by).endswith(PORTAL_SUFFIX, autoescape=True),
        )
        return list(self.session.scalars(query.order_by(col(Agreement.id))))

    def find_policy(self) -> ReminderPolicy:
        """Return the policy that applies to the customer."""
        return find_policy(self.app, self.session, self.customer, self.today)

    def format_amounts(self) -> str:
        """Return the invoices, each with its open balance, which are never added up across currencies."""
        return _join_names(
            [
                f"{name_of(self.session, each)} ({format_amount(from_e4(each.due_e4), each.currency)})"
                for each in self.invoices
            ]
        )

    def format_numbers(self, invoices: Sequence[InvoiceRow]) -> str:
        """Return the names of invoices."""
        return _join_names([name_of(self.session, each) for each in invoices])


def build_context(
    app: AppContext, session: Session, visitor: PortalVisitor, response: CustomerResponse, key: str
) -> ResponseContext:
    """Collect the context of a response, with the customer locked: one response at a time.

    Raises:
        ResponseRejected: it names no open invoice of this customer.

    """
    customer = session.get_one(CustomerRow, (visitor.connection_id, visitor.customer_id), with_for_update=True)
    now = app.now()
    today = today_in(session.get_one(Connection, visitor.connection_id).time_zone, now)
    invoices = list_open_rows(session, visitor)
    if response.kind in ABOUT_INVOICES:
        invoices = [each for each in invoices if each.external_id in response.invoices]
        if not invoices or len(invoices) < len(set(response.invoices)):
            raise ResponseRejected("error_select" if not response.invoices else "error_not_open")
        if response.kind in ABOUT_ONE and len(invoices) > 1:
            raise ResponseRejected("error_select")
    return ResponseContext(app, session, customer, invoices, response, today, now, key)


def list_open_rows(session: Session, visitor: PortalVisitor) -> list[InvoiceRow]:
    """Return the open invoices that are on the customer's statement, the one due longest first."""
    billed = load_families(session, visitor.connection_id).billed_to(visitor.customer_id)
    query = select(InvoiceRow).where(
        col(InvoiceRow.connection_id) == visitor.connection_id,
        col(InvoiceRow.customer_id).in_(billed),
        col(InvoiceRow.is_open),
    )
    return list(session.scalars(query.order_by(col(InvoiceRow.due_on), col(InvoiceRow.external_id))))


def own_customer_ids(session: Session, visitor: PortalVisitor) -> list[str]:
    """Return the ids under which a visitor's responses are kept: their own, and those merged into it."""
    query = select(col(CustomerRow.external_id)).where(
        col(CustomerRow.connection_id) == visitor.connection_id, col(CustomerRow.merged_into) == visitor.customer_id
    )
    return [visitor.customer_id, *session.scalars(query)]


def find_policy(app: AppContext, session: Session, customer: CustomerRow, today: date) -> ReminderPolicy:
    """Return the policy that applies to a customer."""
    general = policy_store.get_active_policy(session, customer.connection_id).for_customer(customer.external_id)[0]
    connection = session.get_one(Connection, customer.connection_id)
    loaded = load_statements(session, connection, now=app.now(), customer_ids=[customer.external_id])
    statement = next((each for statements in loaded for each in statements), None)
    return general.policy_for(statement.customer, today) if statement is not None else general


def was_taken_back() -> ColumnElement[bool]:
    """Select the agreements that whoever recorded them took back."""
    return and_(
        col(Agreement.ended_by) == col(Agreement.recorded_by),
        or_(col(Agreement.state) == AgreementState.ENDED, col(Agreement.state) == AgreementState.WITHDRAWN),
    )


def note_recurrence(kind: ResponseKind, key: str) -> str:
    """Return what tells the notes about one response from all others."""
    return f"response:{kind}:{key}"


def _join_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more
