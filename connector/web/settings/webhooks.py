"""Webhooks of ours: the addresses that are told what happens, and what came of it; for owners."""

from __future__ import annotations

from starlette.responses import Response

from connector.database import reading
from connector.outgoing import endpoints
from connector.outgoing.events import EVENTS
from connector.outgoing.post import BadAddressError
from connector.web.routes import Route
from connector.web.settings.limits import companies_sent
from connector.web.visit import NotHere, NotPossible, Visit

_ACTS = {
    "remove": (endpoints.remove, "ended_hook"),
    "start": (endpoints.start_again, "started_hook"),
    "test": (endpoints.send_test, "tested_hook"),
}


def listing(visit: Visit) -> Response:
    """Show the addresses with their last deliveries, and ask for a new one."""
    with reading(visit.installation.engine) as session:
        rows, companies = endpoints.listing(session), visit.companies(session)
        names = {row.id: row.name for row in companies}
    allowed = visit.installation.settings.duewell_webhooks
    choice = {name: words for name, words in EVENTS.items() if name != "test"}
    return visit.page(
        "settings_webhooks.html", endpoints=rows, companies=companies, names=names, events=choice, allowed=allowed
    )


def add(visit: Visit) -> Response:
    """Add an address, and show its secret: now and never again."""
    limits = companies_sent(visit)
    events = list(visit.form.get("event", ())) if visit.sent("events") == "some" else None
    if events == []:
        raise NotPossible("Choose at least one event.")
    try:
        _id, secret = endpoints.add(
            visit.installation, visit.sent("url", 2000), events=events, companies=limits, by=visit.who.email
        )
    except (endpoints.EndpointError, BadAddressError) as problem:
        raise NotPossible(str(problem)) from problem
    words = (
        "What is sent there is signed with this secret, so that the other side can tell it is from here. It is shown"
    )
    return visit.page(
        "settings_once.html",
        title="The webhook's secret",
        secret=secret,
        words=f"{words} only now.",
        back="/settings/webhooks",
    )


def change(visit: Visit) -> Response:
    """Try an address, start it again, or remove it."""
    if visit.sent("do") not in _ACTS:
        raise NotHere
    act, said = _ACTS[visit.sent("do")]
    try:
        act(visit.installation, visit.number("endpoint"), by=visit.who.email)
    except endpoints.EndpointError as problem:
        raise NotPossible(str(problem)) from problem
    return visit.go("/settings/webhooks", said=said)


ROUTES = (
    Route("GET", "/settings/webhooks", listing, "owner"),
    Route("POST", "/settings/webhooks", add, "owner", dangerous=True),
    Route("POST", "/settings/webhooks/{endpoint:int}", change, "owner", dangerous=True),
)
