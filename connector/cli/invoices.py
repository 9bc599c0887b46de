"""Commands for invoices: list them, and record disputes, promises to pay, payment plans and pauses."""

from __future__ import annotations

import sys
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import (
    AllOption,
    ConnectionOption,
    LimitOption,
    parse_amount,
    parse_choice,
    parse_date,
    parse_instant,
    rows_max,
)
from connector.cli.terminal import (
    Columns,
    JsonOption,
    ListGroup,
    WideOption,
    build_group,
    echo,
    echo_json,
    echo_note,
    echo_results,
    find_connection_id,
    money,
    open_command_app,
    os_user,
)
from connector.cli.wrong_values import NamedValueError, WrongValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlmodel import Session

    from connector.app_context import AppContext
    from connector.arrangements.agreements import Attribution
    from connector.db.tables import InvoiceRow, InvoiceSetting
    from connector.services.invoices import InvoiceAgreements, InvoiceItem
    from policies.receivables import Instalment

    Update = Callable[[Session, InvoiceRow, Attribution], InvoiceSetting]

InvoiceArgument = Annotated[
    str, typer.Argument(metavar="INVOICE", help="The invoice's number, or its id in the accounting system.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="A note for your colleagues.")]
invoices = build_group(ListGroup, "Show invoices and record what was agreed about them.")


def register(parent: typer.Typer) -> None:
    """Add this group."""
    parent.add_typer(invoices, name="invoices")


@invoices.command("list")
def list_invoices(
    *,
    connection: ConnectionOption = None,
    include_closed: Annotated[bool, typer.Option("--closed", help="Include paid and voided invoices.")] = False,
    state: Annotated[str, typer.Option(help="Only: open, overdue, not_due, issued, paid, draft or voided.")] = "",
    search: Annotated[str, typer.Option(help="Only where number or customer contains this.")] = "",
    sort: Annotated[str, typer.Option(help="By due_on, due, total, customer, number …; -due: the largest first.")] = "",
    limit: LimitOption = None,
    show_all: AllOption = False,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List open invoices, the longest overdue first."""
    from connector.services.invoices import format_active_agreements

    most = rows_max(limit, show_all=show_all, for_programs=as_json)
    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        values = {"state": state or ("all" if include_closed else "open"), "search": search}
        rows = _find_rows(app, inside, values, sort)
    columns: Columns[InvoiceItem] = {
        "NUMBER": lambda row: row.number or f"({row.id})",  # the id is what commands take
        "COMPANY": lambda row: row.connection,
        "CUSTOMER": lambda row: row.customer,
        "DUE ON": lambda row: row.due_on,
        "BALANCE": lambda row: money(row.due, row.currency),
        "AGREEMENTS": lambda row: format_active_agreements(row.active_agreements),
    }
    echo_results(rows, columns, "There are no open invoices.", as_json=as_json, wide=wide, limit=most)


def _find_rows(app: AppContext, connection_id: int | None, values: dict[str, str], sort: str) -> list[InvoiceItem]:
    from sqlalchemy import select

    from connector.db.engine import reading
    from connector.db.tables import Connection
    from connector.reports.scope import Scope
    from connector.services.invoices import find_invoices
    from connector.services.lists.engine import ListQuery, iter_keys
    from connector.services.lists.filters import FilterError
    from connector.services.lists.invoices import LISTING

    with reading(app.engine) as session:
        companies = [row for row in session.scalars(select(Connection)) if connection_id in {None, row.id}]
        ids = {row.id: row.short_name for row in companies}
        scope = Scope(companies, app.now())
        query = ListQuery(scope.ids, values, sort, scope.companies_by_date())
        rows: list[InvoiceItem] = []
        try:
            for keys in iter_keys(session, LISTING, query, sys.maxsize):
                found = {
                    (row.connection, row.id): row for row in find_invoices(session, keys=[(a, b) for a, b in keys])
                }
                rows += [found[ids[company_id], invoice_id] for company_id, invoice_id in keys]
        except FilterError as error:
            raise NamedValueError(f"--{error.name}: {error.text}") from None
    return rows


@invoices.command("dispute")
def dispute_invoice(
    invoice: InvoiceArgument,
    reason: Annotated[str, typer.Option(help="What the customer disputes.")] = "",
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record a dispute and stop reminders.

    The account owner gets a task.
    """
    from connector.arrangements.agreements import record_dispute

    _update_invoice(invoice, connection, partial(record_dispute, reason=reason), as_json=as_json)


@invoices.command("undispute")
def undispute_invoice(
    invoice: InvoiceArgument,
    outcome: Annotated[str, typer.Option(help="How it was resolved.")] = "",
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Resolve a dispute and continue reminders.

    They continue where they stopped.
    """
    from connector.arrangements.agreements import resolve_dispute

    _update_invoice(invoice, connection, partial(resolve_dispute, outcome=outcome), as_json=as_json)


@invoices.command("promise")
def promise_invoice(
    invoice: InvoiceArgument,
    promised: Annotated[str, typer.Argument(metavar="DATE", help="YYYY-MM-DD; none withdraws the promise.")],
    amount: Annotated[str, typer.Option(help="The amount promised. Default: all that is due.")] = "",
    reason: ReasonOption = "",
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record a promise to pay: no reminders until that date."""
    from connector.arrangements.agreements import set_promise

    change = partial(
        set_promise, on=parse_date(promised), amount=parse_amount(amount) if amount else None, reason=reason
    )
    _update_invoice(invoice, connection, change, as_json=as_json)


@invoices.command("plan")
def plan_invoice(
    invoice: InvoiceArgument,
    instalments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DATE=AMOUNT]...", help="The instalments: 2026-07-01=400 …; none withdraws the plan."),
    ] = None,
    *,
    count: Annotated[int, typer.Option(min=0, max=60, help="Instead: this many equal instalments.")] = 0,
    first: Annotated[str | None, typer.Option(metavar="DATE", help="When the first instalment is due.")] = None,
    every: Annotated[str, typer.Option(help="The interval: month, two-weeks or week.")] = "month",
    reason: ReasonOption = "",
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record a payment plan.

    There are no reminders while instalments are paid on time; a missed one ends the plan.
    """
    from connector.arrangements.agreements import INSTALMENT_INTERVALS, set_payment_plan

    agreed = _parse_instalments(instalments or [])
    parse_choice(every, INSTALMENT_INTERVALS, "interval")
    if bool(agreed or instalments) == bool(count) or (count and first is None):
        raise typer.BadParameter(
            "List the instalments (2026-07-01=400 2026-08-01=400), or use --count 3 --first 2026-07-01, or none."
        )
    with open_command_app() as app:
        row = _find_invoice(app, invoice, connection)
        if count and first is not None:
            agreed = _equal_instalments(row, count, first, every)
        _apply_update(app, row, partial(set_payment_plan, instalments=agreed, reason=reason), as_json=as_json)


@invoices.command("pause")
def pause_invoices(
    invoice: Annotated[
        list[str], typer.Argument(metavar="INVOICE...", help="Their numbers, or their ids in the accounting system.")
    ],
    until: Annotated[str | None, typer.Option(metavar="DATE", help="YYYY-MM-DD; default: until resumed.")] = None,
    reason: ReasonOption = "",
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pause reminders for one or more invoices.

    All of them are paused, or none.
    """
    from connector.services import agreement_acts

    until_on = parse_date(until) if until else None
    with open_command_app() as app:
        rows = [_find_invoice(app, each, connection) for each in dict.fromkeys(invoice)]
        result = agreement_acts.pause_invoices(app, rows, os_user(), until_on=until_on, reason=reason)
    if as_json:
        echo_json(result)
        return
    _echo_agreements(result.invoices)
    echo_note("To undo this within an hour: duewell invoices undo")


@invoices.command("undo")
def undo_agreements(
    at: Annotated[
        str, typer.Option(metavar="INSTANT", help="Not the last, but what was recorded then, as --json printed it.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Undo the last promise, pause or dispute you recorded.

    Invoices paused together are resumed together. What was replaced applies again. Possible within an hour.
    """
    from connector.services import agreement_acts

    with open_command_app() as app:
        recorded_at = parse_instant(at, app.now()) if at else None
        result = agreement_acts.undo_recorded(app, os_user(), at=recorded_at, can_see=lambda _company: True)
    if as_json:
        echo_json(result)
        return
    echo(f"Undone: {result.title}.")
    _echo_agreements(result.invoices)


@invoices.command("resume")
def resume_invoice(invoice: InvoiceArgument, connection: ConnectionOption = None, as_json: JsonOption = False) -> None:
    """Resume reminders for an invoice."""
    from connector.arrangements.agreements import resume_reminders

    _update_invoice(invoice, connection, resume_reminders, as_json=as_json)


def _update_invoice(invoice: str, connection: str | None, update: Update, *, as_json: bool) -> None:
    with open_command_app() as app:
        _apply_update(app, _find_invoice(app, invoice, connection), update, as_json=as_json)


def _apply_update(app: AppContext, row: InvoiceRow, update: Update, *, as_json: bool) -> None:
    from connector.services.invoices import record_agreement

    result = record_agreement(app, row, os_user(), update)
    if as_json:
        echo_json(result)
    else:
        _echo_agreements([result])


def _echo_agreements(results: Sequence[InvoiceAgreements]) -> None:
    from connector.services.invoices import format_active_agreements

    for each in results:
        echo(f"{each.number or each.id}: {format_active_agreements(each.active_agreements) or 'no agreements'}")


def _find_invoice(app: AppContext, invoice: str, connection: str | None) -> InvoiceRow:
    from connector.db.engine import reading
    from connector.services.invoices import find_invoice

    inside = find_connection_id(app, connection)
    with reading(app.engine) as session:
        return find_invoice(session, invoice, inside)


def _parse_instalments(texts: list[str]) -> list[Instalment]:
    """Parse instalments such as "2026-07-01=400.00"; "none" alone gives an empty list."""
    from policies.receivables import Instalment

    found = []
    for text in texts if texts != ["none"] else []:
        on_text, _, amount = text.partition("=")
        try:
            found.append(Instalment(date.fromisoformat(on_text), Decimal(amount)))
        except (ValueError, InvalidOperation):
            raise WrongValueError(f"{text!r} is not an instalment; write it like 2026-07-01=400.", text) from None
    return found


def _equal_instalments(row: InvoiceRow, count: int, first: str, every: str) -> list[Instalment]:
    from connector.arrangements.agreements import INSTALMENT_INTERVALS, equal_instalments

    first_on = parse_date(first)
    if first_on is None:
        raise typer.BadParameter("Give the date of the first instalment: --first 2026-07-01.")
    return equal_instalments(row, count, first_on, INSTALMENT_INTERVALS[every])
