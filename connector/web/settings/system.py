"""Settings of the whole installation: how emails are sent and when, a backup, and the health checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import func, select
from starlette.responses import Response, StreamingResponse

from connector import policy_store
from connector.audit import sync_log
from connector.auth.sessions import session_hash
from connector.connections import mailboxes
from connector.connections.consent import ConsentError, begin_consent
from connector.db.engine import DatabaseError, reading, sqlite_file, writing
from connector.db.tables import ConnectedMailbox, Connection, EmailEvent, ReceivedReply
from connector.errors import NotFound, NotPossible
from connector.geo import HolidayCalendar, today_in
from connector.restore.backup import write_backup
from connector.restore.restore_gap import restored_at
from connector.secrets.private_files import private_folder
from connector.services import doctor
from connector.services.doctor_email import SENDER_CHECKS
from connector.vocabulary import LogKind, Role
from connector.web.page_request import PageRequest
from connector.web.routes import Route
from policies.policy import ReminderPolicy
from providers.geo import country_code

_HOLIDAY_DAYS = 60
_CHUNK_BYTES = 256 * 1024
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class _CompanyCalendar:
    """When emails of a company may be sent."""

    company: Connection
    country: str
    opens: str
    closes: str
    weekdays: str
    closing_days: str
    holidays: list[tuple[date, str]]


@dataclass(frozen=True, slots=True)
class _MailboxItem:
    """An email system whose mailboxes can be connected, and the mailbox that is."""

    name: str
    title: str
    missing_settings: str
    mailbox: ConnectedMailbox | None
    problem: str
    is_unread_since_restore: bool


def show_index(request: PageRequest) -> Response:
    """Show the list of settings pages."""
    return request.render("settings.html")


def show_sender(request: PageRequest) -> Response:
    """Show the sender, what comes back from customers, and the health checks of both."""
    return _render_sender(request, {})


def _render_sender(request: PageRequest, problems: Mapping[str, str]) -> Response:
    """Show the sender; ``problems`` are what is wrong with the form that disconnects a mailbox, whose values stay."""
    settings = request.app.settings
    with reading(request.app.engine) as session:
        event_at = session.scalar(select(func.max(EmailEvent.received_at)))
        reply_at = session.scalar(select(func.max(ReceivedReply.received_at)))
        reply_to = mailboxes.reply_address(request.app, session)
    return request.render(
        "settings_sender.html",
        422 if problems else 200,
        problems=problems,
        values={name: request.form_value(name, 300) for name in ("system", "reason", "confirmed")},
        mailer=mailboxes.mailer_name(request.app),
        mailboxes=_list_mailboxes(request),
        settings=settings,
        event_at=event_at,
        reply_at=reply_at,
        reply_to=reply_to,
        findings=doctor.run_checks(request.app, SENDER_CHECKS),
    )


def connect_mailbox(request: PageRequest) -> Response:
    """Start the consent to a mailbox in this browser, and continue to the email system."""
    system = request.app.mailboxes.get(request.form_value("system"))
    if system is None:
        raise NotFound
    try:
        consent = begin_consent(request.app, system.name, session_hash=session_hash(request.token))
    except ConsentError as error:
        raise NotPossible(str(error)) from error
    return request.render(
        "continue_to.html",
        url=consent.url,
        title=system.title,
        text="Sign in there with the mailbox that sends the emails, within 15 minutes. You will be returned to duewell"
        " automatically.",
    )


def disconnect_mailbox(request: PageRequest) -> Response:
    """Disconnect the mailbox, here and as far as possible at its service."""
    system, reason = request.form_value("system"), request.form_value("reason", 300)
    if not reason:
        return _render_sender(request, {"reason": "Enter why this mailbox is disconnected. Nothing was changed."})
    if request.form_value("confirmed") != "yes":
        message = "Confirm that you want to disconnect this mailbox. Nothing was changed."
        return _render_sender(request, {"confirmed": message})
    try:
        lines = mailboxes.disconnect_mailbox(request.app, system, by=request.actor.email, reason=reason)
    except mailboxes.MailboxNotConnected as error:
        raise NotPossible(str(error)) from error
    return request.render(
        "message.html",
        title="Disconnected",
        lines=lines[:-1],
        link="/settings/sender",
        link_text="Set up another way to send",
    )


def _list_mailboxes(request: PageRequest) -> list[_MailboxItem]:
    app = request.app
    with reading(app.engine) as session:
        restored = restored_at(session)
    items = []
    for name, system in app.mailboxes.items():
        row = mailboxes.find_mailbox(app, name)
        missing = ", ".join(system.missing_settings(app.settings))
        problem = mailboxes.mailbox_problem(app, row) if row is not None else ""
        is_unread = row is not None and restored is not None and (row.read_at is None or row.read_at < restored)
        items.append(_MailboxItem(name, system.title, missing, row, problem, is_unread))
    return items


def show_calendar(request: PageRequest) -> Response:
    """Show when emails of each company may be sent, and the public holidays."""
    with reading(request.app.engine) as session:
        companies = request.companies(session)
        policies = policy_store.get_policies(session, [row.id for row in companies])
        calendars = [_build_calendar(request, row, policies[row.id][0]) for row in companies]
    return request.render("settings_calendar.html", calendars=calendars, days=_HOLIDAY_DAYS)


def show_backup(request: PageRequest) -> Response:
    """Show the form that downloads a backup."""
    return request.render("settings_backup.html", embedded=sqlite_file(request.app.engine) is not None)


def create_backup(request: PageRequest) -> Response:
    """Return a backup as a download; no copy of it stays on the server."""
    name = f"duewell-{request.now:%Y-%m-%d-%H%M%S}.db"
    file = private_folder(request.app.settings.duewell_home / "downloads") / name
    try:
        backup = write_backup(request.app.engine, file, request.app.keyring, at=request.now)
    except DatabaseError as error:
        raise NotPossible(str(error)) from error
    with writing(request.app.engine) as session:
        text = f"{request.actor.email} downloaded a backup."
        sync_log.write(session, at=request.now, kind=LogKind.BACKUP, text=text, facts={"backup": backup.id})
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(file.stat().st_size)}
    return StreamingResponse(_stream_and_delete(file), media_type="application/vnd.sqlite3", headers=headers)


def show_health(request: PageRequest) -> Response:
    """Show the health checks; they run only on request, because they call the connected services."""
    findings = doctor.run_checks(request.app) if request.method == "POST" else None
    return request.render("settings_health.html", findings=findings)


def _stream_and_delete(file: Path) -> Iterator[bytes]:
    """Yield a file's content; the file is deleted before the last chunk is sent, or when the download is cut off."""
    try:
        with file.open("rb") as opened:
            chunk = opened.read(_CHUNK_BYTES)
            while following := opened.read(_CHUNK_BYTES):
                yield chunk
                chunk = following
    finally:
        file.unlink(missing_ok=True)
    yield chunk


