"""The checks of ``duewell doctor``: settings, files, database, clock, sender, scopes and connections."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import requests
from sqlalchemy import select, text
from sqlmodel import col

import migrations
from connector.app_context import AppContext
from connector.audit import sync_log
from connector.auth import passkey_requirement
from connector.connections.tokens import associated_data, find_grant_end, reconnect_hint
from connector.db.engine import reading, schema_revision, sqlite_file
from connector.db.tables import Connection, Grant, WebhookEndpoint
from connector.guides import guide
from connector.secrets.keyring import KEY_FILE, KeyringError
from connector.services import doctor_dns, doctor_email, doctor_scopes, statutory_rates
from connector.services.doctor_checks import ERROR, OK, WARNING, Check, Finding, get
from connector.vocabulary import ConnectionHealth
from connector.vocabulary.labels import in_sentence, label
from policies.formatting import format_date, format_datetime

_SKEW_WARNING, _SKEW_ERROR = timedelta(seconds=60), timedelta(minutes=5)
_OVERDUE_AFTER_RUNS = 3
_REMINDER_SETTINGS = {"xero": "in Xero under Settings, Invoice settings, Invoice reminders"}


def run_checks(app: AppContext, checks: Sequence[Check] | None = None) -> list[Finding]:
    """Run all checks, or the given ones; a check that fails becomes a finding."""
    return [finding for check in (_CHECKS if checks is None else checks) for finding in _run_check(check, app)]


def _run_check(check: Check, app: AppContext) -> list[Finding]:
    name = check.__name__.strip("_")
    try:
        return list(check(app))
    except Exception as problem:  # noqa: BLE001 - a check that fails is itself a result
        return [Finding(name, ERROR, f"The check failed: {type(problem).__name__}: {problem}", "Report this as a bug.")]


def _settings(app: AppContext) -> Iterator[Finding]:
    ready = 0
    for name, mailbox in app.mailboxes.items():
        if not mailbox.missing_settings(app.settings):
            yield Finding(f"settings.{name}", OK, f"A mailbox at {mailbox.title} can be connected.")
    for name, provider in sorted(app.providers.items()):
        missing = provider.missing_settings(app.settings)
        if missing:
            yield Finding(f"settings.{name}", OK, f"{provider.title} is not set up ({', '.join(missing)} missing).")
        else:
            ready += 1
            yield Finding(f"settings.{name}", OK, f"{provider.title} can be connected.")
    if not ready:
        guides = f"{guide('connect-xero.md')} or {guide('connect-quickbooks.md')}"
        fix = f"Follow {guides}, or try the demo with: duewell demo"
        yield Finding("settings", WARNING, "No accounting system is set up.", fix)


def _files(app: AppContext) -> Iterator[Finding]:
    if sys.platform == "win32":
        yield Finding("files", OK, "On Windows, the user's profile folder is private.")
        return
    home, database = app.settings.duewell_home, sqlite_file(app.engine)
    files = [home / KEY_FILE, home / ".env", *([database, *_sqlite_side_files(database)] if database else [])]
    shared = [path for path in [home, *files] if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    for path in shared:
        mode = "700" if path.is_dir() else "600"
        part = "home" if path == home else path.name
        yield Finding(
            f"files.{part}", ERROR, f"Other users of this machine can access {path}.", f"chmod {mode} '{path}'"
        )
    if not shared:
        yield Finding("files", OK, f"Only you can access {home}.")


def _database(app: AppContext) -> Iterator[Finding]:
    revision = schema_revision(app.engine)
    if revision == migrations.HEAD:
        yield Finding("database.schema", OK, f"The database schema is up to date ({revision}).")
    else:
        yield Finding(
            "database.schema", ERROR, f"The database schema is {revision}, not {migrations.HEAD}.", "duewell db upgrade"
        )
    if sqlite_file(app.engine) is not None:
        with app.engine.connect() as connection:
            reply = connection.execute(text("PRAGMA quick_check(1)")).scalar()
        intact = reply == "ok"
        fix = "" if intact else "Stop duewell and restore a backup: duewell restore FILE"
        message = "The database file is intact." if intact else f"The database file is damaged: {reply}."
        yield Finding("database.file", OK if intact else ERROR, message, fix)


def _log(app: AppContext) -> Iterator[Finding]:
    with reading(app.engine) as session:
        verdict = sync_log.verify(session)
    if verdict.ok:
        entries = f"{verdict.entries} {'entry' if verdict.entries == 1 else 'entries'}"
        yield Finding("log", OK, f"The sync log is intact: {entries}, newest hash {verdict.head[:16]}….")
    else:
        yield Finding(
            "log",
            ERROR,
            f"The sync log is broken at entry {verdict.broken_at_id}: {verdict.reason}.",
            "duewell log verify",
        )


def _keys(app: AppContext) -> Iterator[Finding]:
    with reading(app.engine) as session:
        grants = list(session.scalars(select(Grant).where(col(Grant.invalid_reason) == "")))
    older = opened = 0
    for grant in grants:
        try:
            json.loads(app.keyring.decrypt(grant.token, associated_data(grant)))
        except KeyringError as problem:
            fix = f"Restore the old key in DUEWELL_SECRET_KEYS or {KEY_FILE}. Or: {reconnect_hint(grant.provider)}"
            yield Finding(f"keys.{grant.id}", ERROR, f"A token cannot be decrypted: {problem}.", fix)
            continue
        opened += 1
        older += app.keyring.needs_rotation(grant.token)
        if grant.refresh_started_at is not None:
            text = (
                f"A token refresh with {label(grant.provider, 'provider')} was interrupted at"
                f" {format_datetime(grant.refresh_started_at)}."
            )
            yield Finding(
                f"keys.{grant.id}.refresh",
                WARNING,
                text,
                "Run `duewell run` at once: the old token is valid for a few minutes only.",
            )
    older_note = f"; {older} with an older key, until the next refresh" if older else ""
    if opened or not grants:
        stored = f"{opened} {'token is' if opened == 1 else 'tokens are'} stored encrypted{older_note}."
        yield Finding("keys", OK, stored if opened else "No token is stored yet.")


def _clock(app: AppContext) -> Iterator[Finding]:
    for name, url in _hosts(app):
        try:
            reply = get(url)
        except requests.RequestException as problem:
            fix = "Check the network and the proxy. Syncs wait until it responds."
            yield Finding(f"reach.{name}", WARNING, f"{url} cannot be reached ({type(problem).__name__}).", fix)
            continue
        yield _skew(name, reply.headers.get("Date", ""), app.now())


def _skew(name: str, date_header: str, now: datetime) -> Finding:
    try:
        theirs = parsedate_to_datetime(date_header)
    except ValueError:
        return Finding(f"clock.{name}", OK, f"{label(name, 'provider')} responds, without its time.")
    skew = abs(now - theirs.replace(tzinfo=theirs.tzinfo or UTC))
    verdict = ERROR if skew > _SKEW_ERROR else WARNING if skew > _SKEW_WARNING else OK
    fix = "" if verdict == OK else "Set this machine's clock, for example with: timedatectl set-ntp true"
    message = f"{label(name, 'provider')} responds; its clock differs by {skew.total_seconds():.0f} s."
    return Finding(f"clock.{name}", verdict, message, fix)


def _hosts(app: AppContext) -> list[tuple[str, str]]:
    """Return the hosts of the services that are set up; no other host is ever contacted."""
    settings = app.settings
    hosts = [
        ("xero", settings.xero_identity_url, settings.xero_client_id),
        ("quickbooks", settings.quickbooks_api_url, settings.quickbooks_client_id),
        ("sendgrid", settings.sendgrid_api_url, settings.sendgrid_api_key),
        ("gmail", settings.gmail_api_url, settings.gmail_client_id),
        ("microsoft365", settings.microsoft365_login_url, settings.microsoft365_client_id),
    ]
    return [(name, url) for name, url, used in hosts if used]


def _webhooks(app: AppContext) -> Iterator[Finding]:
    with reading(app.engine) as session:
        rows = list(session.scalars(select(WebhookEndpoint).where(col(WebhookEndpoint.stop_reason) != "")))
    for row in rows:
        fix = "Fix the receiver, then start the webhook again under Settings, Webhooks."
        yield Finding(f"webhook.{row.id}", WARNING, f"Webhook {row.id} is stopped: {row.stop_reason}.", fix)


def _passkeys(app: AppContext) -> Iterator[Finding]:
    with reading(app.engine) as session:
        requirement = passkey_requirement.get_requirement(session)
        other_host = passkey_requirement.find_other_relying_party(session, app.settings)
    base = app.settings.duewell_base_url
    if other_host:
        text = f"Passkeys were created for {other_host} and do not work at {base}."
        fix = "Use that name again, or reset the users concerned: duewell users reset EMAIL"
        yield Finding("passkeys.name", ERROR if requirement else WARNING, text, fix)
    if requirement is not None and not passkey_requirement.is_supported(app.settings):
        fix = "Set DUEWELL_BASE_URL to a host name with https, or: duewell users passkeys off"
        yield Finding("passkeys", ERROR, f"Passkeys are required, but browsers do not allow them at {base}.", fix)


def _connections(app: AppContext) -> Iterator[Finding]:
    with reading(app.engine) as session:
        rows = list(session.scalars(select(Connection).order_by(col(Connection.id))))
    if not rows:
        fix = "Connect one on the Companies page, or with: duewell connect xero (or quickbooks)"
        yield Finding("connections", WARNING, "No company is connected.", fix)
    late = timedelta(minutes=app.settings.duewell_interval_minutes * _OVERDUE_AFTER_RUNS)
    for row in rows:
        name = f"connection.{row.short_name}"
        if row.health in {
            ConnectionHealth.AUTHORIZATION_EXPIRED,
            ConnectionHealth.FAILING,
            ConnectionHealth.ACTION_REQUIRED,
        }:
            see_log = f"See its syncs on its page, or with: duewell log {row.short_name}"
            fix = reconnect_hint(row.provider) if row.health == ConnectionHealth.AUTHORIZATION_EXPIRED else see_log
            reason = row.health_reason.removesuffix(fix).strip()  # the reason may end with the hint
            yield Finding(name, ERROR, f"{row.name}: {in_sentence(label(row.health))}. {reason}", fix)
        elif row.health != ConnectionHealth.DISCONNECTED and not row.pause_reason and _is_overdue(app, row, late):
            fix = "Keep `duewell serve` running, or run `duewell run` every hour."
            minutes = late // timedelta(minutes=1)
            yield Finding(name, WARNING, f"{row.name} has not been synced for more than {minutes} minutes.", fix)
        else:
            yield Finding(
                name, OK, f"{row.name}: {in_sentence(label(row.health))}, {in_sentence(label(row.mode))} mode."
            )
        yield from _grant_end(app, row)
        if row.ledger_reminders and row.health != ConnectionHealth.DISCONNECTED:
            title = app.providers[row.provider].title
            place = _REMINDER_SETTINGS.get(row.provider, f"in {title}")
            fix = f"Switch them off {place}. Until then duewell sends none."
            yield Finding(f"{name}.reminders", WARNING, f"{row.name}: {title} sends its own reminders.", fix)


def _grant_end(app: AppContext, row: Connection) -> Iterator[Finding]:
    """Yield a warning where a company's authorisation ends soon: Intuit's lives at most five years."""
    with reading(app.engine) as session:
        ends_on = find_grant_end(session, row, app.now())
    if ends_on is not None:
        text = f"{row.name}: the authorisation ends on {format_date(ends_on)}, and with it every sync."
        yield Finding(f"connection.{row.short_name}.grant", WARNING, text, reconnect_hint(row.provider))


def _is_overdue(app: AppContext, row: Connection, overdue_after: timedelta) -> bool:
    since = row.last_run_at or row.created_at
    return since is not None and app.now() - since > overdue_after


def _sqlite_side_files(database: Path) -> list[Path]:
    return [database.with_name(database.name + ending) for ending in ("-wal", "-shm")]


_CHECKS: tuple[Check, ...] = (
    _settings,
    _files,
    _database,
    _log,
    _keys,
    _clock,
    doctor_email.sender,
    doctor_email.mailbox,
    doctor_dns.sender_domain,
    doctor_email.events,
    _webhooks,
    _passkeys,
    doctor_email.links,
    doctor_email.scopes,
    doctor_scopes.xero_scopes,
    statutory_rates.rates,
    _connections,
)
