"""API tokens, for owners: listed, created and shown once, revoked."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from connector.auth import api_tokens
from connector.db.engine import reading, writing
from connector.errors import NotPossible
from connector.vocabulary import Role
from connector.web.page_request import PageRequest
from connector.web.routes import Route
from connector.web.settings.company_access import chosen_companies, parse_company_access

_FIELDS = ("name", "scope", "days")
_DEFAULTS = {"name": "", "scope": "read", "days": str(api_tokens.DAYS_DEFAULT)}


def list_tokens(request: PageRequest) -> Response:
    """Show the tokens, and the form for a new one."""
    return _render(request, {})


def _render(request: PageRequest, problems: Mapping[str, str]) -> Response:
    """Show the tokens; ``problems`` are what is wrong with the new one, whose values stay."""
    with reading(request.app.engine) as session:
        rows, companies = api_tokens.list_api_tokens(session, request.now), request.companies(session)
    return request.render(
        "settings_tokens.html",
        422 if problems else 200,
        tokens=rows,
        companies=companies,
        company_ids=chosen_companies(request) if problems else None,
        scopes=api_tokens.SCOPES,
        values={name: request.form_value(name) for name in _FIELDS} if problems else _DEFAULTS,
        problems=problems,
    )


def create_token(request: PageRequest) -> Response:
    """Create a token and show it, this once."""
    days, companies = request.form_value("days"), parse_company_access(request)
    try:
        with writing(request.app.engine) as session:
            row, token = api_tokens.create(
                session,
                request.form_value("name"),
                request.form_value("scope"),
                companies=companies,
                days=int(days) if days.isdecimal() and len(days) < 6 else 0,
                by=request.actor.email,
                at=request.now,
            )
    except api_tokens.ApiTokenError as error:
        field = "name" if not request.form_value("name") else "days" if "days" in str(error) else "scope"
        return _render(request, {field: str(error)})
    return request.render(
        "settings_secret.html",
        title=f"API token {row.name}",
        secret=token,
        text="Copy the token now: it is not shown again. Anyone who has it can use the API with its permissions.",
        back="/settings/tokens",
    )


def revoke_token(request: PageRequest) -> Response:
    """Revoke a token."""
    try:
        with writing(request.app.engine) as session:
            api_tokens.revoke(session, request.path_id("token"), by=request.actor.email, at=request.now)
    except api_tokens.ApiTokenError as error:
        raise NotPossible(str(error)) from error
    return request.redirect("/settings/tokens", notice="token_revoked")


ROUTES = (
    Route("GET", "/settings/tokens", list_tokens, Role.OWNER),
    Route("POST", "/settings/tokens", create_token, Role.OWNER, sensitive=True),
    Route("POST", "/settings/tokens/{token:int}", revoke_token, Role.OWNER, sensitive=True),
)
