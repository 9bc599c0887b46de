"""The set-up guide: seven steps from the services' keys to going live, with what is still missing in each.

It is over once a company may send. What a step needs beyond the database (DNS, a question to a service) is in
``setup_checks.py`` and asked only where somebody looks at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.connections.mailboxes import find_mailbox, mailer_name
from connector.db.tables import Connection, KeyValue, User
from connector.results import Result
from connector.vocabulary import ConnectionHealth, ConnectionMode
from connector.vocabulary.labels import vocabularies

_OWN_TITLES = {"eml": "a folder of files (nothing is sent)", "smtp": "an SMTP server"}
_STORE_KEY = "setup_confirmed"  # steps that a person has confirmed, and what they have seen


class SetupStep(StrEnum):
    """A step, in order."""

    KEYS = "keys"
    CONNECT = "connect"
    SENDER = "sender"
    FIRST_SYNC = "first_sync"
    PLAN = "plan"
    APPROVERS = "approvers"
    GO_LIVE = "go_live"


TITLES = {
    SetupStep.KEYS: "Keys of the services",
    SetupStep.CONNECT: "Connect your accounting system",
    SetupStep.SENDER: "Sender and domain",
    SetupStep.FIRST_SYNC: "First sync",
    SetupStep.PLAN: "The reminder plan",
    SetupStep.APPROVERS: "Who approves",
    SetupStep.GO_LIVE: "Go live",
}
_COMMANDS = {
    SetupStep.KEYS: "duewell setup",
    SetupStep.CONNECT: "{connect}",
    SetupStep.SENDER: "{sender}",
    SetupStep.FIRST_SYNC: "duewell run",
    SetupStep.PLAN: "duewell plan, then duewell setup --confirm plan",
    SetupStep.APPROVERS: "duewell users add EMAIL bookkeeper, or duewell setup --confirm approvers",
    SetupStep.GO_LIVE: "duewell connections mode COMPANY approve",
}
CONFIRMABLE = (SetupStep.PLAN, SetupStep.APPROVERS)


class SetupItem(Result):
    """A step with what is missing, "" where it is done, and the command that does it."""

    id: SetupStep
    title: str
    done: bool
    missing: str
    command: str


@dataclass(frozen=True, slots=True)
class SetupGuide:
    """All steps."""

    items: list[SetupItem]

    @property
    def is_done(self) -> bool:
        """Whether nothing is missing, or a company may send already."""
        return all(item.done for item in self.items) or self.items[-1].done

    @property
    def next_item(self) -> SetupItem | None:
        """The first step that is not done."""
        return next((item for item in self.items if not item.done), None)

    @property
    def done_count(self) -> int:
        """How many steps are done."""
        return sum(item.done for item in self.items)


def mailer_title(app: AppContext, name: str) -> str:
    """Return what people call a mailer: those installed beside ours have at least a name; "" for none."""
    if name in app.mailboxes:
        return app.mailboxes[name].title
    return _OWN_TITLES.get(name) or vocabularies()["provider"].get(name, name)


def is_live(rows: Sequence[Connection]) -> bool:
    """Return whether a company may send: then the guide is over."""
    return any(row.mode != ConnectionMode.OBSERVE for row in rows)


def load_guide(app: AppContext, session: Session) -> SetupGuide:
    """Load the steps of the installation, with three queries."""
    rows = [row for row in session.scalars(select(Connection)) if row.health != ConnectionHealth.DISCONNECTED]
    users = session.scalar(select(func.count()).select_from(User).where(col(User.disabled_at).is_(None))) or 0
    confirmed = _load_confirmed(session)
    missing = {
        SetupStep.KEYS: _missing_keys(app),
        SetupStep.CONNECT: "" if rows else "No company is connected.",
        SetupStep.SENDER: _missing_sender(app, confirmed),
        SetupStep.FIRST_SYNC: _missing_sync(rows),
        SetupStep.PLAN: ""
        if is_live(rows) or SetupStep.PLAN in confirmed
        else "Nobody has confirmed what would be sent, and when.",
        SetupStep.APPROVERS: ""
        if users > 1 or SetupStep.APPROVERS in confirmed
        else "You are the only user: add who approves emails, or confirm that you do.",
        SetupStep.GO_LIVE: "" if is_live(rows) else "All companies are in observe mode: nothing is sent.",
    }
    commands = {"connect": _connect_command(app), "sender": _sender_command(app)}
    return SetupGuide(
        [
            SetupItem(
                id=step,
                title=TITLES[step],
                done=not missing[step],
                missing=missing[step],
                command=_COMMANDS[step].format_map(commands) if missing[step] else "",
            )
            for step in SetupStep
        ]
    )


def confirm_step(session: Session, step: SetupStep, *, by: str, at: datetime) -> None:
    """Record that a person has confirmed a step."""
    confirmed = {**_load_confirmed(session), step.value: by}
    session.merge(KeyValue(connection_id=0, name=_STORE_KEY, value=confirmed, stored_at=at))


def _load_confirmed(session: Session) -> dict[str, str]:
    stored = session.get(KeyValue, (0, _STORE_KEY))
    return dict(stored.value) if stored is not None else {}


def _missing_keys(app: AppContext) -> str:
    if any(not provider.missing_settings(app.settings) for provider in app.providers.values()):
        return ""
    needed = " or ".join(
        f"{provider.title} ({', '.join(provider.missing_settings(app.settings))})"
        for _name, provider in sorted(app.providers.items())
    )
    return f"No accounting system has its keys: set those of {needed}."


def _connect_command(app: AppContext) -> str:
    """Return how to connect an accounting system: those whose keys are set, or all where none are."""
    names = sorted(app.providers)
    ready = [each for each in names if not app.providers[each].missing_settings(app.settings)]
    return ", or ".join(f"duewell connect {each}" for each in ready or names)


def _sender_command(app: AppContext) -> str:
    """Return what brings the sender forward: nothing can be tested before there is one."""
    name = mailer_name(app)
    if _is_unconnected(app, name):
        return f"duewell connect {name}"
    if not name:
        return ", or ".join(["duewell setup", *(f"duewell connect {each}" for each in sorted(app.mailboxes))])
    return "duewell setup --test-email you@example.com" if app.settings.mail_from else "duewell setup"


def sender_problem(app: AppContext) -> str:
    """Return why no email can be sent yet and what to do, "" if one can."""
    name = mailer_name(app)
    if not name:
        return (
            "No email service is set up yet, so nothing can be sent: set SENDGRID_API_KEY or SMTP_URL, or connect your"
            " own mailbox."
        )
    if _is_unconnected(app, name):
        return f"Your mailbox at {mailer_title(app, name)} is not connected yet, and there is no other email service."
    return "" if app.settings.mail_from else "MAIL_FROM is not set: the address that emails are sent from."


def _is_unconnected(app: AppContext, name: str) -> bool:
    """Return whether emails would be sent from a mailbox whose keys are set, but which nobody has connected."""
    return name in app.mailboxes and find_mailbox(app, name) is None


def _missing_sender(app: AppContext, confirmed: dict[str, str]) -> str:
    if problem := sender_problem(app):
        return problem
    if confirmed.get(SetupStep.SENDER) != sender_fingerprint(app):
        return f"No test email has been sent from {app.settings.mail_from} yet."
    return ""


def sender_fingerprint(app: AppContext) -> str:
    """Return what a test email has tested: the service and the address."""
    return f"{mailer_name(app)}:{app.settings.mail_from}"


def _missing_sync(rows: Sequence[Connection]) -> str:
    if any(row.first_pull_done_at for row in rows):
        return ""
    return "Its invoices are still being read." if rows else "It starts when a company is connected."
