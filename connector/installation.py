"""The composition root: everything one running duewell has in its hands, put together in one place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.engine import Engine

import migrations
import providers
from connector.access.keyring import Keyring
from connector.database import DatabaseError, open_engine, schema_revision, upgrade
from connector.settings import Settings
from providers.errors import TryLater
from providers.ledger import Calls, LedgerProvider
from providers.mailer import Mailer


def utc_now() -> datetime:
    """Tell the time: the one clock that nothing but ``open_installation`` reads."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Installation:
    """Settings, database, keys, clock and vendors of one duewell.

    ``stop`` is set when the program was asked to end: the call under way comes to its end, no new one leaves.
    """

    settings: Settings
    engine: Engine
    keyring: Keyring
    now: Callable[[], datetime]
    providers: dict[str, LedgerProvider]
    stop: threading.Event = field(default_factory=threading.Event)

    def stopping(self) -> bool:
        """Tell whether the program was asked to end."""
        return self.stop.is_set()

    def mailer(self, calls: Calls | None = None) -> Mailer | None:
        """Make the mailer the settings choose (SendGrid, else SMTP, else a folder of .eml files), or None."""
        name = mailer_name(self.settings)
        counted = self.watched(_OfMail(calls or Uncounted()))
        return providers.find_mailer(name, self.settings, counted) if name else None

    def watched(self, calls: Calls) -> Calls:
        """Wrap ``calls`` so that no new call leaves once ``stop`` is set."""
        return _Watched(calls, self.stop)

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()


def open_installation(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> Installation:
    """Open database and keys. The embedded SQLite is upgraded by itself; a server waits for `duewell db upgrade`."""
    engine = open_engine(settings.duewell_database_url)
    if engine.dialect.name == "sqlite":
        upgrade(engine)
    elif schema_revision(engine) != migrations.HEAD:
        message = "the database is not at the state this duewell needs; bring it there with: duewell db upgrade"
        raise DatabaseError(message)
    ledgers = {name: providers.find(name) for name in providers.names()}
    return Installation(settings, engine, Keyring.from_settings(settings), now, ledgers)


def mailer_name(settings: Settings) -> str:
    """Name the mailer the settings choose, or "" where none is set up."""
    chosen = (("sendgrid", settings.sendgrid_api_key), ("smtp", settings.smtp_url), ("eml", settings.eml_folder))
    return next((name for name, value in chosen if value), "")


class Uncounted:
    """Calls nobody keeps a budget of: sign-in, revocation, checks."""

    def before(self, kind: str) -> None:
        """Let every call leave."""

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        """Forget what came back."""


class _OfMail:
    """Keeps the mail system's calls apart: its reads are none of the ledger's, whose limits they must not use up."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def before(self, kind: str) -> None:
        self._calls.before("mail")

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        self._calls.after("mail" if kind == "mail" else "mail_read", status, headers)


class _Watched:
    def __init__(self, calls: Calls, stop: threading.Event) -> None:
        self._calls = calls
        self._stop = stop

    def before(self, kind: str) -> None:
        if self._stop.is_set():
            message = "duewell is stopping; this is done at the next run"
            raise TryLater(message)
        self._calls.before(kind)

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        self._calls.after(kind, status, headers)
