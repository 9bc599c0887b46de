"""How long what is held is kept, shown and changed; for owners."""

from __future__ import annotations

from starlette.responses import Response

from connector.database import reading
from connector.privacy import retention
from connector.web.routes import Route
from connector.web.visit import NotPossible, Visit

_GOOD = "off"


def listing(visit: Visit) -> Response:
    """Show for how many days each kind is kept, and when what was older went last."""
    with reading(visit.installation.engine) as session:
        kept, pruned_at = retention.days(session), retention.pruned_at(session)
    return visit.page(
        "settings_privacy.html", kinds=retention.KINDS, kept=kept, days_max=retention.DAYS_MAX, pruned_at=pruned_at
    )


def change(visit: Visit) -> Response:
    """Keep things for other numbers of days; an empty field keeps for good, one that was not sent changes nothing."""
    with reading(visit.installation.engine) as session:
        kept = retention.days(session)
    try:
        wanted = {
            name: retention.days_said(name, visit.sent(name) or _GOOD) for name in retention.KINDS if name in visit.form
        }
        changes = {name: days for name, days in wanted.items() if days != kept[name]}
        if not changes:
            raise NotPossible("Nothing was changed.")
        retention.keep(visit.installation, changes, by=visit.who.email)
    except retention.RetentionError as problem:
        raise NotPossible(str(problem)) from problem
    return visit.go("/settings/privacy", said="retention")


ROUTES = (
    Route("GET", "/settings/privacy", listing, "owner"),
    Route("POST", "/settings/privacy", change, "owner", dangerous=True),
)
