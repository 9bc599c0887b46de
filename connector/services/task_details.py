"""A task as its page shows it: whom to call, what is due now, and what was sent to them before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.invoice_names import names_of
from connector.db.money import from_e4
from connector.db.tables import Connection, CustomerRow, CustomerSetting, InvoiceRow, OutboxEntry, Task
from connector.results import Result
from connector.vocabulary import OutboxKind, OutboxState, TaskState
from providers.geo import country_code
from providers.phones import PhoneKind, join_phones, split_phones, tel_uri

_INVOICES_MAX = 100
_EMAILS_SHOWN = 5


class PhoneItem(Result):
    """A telephone number as a user or the ledger wrote it; ``link`` dials it, "" where it cannot be dialled."""

    kind: PhoneKind
    number: str
    link: str


class CustomerContacts(Result):
    """Whom to reach at a customer: a user's settings take precedence over the ledger."""

    contact_name: str
    emails: str
    phones: list[PhoneItem]
    persons: list[str]


@dataclass(frozen=True, slots=True)
class TaskDetails:
    """What a task is about as of now; ``paid_count`` invoices of it are closed already."""

    contacts: CustomerContacts | None
    invoices: Sequence[InvoiceRow]
    names: dict[str, str]
    paid_count: int
    totals: list[tuple[str, Decimal]]
    emails: Sequence[OutboxEntry]
    is_overdue: bool


def load_task_details(
    session: Session, task: Task, company: Connection, customer: CustomerRow | None, today: date
) -> TaskDetails:
    """Return the details of a task, in as many queries for many invoices as for one."""
    ids = task.invoice_ids[:_INVOICES_MAX]
    query = select(InvoiceRow).where(
        col(InvoiceRow.connection_id) == task.connection_id, col(InvoiceRow.external_id).in_(ids)
    )
    rows = list(session.scalars(query.order_by(col(InvoiceRow.due_on), col(InvoiceRow.external_id))))
    # A closed task, and one about fees, is about its invoices whatever became of them
    still_open = [row for row in rows if row.is_open]
    shown = still_open if task.state == TaskState.OPEN and still_open else rows
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for row in still_open:
        totals[row.currency] += from_e4(row.due_e4)
    return TaskDetails(
        contacts=load_contacts(session, customer, company) if customer else None,
        invoices=shown,
        names=names_of(session, task.connection_id, [row.external_id for row in shown]),
        paid_count=len(rows) - len(shown),
        totals=sorted(totals.items()),
        emails=_last_emails(session, task),
        is_overdue=task.state == TaskState.OPEN and task.due_on < today,
    )


def load_contacts(session: Session, customer: CustomerRow, company: Connection) -> CustomerContacts:
    """Return whom to reach at a customer, with telephone numbers completed for their country."""
    setting = session.get(CustomerSetting, (customer.connection_id, customer.external_id))
    country = country_code(customer.country) or company.country
    own = [(PhoneKind.DIRECT, setting.phone)] if setting and setting.phone else []
    return CustomerContacts(
        contact_name=(setting.contact_name if setting else "") or customer.contact_name,
        emails=(setting.emails if setting else "") or customer.emails,
        phones=[
            PhoneItem(kind=each.kind, number=each.number, link=tel_uri(each.number, country))
            for each in split_phones(join_phones([*own, *split_phones(customer.phones)]))
        ],
        persons=customer.contacts.splitlines(),
    )


def _last_emails(session: Session, task: Task) -> Sequence[OutboxEntry]:
    query = select(OutboxEntry).where(
        col(OutboxEntry.connection_id) == task.connection_id,
        col(OutboxEntry.customer_id) == task.customer_id,
        col(OutboxEntry.kind) == OutboxKind.EMAIL,
        col(OutboxEntry.state) == OutboxState.DONE,
    )
    return list(session.scalars(query.order_by(col(OutboxEntry.id).desc()).limit(_EMAILS_SHOWN)))
