"""What a customer reported in their portal, for users: with the unapplied money that fits it, and the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.invoice_names import names_of
from connector.db.money import from_e4, to_e4
from connector.db.tables import CreditRow, CustomerRow, PaymentRow, PortalFile, PortalResponse
from connector.portal import files
from connector.portal.customer_response import CustomerResponse, from_json
from connector.portal.files import FileItem
from connector.portal.responses import REPEATED
from connector.vocabulary import PaymentMethod, ResponseKind, ResponseState
from connector.vocabulary.labels import in_sentence, label
from policies.formatting import format_amount, format_date
from policies.receivables import CreditKind

SHOWN_MAX = 15


@dataclass(frozen=True, slots=True)
class UnappliedItem:
    """Money or a credit that is not, or not fully, applied yet."""

    kind: CreditKind
    remaining_e4: int
    currency: str
    on: date

    def describe(self) -> str:
        """Return it as it stands inside a sentence: ``payment of GBP 600.00, 8 Jun 2026``."""
        amount = format_amount(from_e4(self.remaining_e4), self.currency)
        return f"{in_sentence(label(self.kind))} of {amount}, {format_date(self.on)}"


@dataclass(frozen=True, slots=True)
class PortalReport:
    """One response of a customer. ``matches`` are the unapplied payments and credits that fit a reported payment."""

    id: int
    kind: ResponseKind
    state: ResponseState
    responded_at: datetime
    text: str
    matches: tuple[str, ...]
    files: tuple[FileItem, ...]


def list_portal_reports(session: Session, row: CustomerRow) -> list[PortalReport]:
    """Return what a customer reported last, the newest first."""
    merged = select(col(CustomerRow.external_id)).where(
        col(CustomerRow.connection_id) == row.connection_id, col(CustomerRow.merged_into) == row.external_id
    )
    ids = [row.external_id, *session.scalars(merged)]
    query = (
        select(PortalResponse)
        .where(
            col(PortalResponse.connection_id) == row.connection_id,
            col(PortalResponse.customer_id).in_(ids),
            col(PortalResponse.state).in_([ResponseState.SENT, ResponseState.UNDONE]),
            col(PortalResponse.result) != REPEATED,
            col(PortalResponse.kind) != ResponseKind.LANGUAGE,
        )
        .order_by(col(PortalResponse.responded_at).desc(), col(PortalResponse.id).desc())
        .limit(SHOWN_MAX)
    )
    rows = list(session.scalars(query))
    if not rows:
        return []
    said = {each.key: from_json(each.response) for each in rows}
    names = names_of(session, row.connection_id, {invoice for each in said.values() for invoice in each.invoices})
    sent = files.list_files(session, row.connection_id, ids)
    unapplied = list_unapplied(session, row)
    return [
        PortalReport(
            id=each.id or 0,
            kind=ResponseKind(each.kind),
            state=ResponseState(each.state),
            responded_at=each.responded_at or each.created_at,
            text=_describe(said[each.key], names),
            matches=_matches(said[each.key], unapplied) if each.state == ResponseState.SENT else (),
            files=tuple(file for file in sent if file.response_key == each.key),
        )
        for each in rows
    ]


def list_unapplied(session: Session, row: CustomerRow) -> list[UnappliedItem]:
    """Return a customer's unapplied payments and credits, the newest first."""
    payments = select(PaymentRow).where(
        col(PaymentRow.connection_id) == row.connection_id,
        col(PaymentRow.customer_id) == row.external_id,
        col(PaymentRow.unapplied_e4) > 0,
    )
    credits_ = select(CreditRow).where(
        col(CreditRow.connection_id) == row.connection_id,
        col(CreditRow.customer_id) == row.external_id,
        col(CreditRow.remaining_e4) > 0,
    )
    found = [
        UnappliedItem(CreditKind.PAYMENT, each.unapplied_e4, each.currency, each.paid_on)
        for each in session.scalars(payments)
    ]
    found += [
        UnappliedItem(CreditKind(each.kind), each.remaining_e4, each.currency, each.dated_on)
        for each in session.scalars(credits_)
    ]
    return sorted(found, key=lambda each: each.on, reverse=True)


def find_file(session: Session, connection_id: int, customer_id: str, file_id: int) -> FileItem | None:
    """Return a file of a customer; None where they have no such file, or did not send it yet."""
    row = session.get(PortalFile, file_id)
    if row is None or row.connection_id != connection_id:
        return None
    merged = select(col(CustomerRow.external_id)).where(
        col(CustomerRow.connection_id) == connection_id, col(CustomerRow.merged_into) == customer_id
    )
    sent = files.list_files(session, connection_id, [customer_id, *session.scalars(merged)])
    return next((each for each in sent if each.id == file_id), None)


def _matches(said: CustomerResponse, unapplied: Sequence[UnappliedItem]) -> tuple[str, ...]:
    """Return the unapplied money that is as much as was reported, or as all of the invoices were open by then."""
    if said.kind is not ResponseKind.PAID:
        return ()
    amount_e4 = to_e4(said.amount) if said.amount is not None else sum(said.balances.values())
    return tuple(
        each.describe()
        for each in unapplied
        if each.remaining_e4 == amount_e4 and each.currency == (said.currency or each.currency)
    )


def _describe(said: CustomerResponse, names: dict[str, str]) -> str:
    """Return what was reported in one line."""
    parts = [", ".join(names.get(each, each) for each in said.invoices)]
    if said.amount is not None:
        parts.append(format_amount(said.amount, said.currency))
    if said.on is not None:
        parts.append(f"{'first on' if said.instalments else 'on'} {format_date(said.on)}")
    if said.method is not PaymentMethod.NONE:
        parts.append(f"by {in_sentence(label(said.method))}" if said.method is not PaymentMethod.OTHER else "")
    if said.reference:
        parts.append(f"reference “{said.reference}”")
    if said.instalments:
        parts.append(f"{said.instalments} instalments")
    return ", ".join(filter(None, [*parts, said.email, f"“{said.text}”" if said.text else ""]))
