"""The composition root: everything one running duewell has in its hands, put together in one place."""

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
from providers.errors import TransientError
from providers.ledger import CallObserver, LedgerProvider
from providers.mailer import Mailer


def utc_now() -> datetime:
    """Tell the time: the one clock that nothing but ``open_installation`` reads."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class AppContext:
    """Settings, database, keys, clock and vendors of one duewell.

    ``stop`` is set when the program was asked to end: the call under way comes to its end, no new one leaves.
    """

    settings: Settings
    engine: Engine
    keyring: Keyring
    now: Callable[[], datetime]
    providers: dict[str, LedgerProvider]
    stop: threading.Event = field(default_factory=threading.Event)

    def is_stopping(self) -> bool:
        """Tell whether the program was asked to end."""
        return self.stop.is_set()

    def mailer(self, calls: CallObserver | None = None) -> Mailer | None:
        """Make the mailer the settings choose (SendGrid, else SMTP, else a folder of .eml files), or None."""
        name = mailer_name(self.settings)
        counted = self.stop_aware(_EmailCalls(calls or UncountedCalls()))
        return providers.build_mailer(name, self.settings, counted) if name else None

    def stop_aware(self, calls: CallObserver) -> CallObserver:
        """Wrap ``calls`` so that no new call leaves once ``stop`` is set."""
        return _StopAwareCalls(calls, self.stop)

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()


def open_app(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> AppContext:
    """Open database and keys. The embedded SQLite is upgraded by itself; a server waits for `duewell db upgrade`."""
    engine = open_engine(settings.duewell_database_url)
    if engine.dialect.name == "sqlite":
        upgrade(engine)
    elif schema_revision(engine) != migrations.HEAD:
        message = "the database is not at the state this duewell needs; bring it there with: duewell db upgrade"
        raise DatabaseError(message)
    ledgers = {name: providers.get_ledger_provider(name) for name in providers.list_ledger_names()}
    return AppContext(settings, engine, Keyring.from_settings(settings), now, ledgers)


def mailer_name(settings: Settings) -> str:
    """Name the mailer the settings choose, or "" where none is set up."""
    chosen = (("sendgrid", settings.sendgrid_api_key), ("smtp", settings.smtp_url), ("eml", settings.eml_folder))
    return next((name for name, value in chosen if value), "")


class UncountedCalls:
    """Calls nobody keeps a budget of: sign-in, revocation, checks."""

    def before(self, kind: str) -> None:
        """Let every call leave."""

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        """Forget what came back."""


class _EmailCalls:
    """Keeps the mail system's calls apart: its reads are none of the ledger's, whose limits they must not use up."""

    def __init__(self, calls: CallObserver) -> None:
        self._calls = calls

    def before(self, kind: str) -> None:
        self._calls.before("email")

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        self._calls.after("email" if kind == "email" else "email_read", status, headers)


class _StopAwareCalls:
    def __init__(self, calls: CallObserver, stop: threading.Event) -> None:
        self._calls = calls
        self._stop = stop

    def before(self, kind: str) -> None:
        if self._stop.is_set():
            message = "duewell is stopping; this is done at the next run"
            raise TransientError(message)
        self._calls.before(kind)

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        self._calls.after(kind, status, headers)
