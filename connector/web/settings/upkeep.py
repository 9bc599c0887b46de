"""Settings that look after the whole: whether mail arrives, when it may leave, a copy of everything, and health."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from starlette.responses import Response, StreamingResponse

from connector import policies_store, sync_log
from connector.access.private_files import private_folder
from connector.backup import write_backup
from connector.commands import doctor
from connector.commands.doctor_of_mail import OF_THE_SENDER
from connector.database import DatabaseError, reading, sqlite_file, writing
from connector.installation import mailer_name
from connector.mirror.places import HolidayCalendar, country_code, today_in
from connector.tables import Connection, MailEvent, ReceivedReply
from connector.web.routes import Route
from connector.web.visit import NotPossible, Visit
from policies.policy import ReminderPolicy

_DAYS = 60
_CHUNK = 256 * 1024
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def index(visit: Visit) -> Response:
    """Show what there is to set."""
    return visit.page("settings.html")


def sender(visit: Visit) -> Response:
    """Show by whom mail leaves, what comes back, and what the doctor says of both."""
    settings = visit.installation.settings
    with reading(visit.installation.engine) as session:
        event_at = session.scalar(select(func.max(MailEvent.received_at)))
        reply_at = session.scalar(select(func.max(ReceivedReply.received_at)))
    return visit.page(
        "settings_sender.html",
        way=mailer_name(settings),
        settings=settings,
        event_at=event_at,
        reply_at=reply_at,
        findings=doctor.examine(visit.installation, OF_THE_SENDER),
    )


def calendar(visit: Visit) -> Response:
    """Show when mail may leave each company, and which days are left out."""
    with reading(visit.installation.engine) as session:
        companies = visit.companies(session)
        policies = policies_store.current_of(session, [row.id for row in companies])
        rows = [_calendar(visit, row, *policies[row.id]) for row in companies]
    return visit.page("settings_calendar.html", rows=rows, days=_DAYS)


def backup(visit: Visit) -> Response:
    """Offer a copy of everything."""
    return visit.page("settings_backup.html", embedded=sqlite_file(visit.installation.engine) is not None)


def make_backup(visit: Visit) -> Response:
    """Make a copy and send it; it does not stay here."""
    name = f"duewell-{visit.now:%Y-%m-%d-%H%M%S}.db"
    file = private_folder(visit.installation.settings.duewell_home / "downloads") / name
    try:
        made = write_backup(visit.installation.engine, file, at=visit.now)
    except DatabaseError as problem:
        raise NotPossible(str(problem)) from problem
    with writing(visit.installation.engine) as session:
        text = f"{visit.who.email} took a backup of everything with him."
        sync_log.write(session, at=visit.now, kind="backup", text=text, facts={"backup": made.id})
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(file.stat().st_size)}
    return StreamingResponse(_sent_away(file), media_type="application/vnd.sqlite3", headers=headers)


def health(visit: Visit) -> Response:
    """Show what the doctor finds; he asks vendors, and so only when he is asked."""
    findings = doctor.examine(visit.installation) if visit.method == "POST" else None
    return visit.page("settings_health.html", findings=findings)


def _sent_away(file: Path) -> Iterator[bytes]:
    """Read a file to its end, or to where nobody wants more of it; it is gone before its last piece is."""
    try:
        with file.open("rb") as opened:
            piece = opened.read(_CHUNK)
            while ahead := opened.read(_CHUNK):
                yield piece
                piece = ahead
    finally:
        file.unlink(missing_ok=True)
    yield piece


def _calendar(visit: Visit, row: Connection, policy: ReminderPolicy, version: int | None) -> dict[str, Any]:
    window, today = policy.window, today_in(row.time_zone, visit.now)
    return {
        "company": row,
        "country": country_code(row.country) or row.country,
        "window": window,
        "weekdays": ", ".join(_WEEKDAYS[each] for each in sorted(window.weekdays)),
        "version": version,
        "holidays": _holidays(row.country, today),
    }


def _holidays(country: str, today: date) -> list[tuple[date, str]]:
    """The public holidays of the coming weeks."""
    calendar, days = HolidayCalendar(), (today + timedelta(days=ahead) for ahead in range(_DAYS))
    return [(on, name) for on in days if (name := calendar.holiday(country, on))]


ROUTES = (
    Route("GET", "/settings", index, "bookkeeper"),
    Route("GET", "/settings/sender", sender, "bookkeeper"),
    Route("GET", "/settings/calendar", calendar, "bookkeeper"),
    Route("GET", "/settings/backup", backup, "owner"),
    Route("POST", "/settings/backup", make_backup, "owner", dangerous=True),
    Route("GET", "/settings/health", health, "owner"),
    Route("POST", "/settings/health", health, "owner"),
)
