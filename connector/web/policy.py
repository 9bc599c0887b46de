"""The policy: the reminder schedule as a story and as a form, with the effect of a change beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from sqlmodel import Session
from starlette.responses import Response

from connector import policy_store
from connector.db.engine import reading
from connector.db.ids import parse_id
from connector.db.tables import Connection
from connector.errors import NotFound, NotPossible
from connector.geo import HolidayCalendar, today_in
from connector.services import (
    policy_effect,
    policy_fields,
    policy_form,
    policy_merge,
    policy_review,
    policy_wording,
    schedule_story,
)
from connector.services.policy_effect import PolicyEffect
from connector.services.policy_merge import MissedChange, MissedVersion
from connector.services.policy_wording import FieldProblem
from connector.vocabulary import Role
from connector.web.page_request import PageRequest, build_url
from connector.web.routes import Route
from connector.web.schedule_timeline import Scale
from policies.document import PolicyError, Problem, value_at
from policies.policy import ReminderPolicy
from policies.schedule_rules import SCHEDULED_STEPS
from policies.step_tables import CELLS

_HOLIDAY_DAYS = 120
_APPLIES_TO_FIELDS = ("customers", "tags", "groups", "segments")


class MissedChanges(NamedTuple):
    """What was saved since a form was opened, beside what was entered in it."""

    version: MissedVersion
    changes: Sequence[MissedChange]


@dataclass(frozen=True, slots=True)
class PolicyContext:
    """The policy a page is about: all companies' or one's, and the policy of some customers within it, if any."""

    companies: list[Connection]
    company: Connection | None
    policy: ReminderPolicy
    version: int | None
    document: str
    has_own_policy: bool
    customer_policy: str = ""  # its name

    @property
    def id(self) -> int | None:
        """The company's id, None for all companies."""
        return self.company.id if self.company else None

    @property
    def displayed_policy(self) -> ReminderPolicy:
        """The policy that the form shows."""
        return displayed_policy(self.policy, self.customer_policy)

    @property
    def applies_to(self) -> str:
        """The company's name, or "all companies"."""
        return self.company.name if self.company else "all companies"

    def url(self, path: str, **query: object) -> str:
        """Return a path with the company as its query parameter."""
        return build_url(path, company=self.id, **query)


def displayed_policy(policy: ReminderPolicy, customer_policy: str) -> ReminderPolicy:
    """Return the customer policy of this name in a policy, or the policy itself."""
    return next((each for _, each in policy.customer_policies if each.name == customer_policy), policy)


def get_policy_context(
    request: PageRequest, session: Session, requested_id: str, customer_policy: str = ""
) -> PolicyContext:
    """Return the requested policy; a user limited to companies gets one company's policy, never that of all.

    Raises:
        NotFound: the user does not see the company, or there is no customer policy of this name.

    """
    companies = request.companies(session)
    company = None
    if requested_id or request.actor.companies is not None:
        company = request.company(session, parse_id(requested_id) if requested_id else _first_id(companies))
    company_id = company.id if company else None
    policy, version = policy_store.get_policy(session, company_id)
    document = policy_store.get_document(session, version) if version is not None else ""
    has_own_policy = company_id is not None and policy_store.has_own_policy(session, company_id)
    if customer_policy and customer_policy not in {each.name for _, each in policy.customer_policies}:
        raise NotFound
    return PolicyContext(companies, company, policy, version, document, has_own_policy, customer_policy)


def show_policy(request: PageRequest) -> Response:
    """Show the policy as a story and as a form."""
    with reading(request.app.engine) as session:
        context = get_policy_context(
            request, session, request.query.get("company", ""), request.query.get("customer_policy", "")[:100]
        )
    return _render_form(request, context, _field_values(context, context.displayed_policy), context.displayed_policy)


def edit_policy(request: PageRequest) -> Response:
    """Show what the submitted form would change, beside the form or on a page of its own; nothing is saved yet."""
    with reading(request.app.engine) as session:
        context, missed = submitted_context(request, session)
    action = request.form_value("do")
    if action in {"applies_to", "delete"}:
        return render_review(request, context, _edit_customer_policy(request, context, action), missed)
    shown = displayed_policy(missed.read, context.customer_policy) if missed else context.displayed_policy
    document, changed = policy_form.apply_form(context.document, shown, request.form, name=context.customer_policy)
    compared = None
    if missed:
        own = policy_form.apply_form(missed.read_document, shown, request.form, name=context.customer_policy)[0]
        compared = MissedChanges(missed, policy_merge.compare_with_entered(missed, own))
    try:
        with reading(request.app.engine) as session:
            proposed = policy_store.parse_policy(session, document, context.id)
    except PolicyError as error:
        values = _submitted_values(request, context)
        if missed:
            kept = _field_values(context, context.displayed_policy)
            values = {name: values[name] if name in changed else value for name, value in kept.items()}
        return _render_form(
            request,
            context,
            values,
            context.displayed_policy,
            problems=error.problems,
            missed=compared,
        )
    if action == "preview" and changed and not missed:
        return render_review(request, context, document)
    displayed = displayed_policy(proposed, context.customer_policy)
    effect = _measure_effect(request, context, proposed) if changed else None
    return _render_form(
        request,
        context,
        _field_values(context, displayed),
        displayed,
        effect=effect,
        is_compared=True,
        missed=compared,
    )


