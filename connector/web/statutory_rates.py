"""The statutory rates of the late fee presets: the table of each half-year, and a form to add the next one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType

from sqlmodel import Session
from starlette.responses import Response

from connector import policy_store
from connector.db.engine import reading, writing
from connector.services import added_rates, policy_review, statutory_rates
from connector.vocabulary import Role
from connector.web.page_request import PageRequest
from connector.web.policy import PolicyContext, get_policy_context
from connector.web.routes import Route
from policies.document import PolicyError
from policies.fee_rules import FeePreset
from policies.half_years import next_half_year
from policies.rate_tables import SOURCE_MAX, RateError, RateTable, load_rate_table, read_rate

_FIELDS = {"preset": 20, "from_on": 10, "rate": 10, "source": SOURCE_MAX, "checked_on": 10, "replace": 3}


def show_rates(request: PageRequest) -> Response:
    """Show the rates of each half-year, newest first."""
    with reading(request.app.engine) as session:
        context = get_policy_context(request, session, request.query.get("company", ""))
        today = request.now.date()
        values = {
            **dict.fromkeys(_FIELDS, ""),
            "preset": context.policy.late_fees.preset,
            "from_on": next_half_year(today).isoformat(),
            "checked_on": today.isoformat(),
        }
        return _render(request, session, context, values)


def add_rate(request: PageRequest) -> Response:
    """Add a rate, for all companies or for the one the page is about."""
    values = {name: request.form_value(name, length) for name, length in _FIELDS.items()}
    try:
        with writing(request.app.engine) as session:
            context = get_policy_context(request, session, request.form_value("company"))
            rate = read_rate(
                {
                    **{name: values[name] for name in ("preset", "rate", "source")},
                    **{name: _date_or_text(values[name]) for name in ("from_on", "checked_on")},
                    "added_by": request.actor.email,
                    "added_on": request.now.date(),
                }
            )
            added_rates.add_rates(
                session,
                [rate],
                by=request.actor.email,
                at=request.now,
                connection_id=context.id,
                replace=values["replace"] == "yes",
            )
    except PolicyError as error:
        with reading(request.app.engine) as session:
            context = get_policy_context(request, session, request.form_value("company"))
            fields = error.fields if isinstance(error, RateError) else {}
            return _render(request, session, context, values, "" if fields else str(error), fields)
    company = {"company": str(context.id)} if context.company else {}
    return request.redirect("/policy/rates", **company, notice="rate_added")


def _render(
    request: PageRequest,
    session: Session,
    context: PolicyContext,
    values: dict[str, str],
    problem: str = "",
    problems: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    """Show the rates; ``problems`` are what is wrong with the fields of the form, ``problem`` what else is."""
    rows = statutory_rates.list_rates(session, context.id)
    tables = [(table, [row for row in rows if row.preset == table.preset][::-1]) for table in _tables()]
    return request.render(
        "policy_rates.html",
        422 if problem or problems else 200,
        policy_context=context,
        tables=tables,
        presets=policy_review.presets(policy_store.get_rates(session, context.id)),
        today=request.now.date(),
        values=values,
        problem=problem,
        problems=problems,
    )


def _tables() -> list[RateTable]:
    return [table for preset in FeePreset if (table := load_rate_table(preset))]


def _date_or_text(text: str) -> object:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return text


ROUTES = (
    Route("GET", "/policy/rates", show_rates),
    Route("POST", "/policy/rates", add_rate, Role.BOOKKEEPER, sensitive=True),
)
