"""Webhooks of ours: the addresses that are told what happens, and what came of it; for owners."""

from __future__ import annotations

from starlette.responses import Response

from connector.db.engine import reading
from connector.errors import NotFound, NotPossible
from connector.web.page_request import PageRequest
from connector.web.routes import Route
from connector.web.settings.company_access import parse_company_access
from connector.webhooks import endpoints
from connector.webhooks.events import EVENTS
from connector.webhooks.safe_post import DisallowedAddressError

_ACTIONS = {
    "remove": (endpoints.remove_endpoint, "webhook_removed"),
    "start": (endpoints.resume_endpoint, "webhook_resumed"),
    "test": (endpoints.send_test, "webhook_tested"),
}


def list_webhooks(request: PageRequest) -> Response:
    """Show the addresses with their last deliveries, and ask for a new one."""
    with reading(request.app.engine) as session:
        rows, companies = endpoints.list_endpoints(session), request.companies(session)
        names = {row.id: row.name for row in companies}
    allowed = request.app.settings.duewell_webhooks
    choice = {name: words for name, words in EVENTS.items() if name != "test"}
    return request.render(
        "settings_webhooks.html", endpoints=rows, companies=companies, names=names, events=choice, allowed=allowed
    )


def add_webhook(request: PageRequest) -> Response:
    """Add an address, and show its secret: now and never again."""
    limits = parse_company_access(request)
    events = list(request.form.get("event", ())) if request.form_value("events") == "selected" else None
    if events == []:
        raise NotPossible("Choose at least one event.")
    try:
        _id, secret = endpoints.add_endpoint(
            request.app, request.form_value("url", 2000), events=events, companies=limits, by=request.actor.email
        )
    except (endpoints.EndpointError, DisallowedAddressError) as problem:
        raise NotPossible(str(problem)) from problem
    words = (
        "What is sent there is signed with this secret, so that the other side can tell it is from here. It is shown"
    )
    return request.render(
        "settings_secret.html",
        title="The webhook's secret",
        secret=secret,
        words=f"{words} only now.",
        back="/settings/webhooks",
    )


def update_webhook(request: PageRequest) -> Response:
    """Try an address, start it again, or remove it."""
    if request.form_value("do") not in _ACTIONS:
        raise NotFound
    act, said = _ACTIONS[request.form_value("do")]
    try:
        act(request.app, request.path_id("endpoint"), by=request.actor.email)
    except endpoints.EndpointError as problem:
        raise NotPossible(str(problem)) from problem
    return request.redirect("/settings/webhooks", notice=said)


ROUTES = (
    Route("GET", "/settings/webhooks", list_webhooks, "owner"),
    Route("POST", "/settings/webhooks", add_webhook, "owner", sensitive=True),
    Route("POST", "/settings/webhooks/{endpoint:int}", update_webhook, "owner", sensitive=True),
)