def _build_calendar(request: PageRequest, row: Connection, policy: ReminderPolicy) -> _CompanyCalendar:
    window = policy.send_window
    return _CompanyCalendar(
        company=row,
        country=country_code(row.country) or row.country,
        opens=f"{window.opens:%H:%M}",
        closes=f"{window.closes:%H:%M}",
        weekdays=", ".join(_WEEKDAYS[day] for day in sorted(window.weekdays)),
        closing_days=", ".join(sorted(window.closing_days)),
        holidays=_list_holidays(row.country, today_in(row.time_zone, request.now)),
    )


def _list_holidays(country: str, today: date) -> list[tuple[date, str]]:
    """List the public holidays of the coming weeks: date and name."""
    calendar, days = HolidayCalendar(), (today + timedelta(days=ahead) for ahead in range(_HOLIDAY_DAYS))
    return [(on, name) for on in days if (name := calendar.holiday_name(country, on))]


ROUTES = (
    Route("GET", "/settings", show_index, Role.BOOKKEEPER),
    Route("GET", "/settings/sender", show_sender, Role.BOOKKEEPER),
    Route("POST", "/settings/mailbox/connect", connect_mailbox, Role.OWNER, sensitive=True),
    Route("POST", "/settings/mailbox/disconnect", disconnect_mailbox, Role.OWNER, sensitive=True),
    Route("GET", "/settings/calendar", show_calendar, Role.BOOKKEEPER),
    Route("GET", "/settings/backup", show_backup, Role.OWNER),
    Route("POST", "/settings/backup", create_backup, Role.OWNER, sensitive=True),
    Route("GET", "/settings/health", show_health, Role.OWNER),
    Route("POST", "/settings/health", show_health, Role.OWNER),
)
