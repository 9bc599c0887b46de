"""Settings that look after the whole: whether mail arrives, when it may leave, a copy of everything, and health."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from starlette.responses import Response, StreamingResponse

from connector import policy_store
from connector.app_context import mailer_name
from connector.audit import sync_log
from connector.db.engine import DatabaseError, reading, sqlite_file, writing
from connector.db.tables import Connection, EmailEvent, ReceivedReply
from connector.errors import NotPossible
from connector.geo import HolidayCalendar, today_in
from connector.restore.backup import write_backup
from connector.secrets.private_files import private_folder
from connector.services import doctor
from connector.services.doctor_email import SENDER_CHECKS
from connector.vocabulary import LogKind
from connector.web.page_request import PageRequest
from connector.web.routes import Route
from policies.policy import ReminderPolicy
from providers.geo import country_code

_HOLIDAY_DAYS = 60
_CHUNK_BYTES = 256 * 1024
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def show_index(request: PageRequest) -> Response:
    """Show what there is to set."""
    return request.render("settings.html")


def show_sender(request: PageRequest) -> Response:
    """Show by whom mail leaves, what comes back, and what the doctor says of both."""
    settings = request.app.settings
    with reading(request.app.engine) as session:
        event_at = session.scalar(select(func.max(EmailEvent.received_at)))
        reply_at = session.scalar(select(func.max(ReceivedReply.received_at)))
    return request.render(
        "settings_sender.html",
        way=mailer_name(settings),
        settings=settings,
        event_at=event_at,
        reply_at=reply_at,
        findings=doctor.run_checks(request.app, SENDER_CHECKS),
    )


def show_calendar(request: PageRequest) -> Response:
    """Show when mail may leave each company, and which days are left out."""
    with reading(request.app.engine) as session:
        companies = request.companies(session)
        policies = policy_store.get_policies(session, [row.id for row in companies])
        rows = [_build_calendar(request, row, *policies[row.id]) for row in companies]
    return request.render("settings_calendar.html", rows=rows, days=_HOLIDAY_DAYS)


def show_backup(request: PageRequest) -> Response:
    """Offer a copy of everything."""
    return request.render("settings_backup.html", embedded=sqlite_file(request.app.engine) is not None)


def create_backup(request: PageRequest) -> Response:
    """Make a copy and send it; it does not stay here."""
    name = f"duewell-{request.now:%Y-%m-%d-%H%M%S}.db"
    file = private_folder(request.app.settings.duewell_home / "downloads") / name
    try:
        made = write_backup(request.app.engine, file, at=request.now)
    except DatabaseError as problem:
        raise NotPossible(str(problem)) from problem
    with writing(request.app.engine) as session:
        text = f"{request.actor.email} took a backup of everything with him."
        sync_log.write(session, at=request.now, kind=LogKind.BACKUP, text=text, facts={"backup": made.id})
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(file.stat().st_size)}
    return StreamingResponse(_stream_and_delete(file), media_type="application/vnd.sqlite3", headers=headers)


def show_health(request: PageRequest) -> Response:
    """Show what the doctor finds; he asks vendors, and so only when he is asked."""
    findings = doctor.run_checks(request.app) if request.method == "POST" else None
    return request.render("settings_health.html", findings=findings)


def _stream_and_delete(file: Path) -> Iterator[bytes]:
    """Read a file to its end, or to where nobody wants more of it; it is gone before its last piece is."""
    try:
        with file.open("rb") as opened:
            piece = opened.read(_CHUNK_BYTES)
            while ahead := opened.read(_CHUNK_BYTES):
                yield piece
                piece = ahead
    finally:
        file.unlink(missing_ok=True)
    yield piece


def _build_calendar(
    request: PageRequest, row: Connection, policy: ReminderPolicy, version: int | None
) -> dict[str, Any]:
    window, today = policy.send_window, today_in(row.time_zone, request.now)
    return {
        "company": row,
        "country": country_code(row.country) or row.country,
        "window": window,
        "weekdays": ", ".join(_WEEKDAYS[each] for each in sorted(window.weekdays)),
        "version": version,
        "holidays": _list_holidays(row.country, today),
    }


def _list_holidays(country: str, today: date) -> list[tuple[date, str]]:
    """The public holidays of the coming weeks."""
    calendar, days = HolidayCalendar(), (today + timedelta(days=ahead) for ahead in range(_HOLIDAY_DAYS))
    return [(on, name) for on in days if (name := calendar.holiday_name(country, on))]


ROUTES = (
    Route("GET", "/settings", show_index, "bookkeeper"),
    Route("GET", "/settings/sender", show_sender, "bookkeeper"),
    Route("GET", "/settings/calendar", show_calendar, "bookkeeper"),
    Route("GET", "/settings/backup", show_backup, "owner"),
    Route("POST", "/settings/backup", create_backup, "owner", sensitive=True),
    Route("GET", "/settings/health", show_health, "owner"),
    Route("POST", "/settings/health", show_health, "owner"),
)
