"""Checks an installation: settings, files, database, clock, sender, scopes, connections; says what to mend."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

import requests
from sqlalchemy import func, select, text
from sqlmodel import col

import migrations
from connector import sync_log
from connector.access.keyring import KEY_FILE, KeyringError
from connector.access.tokens import bound_to
from connector.database import reading, schema_revision, sqlite_file
from connector.installation import Installation, mailer_name
from connector.settings import reached_by_customers
from connector.tables import Connection, Grant, MailEvent, OutboxEntry, WebhookEndpoint

OK, WARNING, BAD = "ok", "warning", "bad"
_TIMEOUT_SECONDS = 5
_SKEW_ODD, _SKEW_BAD = timedelta(seconds=60), timedelta(minutes=5)
_FREE_MAIL = {
    "gmail.com",
    "googlemail.com",
    "yahoo.com",
    "outlook.com",
    "hotmail.com",
    "icloud.com",
    "aol.com",
    "gmx.de",
}
_LATE_RUNS = 3
_EVENTS_LATE = timedelta(days=2)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Finding(NamedTuple):
    """One line of the doctor; ``id`` names the check, ``mend`` what to do, "" where nothing is to be done."""

    id: str
    verdict: str
    text: str
    mend: str = ""


Check = Callable[[Installation], Iterator[Finding]]


def examine(installation: Installation, checks: Sequence[Check] | None = None) -> list[Finding]:
    """Run every check, or some; one that breaks is a finding, not the end."""
    return [finding for check in (_CHECKS if checks is None else checks) for finding in _safely(check, installation)]


def _safely(check: Check, installation: Installation) -> list[Finding]:
    name = check.__name__.strip("_")
    try:
        return list(check(installation))
    except Exception as problem:  # noqa: BLE001 - a check that breaks is itself a finding
        return [
            Finding(name, BAD, f"The check itself broke: {type(problem).__name__}: {problem}", "Report this as a bug.")
        ]


def _settings(installation: Installation) -> Iterator[Finding]:
    ready = 0
    for name, provider in sorted(installation.providers.items()):
        missing = provider.missing_settings(installation.settings)
        if missing:
            yield Finding(f"settings.{name}", OK, f"{provider.title} is not set up ({', '.join(missing)} missing).")
        else:
            ready += 1
            yield Finding(f"settings.{name}", OK, f"{provider.title} can be connected.")
    if not ready:
        mend = "Follow docs/connect-xero.md or docs/connect-quickbooks.md, or look around with: duewell demo"
        yield Finding("settings", WARNING, "No accounting system is set up.", mend)


def _files(installation: Installation) -> Iterator[Finding]:
    if sys.platform == "win32":
        yield Finding("files", OK, "On Windows the user's profile folder is private by its own rules.")
        return
    home, database = installation.settings.duewell_home, sqlite_file(installation.engine)
    files = [home / KEY_FILE, home / ".env", *([database, *_beside(database)] if database else [])]
    shared = [path for path in [home, *files] if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    for path in shared:
        mode = "700" if path.is_dir() else "600"
        yield Finding("files", BAD, f"Others on this machine can reach {path}.", f"chmod {mode} '{path}'")
    if not shared:
        yield Finding("files", OK, f"Only you can read {home}.")


def _database(installation: Installation) -> Iterator[Finding]:
    revision = schema_revision(installation.engine)
    if revision == migrations.HEAD:
        yield Finding("database.schema", OK, f"The database is at the state this duewell needs ({revision}).")
    else:
        yield Finding("database.schema", BAD, f"The database is at {revision}.", "duewell db upgrade")
    if sqlite_file(installation.engine) is not None:
        with installation.engine.connect() as connection:
            said = connection.execute(text("PRAGMA quick_check(1)")).scalar()
        sound = said == "ok"
        mend = "" if sound else "Stop duewell and put a backup back: duewell restore FILE"
        told = "sound" if sound else f"damaged: {said}"
        yield Finding("database.file", OK if sound else BAD, f"The database file is {told}.", mend)


def _log(installation: Installation) -> Iterator[Finding]:
    with reading(installation.engine) as session:
        verdict = sync_log.verify(session)
    if verdict.ok:
        yield Finding("log", OK, f"The sync log holds: {verdict.entries} lines, newest hash {verdict.head[:16]}….")
    else:
        yield Finding(
            "log", BAD, f"The sync log breaks at line {verdict.broken_at_id}: {verdict.why}.", "duewell log verify"
        )


def _keys(installation: Installation) -> Iterator[Finding]:
    with reading(installation.engine) as session:
        grants = list(session.scalars(select(Grant).where(col(Grant.dead_why) == "")))
    older = 0
    for grant in grants:
        try:
            json.loads(installation.keyring.decrypt(grant.token, bound_to(grant)))
        except KeyringError as problem:
            mend = f"Put the old key back into DUEWELL_SECRET_KEYS or {KEY_FILE}, or: duewell connect {grant.provider}"
            yield Finding("keys", BAD, f"A token cannot be opened: {problem}.", mend)
        older += installation.keyring.needs_rotation(grant.token)
        if grant.refresh_started_at is not None:
            text = f"A refresh at {grant.provider} was cut off at {grant.refresh_started_at:%Y-%m-%d %H:%M} UTC."
            yield Finding("keys", WARNING, text, "duewell run, at once: the old token is good for minutes only")
    told = f"; {older} still under an older key, until its next refresh" if older else ""
    yield Finding("keys", OK, f"{len(grants)} {'token is' if len(grants) == 1 else 'tokens are'} kept encrypted{told}.")


def _clock(installation: Installation) -> Iterator[Finding]:
    for name, url in _hosts(installation):
        try:
            reply = _get(url)
        except requests.RequestException as problem:
            mend = "Check the network and the proxy; runs wait until it answers."
            yield Finding(f"reach.{name}", WARNING, f"{url} cannot be reached ({type(problem).__name__}).", mend)
            continue
        yield _skew(name, reply.headers.get("Date", ""), installation.now())


def _get(url: str, authorization: str = "") -> requests.Response:
    """Ask one of the hosts that are set up, and no proxy on the way: the question may hold a key."""
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": authorization} if authorization else {}
        return session.get(url, headers=headers, timeout=_TIMEOUT_SECONDS, allow_redirects=False)


def _skew(name: str, date_header: str, now: datetime) -> Finding:
    try:
        theirs = parsedate_to_datetime(date_header)
    except ValueError:
        return Finding(f"clock.{name}", OK, f"{name} answers, and does not tell the time.")
    skew = abs(now - theirs.replace(tzinfo=theirs.tzinfo or UTC))
    verdict = BAD if skew > _SKEW_BAD else WARNING if skew > _SKEW_ODD else OK
    mend = "" if verdict == OK else "Set this machine's clock: timedatectl set-ntp true"
    return Finding(f"clock.{name}", verdict, f"{name} answers; clocks differ by {skew.total_seconds():.0f} s.", mend)


def _hosts(installation: Installation) -> list[tuple[str, str]]:
    """Only vendors that are set up are asked: no other host is ever contacted."""
    settings = installation.settings
    hosts = [
        ("xero", settings.xero_identity_url, settings.xero_client_id),
        ("quickbooks", settings.quickbooks_api_url, settings.quickbooks_client_id),
        ("sendgrid", settings.sendgrid_api_url, settings.sendgrid_api_key),
    ]
    return [(name, url) for name, url, used in hosts if used]


def _sender(installation: Installation) -> Iterator[Finding]:
    settings, name = installation.settings, mailer_name(installation.settings)
    if not name:
        mend = "Set SENDGRID_API_KEY (or SMTP_URL, or EML_FOLDER to only write files)."
        yield Finding("mail.way", WARNING, "No way to send mail is set up: reminders stay planned.", mend)
    else:
        yield Finding("mail.way", OK, f"Mail leaves by {name}.")
    domain = settings.mail_from.rpartition("@")[2].lower()
    if not settings.mail_from:
        yield Finding(
            "mail.sender", BAD if name else WARNING, "MAIL_FROM is not set.", "Set it to a sender you verified."
        )
    elif domain in _FREE_MAIL:
        mend = "Use an address of the company's own domain, with SPF, DKIM and DMARC set up for it."
        yield Finding("mail.sender", WARNING, f"Mail from {domain} sent by others is taken for forged.", mend)
    else:
        yield Finding("mail.sender", OK, f"Mail comes from {settings.mail_from}.")
    if settings.mail_from and not settings.mail_reply_to:
        yield Finding("mail.reply", OK, f"Replies go to {settings.mail_from} (MAIL_REPLY_TO is not set).")


def _links(installation: Installation) -> Iterator[Finding]:
    """Say whether customers can open the links that mails would carry."""
    base = installation.settings.duewell_base_url
    if reached_by_customers(base):
        yield Finding("mail.links", OK, f"Mails carry links to the customer's own page and to stop, at {base}.")
    else:
        text = f"Customers cannot open {base}: mails carry no link to the customer's own page, and none to stop."
        mend = "Put duewell behind https under a public name and set DUEWELL_BASE_URL to it; see docs/customer-page.md."
        yield Finding("mail.links", OK, text, mend)


def _events(installation: Installation) -> Iterator[Finding]:
    """Events are signed, and come: mail that leaves without one for days points at a webhook that is not set up."""
    settings = installation.settings
    if not settings.sendgrid_api_key:
        return
    if not settings.sendgrid_webhook_public_key:
        mend = (
            f"Let SendGrid's signed Event Webhook tell {settings.duewell_base_url}/webhooks/sendgrid, and set its key."
        )
        yield Finding("mail.events", WARNING, "What became of mails is not told (SENDGRID_WEBHOOK_PUBLIC_KEY).", mend)
        return
    with reading(installation.engine) as session:
        event_at = session.scalar(select(func.max(MailEvent.received_at)))
        untold = select(func.min(OutboxEntry.ended_at)).where(
            col(OutboxEntry.kind) == "mail",
            col(OutboxEntry.state) == "done",
            col(OutboxEntry.delivery) == "",
            col(OutboxEntry.ended_at) > (event_at or _LONG_AGO),
        )
        untold_at = session.scalar(untold)
    if untold_at is not None and installation.now() - untold_at > _EVENTS_LATE:
        mend = "Look at SendGrid, Settings, Mail Settings, Event Webhook: is it on, signed, and does it lead here?"
        yield Finding("mail.events", WARNING, f"Nothing was told of mail that left on {untold_at:%Y-%m-%d}.", mend)
    else:
        yield Finding("mail.events", OK, "Signed events of SendGrid are taken.")


def _webhooks(installation: Installation) -> Iterator[Finding]:
    with reading(installation.engine) as session:
        rows = list(session.scalars(select(WebhookEndpoint).where(col(WebhookEndpoint.stopped_why) != "")))
    for row in rows:
        mend = "Mend what is there, then start it again under Settings, Webhooks."
        yield Finding(f"webhook.{row.id}", WARNING, f"Webhook {row.id}: {row.stopped_why}.", mend)


def _scopes(installation: Installation) -> Iterator[Finding]:
    settings = installation.settings
    if not settings.sendgrid_api_key:
        return
    try:
        reply = _get(f"{settings.sendgrid_api_url}/v3/scopes", f"Bearer {settings.sendgrid_api_key}")
    except requests.RequestException as problem:
        yield Finding("scopes.sendgrid", WARNING, f"The key's scopes cannot be asked for ({type(problem).__name__}).")
        return
    yield _judge_scopes(reply)


def _judge_scopes(reply: requests.Response) -> Finding:
    make_one = "Make a key with Mail Send in SendGrid, Settings, API Keys, and set SENDGRID_API_KEY."
    if reply.status_code in {401, 403}:
        return Finding("scopes.sendgrid", BAD, f"SendGrid refuses the key ({reply.status_code}).", make_one)
    try:
        scopes: Any = reply.json()["scopes"] if reply.status_code == requests.codes.ok else None
    except (ValueError, KeyError, TypeError):
        scopes = None
    if not isinstance(scopes, list):
        return Finding("scopes.sendgrid", WARNING, f"SendGrid does not tell the key's scopes ({reply.status_code}).")
    if "mail.send" not in scopes:
        return Finding("scopes.sendgrid", BAD, "The SendGrid key may not send mail.", make_one)
    return Finding("scopes.sendgrid", OK, "The SendGrid key may send mail.")


def _connections(installation: Installation) -> Iterator[Finding]:
    with reading(installation.engine) as session:
        rows = list(session.scalars(select(Connection).order_by(col(Connection.id))))
    if not rows:
        yield Finding("connections", WARNING, "No company is connected.", "duewell connect xero (or quickbooks)")
    late = timedelta(minutes=installation.settings.duewell_interval_minutes * _LATE_RUNS)
    for row in rows:
        name = f"connection.{row.short_name}"
        if row.health in {"reconnect", "failing", "person"}:
            mend = f"duewell connect {row.provider}" if row.health == "reconnect" else f"duewell log {row.short_name}"
            yield Finding(name, BAD, f"{row.name}: {row.health}. {row.health_why}", mend)
        elif row.health != "disconnected" and not row.paused_why and _is_late(installation, row, late):
            mend = "Keep `duewell serve` running, or call `duewell run` every hour."
            yield Finding(name, WARNING, f"{row.name} has not run for more than {late}.", mend)
        else:
            yield Finding(name, OK, f"{row.name}: {row.health}, mode {row.mode}.")
        if row.own_reminders:
            mend = (
                "In Xero: Sales, Invoices, Invoice reminders: switch them off. Until then nothing is mailed from here."
            )
            yield Finding(f"{name}.reminders", WARNING, f"{row.name}: the ledger mails reminders of its own.", mend)


def _is_late(installation: Installation, row: Connection, late: timedelta) -> bool:
    since = row.last_run_at or row.created_at
    return since is not None and installation.now() - since > late


def _beside(database: Path) -> list[Path]:
    return [database.with_name(database.name + ending) for ending in ("-wal", "-shm")]


OF_THE_SENDER = (_sender, _events, _scopes)
_CHECKS: tuple[Check, ...] = (
    _settings,
    _files,
    _database,
    _log,
    _keys,
    _clock,
    _sender,
    _events,
    _webhooks,
    _links,
    _scopes,
    _connections,
)
