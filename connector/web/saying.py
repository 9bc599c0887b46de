"""What a person says about invoices on a page: a form's fields become the words that the command line says too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation

from sqlmodel import Session

from connector.database import writing
from connector.people import agreements
from connector.people.agreements import AgreementError, Word
from connector.tables import InvoiceRow
from connector.web.visit import NotHere, NotPossible, Visit
from policies.receivables import Instalment

_INVOICES_MAX = 200
_PARTS_MAX = 60
Act = Callable[[Session, InvoiceRow, Word], object]


def say(visit: Visit, company_id: int, customer_id: str, invoice_ids: Sequence[str]) -> None:
    """Keep what the form says about each of a customer's invoices, or about none of them where one cannot be."""
    act = _act(visit)
    if not invoice_ids:
        message = "Choose the invoices it is about."
        raise NotPossible(message)
    try:
        with writing(visit.installation.engine) as session:
            for invoice_id in invoice_ids[:_INVOICES_MAX]:
                invoice = session.get(InvoiceRow, (company_id, invoice_id))
                if invoice is None or invoice.customer_id != customer_id:
                    raise NotHere
                act(session, invoice, Word(visit.who.email, visit.now))
    except AgreementError as problem:
        raise NotPossible(str(problem)) from problem


def day_of(visit: Visit, name: str) -> date | None:
    """Read a day off a form; None where the field is empty."""
    text = visit.sent(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        message = f"{text!r} is not a day; write it like 2026-12-31."
        raise NotPossible(message) from None


def _act(visit: Visit) -> Act:
    do, why = visit.sent("do"), visit.sent("why", 300)
    if do == "promise":
        on = _needed_day(visit, "promised_on", "the day of the promise")
        return lambda session, invoice, word: agreements.promise(session, invoice, word, on=on, why=why)
    if do == "plan":
        return _plan(visit, why)
    if do == "pause":
        until = day_of(visit, "paused_until")
        return lambda session, invoice, word: agreements.pause(session, invoice, word, until=until, why=why)
    simple: dict[str, Act] = {
        "no_promise": lambda session, invoice, word: agreements.promise(session, invoice, word, on=None),
        "no_plan": lambda session, invoice, word: agreements.plan(session, invoice, word, instalments=None),
        "dispute": lambda session, invoice, word: agreements.dispute(session, invoice, word, why=why),
        "undispute": lambda session, invoice, word: agreements.undispute(session, invoice, word, outcome=why),
        "resume": agreements.resume,
    }
    if do not in simple:
        raise NotHere
    return simple[do]


def _plan(visit: Visit, why: str) -> Act:
    """Read a plan: the instalments one a line, or so many equal parts."""
    listed = [_instalment(line) for line in visit.sent("instalments", 5000).splitlines() if line.strip()]
    if listed:
        return lambda session, invoice, word: agreements.plan(session, invoice, word, instalments=listed, why=why)
    parts, every = visit.sent("parts"), visit.sent("every")
    if not parts.isdecimal() or not 2 <= int(parts[:4]) <= _PARTS_MAX or every not in agreements.EVERY:
        message = f"Say in how many parts (2 to {_PARTS_MAX}), or write the instalments one a line."
        raise NotPossible(message)
    first_on, count, apart = _needed_day(visit, "first_on", "the day of the first part"), int(parts), every
    return lambda session, invoice, word: agreements.plan(
        session,
        invoice,
        word,
        instalments=agreements.equal_parts(invoice, count, first_on, agreements.EVERY[apart]),
        why=why,
    )


def _instalment(line: str) -> Instalment:
    on, _, amount = line.strip().partition(" ")
    try:
        return Instalment(date.fromisoformat(on), Decimal(amount.strip()))
    except (ValueError, InvalidOperation):
        message = f"{line.strip()!r} is no instalment; write a day and a sum, like 2026-07-01 400.00"
        raise NotPossible(message) from None


def _needed_day(visit: Visit, name: str, words: str) -> date:
    on = day_of(visit, name)
    if on is None:
        message = f"Say {words}."
        raise NotPossible(message)
    return on
