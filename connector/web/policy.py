"""The policy: the reminder schedule as a form, the document, a preview of what a change would do, and the versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlmodel import Session
from starlette.responses import Response

from connector import policy_store
from connector.db.engine import reading, writing
from connector.db.ids import parse_id
from connector.db.tables import Connection, PolicyVersion
from connector.errors import NotFound, NotPossible
from connector.geo import HolidayCalendar, today_in
from connector.services import policy_form, policy_review
from connector.vocabulary import Role
from connector.web.page_request import PageRequest, build_url
from connector.web.routes import Route
from policies.document import PolicyError, Problem, value_at
from policies.policy import ReminderPolicy
from policies.rate_tables import AddedRates
from policies.schedule_rules import SCHEDULED_STEPS
from policies.sections import CELLS

_DOCUMENT_MAX = 200_000
_VERSIONS_SHOWN = 100
_HOLIDAY_DAYS = 120
_APPLIES_TO_FIELDS = ("customers", "tags", "groups", "segments")


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
        return next(
            (each for _, each in self.policy.customer_policies if each.name == self.customer_policy), self.policy
        )

    @property
    def applies_to(self) -> str:
        """The company's name, or "all companies"."""
        return self.company.name if self.company else "all companies"

    def url(self, path: str, **query: object) -> str:
        """Return a path with the company as its query parameter."""
        return build_url(path, company=self.id, **query)


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
    """Show the policy as a form."""
    with reading(request.app.engine) as session:
        context = get_policy_context(
            request, session, request.query.get("company", ""), request.query.get("customer_policy", "")[:100]
        )
    return _render_form(request, context, _field_values(context))


def edit_policy(request: PageRequest) -> Response:
    """Show what the submitted form would change; nothing is saved yet."""
    with reading(request.app.engine) as session:
        context = _current_context(request, session)
    action = request.form_value("do")
    if action in {"applies_to", "delete"}:
        return _render_review(request, context, _edit_customer_policy(request, context, action))
    document, changed = policy_form.apply_form(
        context.document, context.displayed_policy, request.form, name=context.customer_policy
    )
    if not changed:
        raise NotPossible("Nothing was changed in the form.")
    review = policy_review.review_policy(request.app, context.id, document)
    if review.problems:
        values = _submitted_values(request, context)
        return _render_form(request, context, values, problems=review.problems, document=document, status_code=422)
    return request.render("policy_document.html", policy_context=context, document=document, review=review)


def show_document(request: PageRequest) -> Response:
    """Show the policy document, or that of an earlier version."""
    with reading(request.app.engine) as session:
        context = get_policy_context(request, session, request.query.get("company", ""))
        document = context.document
        version = parse_id(request.query.get("version", ""))
        if version is not None:
            document = _get_version(request, session, version).document
    return request.render(
        "policy_document.html", policy_context=context, document=document or context.policy.to_toml(), review=None
    )


def preview_or_save(request: PageRequest) -> Response:
    """Show what a document would change, or save it."""
    with reading(request.app.engine) as session:
        context = _current_context(request, session)
    action = request.form_value("do")
    document = "" if action == "inherit" else _submitted_document(request)
    if action != "save":
        return _render_review(request, context, document)
    try:
        with writing(request.app.engine) as session:
            _current_context(request, session)
            by, at = request.actor.email, request.now
            policy_store.activate_policy(session, document, by=by, at=at, connection_id=context.id)
    except PolicyError:
        return _render_review(request, context, document)
    return request.redirect(
        "/policy", **({"company": str(context.id)} if context.company else {}), notice="policy_saved"
    )


def list_versions(request: PageRequest) -> Response:
    """Show who saved which version and when, newest first."""
    with reading(request.app.engine) as session:
        context = get_policy_context(request, session, request.query.get("company", ""))
        rows = [
            row for row in policy_store.list_versions(session, context.id) if request.actor.can_see(row.connection_id)
        ]
    return request.render(
        "policy_versions.html",
        policy_context=context,
        rows=rows[:_VERSIONS_SHOWN],
        omitted=max(0, len(rows) - _VERSIONS_SHOWN),
    )


