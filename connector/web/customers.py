"""Customers: all of them, searched and paged; and one with everything said, paid, expected and set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlmodel import Session
from starlette.responses import Response

from connector.access.team import NotAPersonError, person
from connector.database import reading
from connector.letters.languages import LANGUAGES
from connector.people import customer_search, customer_story, customers
from connector.people.customer_view import view
from connector.portal import links
from connector.settings import reached_by_customers
from connector.tables import Connection, CustomerRow, ErasedCustomer
from connector.web import saying
from connector.web.outbox import within
from connector.web.routes import Route
from connector.web.visit import NotHere, NotPossible, Visit
from policies.receivables import Segment

_PLACES = {"invoice": "/companies/{company}/invoices/{id}", "entry": "/outbox/{id}", "task": "/tasks/{id}"}
_PLACES["line"] = "/log/{id}"
_LINK_DEEDS: dict[str, Callable[..., object]] = {"link_made": links.give, "link_revoked": links.revoke}
_SEGMENTS = tuple(each.value for each in Segment)


def listing(visit: Visit) -> Response:
    """Show a page of customers."""
    search, everybody = visit.query.get("search", "").strip()[:200], visit.query.get("who") == "all"
    with reading(visit.installation.engine) as session:
        companies, chosen, ids = within(visit, session)
        found = customer_search.customers(
            session,
            ids,
            visit.now.date(),
            search=search,
            owing=not everybody,
            after=visit.query.get("after", "")[:200],
        )
    return visit.page(
        "customers.html", found=found, companies=companies, chosen=chosen, search=search, everybody=everybody
    )


def customer(visit: Visit) -> Response:
    """Show one customer."""
    asked = visit.query.get("page", "")
    page = int(asked) if asked.isdecimal() and len(asked) < 4 else 1
    with reading(visit.installation.engine) as session:
        company, row = customer_of(visit, session)
        told = view(session, company, row, visit.now)
        erased = session.get(ErasedCustomer, (row.connection_id, row.external_id))
        known = links.listing(visit.installation, session, row.connection_id, row.external_id)
        events, older = customer_story.story(session, row, page=page)
    return visit.page(
        "customer.html",
        company=company,
        customer=row,
        told=told,
        erased=erased,
        events=events,
        older=page + 1 if older else None,
        newer=page - 1 if page > 1 else None,
        place=lambda about: _place(company, about),
        segments=_SEGMENTS,
        languages=LANGUAGES,
        links=[each for each in known if each["state"] == "good"],
        reached=reached_by_customers(visit.installation.settings.duewell_base_url),
    )


def act(visit: Visit) -> Response:
    """Keep what a person sets for the customer, or says about some of his invoices."""
    with reading(visit.installation.engine) as session:
        company, row = customer_of(visit, session)
        known = customers.settings_of(session, row.connection_id, row.external_id)
    if visit.sent("do") in _LINK_DEEDS:
        _LINK_DEEDS[visit.sent("do")](visit.installation, row.connection_id, row.external_id, by=visit.who.email)
        return visit.go(visit.path, said=visit.sent("do"))
    if visit.sent("do") != "set":
        saying.say(visit, company.id or 0, row.external_id, [each[:200] for each in visit.form.get("invoice", ())])
        return visit.go(visit.path, said="recorded")
    given = _settings(visit)
    changes = {name: value for name, value in given.items() if value != (known.get(name) or _none(value))}
    if not changes:
        message = "Nothing was changed."
        raise NotPossible(message)
    try:
        customers.set_customer(visit.installation, row.connection_id, row.external_id, changes, by=visit.who.email)
    except customers.BadSettingError as problem:
        raise NotPossible(str(problem)) from problem
    return visit.go(visit.path, said="recorded")


def _settings(visit: Visit) -> dict[str, Any]:
    """Read the form of settings; every field of it counts, an empty one is as in the books."""
    segment, language = visit.sent("segment"), visit.sent("language")
    if segment not in {"", *_SEGMENTS}:
        raise NotHere
    emails = [_person(each, alone=True) for each in visit.sent("emails").replace(";", ",").split(",") if each.strip()]
    return {
        "segment": segment or None,
        "hold_until_on": saying.day_of(visit, "hold_until_on"),
        "no_reminders": visit.sent("no_reminders") == "yes",
        "no_fees": visit.sent("no_fees") == "yes",
        "fees_agreed_on": saying.day_of(visit, "fees_agreed_on"),
        "emails": ",".join(emails),
        "contact_name": visit.sent("contact_name", 200),
        "language": language,
        "owner": _person(visit.sent("owner")),
        "sales_rep": _person(visit.sent("sales_rep")),
        "tags": ",".join(filter(None, (tag.strip() for tag in visit.sent("tags").split(",")))),
    }


def _person(text: str, *, alone: bool = False) -> str:
    if not text:
        return ""
    try:
        read = person(text.strip())
    except NotAPersonError as problem:
        raise NotPossible(str(problem)) from problem
    if alone and "<" in read:
        message = f"{text.strip()!r} is not an address alone; the name has a field of its own."
        raise NotPossible(message)
    return read


def _none(value: object) -> object:
    """Give what stands in the settings where nothing was set, for a value of this kind."""
    return False if isinstance(value, bool) else "" if isinstance(value, str) else None


def customer_of(visit: Visit, session: Session) -> tuple[Connection, CustomerRow]:
    """Find the customer of a path, and his company, or raise ``NotHere``."""
    company = visit.company(session, visit.number("company"))
    row = session.get(CustomerRow, (company.id, str(visit.parameters["customer"])))
    if row is None:
        raise NotHere
    return company, row


def _place(company: Connection, about: tuple[str, str]) -> str:
    kind, thing = about
    return _PLACES[kind].format(company=company.id, id=thing) if kind else ""


ROUTES = (
    Route("GET", "/customers", listing),
    Route("GET", "/companies/{company:int}/customers/{customer}", customer),
    Route("POST", "/companies/{company:int}/customers/{customer}", act, "bookkeeper"),
)