def _measure_effect(request: PageRequest, context: PolicyContext, proposed: ReminderPolicy) -> PolicyEffect:
    with policy_effect.one_at_a_time(request.actor.id):
        with reading(request.app.engine) as session:
            ids = policy_store.list_followers(session, context.id)
        return policy_effect.measure_effect(request.app, ids, proposed)


def _render_form(
    request: PageRequest,
    context: PolicyContext,
    values: Mapping[str, str],
    policy: ReminderPolicy,
    *,
    problems: Sequence[Problem] = (),
    effect: PolicyEffect | None = None,
    is_compared: bool = False,
    missed: MissedChanges | None = None,
) -> Response:
    """Show the form with these values, beside the story of a policy and the effect of the change, if there is one."""
    found = policy_wording.describe_problems(problems, values)
    story = schedule_story.describe_schedule(policy)
    return request.render(
        "policy.html",
        409 if missed else 422 if problems and request.form_value("do") == "preview" else 200,
        missed=missed,
        policy_context=context,
        values=values,
        problems=found,
        problems_by_field=_by_field(found),
        invalid=frozenset(name for each in found for name in each.fields),
        effect=effect,
        is_compared=is_compared,
        story=story,
        scale=Scale(story),
        limits=schedule_story.contact_limits(policy),
        steps=[(step, policy.step_tables[step].kind) for step in SCHEDULED_STEPS],
        call_steps=policy_fields.call_steps(),
        cells=CELLS,
        groups=policy_fields.groups(customer_specific=bool(context.customer_policy)),
        tone=policy_fields.TONE,
        holidays=_list_holidays(request, context),
        applies_to=_applies_to(context),
    )


def _by_field(problems: Sequence[FieldProblem]) -> dict[str, str]:
    """Return what is wrong by the field beside which it stands: the first of those that it is about."""
    found: dict[str, str] = {}
    for problem in problems:
        if problem.fields:
            before = found.get(problem.fields[0])
            found[problem.fields[0]] = f"{before}; {problem.text}" if before else problem.text
    return found


def _field_values(context: PolicyContext, policy: ReminderPolicy) -> dict[str, str]:
    return policy_form.field_values(policy, customer_specific=bool(context.customer_policy))


def _submitted_values(request: PageRequest, context: PolicyContext) -> dict[str, str]:
    """Return the values of the form as the user left them, to show them again."""
    return policy_form.submitted_values(
        context.displayed_policy, request.form, customer_specific=bool(context.customer_policy)
    )


def render_review(
    request: PageRequest, context: PolicyContext, document: str, missed: MissedVersion | None = None, entered: str = ""
) -> Response:
    """Show what a document would change, with a button that saves it; ``entered`` is it before it was merged."""
    review = policy_review.review_policy(request.app, context.id, document)
    compared = MissedChanges(missed, policy_merge.compare_with_entered(missed, entered or document)) if missed else None
    return request.render(
        "policy_document.html",
        409 if missed else 422 if review.problems else 200,
        policy_context=context,
        document=document,
        review=review,
        missed=compared,
        is_merged=document != entered,
    )


def _edit_customer_policy(request: PageRequest, context: PolicyContext, action: str) -> str:
    """Return the document with a customer policy added, applied to other customers, or deleted."""
    name = request.form_value("customer_policy_name", 60) or context.customer_policy
    if not name or not name.isprintable():
        raise NotPossible("Enter a name for the policy of some customers.")
    applies_to = {
        key: [each.strip() for each in request.form_value(key, 5000).split(",") if each.strip()]
        for key in _APPLIES_TO_FIELDS
    }
    return policy_form.set_customer_policy(context.document, name, None if action == "delete" else applies_to)


def _applies_to(context: PolicyContext) -> dict[str, str]:
    """Return the form values of whom the customer policy applies to."""
    applies_to = value_at(context.policy.document, ("policies", context.customer_policy, "applies_to"))
    values = applies_to if isinstance(applies_to, Mapping) else {}
    return {key: ", ".join(values.get(key, ())) for key in _APPLIES_TO_FIELDS}


def submitted_context(request: PageRequest, session: Session) -> tuple[PolicyContext, MissedVersion | None]:
    """Return the policy a form is about, and what was saved since the form was opened, if anything was.

    Raises:
        NotFound: the form names a version that there is not, or that the user may not see.

    """
    context = get_policy_context(
        request, session, request.form_value("company"), request.form_value("customer_policy", 100)
    )
    text = request.form_value("version")
    read_version = parse_id(text)
    if text and read_version is None:
        raise NotFound
    try:
        missed = policy_merge.find_missed(session, read_version, context.id, context.policy, context.version)
    except LookupError:
        raise NotFound from None
    return context, missed


def _first_id(companies: Sequence[Connection]) -> int | None:
    return companies[0].id if companies else None


def _list_holidays(request: PageRequest, context: PolicyContext) -> list[tuple[str, date, str]]:
    """List the coming public holidays in the companies' countries: country, date and name."""
    rows = [context.company] if context.company else context.companies
    countries = {row.country: today_in(row.time_zone, request.now) for row in rows if row.country}
    calendar = HolidayCalendar()
    days = (
        (country, today + timedelta(days=ahead))
        for country, today in sorted(countries.items())
        for ahead in range(_HOLIDAY_DAYS)
    )
    named = ((country, on, calendar.holiday_name(country, on)) for country, on in days)
    return [(country, on, name) for country, on, name in named if name]


ROUTES = (
    Route("GET", "/policy", show_policy),
    Route("POST", "/policy", edit_policy, Role.BOOKKEEPER),  # saves nothing, so it does not ask for the password
)
