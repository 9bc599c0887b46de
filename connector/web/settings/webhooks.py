"""Outgoing webhooks, for owners: added with their secret shown once, tested, resumed, removed."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from connector.db.engine import reading
from connector.errors import NotFound, NotPossible
from connector.vocabulary import Role
from connector.web.page_request import PageRequest
from connector.web.routes import Route
from connector.web.settings.company_access import chosen_companies, parse_company_access
from connector.webhooks import endpoints
from connector.webhooks.address_rules import DisallowedAddressError
from connector.webhooks.events import EVENTS, Event

# By form value: what it does, and the notice on the next page
_ACTIONS = {
    "remove": (endpoints.remove_endpoint, "webhook_removed"),
    "start": (endpoints.resume_endpoint, "webhook_resumed"),
    "test": (endpoints.send_test, "webhook_tested"),
}


def list_webhooks(request: PageRequest) -> Response:
    """Show the webhooks with their last deliveries, and the form for a new one."""
    return _render(request, {})


def _render(request: PageRequest, problems: Mapping[str, str]) -> Response:
    """Show the webhooks; ``problems`` are what is wrong with the new one, whose values stay."""
    with reading(request.app.engine) as session:
        rows, companies = endpoints.list_endpoints(request.app, session), request.companies(session)
    return request.render(
        "settings_webhooks.html",
        422 if problems else 200,
        problems=problems,
        values={"url": request.form_value("url", 2000), "events": request.form_value("events")},
        chosen_events=request.form.get("event", ()),
        company_ids=chosen_companies(request) if problems else None,
        endpoints=rows,
        companies=companies,
        company_names={row.id: row.name for row in companies},
        events={event: text for event, text in EVENTS.items() if event != Event.TEST},
        reach=request.app.settings.duewell_webhooks,
    )


def add_webhook(request: PageRequest) -> Response:
    """Add a webhook and show its secret, this once."""
    companies = parse_company_access(request)
    events = list(request.form.get("event", ())) if request.form_value("events") == "selected" else None
    if events == []:
        return _render(request, {"event": "Select at least one event."})
    try:
        _id, secret = endpoints.add_endpoint(
            request.app, request.form_value("url", 2000), events=events, companies=companies, by=request.actor.email
        )
    except (endpoints.EndpointError, DisallowedAddressError) as error:
        return _render(request, {"url": str(error)})
    return request.render(
        "settings_secret.html",
        title="Webhook secret",
        secret=secret,
        text="Every delivery is signed with this secret. Copy it now: it is not shown again.",
        back="/settings/webhooks",
    )


def update_webhook(request: PageRequest) -> Response:
    """Test, resume or remove a webhook."""
    if request.form_value("do") not in _ACTIONS:
        raise NotFound
    action, notice = _ACTIONS[request.form_value("do")]
    try:
        action(request.app, request.path_id("endpoint"), by=request.actor.email)
    except endpoints.EndpointError as error:
        raise NotPossible(str(error)) from error
    return request.redirect("/settings/webhooks", notice=notice)


ROUTES = (
    Route("GET", "/settings/webhooks", list_webhooks, Role.OWNER),
    Route("POST", "/settings/webhooks", add_webhook, Role.OWNER, sensitive=True),
    Route("POST", "/settings/webhooks/{endpoint:int}", update_webhook, Role.OWNER, sensitive=True),
)
