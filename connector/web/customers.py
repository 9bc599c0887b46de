"""The customers: a searchable list; and one with balance, agreements, behaviour, timeline, contact and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from sqlmodel import Session
from starlette.responses import Response

from connector.arrangements import customer_settings
from connector.arrangements.customer_settings import SettingChanges
from connector.connections.account_owners import InvalidMailboxError, normalise_mailbox
from connector.db.engine import reading
from connector.db.tables import Connection, CustomerRow, ErasedCustomer
from connector.emails import portal_links
from connector.errors import InvalidField, NotFound
from connector.geo import today_in
from connector.languages import LANGUAGES
from connector.portal import files
from connector.services import customer_timeline, portal_reports
from connector.services.customer_details import load_customer_details
from connector.services.invoice_timeline import Target
from connector.services.task_details import load_contacts
from connector.setting_types import is_publicly_reachable
from connector.vocabulary import Role
from connector.web import agreement_forms
from connector.web.page_request import PageRequest
from connector.web.routes import Route
from policies.receivables import Segment

_EVENT_PATHS = {
    "invoice": "/companies/{company}/invoices/{id}",
    "entry": "/outbox/{id}",
    "task": "/tasks/{id}",
    "log": "/log/{id}",
}
_LINK_ACTIONS: dict[str, Callable[..., object]] = {
    "link_created": portal_links.create_link,
    "link_revoked": portal_links.revoke_links,
}


def show_customer(request: PageRequest) -> Response:
    """Show one customer with a page of their timeline."""
    return _render_customer(request, {})


def _render_customer(request: PageRequest, problems: Mapping[str, str]) -> Response:
    """Show the customer; ``problems`` are what is wrong with the submitted form, whose values stay."""
    is_settings = request.form_value("do") == "set"
    page = request.page_number()
    with reading(request.app.engine) as session:
        company, row = get_customer(request, session)
        events, has_older = customer_timeline.customer_timeline(session, row, page=page)
        links = portal_links.list_links(request.app, session, row.connection_id, row.external_id)
        return request.render(
            "customer.html",
            422 if problems else 200,
            form=agreement_forms.form_state(request, {} if is_settings else problems),
            undo=agreement_forms.find_undoable(request, session, row.connection_id, row.external_id),
            problems=problems if is_settings else {},
            typed={name: request.form_value(name) for name in SettingChanges.__annotations__}
            if problems and is_settings
            else {},
            company=company,
            today=today_in(company.time_zone, request.now),
            customer=row,
            details=load_customer_details(session, company, row, request.now),
            reports=portal_reports.list_portal_reports(session, row),
            unapplied=portal_reports.list_unapplied(session, row),
            contacts=load_contacts(session, row, company),
            erased=session.get(ErasedCustomer, (row.connection_id, row.external_id)),
            events=events,
            older_page=page + 1 if has_older else None,
            newer_page=page - 1 if page > 1 else None,
            event_url=lambda target: event_url(company, target),
            segments=tuple(Segment),
            languages=LANGUAGES,
            links=[each for each in links if each.state is portal_links.LinkState.VALID],
            portal_reachable=is_publicly_reachable(request.app.settings.duewell_base_url),
        )


def update_customer(request: PageRequest) -> Response:
    """Save the customer's settings, record an agreement about their invoices, or create or revoke a portal link."""
    try:
        query = _update(request)
    except InvalidField as error:
        return _render_customer(request, {error.field: str(error)})
    return request.redirect(request.path, **query)


def download_file(request: PageRequest) -> Response:
    """Return a file that the customer sent, as a download: nothing in it can act in this site's name."""
    with reading(request.app.engine) as session:
        company, row = get_customer(request, session)
        item = portal_reports.find_file(session, company.id or 0, row.external_id, request.path_id("file"))
        content = files.open_file(session, request.app.keyring, item.id) if item is not None else None
    if item is None or content is None:
        raise NotFound
    headers = {
        "Content-Disposition": f'attachment; filename="{item.filename}"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "no-store",
    }
    return Response(content, media_type=item.content_type, headers=headers)


