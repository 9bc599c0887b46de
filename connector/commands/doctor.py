"""Checks an installation: settings, files, database, clock, sender, scopes, connections; says what to mend."""

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
from connector import sync_log
from connector.access import second_factor
from connector.access.keyring import KEY_FILE, KeyringError
from connector.access.tokens import bound_to, connect_again
from connector.commands import doctor_of_mail
from connector.commands.findings import BAD, OK, WARNING, Check, Finding, get
from connector.database import reading, schema_revision, sqlite_file
from connector.installation import Installation
from connector.tables import Connection, Grant, WebhookEndpoint
from policies.wording import moment

_SKEW_ODD, _SKEW_BAD = timedelta(seconds=60), timedelta(minutes=5)
_LATE_RUNS = 3


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
        part = "home" if path == home else path.name
        yield Finding(f"files.{part}", BAD, f"Others on this machine can reach {path}.", f"chmod {mode} '{path}'")
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
    older = opened = 0
    for grant in grants:
        try:
            json.loads(installation.keyring.decrypt(grant.token, bound_to(grant)))
        except KeyringError as problem:
            mend = f"Put the old key back into DUEWELL_SECRET_KEYS or {KEY_FILE}. Or: {connect_again(grant.provider)}"
            yield Finding(f"keys.{grant.id}", BAD, f"A token cannot be opened: {problem}.", mend)
            continue
        opened += 1
        older += installation.keyring.needs_rotation(grant.token)
        if grant.refresh_started_at is not None:
            text = f"A refresh at {grant.provider} was cut off at {moment(grant.refresh_started_at)}."
            yield Finding(
                f"keys.{grant.id}.refresh",
                WARNING,
                text,
                "duewell run, at once: the old token is good for minutes only",
            )
    told = f"; {older} still under an older key, until its next refresh" if older else ""
    if opened or not grants:
        yield Finding("keys", OK, f"{opened} {'token is' if opened == 1 else 'tokens are'} kept encrypted{told}.")


def _clock(installation: Installation) -> Iterator[Finding]:
    for name, url in _hosts(installation):
        try:
            reply = get(url)
        except requests.RequestException as problem:
            mend = "Check the network and the proxy; runs wait until it answers."
            yield Finding(f"reach.{name}", WARNING, f"{url} cannot be reached ({type(problem).__name__}).", mend)
            continue
        yield _skew(name, reply.headers.get("Date", ""), installation.now())


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


def _webhooks(installation: Installation) -> Iterator[Finding]:
    with reading(installation.engine) as session:
        rows = list(session.scalars(select(WebhookEndpoint).where(col(WebhookEndpoint.stopped_why) != "")))
    for row in rows:
        mend = "Mend what is there, then start it again under Settings, Webhooks."
        yield Finding(f"webhook.{row.id}", WARNING, f"Webhook {row.id}: {row.stopped_why}.", mend)


def _passkeys(installation: Installation) -> Iterator[Finding]:
    with reading(installation.engine) as session:
        demand = second_factor.demanded(session)
        elsewhere = second_factor.made_elsewhere(session, installation.settings)
    base = installation.settings.duewell_base_url
    if elsewhere:
        text = f"Passkeys were made for {elsewhere}, and browsers hand them out at no other name; this is {base}."
        mend = "Go back to that name, or let people come in anew: duewell users reset ADDRESS"
        yield Finding("passkeys.name", BAD if demand else WARNING, text, mend)
    if demand is not None and not second_factor.possible(installation.settings):
        mend = "Let DUEWELL_BASE_URL be a name over https, or: duewell users passkeys off"
        yield Finding("passkeys", BAD, f"Everybody needs a passkey, and browsers allow none at {base}.", mend)


def _connections(installation: Installation) -> Iterator[Finding]:
    with reading(installation.engine) as session:
        rows = list(session.scalars(select(Connection).order_by(col(Connection.id))))
    if not rows:
        mend = "Connect one on the page Companies, or with: duewell connect xero (or quickbooks)"
        yield Finding("connections", WARNING, "No company is connected.", mend)
    late = timedelta(minutes=installation.settings.duewell_interval_minutes * _LATE_RUNS)
    for row in rows:
        name = f"connection.{row.short_name}"
        if row.health in {"reconnect", "failing", "person"}:
            look = f"Look at its runs on its page, or: duewell log {row.short_name}"
            mend = connect_again(row.provider) if row.health == "reconnect" else look
            why = row.health_why.removesuffix(mend).strip()  # it ends in the same words
            yield Finding(name, BAD, f"{row.name}: {row.health}. {why}", mend)
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


_CHECKS: tuple[Check, ...] = (
    _settings,
    _files,
    _database,
    _log,
    _keys,
    _clock,
    doctor_of_mail.sender,
    doctor_of_mail.events,
    _webhooks,
    _passkeys,
    doctor_of_mail.links,
    doctor_of_mail.scopes,
    _connections,
)
