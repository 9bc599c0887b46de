"""Commands for what a person sets: customers, and what they say about their invoices."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli_terminal import (
    CommandError,
    JsonOption,
    ListGroup,
    group,
    opened,
    parse_day,
    put,
    put_json,
    put_list,
    who,
    within,
)

if TYPE_CHECKING:
    from connector.installation import Installation
    from connector.tables import InvoiceRow

WithinOption = Annotated[str | None, typer.Option("--connection", help="Only this connection: its id or short name.")]
InvoiceArgument = Annotated[str, typer.Argument(metavar="INVOICE", help="Its number, or the ledger's id.")]
customers = group(ListGroup, "Customers, and what you set for them.")
invoices = group(ListGroup, "Invoices, and what you say about them.")
_SEGMENTS = ("strategic", "established", "new")


def add_to(app: typer.Typer) -> None:
    """Add these groups."""
    app.add_typer(customers, name="customers")
    app.add_typer(invoices, name="invoices")


@customers.command("list")
def list_customers(
    connection: WithinOption = None,
    search: Annotated[str, typer.Option(help="Only names that hold this.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List customers: what they owe, where mail goes, what was set."""
    from connector.customers import listing
    from connector.database import reading

    with opened() as installation:
        inside = within(installation, connection)
        with reading(installation.engine) as session:
            rows = listing(session, inside, search)
    if not as_json:
        for row in rows:
            row["owes"] = ", ".join(f"{amount} {currency}" for currency, amount in row["owes"].items())
            row["set"] = ", ".join(f"{name}={value}" for name, value in row["set"].items())
    columns = {
        "id": "ID",
        "connection": "BOOKS",
        "name": "NAME",
        "owes": "OWES",
        "emails": "MAIL",
        "set": "SET BY HAND",
    }
    put_list(rows, columns, "There are no customers in the mirror yet; they come with: duewell run", as_json=as_json)


