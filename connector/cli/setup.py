"""``duewell setup``: asks for what is missing, step by step, and checks each answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import parse_choice
from connector.cli.terminal import CommandError, JsonOption, echo, echo_err, echo_json, open_command_app, os_user
from connector.guides import guide

if TYPE_CHECKING:
    from connector.app_context import AppContext
    from connector.services.doctor_checks import Finding
    from connector.services.setup_guide import SetupGuide


def register(parent: typer.Typer) -> None:
    """Add this command."""
    parent.command()(setup)


def setup(
    confirm: Annotated[
        str, typer.Option(metavar="plan|approvers", help="Confirm a step that only a person can judge.")
    ] = "",
    test_email: Annotated[str, typer.Option(metavar="ADDRESS", help="Send a test email to your own address.")] = "",
    ask: Annotated[bool, typer.Option(help="Ask for missing keys; without a terminal, they are only named.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Set duewell up, step by step.

    Asks for the keys that are missing, checks them and writes them to the .env of duewell's home, which only you can
    read; then says which step comes next. Exits with 1 while something is missing.
    """
    if ask and not as_json and _is_terminal():
        _ask_for_settings()
    with open_command_app() as app:
        if confirm:
            _confirm(app, confirm)
        if test_email:
            _send_test(app, test_email)
        guide, findings = _load(app)
    if as_json:
        echo_json(
            {
                "done": guide.is_done,
                "steps": [item.model_dump() for item in guide.items],
                "findings": [finding._asdict() for finding in findings],
            }
        )
    else:
        _print(guide, findings)
    if not guide.is_done or any(finding.status == "error" for finding in findings):
        raise typer.Exit(1)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _load(app: AppContext) -> tuple[SetupGuide, list[Finding]]:
    from connector.db.engine import reading
    from connector.services import doctor, setup_checks
    from connector.services.setup_guide import load_guide

    with reading(app.engine) as session:
        guide = load_guide(app, session)
    return guide, doctor.run_checks(app, (*setup_checks.KEY_CHECKS, *setup_checks.SENDER_CHECKS))


def _print(guide: SetupGuide, findings: list[Finding]) -> None:
    for number, item in enumerate(guide.items, start=1):
        echo(f"{'done' if item.done else 'to do':<6} {number}. {item.title}")
        if not item.done:
            echo(f"          {item.missing}")
            echo(f"          -> {item.command}")
    for finding in findings:
        if finding.status != "ok":
            echo(f"{finding.status:<8} {finding.message}")
            if finding.fix:
                echo(f"         -> {finding.fix}")
    if guide.is_done:
        echo("Everything is set up.")


def _confirm(app: AppContext, text: str) -> None:
    from connector.db.engine import writing
    from connector.services.setup_guide import CONFIRMABLE, SetupStep, confirm_step

    parse_choice(text, SetupStep, "step")
    if SetupStep(text) not in CONFIRMABLE:
        raise CommandError(f"{text!r} is checked by duewell itself. Confirm one of: {', '.join(CONFIRMABLE)}.")
    with writing(app.engine) as session:
        confirm_step(session, SetupStep(text), by=os_user(), at=app.now())


def _send_test(app: AppContext, address: str) -> None:
    from connector.errors import NotPossible
    from connector.services.setup_checks import send_test_email

    try:
        echo_err(send_test_email(app, address, by=os_user()))
    except NotPossible as problem:
        raise CommandError(str(problem)) from problem


def _ask_for_settings() -> None:
    """Ask for each setting that has no value, and store those that were entered. Enter leaves one out."""
    from connector.settings import load_settings
    from connector.settings_file import SETUP_QUESTIONS, check_value, write_settings

    settings = load_settings()
    file = settings.duewell_home / ".env"
    entered: dict[str, str] = {}
    open_questions = [each for each in SETUP_QUESTIONS if not getattr(settings, each.name.lower())]
    if open_questions:
        mailboxes = f"{guide('connect-gmail.md')} or {guide('connect-microsoft365.md')}"
        echo_err(f"Press Enter to leave a question out. To send from a mailbox of your own, see {mailboxes}.")
    for question in open_questions:
        leading = question.belongs_to
        if leading and leading not in entered and not getattr(settings, leading.lower()):
            continue  # what it belongs to was left out
        while True:
            text = typer.prompt(
                question.text, default="", show_default=False, hide_input=question.is_secret, err=True
            ).strip()
            problem = check_value(question.name, text) if text else ""
            if not problem:
                break
            echo_err(f"{question.name} {problem}")
        if text:
            entered[question.name] = text
    if entered:
        write_settings(file, entered)
        echo_err(f"Written to {file}, which only you can read: {', '.join(entered)}. Restart duewell serve.")
