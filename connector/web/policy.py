"""The policy for people: the timetable as a table to edit, the document itself, what a change would alter, versions."""

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
from connector.web.page_request import PageRequest
from connector.web.routes import Route
from policies.document import PolicyError, Problem, value_at
from policies.policy import ReminderPolicy
from policies.schedule_rules import SCHEDULED_STEPS
from policies.sections import CELLS

_DOCUMENT_MAX = 200_000
_VERSIONS_SHOWN = 100
_HOLIDAY_DAYS = 120
_APPLIES_TO_FIELDS = ("customers", "tags", "groups", "segments")


@dataclass(frozen=True, slots=True)
class PolicyContext:
    """Whose policy is looked at: all companies' or one's; the whole, or the part ``name`` for some customers."""

    companies: list[Connection]
    company: Connection | None
    policy: ReminderPolicy
    version: int | None
    document: str
    has_own_policy: bool
    customer_policy: str = ""

    @property
    def id(self) -> int | None:
        """The company's id, None for all."""
        return self.company.id if self.company else None

    @property
    def displayed_policy(self) -> ReminderPolicy:
        """The policy whose table is shown."""
        return next(
            (each for _, each in self.policy.customer_policies if each.name == self.customer_policy), self.policy
        )

    @property
    def applies_to(self) -> str:
        """Say for whom it holds."""
        return self.company.name if self.company else "all companies"

    def url(self, path: str) -> str:
        """The same scope, elsewhere."""
        return path + (f"?company={self.id}" if self.company else "")


def get_policy_context(
    request: PageRequest, session: Session, requested_id: str, customer_policy: str = ""
) -> PolicyContext:
    """Find whose policy is asked for. Who is limited to companies looks at one of them, never at the one for all."""
    companies = request.companies(session)
    company = None
    if requested_id or request.actor.companies is not None:
        company = request.company(session, parse_id(requested_id) if requested_id else _first_id(companies))
    here = company.id if company else None
    policy, version = policy_store.get_policy(session, here)
    document = policy_store.get_document(session, version) if version is not None else ""
    own = here is not None and policy_store.has_own_policy(session, here)
    if customer_policy and customer_policy not in {each.name for _, each in policy.customer_policies}:
        raise NotFound
    return PolicyContext(companies, company, policy, version, document, own, customer_policy)


def show_policy(request: PageRequest) -> Response:
    """Show the policy as a table to edit."""
    with reading(request.app.engine) as session:
        scope = get_policy_context(
            request, session, request.query.get("company", ""), request.query.get("customer_policy", "")[:100]
        )
    return _render_form(
        request, scope, policy_form.field_values(scope.displayed_policy, customer_specific=bool(scope.customer_policy))
    )


def edit_policy(request: PageRequest) -> Response:
    """Make the document that comes of the form, and show what it would alter; nothing is saved yet."""
    with reading(request.app.engine) as session:
        scope = _current_context(request, session)
    act = request.form_value("do")
    if act in {"applies_to", "delete"}:
        return _render_review(request, scope, _edit_customer_policy(request, scope, act))
    document, changed = policy_form.apply_form(
        scope.document, scope.displayed_policy, request.form, name=scope.customer_policy
    )
    if not changed:
        message = "Nothing was altered in the form."
        raise NotPossible(message)
    found = policy_review.review_policy(request.app, scope.id, document)
    if found.problems:
        filled = _submitted_values(request, scope)
        return _render_form(request, scope, filled, problems=found.problems, document=document, status_code=422)
    return request.render("policy_document.html", policy_context=scope, document=document, found=found)


def show_document(request: PageRequest) -> Response:
    """Show the document itself, or that of an earlier version."""
    with reading(request.app.engine) as session:
        scope = get_policy_context(request, session, request.query.get("company", ""))
        text = scope.document
        wanted = parse_id(request.query.get("version", ""))
        if wanted is not None:
            text = _get_version(request, session, wanted).document
    return request.render(
        "policy_document.html", policy_context=scope, document=text or scope.policy.to_toml(), found=None
    )


def preview_or_save(request: PageRequest) -> Response:
    """Show what a document would alter, or put it in force."""
    with reading(request.app.engine) as session:
        scope = _current_context(request, session)
    text = "" if request.form_value("do") == "inherit" else _submitted_document(request)
    if request.form_value("do") != "save":
        return _render_review(request, scope, text)
    try:
        with writing(request.app.engine) as session:
            _current_context(request, session)
            by, at = request.actor.email, request.now
            policy_store.activate_policy(session, text, by=by, at=at, connection_id=scope.id)
    except PolicyError:
        return _render_review(request, scope, text)
    return request.redirect("/policy", **({"company": str(scope.id)} if scope.company else {}), notice="policy_saved")


