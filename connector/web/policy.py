"""The policy for people: the timetable as a table to edit, the document itself, what a change would alter, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlmodel import Session
from starlette.responses import Response

from connector import policies_store
from connector.database import reading, writing
from connector.ids import as_id
from connector.mirror.places import HolidayCalendar, today_in
from connector.people import policy_form, policy_review
from connector.tables import Connection, PolicyVersion
from connector.web.routes import Route
from connector.web.visit import NotHere, NotPossible, Visit
from policies.document import PolicyError, Problem
from policies.parts import CELLS
from policies.policy import ReminderPolicy
from policies.rules import TABLED

_DOCUMENT_MAX = 200_000
_VERSIONS_SHOWN = 100
_HOLIDAY_DAYS = 120
_WHOM = ("customers", "tags", "groups", "segments")


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose policy is looked at: all companies' or one's; the whole, or the part ``name`` for some customers."""

    companies: list[Connection]
    company: Connection | None
    policy: ReminderPolicy
    version: int | None
    document: str
    own: bool
    name: str = ""

    @property
    def id(self) -> int | None:
        """The company's id, None for all."""
        return self.company.id if self.company else None

    @property
    def shown(self) -> ReminderPolicy:
        """The policy whose table is shown."""
        return next((each for _, each in self.policy.special if each.name == self.name), self.policy)

    @property
    def whom(self) -> str:
        """Say for whom it holds."""
        return self.company.name if self.company else "all companies"

    def address(self, path: str) -> str:
        """The same scope, elsewhere."""
        return path + (f"?company={self.id}" if self.company else "")


def scope_of(visit: Visit, session: Session, asked: str, name: str = "") -> Scope:
    """Find whose policy is asked for. Who is limited to companies looks at one of them, never at the one for all."""
    companies = visit.companies(session)
    company = None
    if asked or visit.who.companies is not None:
        company = visit.company(session, as_id(asked) if asked else _first(companies))
    here = company.id if company else None
    policy, version = policies_store.current(session, here)
    document = policies_store.document_of(session, version) if version is not None else ""
    own = here is not None and policies_store.has_own(session, here)
    if name and name not in {each.name for _, each in policy.special}:
        raise NotHere
    return Scope(companies, company, policy, version, document, own, name)


def show(visit: Visit) -> Response:
    """Show the policy as a table to edit."""
    with reading(visit.installation.engine) as session:
        scope = scope_of(visit, session, visit.query.get("company", ""), visit.query.get("for", "")[:100])
    return _form(visit, scope, policy_form.values(scope.shown, for_some=bool(scope.name)))


def alter(visit: Visit) -> Response:
    """Make the document that comes of the form, and show what it would alter; nothing is saved yet."""
    with reading(visit.installation.engine) as session:
        scope = _unchanged(visit, session)
    act = visit.sent("do")
    if act in {"whom", "drop"}:
        return _reviewed(visit, scope, _special(visit, scope, act))
    document, changed = policy_form.altered(scope.document, scope.shown, visit.form, name=scope.name)
    if not changed:
        message = "Nothing was altered in the form."
        raise NotPossible(message)
    found = policy_review.review(visit.installation, scope.id, document)
    if found.problems:
        filled = _filled(visit, scope)
        return _form(visit, scope, filled, problems=found.problems, document=document, code=422)
    return visit.page("policy_document.html", scope=scope, document=document, found=found)


def document(visit: Visit) -> Response:
    """Show the document itself, or that of an earlier version."""
    with reading(visit.installation.engine) as session:
        scope = scope_of(visit, session, visit.query.get("company", ""))
        text = scope.document
        wanted = as_id(visit.query.get("version", ""))
        if wanted is not None:
            text = _version(visit, session, wanted).document
    return visit.page("policy_document.html", scope=scope, document=text or scope.policy.to_toml(), found=None)


def try_or_save(visit: Visit) -> Response:
    """Show what a document would alter, or put it in force."""
    with reading(visit.installation.engine) as session:
        scope = _unchanged(visit, session)
    text = "" if visit.sent("do") == "follow" else _text(visit)
    if visit.sent("do") != "save":
        return _reviewed(visit, scope, text)
    try:
        with writing(visit.installation.engine) as session:
            _unchanged(visit, session)
            by, at = visit.who.email, visit.now
            policies_store.put_in_force(session, text, by=by, at=at, connection_id=scope.id)
    except PolicyError:
        return _reviewed(visit, scope, text)
    return visit.go("/policy", **({"company": str(scope.id)} if scope.company else {}), said="policy")


def versions(visit: Visit) -> Response:
    """List who set what when, newest first."""
    with reading(visit.installation.engine) as session:
        scope = scope_of(visit, session, visit.query.get("company", ""))
        rows = [row for row in policies_store.versions(session, scope.id) if visit.who.sees(row["connection_id"])]
    return visit.page(
        "policy_versions.html", scope=scope, rows=rows[:_VERSIONS_SHOWN], more=len(rows) - _VERSIONS_SHOWN
    )