@customers.command("set")
def set_(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="Its name, or the ledger's id.")],
    *,
    segment: Annotated[
        str | None, typer.Option(help="strategic, established or new; auto: as the policy says.")
    ] = None,
    hold_until: Annotated[str | None, typer.Option(metavar="D", help="Nothing before this day; none ends it.")] = None,
    no_reminders: Annotated[
        bool | None, typer.Option("--no-reminders/--reminders", help="No mails: calls instead.")
    ] = None,
    no_fees: Annotated[bool | None, typer.Option("--no-fees/--fees", help="Never a late fee.")] = None,
    fees_agreed_on: Annotated[
        str | None, typer.Option(metavar="D", help="The day late fees were agreed on; none.")
    ] = None,
    contact: Annotated[
        str | None, typer.Option(metavar="'NAME <MAIL>'", help="Where mail goes, instead of the books' address; none.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="The language of mails, like de; none.")] = None,
    connection: WithinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set something for a customer; it survives every pull."""
    from connector.customers import find_customer, set_customer
    from connector.database import reading

    changes: dict[str, Any] = {}
    if segment is not None:
        changes["segment"] = _segment(segment)
    if hold_until is not None:
        changes["hold_until_on"] = parse_day(hold_until)
    if fees_agreed_on is not None:
        changes["fees_agreed_on"] = parse_day(fees_agreed_on)
    if contact is not None:
        changes["contact_name"], changes["emails"] = _contact(contact)
    if language is not None:
        changes["language"] = "" if language == "none" else language
    flags = {"no_reminders": no_reminders, "no_fees": no_fees}
    changes |= {name: value for name, value in flags.items() if value is not None}
    if not changes:
        raise typer.BadParameter("Say what to set; see: duewell customers set --help")
    with opened() as installation:
        inside = within(installation, connection)
        with reading(installation.engine) as session:
            row = find_customer(session, customer, inside)
        result = set_customer(installation, row.connection_id, row.external_id, changes, by=who())
    if as_json:
        put_json(result)
    else:
        put(
            f"{result['name']}: "
            + (", ".join(f"{name}={value}" for name, value in result["set"].items()) or "as in the books")
        )


@invoices.command("list")
def list_invoices(
    connection: WithinOption = None,
    settled: Annotated[bool, typer.Option("--all", help="Settled and voided ones too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the open invoices, the longest due first."""
    from connector.database import reading
    from connector.invoices import listing

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
    """Stop chasing an invoice that the customer disputes."""
    from connector.invoices import dispute

    _say_about(invoice, connection, dispute, as_json=as_json, why=why)


@invoices.command("undispute")
def undispute_invoice(invoice: InvoiceArgument, connection: WithinOption = None, as_json: JsonOption = False) -> None:
    """Chase it again: the dispute is settled."""
    from connector.invoices import undispute

    _say_about(invoice, connection, undispute, as_json=as_json)


@invoices.command("promise")
def promise_invoice(
    invoice: InvoiceArgument,
    on: Annotated[str, typer.Argument(metavar="DAY", help="YYYY-MM-DD; none takes it back.")],
    connection: WithinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until the day the customer promised to pay on."""
    from connector.invoices import promise

    _say_about(invoice, connection, promise, as_json=as_json, on=parse_day(on))


@invoices.command("plan")
def plan_invoice(invoice: InvoiceArgument, connection: WithinOption = None, _as_json: JsonOption = False) -> None:
    """Keep a payment plan (not yet: only its next instalment can be kept, as a promise)."""
    with opened() as installation:
        row = _find_invoice(installation, invoice, connection)
    raise CommandError(
        f"Payment plans with several instalments are not kept yet. Keep the next instalment's day as a promise:"
        f" duewell invoices promise {row.number} YYYY-MM-DD"
    )


@invoices.command("pause")
def pause_invoice(
    invoice: InvoiceArgument,
    until: Annotated[str | None, typer.Option(metavar="D", help="YYYY-MM-DD; default: until resumed.")] = None,
    connection: WithinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Leave an invoice alone for a while."""
    from connector.invoices import pause

    _say_about(invoice, connection, pause, as_json=as_json, until=parse_day(until) if until else None)


@invoices.command("resume")
def resume_invoice(invoice: InvoiceArgument, connection: WithinOption = None, as_json: JsonOption = False) -> None:
    """End the pause of an invoice."""
    from connector.invoices import resume

    _say_about(invoice, connection, resume, as_json=as_json)


def _say_about(invoice: str, connection: str | None, act: Any, *, as_json: bool, **more: Any) -> None:
    with opened() as installation:
        row = _find_invoice(installation, invoice, connection)
        result = act(installation, row, by=who(), **more)
    if as_json:
        put_json(result)
    else:
        put(
            f"{result['number']}: "
            + (", ".join(f"{name} {value}" for name, value in result["said"].items()) or "nothing is said")
        )


def _find_invoice(installation: Installation, invoice: str, connection: str | None) -> InvoiceRow:
    from connector.database import reading
    from connector.invoices import find_invoice

    inside = within(installation, connection)
    with reading(installation.engine) as session:
        return find_invoice(session, invoice, inside)


def _segment(text: str) -> str | None:
    if text in {"auto", "none"}:
        return None
    if text not in _SEGMENTS:
        raise typer.BadParameter(f"There is no segment {text!r}; there are: {', '.join(_SEGMENTS)}, auto.")
    return text


def _contact(text: str) -> tuple[str, str]:
    """Read "Ann Lee <ann@example.com>", or an address alone, as name and address."""
    if text.strip().lower() == "none":
        return "", ""
    match = re.fullmatch(r"\s*(?:(?P<name>[^<>\r\n]*?)\s*<)?(?P<mail>[^\s<>,;@]+@[^\s<>,;@]+\.[^\s<>,;@]+)>?\s*", text)
    if match is None or (match["name"] is None) != ("<" not in text):
        raise typer.BadParameter(f"{text!r} is not a contact; write 'Ann Lee <ann@example.com>'.")
    return match["name"] or "", match["mail"]
