"""How long what is held is kept, shown and changed; for owners."""

from __future__ import annotations

from starlette.responses import Response

from connector.db.engine import reading
from connector.errors import NotPossible
from connector.privacy import retention
from connector.web.page_request import PageRequest
from connector.web.routes import Route

_FOREVER = "off"


def show_retention(request: PageRequest) -> Response:
    """Show for how many days each kind is kept, and when what was older went last."""
    with reading(request.app.engine) as session:
        kept, pruned_at = retention.retention_days(session), retention.last_pruned_at(session)
    return request.render(
        "settings_privacy.html", kinds=retention.KINDS, kept=kept, days_max=retention.DAYS_MAX, pruned_at=pruned_at
    )


def update_retention(request: PageRequest) -> Response:
    """Keep things for other numbers of days; an empty field keeps for good, one that was not sent changes nothing."""
    with reading(request.app.engine) as session:
        kept = retention.retention_days(session)
    try:
        wanted = {
            name: retention.parse_days(name, request.form_value(name) or _FOREVER)
            for name in retention.KINDS
            if name in request.form
        }
        changes = {name: days for name, days in wanted.items() if days != kept[name]}
        if not changes:
            raise NotPossible("Nothing was changed.")
        retention.set_retention(request.app, changes, by=request.actor.email)
    except retention.RetentionError as problem:
        raise NotPossible(str(problem)) from problem
    return request.redirect("/settings/privacy", notice="retention_saved")


ROUTES = (
    Route("GET", "/settings/privacy", show_retention, "owner"),
    Route("POST", "/settings/privacy", update_retention, "owner", sensitive=True),
)
