"""The composition root: settings, database, keys, clock and providers of one running duewell."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.engine import Engine

import migrations
import providers
from connector.db.engine import DatabaseError, open_engine, schema_revision, upgrade
from connector.secrets.keyring import Keyring
from connector.settings import Settings
from providers import load_mailbox_providers
from providers.calls import CallKind, CallObserver
from providers.errors import TransientError
from providers.ledger import LedgerProvider
from providers.mailbox import MailboxProvider


def utc_now() -> datetime:
    """Return the current time. Only ``open_app`` uses it; all other code takes the time from the ``AppContext``."""
    return datetime.now(UTC)


Provider = LedgerProvider[Settings]
MailboxSystem = MailboxProvider[Settings]


@dataclass
class Notice:
    """What stands at the head of every page of a demo: a sentence, and links with their texts."""

    text: str
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class AppContext:
    """What every part of one running duewell shares.

    ``stop`` is set when the program is asked to stop: the call in progress is completed, no new one is made.
    ``sleep`` is how a simulated clock waits.
    """

    settings: Settings
    engine: Engine
    keyring: Keyring
    now: Callable[[], datetime]
    providers: dict[str, Provider]
    stop: threading.Event = field(default_factory=threading.Event)
    sleep: Callable[[float], object] | None = None
    mailboxes: dict[str, MailboxSystem] = field(default_factory=load_mailbox_providers)
    notice: Notice | None = None

    def is_stopping(self) -> bool:
        """Return whether the program was asked to stop."""
        return self.stop.is_set()

    def wait(self, seconds: float) -> None:
        """Wait so many seconds, or until the program is asked to stop."""
        (self.sleep or self.stop.wait)(max(seconds, 0.0))

    def find_system(self, name: str) -> Provider | MailboxSystem | None:
        """Return what can be connected by OAuth under this name: an accounting system or a mailbox."""
        return self.providers.get(name) or self.mailboxes.get(name)

    def stop_aware(self, calls: CallObserver) -> CallObserver:
        """Wrap ``calls`` so that no call is started once ``stop`` is set."""
        return _StopAwareCalls(calls, self.stop)

    def close(self) -> None:
        """Close the database."""
        self.engine.dispose()


def open_app(
    settings: Settings, *, now: Callable[[], datetime] = utc_now, sleep: Callable[[float], object] | None = None
) -> AppContext:
    """Open the database and the keys. SQLite is upgraded automatically, PostgreSQL by `duewell db upgrade`."""
    engine = open_engine(settings.duewell_database_url, is_pooled=settings.duewell_database_pooler == "1")
    if engine.dialect.name == "sqlite":
        upgrade(engine)
    elif schema_revision(engine) != migrations.HEAD:
        message = "the database needs an upgrade first: duewell db upgrade"
        raise DatabaseError(message)
    ledgers = {name: providers.get_ledger_provider(name) for name in providers.list_ledger_names()}
    return AppContext(settings, engine, Keyring.from_settings(settings), now, ledgers, sleep=sleep)


def list_mailers(settings: Settings) -> list[str]:
    """Return the names of the mailers whose settings are there, the preferred first; MAIL_SERVICE allows one only."""
    mailboxes = load_mailbox_providers().items()
    chosen = (
        ("sendgrid", settings.sendgrid_api_key),
        *((name, not mailbox.missing_settings(settings)) for name, mailbox in mailboxes),
        ("smtp", settings.smtp_url),
        ("eml", settings.eml_folder),
    )
    return [name for name, value in chosen if value and settings.mail_service in {"", name}]


class UncountedCalls:
    """Observes calls without a budget: sign-in, revocation, checks."""

    def before(self, kind: CallKind) -> None:
        """Allow every call."""

    def after(self, kind: CallKind, status: int, headers: Mapping[str, str]) -> None:
        """Ignore the response."""


class EmailCalls:
    """Counts the email service's calls apart: its reads must not use up the ledger's limits."""

    def __init__(self, calls: CallObserver) -> None:
        self._calls = calls

    def before(self, kind: CallKind) -> None:
        """Ask as for an email, whatever the call is."""
        self._calls.before(CallKind.EMAIL)

    def after(self, kind: CallKind, status: int, headers: Mapping[str, str]) -> None:
        """Count it as an email, or as a lookup at the email service."""
        self._calls.after(CallKind.EMAIL if kind == CallKind.EMAIL else CallKind.EMAIL_READ, status, headers)


class _StopAwareCalls:
    """Starts no call once the program was asked to stop."""

    def __init__(self, calls: CallObserver, stop: threading.Event) -> None:
        self._calls = calls
        self._stop = stop

    def before(self, kind: CallKind) -> None:
        if self._stop.is_set():
            message = "duewell is stopping; the next run continues"
            raise TransientError(message)
        self._calls.before(kind)

    def after(self, kind: CallKind, status: int, headers: Mapping[str, str]) -> None:
        self._calls.after(kind, status, headers)