def version(visit: Visit) -> Response:
    """Show what one version changed, beside the one before it."""
    with reading(visit.installation.engine) as session:
        row = _version(visit, session, visit.number("version"))
        before = policies_store.before(session, row)
        scope = scope_of(visit, session, str(row.connection_id or ""))
        lines = policy_review.differing(before.document if before else "", row.document)
    return visit.page("policy_version.html", scope=scope, version=row, before=before, lines=lines)


def _form(
    visit: Visit,
    scope: Scope,
    values: Mapping[str, str],
    *,
    problems: Sequence[Problem] = (),
    document: str = "",
    code: int = 200,
) -> Response:
    return visit.page(
        "policy.html",
        code,
        scope=scope,
        values=values,
        problems=problems,
        document=document,
        flawed=_flawed(problems),
        steps=[(step.value, scope.shown.document[step.value]) for step in TABLED],
        cells=[(segment.value, size.value) for segment, size in CELLS],
        groups=policy_form.groups(for_some=bool(scope.name)),
        tone=policy_form.TONE,
        holidays=_holidays(visit, scope),
        presets=policy_review.presets(),
        today=visit.now.date(),
        said_whom=_said_whom(scope),
    )


def _filled(visit: Visit, scope: Scope) -> dict[str, str]:
    """What a person filled in, to stand in the form again."""
    values = policy_form.values(scope.shown, for_some=bool(scope.name))
    return {name: " | ".join(visit.form[name])[:500] if name in visit.form else said for name, said in values.items()}


def _flawed(problems: Sequence[Problem]) -> set[str]:
    """Name the cells of the timetable that a problem speaks of."""
    return {
        f"{step.value}.{segment.value}.{size.value}"
        for step in TABLED
        for segment, size in CELLS
        for problem in problems
        if f"[{step.value}.{segment.value}] {size.value}" in problem.text
        or (f"{step.value} " in problem.text and f"{segment.value} {size.value}" in problem.text)
    }


def _reviewed(visit: Visit, scope: Scope, text: str) -> Response:
    found = policy_review.review(visit.installation, scope.id, text)
    code = 422 if found.problems else 200
    return visit.page("policy_document.html", code, scope=scope, document=text, found=found)


def _special(visit: Visit, scope: Scope, act: str) -> str:
    name = visit.sent("special", 60) or scope.name
    if not name or not name.isprintable():
        message = "A policy for some customers needs a name."
        raise NotPossible(message)
    named = {key: [each.strip() for each in visit.sent(key, 5000).split(",") if each.strip()] for key in _WHOM}
    return policy_form.with_special(scope.document, name, None if act == "drop" else named)


def _said_whom(scope: Scope) -> dict[str, str]:
    said = scope.policy.document.get("policies", {}).get(scope.name, {}).get("applies_to", {})
    return {key: ", ".join(said.get(key, ())) for key in _WHOM}


def _unchanged(visit: Visit, session: Session) -> Scope:
    """Find the scope of a form; what it was filled in on must still be in force."""
    scope = scope_of(visit, session, visit.sent("company"), visit.sent("for", 100))
    if visit.sent("version") != str(scope.version or ""):
        message = (
            f"Somebody put version {scope.version} in force meanwhile. Look at it first; nothing of yours was saved."
        )
        raise NotPossible(message)
    return scope


def _text(visit: Visit) -> str:
    text = visit.sent("document", _DOCUMENT_MAX).replace("\r\n", "\n")
    return f"{text}\n" if text else ""


def _version(visit: Visit, session: Session, version: int) -> PolicyVersion:
    row = session.get(PolicyVersion, version)
    if row is None or not visit.who.sees(row.connection_id):
        raise NotHere
    return row


def _first(companies: Sequence[Connection]) -> int | None:
    return companies[0].id if companies else None


def _holidays(visit: Visit, scope: Scope) -> list[tuple[str, date, str]]:
    """List the coming public holidays where the companies are."""
    rows = [scope.company] if scope.company else scope.companies
    countries = {row.country: today_in(row.time_zone, visit.now) for row in rows if row.country}
    calendar = HolidayCalendar()
    days = (
        (country, today + timedelta(days=ahead))
        for country, today in sorted(countries.items())
        for ahead in range(_HOLIDAY_DAYS)
    )
    named = ((country, on, calendar.holiday(country, on)) for country, on in days)
    return [(country, on, name) for country, on, name in named if name]


ROUTES = (
    Route("GET", "/policy", show),
    Route("POST", "/policy", alter, "bookkeeper", dangerous=True),
    Route("GET", "/policy/document", document),
    Route("POST", "/policy/document", try_or_save, "bookkeeper", dangerous=True),
    Route("GET", "/policy/versions", versions),
    Route("GET", "/policy/versions/{version:int}", version),
)
