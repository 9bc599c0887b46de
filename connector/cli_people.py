"""Commands for what a person decides: outbox, customers, invoices, fees."""

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
    put_table,
    say,
    who,
    within,
)

if TYPE_CHECKING:
    from connector.installation import Installation
    from connector.tables import InvoiceRow

WithinOption = Annotated[str | None, typer.Option("--connection", help="Only this connection: its id or short name.")]
Ids = Annotated[list[int], typer.Argument(metavar="ID...")]
InvoiceArgument = Annotated[str, typer.Argument(metavar="INVOICE", help="Its number, or the ledger's id.")]
outbox = group(ListGroup, "What leaves: planned, waiting for a person, done, refused or in doubt.")
customers = group(ListGroup, "Customers, and what a person sets for them.")
invoices = group(ListGroup, "Invoices, and what a person says about them: disputes, promises, pauses.")
fees = group(ListGroup, "Late fees: draft, approved, posted, waived.")
_STATES = ("planned", "waiting", "calling", "done", "refused", "doubt")
_SEGMENTS = ("strategic", "established", "new")


def add_to(app: typer.Typer) -> None:
    """Add these groups."""
    for name, commands in (("outbox", outbox), ("customers", customers), ("invoices", invoices), ("fees", fees)):
        app.add_typer(commands, name=name)


@outbox.command("list")
def list_outbox(
    connection: WithinOption = None,
    state: Annotated[list[str] | None, typer.Option(help=f"Only these: {', '.join(_STATES)}.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the entries of the outbox, newest first."""
    from connector.database import reading
    from connector.outbox import listing

    for name in state or []:
        if name not in _STATES:
            raise typer.BadParameter(f"There is no state {name!r}; there are: {', '.join(_STATES)}.")
    with opened() as installation:
        inside = within(installation, connection)
        with reading(installation.engine) as session:
            rows = listing(session, inside, state or None)
    columns = {
        "id": "ID",
        "state": "STATE",
        "kind": "WHAT",
        "connection": "BOOKS",
        "customer": "CUSTOMER",
        "why": "WHY",
    }
    _put_list(rows, columns, "The outbox is empty.", as_json=as_json)


@outbox.command("approve")
def approve_entries(ids: Ids, as_json: JsonOption = False) -> None:
    """Let waiting entries leave with the next run."""
    from connector.outbox import approve

    _settle(ids, approve, "approved: it leaves with the next run", as_json=as_json)


@outbox.command("reject")
def reject_entries(
    ids: Ids, why: Annotated[str, typer.Option(help="The reason, for the log.")] = "", as_json: JsonOption = False
) -> None:
    """Keep entries from ever leaving."""
    from connector.outbox import reject

    _settle(ids, reject, "rejected: it never leaves", as_json=as_json, why=why)


@outbox.command("resolve")
def resolve_entry(
    entry_id: Annotated[int, typer.Argument(metavar="ID")],
    sent: Annotated[
        bool | None, typer.Option("--sent/--not-sent", help="Did it arrive? Ask the customer, or the mail system.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Settle a doubt: say whether an effect with an unknown outcome happened."""
    from connector.database import writing
    from connector.outbox import resolve

    if sent is None:
        raise typer.BadParameter("Say --sent or --not-sent: nobody but a person knows.")
    with opened() as installation, writing(installation.engine) as session:
        row = resolve(session, entry_id, sent=sent, by=who(), at=installation.now())
        settled = {"id": row.id, "state": row.state, "answer": row.answer}
    if as_json:
        put_json(settled)
    else:
        put(f"{settled['id']}: {settled['state']}; {settled['answer']}")


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
    _put_list(rows, columns, "There are no customers in the mirror yet; they come with: duewell run", as_json=as_json)


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
    _put_list(rows, {**columns, "currency": "", "said": "SAID"}, "No invoice is open.", as_json=as_json)


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
def plan_invoice(invoice: InvoiceArgument, connection: WithinOption = None) -> None:
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


@fees.command("list")
def list_fees(connection: WithinOption = None, as_json: JsonOption = False) -> None:
    """List late fees with their yearly rate, newest first."""
    from connector.database import reading
    from connector.fees import listing

    with opened() as installation:
        inside = within(installation, connection)
        with reading(installation.engine) as session:
            rows = listing(session, inside)
    columns = {
        "id": "ID",
        "state": "STATE",
        "invoice": "INVOICE",
        "amount": "FEE",
        "currency": "",
        "annual_rate": "% A YEAR",
    }
    _put_list(rows, columns, "There are no late fees.", as_json=as_json)


@fees.command("approve")
def approve_fees(ids: Ids, as_json: JsonOption = False) -> None:
    """Let draft fees be posted by the next run."""
    from connector.fees import approve

    _settle(ids, approve, "approved: it is posted by the next run", as_json=as_json)


@fees.command("waive")
def waive_fees(
    ids: Ids, why: Annotated[str, typer.Option(help="The reason, for the log.")] = "", as_json: JsonOption = False
) -> None:
    """Waive fees: a posted one is voided in the ledger by the next run."""
    from connector.fees import waive

    with opened() as installation:
        rows = waive(installation, ids, by=who(), why=why)
    if as_json:
        put_json(rows)
    else:
        for row in rows:
            put(f"{row['id']}: waived")


def _put_list(rows: list[dict[str, Any]], columns: dict[str, str], nothing: str, *, as_json: bool) -> None:
    if as_json:
        put_json(rows)
    elif rows:
        put_table(rows, columns)
    else:
        say(nothing)


def _settle(ids: list[int], act: Any, said: str, *, as_json: bool, **more: Any) -> None:
    from connector.database import writing

    with opened() as installation, writing(installation.engine) as session:
        rows = act(session, ids, by=who(), at=installation.now(), **more)
        settled = [{"id": row.id, "state": row.state} for row in rows]
    if as_json:
        put_json(settled)
    else:
        for row in settled:
            put(f"{row['id']}: {said}")


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