def _update(request: PageRequest) -> dict[str, str]:
    """Carry out what was submitted, and return the query of the next page; raises ``InvalidField``."""
    action = request.form_value("do")
    with reading(request.app.engine) as session:
        company, row = get_customer(request, session)
        settings = customer_settings.customer_settings(session, row.connection_id, row.external_id)
    if action in _LINK_ACTIONS:
        _LINK_ACTIONS[action](request.app, row.connection_id, row.external_id, by=request.actor.email)
        return {"notice": action}
    if action != "set":
        invoice_ids = [each[:200] for each in request.form.get("invoice", ())]
        return agreement_forms.record_agreement(request, company.id or 0, row.external_id, invoice_ids)
    submitted = _parse_settings(request)
    changes = cast(
        "SettingChanges",
        {name: value for name, value in submitted.items() if value != (getattr(settings, name) or _unset_value(value))},
    )
    if not changes:
        return {"notice": "unchanged"}
    try:
        customer_settings.update_settings(
            request.app, row.connection_id, row.external_id, changes, by=request.actor.email
        )
    except customer_settings.InvalidSettingError as error:
        raise InvalidField(error.field, str(error)) from error
    return {"notice": "recorded"}


def _parse_settings(request: PageRequest) -> SettingChanges:
    """Return all settings in the form; an empty field means the accounting system's own value."""
    segment = request.form_value("segment")
    if segment not in {"", *Segment}:
        raise NotFound
    return {
        "segment": Segment(segment) if segment else None,
        "hold_until_on": agreement_forms.form_date(request, "hold_until_on"),
        "no_reminders": request.form_value("no_reminders") == "yes",
        "no_fees": request.form_value("no_fees") == "yes",
        "fees_agreed_on": agreement_forms.form_date(request, "fees_agreed_on"),
        "emails": _parse_addresses(request, "emails"),
        "stopped_emails": _parse_addresses(request, "stopped_emails"),
        "contact_name": request.form_value("contact_name", 200),
        "phone": request.form_value("phone", 100),
        "language": request.form_value("language"),
        "owner": _parse_mailbox("owner", request.form_value("owner")),
        "sales_rep": _parse_mailbox("sales_rep", request.form_value("sales_rep")),
        "second_contact": _parse_mailbox("second_contact", request.form_value("second_contact")),
        "withholding_percent": request.form_value("withholding_percent", 10),
        "tags": ",".join(filter(None, (tag.strip() for tag in request.form_value("tags").split(",")))),
    }


def _parse_addresses(request: PageRequest, field: str) -> str:
    given = request.form_value(field).replace(";", ",").split(",")
    return ",".join(_parse_mailbox(field, each, address_only=True) for each in given if each.strip())


def _parse_mailbox(field: str, text: str, *, address_only: bool = False) -> str:
    """Return ``Ann Lee <ann@example.com>`` or an address alone, normalised; raises ``InvalidField``."""
    if not text:
        return ""
    try:
        mailbox = normalise_mailbox(text.strip())
    except InvalidMailboxError as error:
        raise InvalidField(field, str(error)) from error
    if address_only and "<" in mailbox:
        message = f"Enter {text.strip()!r} as an address only. The contact's name has its own field."
        raise InvalidField(field, message)
    return mailbox


def _unset_value(value: object) -> object:
    """Return what an unset setting of this type holds."""
    return False if isinstance(value, bool) else "" if isinstance(value, str) else None


def get_customer(request: PageRequest, session: Session) -> tuple[Connection, CustomerRow]:
    """Return the company and customer in the path; raises ``NotFound``."""
    company = request.company(session, request.path_id("company"))
    row = session.get(CustomerRow, (company.id, str(request.path_params["customer"])))
    if row is None:
        raise NotFound
    return company, row


def event_url(company: Connection, target: Target | None) -> str:
    """Return the address of the page of what an event is about; "" where there is none."""
    return _EVENT_PATHS[target.kind].format(company=company.id, id=target.id) if target else ""


ROUTES = (
    Route("GET", "/companies/{company:int}/customers/{customer}/files/{file:int}", download_file, Role.BOOKKEEPER),
    Route("GET", "/companies/{company:int}/customers/{customer}", show_customer),
    Route("POST", "/companies/{company:int}/customers/{customer}", update_customer, Role.BOOKKEEPER),
)
