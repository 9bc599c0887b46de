"""Customers: all of them, searched and paged; and one with everything said, paid, expected and set."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from sqlmodel import Session
from starlette.responses import Response

from connector.arrangements import customer_settings
from connector.arrangements.customer_settings import SettingChanges
from connector.connections.account_owners import InvalidMailboxError, normalise_mailbox
from connector.db.engine import reading
from connector.db.tables import Connection, CustomerRow, ErasedCustomer
from connector.emails import portal_links
from connector.errors import NotFound, NotPossible
from connector.languages import LANGUAGES
from connector.services import customer_search, customer_timeline
from connector.services.customer_details import load_customer_details
from connector.services.invoice_timeline import Target
from connector.settings import is_publicly_reachable
from connector.web import agreement_forms
from connector.web.outbox import selected_companies
from connector.web.page_request import PageRequest
from connector.web.routes import Route
from policies.receivables import Segment

_EVENT_PATHS = {"invoice": "/companies/{company}/invoices/{id}", "entry": "/outbox/{id}", "task": "/tasks/{id}"}
_EVENT_PATHS["log"] = "/log/{id}"
_LINK_ACTIONS: dict[str, Callable[..., object]] = {
    "link_created": portal_links.create_link,
    "link_revoked": portal_links.revoke_links,
}
_SEGMENTS = tuple(each.value for each in Segment)


def list_customers(request: PageRequest) -> Response:
    """Show a page of customers."""
    search, everybody = request.query.get("search", "").strip()[:200], request.query.get("show") == "all"
    with reading(request.app.engine) as session:
        companies, chosen, ids = selected_companies(request, session)
        found = customer_search.find_customer_page(
            session,
            ids,
            request.now.date(),
            search=search,
            only_with_balance=not everybody,
            cursor=request.query.get("after", "")[:200],
        )
    return request.render(
        "customers.html", found=found, companies=companies, chosen=chosen, search=search, everybody=everybody
    )


def show_customer(request: PageRequest) -> Response:
    """Show one customer."""
    asked = request.query.get("page", "")
    page = int(asked) if asked.isdecimal() and len(asked) < 4 else 1
    with reading(request.app.engine) as session:
        company, row = get_customer(request, session)
        told = load_customer_details(session, company, row, request.now)
        erased = session.get(ErasedCustomer, (row.connection_id, row.external_id))
        known = portal_links.list_links(request.app, session, row.connection_id, row.external_id)
        events, has_older = customer_timeline.customer_timeline(session, row, page=page)
    return request.render(
        "customer.html",
        company=company,
        customer=row,
        told=told,
        erased=erased,
        events=events,
        older=page + 1 if has_older else None,
        newer=page - 1 if page > 1 else None,
        place=lambda target: _event_url(company, target),
        segments=_SEGMENTS,
        languages=LANGUAGES,
        links=[each for each in known if each.state is portal_links.LinkState.VALID],
        reached=is_publicly_reachable(request.app.settings.duewell_base_url),
    )


def update_customer(request: PageRequest) -> Response:
    """Keep what a person sets for the customer, or says about some of his invoices."""
    with reading(request.app.engine) as session:
        company, row = get_customer(request, session)
        known = customer_settings.customer_settings(session, row.connection_id, row.external_id)
    if request.form_value("do") in _LINK_ACTIONS:
        _LINK_ACTIONS[request.form_value("do")](request.app, row.connection_id, row.external_id, by=request.actor.email)
        return request.redirect(request.path, notice=request.form_value("do"))
    if request.form_value("do") != "set":
        agreement_forms.record_agreement(
            request, company.id or 0, row.external_id, [each[:200] for each in request.form.get("invoice", ())]
        )
        return request.redirect(request.path, notice="recorded")
    given = _parse_settings(request)
    changes = cast(
        "SettingChanges",
        {name: value for name, value in given.items() if value != (getattr(known, name) or _unset_value(value))},
    )
    if not changes:
        message = "Nothing was changed."
        raise NotPossible(message)
    try:
        customer_settings.update_settings(
            request.app, row.connection_id, row.external_id, changes, by=request.actor.email
        )
    except customer_settings.InvalidSettingError as problem:
        raise NotPossible(str(problem)) from problem
    return request.redirect(request.path, notice="recorded")


def _parse_settings(request: PageRequest) -> SettingChanges:
    """Read the form of settings; every field of it counts, an empty one is as in the books."""
    segment, language = request.form_value("segment"), request.form_value("language")
    if segment not in {"", *_SEGMENTS}:
        raise NotFound
    emails = [
        _parse_person(each, address_only=True)
        for each in request.form_value("emails").replace(";", ",").split(",")
        if each.strip()
    ]
    return {
        "segment": segment or None,
        "hold_until_on": agreement_forms.form_date(request, "hold_until_on"),
        "no_reminders": request.form_value("no_reminders") == "yes",
        "no_fees": request.form_value("no_fees") == "yes",
        "fees_agreed_on": agreement_forms.form_date(request, "fees_agreed_on"),
        "emails": ",".join(emails),
        "contact_name": request.form_value("contact_name", 200),
        "language": language,
        "owner": _parse_person(request.form_value("owner")),
        "sales_rep": _parse_person(request.form_value("sales_rep")),
        "tags": ",".join(filter(None, (tag.strip() for tag in request.form_value("tags").split(",")))),
    }


def _parse_person(text: str, *, address_only: bool = False) -> str:
    if not text:
        return ""
    try:
        read = normalise_mailbox(text.strip())
    except InvalidMailboxError as problem:
        raise NotPossible(str(problem)) from problem
    if address_only and "<" in read:
        message = f"{text.strip()!r} is not an address alone; the name has a field of its own."
        raise NotPossible(message)
    return read


def _unset_value(value: object) -> object:
    """Give what stands in the settings where nothing was set, for a value of this kind."""
    return False if isinstance(value, bool) else "" if isinstance(value, str) else None


def get_customer(request: PageRequest, session: Session) -> tuple[Connection, CustomerRow]:
    """Find the customer of a path, and his company, or raise ``NotHere``."""
    company = request.company(session, request.path_id("company"))
    row = session.get(CustomerRow, (company.id, str(request.path_params["customer"])))
    if row is None:
        raise NotFound
    return company, row


def _event_url(company: Connection, target: Target | None) -> str:
    return _EVENT_PATHS[target.kind].format(company=company.id, id=target.id) if target else ""


ROUTES = (
    Route("GET", "/customers", list_customers),
    Route("GET", "/companies/{company:int}/customers/{customer}", show_customer),
    Route("POST", "/companies/{company:int}/customers/{customer}", update_customer, "bookkeeper"),
)