def list_versions(request: PageRequest) -> Response:
    """List who set what when, newest first."""
    with reading(request.app.engine) as session:
        scope = get_policy_context(request, session, request.query.get("company", ""))
        rows = [
            row for row in policy_store.list_versions(session, scope.id) if request.actor.can_see(row.connection_id)
        ]
    return request.render(
        "policy_versions.html", policy_context=scope, rows=rows[:_VERSIONS_SHOWN], more=len(rows) - _VERSIONS_SHOWN
    )


def show_version(request: PageRequest) -> Response:
    """Show what one version changed, beside the one before it."""
    with reading(request.app.engine) as session:
        row = _get_version(request, session, request.path_id("version"))
        before = policy_store.find_previous_version(session, row)
        scope = get_policy_context(request, session, str(row.connection_id or ""))
        lines = policy_review.diff_documents(before.document if before else "", row.document)
    return request.render("policy_version.html", policy_context=scope, version=row, before=before, lines=lines)


def _render_form(
    request: PageRequest,
    policy_context: PolicyContext,
    values: Mapping[str, str],
    *,
    problems: Sequence[Problem] = (),
    document: str = "",
    status_code: int = 200,
) -> Response:
    return request.render(
        "policy.html",
        status_code,
        policy_context=policy_context,
        values=values,
        problems=problems,
        document=document,
        flawed=_invalid_cells(problems),
        steps=[(step.value, policy_context.displayed_policy.document[step.value]) for step in SCHEDULED_STEPS],
        cells=[(segment.value, size.value) for segment, size in CELLS],
        groups=policy_form.groups(customer_specific=bool(policy_context.customer_policy)),
        tone=policy_form.TONE,
        holidays=_list_holidays(request, policy_context),
        presets=policy_review.presets(),
        today=request.now.date(),
        said_whom=_applies_to(policy_context),
    )


def _submitted_values(request: PageRequest, policy_context: PolicyContext) -> dict[str, str]:
    """What a person filled in, to stand in the form again."""
    values = policy_form.field_values(
        policy_context.displayed_policy, customer_specific=bool(policy_context.customer_policy)
    )
    return {
        name: " | ".join(request.form[name])[:500] if name in request.form else said for name, said in values.items()
    }


def _invalid_cells(problems: Sequence[Problem]) -> set[str]:
    """Name the cells of the timetable that a problem speaks of."""
    return {
        f"{step.value}.{segment.value}.{size.value}"
        for step in SCHEDULED_STEPS
        for segment, size in CELLS
        for problem in problems
        if f"[{step.value}.{segment.value}] {size.value}" in problem.text
        or (f"{step.value} " in problem.text and f"{segment.value} {size.value}" in problem.text)
    }


def _render_review(request: PageRequest, policy_context: PolicyContext, text: str) -> Response:
    found = policy_review.review_policy(request.app, policy_context.id, text)
    code = 422 if found.problems else 200
    return request.render("policy_document.html", code, policy_context=policy_context, document=text, found=found)


def _edit_customer_policy(request: PageRequest, policy_context: PolicyContext, action: str) -> str:
    name = request.form_value("customer_policy_name", 60) or policy_context.customer_policy
    if not name or not name.isprintable():
        message = "A policy for some customers needs a name."
        raise NotPossible(message)
    named = {
        key: [each.strip() for each in request.form_value(key, 5000).split(",") if each.strip()]
        for key in _APPLIES_TO_FIELDS
    }
    return policy_form.set_customer_policy(policy_context.document, name, None if action == "delete" else named)


def _applies_to(policy_context: PolicyContext) -> dict[str, str]:
    path = ("policies", policy_context.customer_policy, "applies_to")
    applies_to = value_at(policy_context.policy.document, path)
    named = applies_to if isinstance(applies_to, Mapping) else {}
    return {key: ", ".join(named.get(key, ())) for key in _APPLIES_TO_FIELDS}


def _current_context(request: PageRequest, session: Session) -> PolicyContext:
    """Find the scope of a form; what it was filled in on must still be in force."""
    scope = get_policy_context(
        request, session, request.form_value("company"), request.form_value("customer_policy", 100)
    )
    if request.form_value("version") != str(scope.version or ""):
        message = (
            f"Somebody put version {scope.version} in force meanwhile. Look at it first; nothing of yours was saved."
        )
        raise NotPossible(message)
    return scope


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


def _list_holidays(request: PageRequest, policy_context: PolicyContext) -> list[tuple[str, date, str]]:
    """List the coming public holidays where the companies are."""
    rows = [policy_context.company] if policy_context.company else policy_context.companies
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
    Route("POST", "/policy", edit_policy, "bookkeeper", sensitive=True),
    Route("GET", "/policy/document", show_document),
    Route("POST", "/policy/document", preview_or_save, "bookkeeper", sensitive=True),
    Route("GET", "/policy/versions", list_versions),
    Route("GET", "/policy/versions/{version:int}", show_version),
)
