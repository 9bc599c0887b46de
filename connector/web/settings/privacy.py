"""Retention periods, for owners: how many days each kind of data is kept."""

from __future__ import annotations

from starlette.responses import Response

from connector.db.engine import reading
from connector.errors import NotPossible
from connector.privacy import retention
from connector.vocabulary import Role
from connector.web.page_request import PageRequest
from connector.web.routes import Route

_FOREVER = "off"


def show_retention(request: PageRequest) -> Response:
    """Show the retention period of each kind of data, and when older data was last deleted."""
    with reading(request.app.engine) as session:
        days, pruned_at = retention.retention_days(session), retention.last_pruned_at(session)
    return request.render(
        "settings_privacy.html", kinds=retention.KINDS, days=days, days_max=retention.DAYS_MAX, pruned_at=pruned_at
    )


def update_retention(request: PageRequest) -> Response:
    """Save retention periods; an empty field keeps data for ever, a missing field changes nothing."""
    with reading(request.app.engine) as session:
        current = retention.retention_days(session)
    try:
        submitted = {
            name: retention.parse_days(name, request.form_value(name) or _FOREVER)
            for name in retention.KINDS
            if name in request.form
        }
        changes = {name: days for name, days in submitted.items() if days != current[name]}
        if not changes:
            raise NotPossible("Nothing was changed.")
        retention.set_retention(request.app, changes, by=request.actor.email)
    except retention.RetentionError as error:
        raise NotPossible(str(error)) from error
    return request.redirect("/settings/privacy", notice="retention_saved")


ROUTES = (
    Route("GET", "/settings/privacy", show_retention, Role.OWNER),
    Route("POST", "/settings/privacy", update_retention, Role.OWNER, sensitive=True),
)
