"""Commands about invoices: which are open, and what a person says about one: disputes, promises, plans, pauses."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.commands.given import WithinOption, parse_day
from connector.commands.terminal import (
    JsonOption,
    ListGroup,
    group,
    opened,
    put,
    put_json,
    put_list,
    who,
    within,
)

if TYPE_CHECKING:
    from connector.installation import Installation
    from connector.tables import InvoiceRow
    from policies.receivables import Instalment

InvoiceArgument = Annotated[str, typer.Argument(metavar="INVOICE", help="Its number, or the ledger's id.")]
WhyOption = Annotated[str, typer.Option("--why", help="In your words, for those who look later.")]
invoices = group(ListGroup, "Invoices, and what you say about them.")


def add_to(app: typer.Typer) -> None:
    """Add this group."""
    app.add_typer(invoices, name="invoices")


@invoices.command("list")
def list_invoices(
    connection: WithinOption = None,
    settled: Annotated[bool, typer.Option("--all", help="Settled and voided ones too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the open invoices, the longest due first."""
    from connector.database import reading
    from connector.people.invoices import listing

    with opened() as installation:
        inside = within(installation, connection)
        with reading(installation.engine) as session:
            rows = listing(session, inside, only_open=not settled)
    if not as_json:
        for row in rows:
            row["said"] = ", ".join(f"{name}={value}" for name, value in row["said"].items())
    columns = {"number": "NUMBER", "connection": "BOOKS", "customer": "CUSTOMER", "due_on": "DUE ON", "due": "DUE"}
    put_list(rows, {**columns, "currency": "", "said": "SAID"}, "No invoice is open.", as_json=as_json)


@invoices.command("dispute")
def dispute_invoice(
    invoice: InvoiceArgument,
    why: Annotated[str, typer.Option(help="What the customer says.")] = "",
    connection: WithinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop chasing an invoice that the customer disputes; its owner gets a task."""
    from connector.people.agreements import dispute

    _say_about(invoice, connection, dispute, as_json=as_json, why=why)


@invoices.command("undispute")
def undispute_invoice(
    invoice: InvoiceArgument,
    outcome: Annotated[str, typer.Option(help="How it was settled.")] = "",
    connection: WithinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Chase it again from where it stopped: the dispute is settled."""
    from connector.people.agreements import undispute

    _say_about(invoice, connection, undispute, as_json=as_json, outcome=outcome)


@invoices.command("promise")
def promise_invoice(
    invoice: InvoiceArgument,
    on: Annotated[str, typer.Argument(metavar="DAY", help="YYYY-MM-DD; none takes it back.")],
    why: WhyOption = "",
    connection: WithinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until the day the customer promised to pay on."""
    from connector.people.agreements import promise

    _say_about(invoice, connection, promise, as_json=as_json, on=parse_day(on), why=why)


@invoices.command("plan")
def plan_invoice(
    invoice: InvoiceArgument,
    instalments: Annotated[
        list[str] | None, typer.Argument(metavar="[DAY=SUM]...", help="2026-07-01=400 and so on; none takes it back.")
    ] = None,
    *,
    parts: Annotated[int, typer.Option(min=0, max=60, help="Instead: so many equal parts.")] = 0,
    first: Annotated[str | None, typer.Option(metavar="D", help="The day of the first part.")] = None,
    every: Annotated[str, typer.Option(help="month, two-weeks or week.")] = "month",
    why: WhyOption = "",
    connection: WithinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a payment plan: nothing is sent while its instalments come; one that is missed voids it."""
    from connector.people.agreements import EVERY, plan

    agreed = _instalments(instalments or [])
    if bool(agreed or instalments) == bool(parts) or (parts and first is None) or every not in EVERY:
        raise typer.BadParameter("Write 2026-07-01=400 2026-08-01=400, or --parts 3 --first 2026-07-01, or none.")
    with opened() as installation:
        row = _find_invoice(installation, invoice, connection)
        if parts and first is not None:
            agreed = _equal_parts(row, parts, first, every)
        _say(installation, row, plan, as_json=as_json, instalments=agreed, why=why)


@invoices.command("pause")
def pause_invoice(
    invoice: InvoiceArgument,
    until: Annotated[str | None, typer.Option(metavar="D", help="YYYY-MM-DD; default: until resumed.")] = None,
    why: WhyOption = "",
    connection: WithinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Leave an invoice alone for a while."""
    from connector.people.agreements import pause

    _say_about(invoice, connection, pause, as_json=as_json, until=parse_day(until) if until else None, why=why)


@invoices.command("resume")
def resume_invoice(invoice: InvoiceArgument, connection: WithinOption = None, as_json: JsonOption = False) -> None:
    """End the pause of an invoice."""
    from connector.people.agreements import resume

    _say_about(invoice, connection, resume, as_json=as_json)


def _say_about(invoice: str, connection: str | None, act: Any, *, as_json: bool, **more: Any) -> None:
    with opened() as installation:
        _say(installation, _find_invoice(installation, invoice, connection), act, as_json=as_json, **more)


def _say(installation: Installation, row: InvoiceRow, act: Any, *, as_json: bool, **more: Any) -> None:
    from connector.people.invoices import say

    result = say(installation, row, act, by=who(), **more)
    if as_json:
        put_json(result)
    else:
        put(
            f"{result['number']}: "
            + (", ".join(f"{name} {value}" for name, value in result["said"].items()) or "nothing is said")
        )


def _find_invoice(installation: Installation, invoice: str, connection: str | None) -> InvoiceRow:
    from connector.database import reading
    from connector.people.invoices import find_invoice

    inside = within(installation, connection)
    with reading(installation.engine) as session:
        return find_invoice(session, invoice, inside)


def _instalments(texts: list[str]) -> list[Instalment]:
    """Read "2026-07-01=400.00" and the like; "none" alone is no instalment at all."""
    from policies.receivables import Instalment

    found = []
    for text in texts if texts != ["none"] else []:
        on_text, _, amount = text.partition("=")
        try:
            found.append(Instalment(date.fromisoformat(on_text), Decimal(amount)))
        except (ValueError, InvalidOperation):
            raise typer.BadParameter(f"{text!r} is no instalment; write it like 2026-07-01=400.") from None
    return found


def _equal_parts(row: InvoiceRow, parts: int, first: str, every: str) -> list[Instalment]:
    from connector.people.agreements import EVERY, equal_parts

    first_on = parse_day(first)
    if first_on is None:
        raise typer.BadParameter("Say the day of the first part: --first 2026-07-01.")
    return equal_parts(row, parts, first_on, EVERY[every])