def show_version(request: PageRequest) -> Response:
    """Show what one version changed, compared with the one before it."""
    with reading(request.app.engine) as session:
        row = _get_version(request, session, request.path_id("version"))
        previous = policy_store.find_previous_version(session, row)
        context = get_policy_context(request, session, str(row.connection_id or ""))
        before = f"{previous.document}\n{previous.rates}" if previous else ""
        diff_lines = policy_review.diff_documents(before, f"{row.document}\n{row.rates}")
    return request.render(
        "policy_version.html", policy_context=context, version=row, previous=previous, diff_lines=diff_lines
    )


def _render_form(
    request: PageRequest,
    context: PolicyContext,
    values: Mapping[str, str],
    *,
    problems: Sequence[Problem] = (),
    document: str = "",
    status_code: int = 200,
) -> Response:
    return request.render(
        "policy.html",
        status_code,
        policy_context=context,
        values=values,
        problems=problems,
        document=document,
        invalid_cells=_invalid_cells(problems),
        steps=[(step, context.displayed_policy.document[step.value]) for step in SCHEDULED_STEPS],
        cells=CELLS,
        groups=policy_form.groups(customer_specific=bool(context.customer_policy)),
        tone=policy_form.TONE,
        holidays=_list_holidays(request, context),
        presets=policy_review.presets(_added_rates(request, context)),
        today=request.now.date(),
        applies_to=_applies_to(context),
    )


def _added_rates(request: PageRequest, context: PolicyContext) -> AddedRates:
    with reading(request.app.engine) as session:
        return policy_store.get_rates(session, context.id)


def _field_values(context: PolicyContext) -> dict[str, str]:
    return policy_form.field_values(context.displayed_policy, customer_specific=bool(context.customer_policy))


def _submitted_values(request: PageRequest, context: PolicyContext) -> dict[str, str]:
    """Return the values of the form as the user left them, to show them again."""
    return {
        name: " | ".join(request.form[name])[:500] if name in request.form else value
        for name, value in _field_values(context).items()
    }


def _invalid_cells(problems: Sequence[Problem]) -> set[str]:
    """Return the names of the schedule's cells that a problem is about."""
    return {
        f"{step.value}.{segment.value}.{size.value}"
        for step in SCHEDULED_STEPS
        for segment, size in CELLS
        for problem in problems
        if f"[{step.value}.{segment.value}] {size.value}" in problem.text
        or (f"{step.value} " in problem.text and f"{segment.value} {size.value}" in problem.text)
    }


def _render_review(request: PageRequest, context: PolicyContext, document: str) -> Response:
    review = policy_review.review_policy(request.app, context.id, document)
    status_code = 422 if review.problems else 200
    return request.render("policy_document.html", status_code, policy_context=context, document=document, review=review)


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


def _current_context(request: PageRequest, session: Session) -> PolicyContext:
    """Return the policy a form is about; raises where another version was saved since the form was opened."""
    context = get_policy_context(
        request, session, request.form_value("company"), request.form_value("customer_policy", 100)
    )
    if request.form_value("version") != str(context.version or ""):
        raise NotPossible(
            f"Version {context.version} has been saved since you opened this form. Your changes were not saved;"
            " review the new version first."
        )
    return context


def _submitted_document(request: PageRequest) -> str:
    text = request.form_value("document", _DOCUMENT_MAX).replace("\r\n", "\n")
    return f"{text}\n" if text else ""


def _get_version(request: PageRequest, session: Session, version: int) -> PolicyVersion:
    row = session.get(PolicyVersion, version)
    if row is None or not request.actor.can_see(row.connection_id):
        raise NotFound
    return row


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
    Route("POST", "/policy", edit_policy, Role.BOOKKEEPER, sensitive=True),
    Route("GET", "/policy/document", show_document),
    Route("POST", "/policy/document", preview_or_save, Role.BOOKKEEPER, sensitive=True),
    Route("GET", "/policy/versions", list_versions),
    Route("GET", "/policy/versions/{version:int}", show_version),
)
