"""The page of customers: what they owe, and reminders paused, owners and segments set for many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from markupsafe import Markup
from sqlmodel import Session

from connector.arrangements.customer_settings import InvalidSettingError, SettingChanges, validate_changes
from connector.connections.account_owners import InvalidMailboxError, normalise_mailbox
from connector.db.engine import reading
from connector.db.tables import Connection
from connector.errors import NotFound, NotPossible
from connector.geo import today_in
from connector.services.lists import bulk
from connector.services.lists import customers as listed
from connector.services.lists.bulk import Actor, BulkResult, SeenRow
from connector.services.lists.engine import Key
from connector.vocabulary.labels import label
from connector.web.agreement_forms import form_date
from connector.web.lists.page import list_routes
from connector.web.lists.view import Action, Cell, Column, Field, ListView, Narrow, Row
from connector.web.page_request import PageRequest, entity_url
from connector.web.rendering import format_date, format_money
from policies.currencies import plain_amount
from policies.receivables import Segment


def load_rows(request: PageRequest, session: Session, keys: Sequence[Key]) -> list[Row]:
    """Return the rows of some customers."""
    return [
        _row(line, today_in(line.balance.company.time_zone, request.now))
        for line in listed.load_lines(session, keys, request.now)
    ]


def _row(line: listed.CustomerLine, today: date) -> Row:
    balance, setting = line.balance, line.setting
    row = balance.row
    held = setting.hold_until_on if setting is not None else None
    is_held = held is not None and held > today
    note = (
        f"paused until {format_date(held)}" if is_held else "no reminders" if setting and setting.no_reminders else ""
    )
    emails = (setting.emails if setting is not None else "") or row.emails
    return Row(
        key=(row.connection_id, row.external_id),
        version=line.version,
        title=row.name,
        cells=(
            Cell(row.name, entity_url(row.connection_id, "customers", row.external_id), note),
            Cell(balance.company.name),
            Cell(_amounts(balance.open_balance)),
            Cell(_amounts(balance.overdue_balance)),
            Cell(format_date(balance.oldest_due_on) or "–"),
            Cell(emails.replace(",", ", ") or "None"),
        ),
        exported=(
            *(row.name, balance.company.name, _plain(balance.open_balance), _plain(balance.overdue_balance)),
            *(balance.oldest_due_on, emails, setting.owner if setting is not None else ""),
        ),
    )


def _amounts(amounts: Mapping[str, Decimal]) -> str | Markup:
    return Markup("<br>").join(format_money(amount, currency) for currency, amount in amounts.items()) or "–"


def _plain(amounts: Mapping[str, Decimal]) -> str:
    return "; ".join(f"{plain_amount(amount, currency)} {currency}" for currency, amount in amounts.items())


def _pause(request: PageRequest, rows: Sequence[SeenRow], actor: Actor) -> BulkResult:
    until = form_date(request, "until")
    if until is None:
        raise NotPossible("Enter the date until which reminders are paused.")
    return _set(request, rows, actor, SettingChanges(hold_until_on=until))


def _resume(request: PageRequest, rows: Sequence[SeenRow], actor: Actor) -> BulkResult:
    return _set(request, rows, actor, SettingChanges(hold_until_on=None))


def _assign(request: PageRequest, rows: Sequence[SeenRow], actor: Actor) -> BulkResult:
    return _set(request, rows, actor, SettingChanges(owner=parse_owner(request)))


def parse_owner(request: PageRequest) -> str:
    """Return the person in the field ``assignee`` as a mailbox; raises ``NotPossible``."""
    try:
        return normalise_mailbox(request.form_value("assignee"))
    except InvalidMailboxError as error:
        raise NotPossible(str(error)) from error


def _segment(request: PageRequest, rows: Sequence[SeenRow], actor: Actor) -> BulkResult:
    name = request.form_value("new_segment")
    if name not in {"", *Segment}:
        raise NotFound
    return _set(request, rows, actor, SettingChanges(segment=Segment(name) if name else None))


def _set(request: PageRequest, rows: Sequence[SeenRow], actor: Actor, changes: SettingChanges) -> BulkResult:
    with reading(request.app.engine) as session:
        for company_id in {row.key[0] for row in rows}:
            actor.require(company_id)
            company = session.get(Connection, company_id)
            if company is None:
                raise NotFound
            try:
                validate_changes(company, changes, request.now)
            except InvalidSettingError as error:
                raise NotPossible(str(error)) from error
    return bulk.set_for_customers(request.app, rows, actor, changes)


ASSIGNEE = Field("assignee", "Name and address, like Ann Lee <ann@example.com>")
_ACTIONS = (
    Action("pause", "Pause reminders", _pause, "bulk_paused", "paused", (Field("until", "Until", "date"),)),
    Action("resume", "Resume reminders", _resume, "bulk_resumed", "resumed"),
    Action("assign", "Assign account owner", _assign, "bulk_assigned", "assigned", (ASSIGNEE,)),
    Action(
        "segment", "Set segment", _segment, "recorded", "changed",
        (Field("new_segment", "Segment", choices={"": "Automatic", **{each.value: label(each) for each in Segment}}),),
    ),
)  # fmt: skip
VIEW = ListView(
    path="/customers",
    title="Customers",
    singular="customer",
    plural="customers",
    listing=listed.LISTING,
    columns=(
        Column("Customer", "name"),
        Column("Company", "company", is_company=True, narrow=Narrow.SECOND),
        Column("Open balance", "open", total="open", is_number=True),
        Column("Overdue", "overdue", total="overdue", is_number=True, narrow=Narrow.SIDE),
        Column("Oldest due", "due_on", narrow=Narrow.END),
        Column("Email"),
    ),
    load=load_rows,
    csv_headings=("customer", "company", "open balance", "overdue", "oldest due on", "email", "account owner"),
    empty="No customers with an open balance.",
    empty_states={"all": "No customers yet. They appear after the first sync."},
    actions=lambda _values: _ACTIONS,
)
ROUTES = list_routes(VIEW)
