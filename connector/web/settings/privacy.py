"""Retention periods, for owners: how many days each kind of data is kept."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from connector.db.engine import reading
from connector.privacy import retention
from connector.vocabulary import Role
from connector.web.page_request import PageRequest
from connector.web.routes import Route

_FOREVER = "off"


def show_retention(request: PageRequest) -> Response:
    """Show the retention period of each kind of data, and when older data was last deleted."""
    return _render(request, {})


def _render(request: PageRequest, problems: Mapping[str, str]) -> Response:
    """Show the periods; ``problems`` are what is wrong with the submitted ones, which stay in their fields."""
    with reading(request.app.engine) as session:
        days, pruned_at = retention.retention_days(session), retention.last_pruned_at(session)
    shown = {name: str(count or "") for name, count in days.items()}
    if problems:
        shown = {name: request.form_value(name, 30) if name in request.form else text for name, text in shown.items()}
    return request.render(
        "settings_privacy.html",
        422 if problems else 200,
        kinds=retention.KINDS,
        days=days,
        shown=shown,
        days_max=retention.DAYS_MAX,
        pruned_at=pruned_at,
        problems=problems,
    )


def update_retention(request: PageRequest) -> Response:
    """Save retention periods; an empty field keeps data for ever, a missing field changes nothing."""
    with reading(request.app.engine) as session:
        current = retention.retention_days(session)
    submitted, problems = dict[str, int](), dict[str, str]()
    for name in retention.KINDS:
        if name in request.form:
            try:
                submitted[name] = retention.parse_days(name, request.form_value(name, 30) or _FOREVER)
            except retention.RetentionError:
                problems[name] = f"Enter 1 to {retention.DAYS_MAX} days, or nothing to keep it for ever."
    if problems:
        return _render(request, problems)
    changes = {name: days for name, days in submitted.items() if days != current[name]}
    if changes:
        retention.set_retention(request.app, changes, by=request.actor.email)
    return request.redirect("/settings/privacy", notice="retention_saved" if changes else "unchanged")


ROUTES = (
    Route("GET", "/settings/privacy", show_retention, Role.OWNER),
    Route("POST", "/settings/privacy", update_retention, Role.OWNER, sensitive=True),
)
