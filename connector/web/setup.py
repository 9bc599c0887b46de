"""The set-up guide: what is missing on the way to the first reminder, step by step, with a check of each."""

from __future__ import annotations

from starlette.responses import Response

from connector.connections.mailboxes import mailer_name
from connector.db.engine import reading, writing
from connector.errors import NotFound
from connector.services import doctor, setup_checks
from connector.services.doctor_checks import Finding
from connector.services.setup_guide import (
    CONFIRMABLE,
    SetupStep,
    confirm_step,
    load_guide,
    mailer_title,
    sender_problem,
)
from connector.vocabulary import Role
from connector.web.page_request import PageRequest
from connector.web.routes import Route

_CHECKS = {SetupStep.KEYS: setup_checks.KEY_CHECKS, SetupStep.SENDER: setup_checks.SENDER_CHECKS}


def show_guide(request: PageRequest) -> Response:
    """Show the steps, and the findings of the one whose check was asked for."""
    app, checked = request.app, request.query.get("check", "")
    findings: list[Finding] = []
    if checked in _CHECKS:
        findings = doctor.run_checks(app, _CHECKS[SetupStep(checked)])
    with reading(app.engine) as session:
        guide, companies = load_guide(app, session), request.companies(session)
    return request.render(
        "setup.html",
        guide=guide,
        companies=companies,
        checked=checked,
        findings=findings,
        ledgers=[
            (name, each.title, each.missing_settings(app.settings)) for name, each in sorted(app.providers.items())
        ],
        mailer=mailer_title(app, mailer_name(app)),
        can_send=not sender_problem(app),
        settings=app.settings,
        env_file=app.settings.duewell_home / ".env",
        confirmable=CONFIRMABLE,
        checkable=tuple(_CHECKS),
    )


def confirm(request: PageRequest) -> Response:
    """Record that the user has confirmed a step."""
    step = next((each for each in CONFIRMABLE if each == request.form_value("step")), None)
    if step is None:
        raise NotFound
    with writing(request.app.engine) as session:
        confirm_step(session, step, by=request.actor.email, at=request.now)
    return request.redirect("/setup", notice="step_confirmed")


def send_test(request: PageRequest) -> Response:
    """Send a test email to the user's own address, and to no other: strangers get nothing by this form."""
    setup_checks.send_test_email(request.app, request.actor.email, by=request.actor.email)
    return request.redirect("/setup", notice="test_email_sent")


ROUTES = (
    Route("GET", "/setup", show_guide, Role.OWNER),
    Route("POST", "/setup", confirm, Role.OWNER),
    Route("POST", "/setup/test-email", send_test, Role.OWNER),
)
