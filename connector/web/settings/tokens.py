"""API tokens: made, shown once, revoked; for owners."""

from __future__ import annotations

from starlette.responses import Response

from connector.access import api_tokens
from connector.database import reading, writing
from connector.web.routes import Route
from connector.web.settings.limits import companies_sent
from connector.web.visit import NotPossible, Visit


def listing(visit: Visit) -> Response:
    """Show the tokens, and ask for a new one."""
    with reading(visit.installation.engine) as session:
        rows, companies = api_tokens.listing(session, visit.now), visit.companies(session)
    return visit.page(
        "settings_tokens.html", tokens=rows, companies=companies, scopes=api_tokens.SCOPES, days=api_tokens.DAYS
    )


def make(visit: Visit) -> Response:
    """Make a token, and show it: now and never again."""
    days, limits = visit.sent("days"), companies_sent(visit)
    try:
        with writing(visit.installation.engine) as session:
            row, token = api_tokens.make(
                session,
                visit.sent("name"),
                visit.sent("scope"),
                companies=limits,
                days=int(days) if days.isdecimal() and len(days) < 6 else 0,
                by=visit.who.email,
                at=visit.now,
            )
    except api_tokens.ApiTokenError as problem:
        raise NotPossible(str(problem)) from problem
    words = f"It {api_tokens.SCOPES[visit.sent('scope')]}. It is shown only now; whoever has it may do that."
    return visit.page(
        "settings_once.html", title=f"The API token {row.name}", secret=token, words=words, back="/settings/tokens"
    )


def revoke(visit: Visit) -> Response:
    """End a token at once."""
    try:
        with writing(visit.installation.engine) as session:
            api_tokens.revoke(session, visit.number("token"), by=visit.who.email, at=visit.now)
    except api_tokens.ApiTokenError as problem:
        raise NotPossible(str(problem)) from problem
    return visit.go("/settings/tokens", said="revoked")


ROUTES = (
    Route("GET", "/settings/tokens", listing, "owner"),
    Route("POST", "/settings/tokens", make, "owner", dangerous=True),
    Route("POST", "/settings/tokens/{token:int}", revoke, "owner", dangerous=True),
)
