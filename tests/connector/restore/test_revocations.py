"""Access that was revoked after a backup was made stays revoked when it is restored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, select

from connector.arrangements.suppressions import suppress
from connector.auth import api_tokens
from connector.auth.sessions import Browser, begin
from connector.auth.sign_in import create_link
from connector.auth.users import add_user, change_role, disable, find_user
from connector.db.engine import open_engine, reading, upgrade, writing
from connector.db.tables import (
    ApiToken,
    BankDetailsRow,
    ConnectedMailbox,
    Connection,
    ContactToken,
    Grant,
    Passkey,
    SignInLink,
    User,
    UserCompany,
    WebhookEndpoint,
    WebSession,
)
from connector.restore.backup import restore_backup, write_backup
from connector.secrets.keyring import Keyring
from connector.vocabulary import ConnectionHealth, ConnectionMode, TokenPurpose
from tests.connector.scenario import suppressed_addresses

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(days=1)
KEYRING = Keyring([bytes(32)])
BY: dict[str, Any] = {"by": "eve@example.com", "at": NOON}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Engine]:
    engine = _build_home(tmp_path / "home")
    yield engine
    engine.dispose()


def _build_home(folder: Path) -> Engine:
    """Create an installation with three users, each with a session, a link and a passkey, and other kinds of access."""
    engine = open_engine(f"sqlite:///{folder}/duewell.db")
    upgrade(engine)
    with writing(engine) as session:
        for name in ("north", "south"):
            grant = Grant(provider="xero", subject=name, created_at=NOON)
            session.add(grant)
            session.flush()
            company = Connection(short_name=name, provider="xero", external_id=name, name=name, created_at=NOON)
            company.grant_id, company.mode = grant.id, ConnectionMode.LIVE
            session.add(company)
        session.flush()
        for name in ("eve", "ann", "bob"):
            user = add_user(session, f"{name}@example.com", "owner", **BY)
            user.password_hash = f"{name}'s first"
            begin(session, user, NOON, Browser(), by="password")
            create_link(session, user, NOON)
            session.add(Passkey(id=f"{name}'s phone", user_id=user.id or 0, public_key=b"", created_at=NOON))
        for name in ("kept", "ended"):
            api_tokens.create(session, name, "read", **BY)
            session.add(
                WebhookEndpoint(url=f"https://{name}.example".encode(), created_by="eve@example.com", created_at=NOON)
            )
            grant = Grant(provider=f"{name}mail", subject=name, created_at=NOON)
            session.add(grant)
            session.flush()
            session.add(
                ConnectedMailbox(
                    provider=grant.provider, grant_id=grant.id or 0, address=f"{name}@mail.example", connected_at=NOON
                )
            )
            session.add(
                ContactToken(
                    token_hash=name, connection_id=1, customer_id="c", purpose=TokenPurpose.PORTAL, created_at=NOON
                )
            )
        _add_account(session, 1, "the first")
        _add_account(session, 2, "the other")
    return engine


def _add_account(session: Session, company: int, account: str) -> BankDetailsRow:
    row = BankDetailsRow(connection_id=company, currency="GBP", account=account, set_at=NOON, applies_at=NOON)
    session.add(row)
    session.flush()
    return row


def _revoke(engine: Engine) -> None:
    with writing(engine) as session:
        disable(session, "bob@example.com", **BY)
        change_role(session, "ann@example.com", "bookkeeper", companies=[2], **BY)
        find_user(session, "ann@example.com").password_hash = "ann's second"
        session.delete(session.get_one(Passkey, "ann's phone"))
        eve = find_user(session, "eve@example.com")
        session.add(Passkey(id="eve's key", user_id=eve.id or 0, public_key=b"", created_at=NOON))
        eve.passkey_only = True
        [ended] = [row for row in session.exec(select(ApiToken)) if row.name == "ended"]
        api_tokens.revoke(session, ended.id or 0, **BY)
        session.get_one(ContactToken, "ended").revoked_at = NOON
        for name, ended_at in (("sent since", None), ("sent and ended since", NOON)):
            since = ContactToken(
                token_hash=name, connection_id=1, customer_id="c", purpose=TokenPurpose.PORTAL, created_at=NOON
            )
            since.revoked_at = ended_at
            session.add(since)
        [hook] = [row for row in session.exec(select(WebhookEndpoint)) if b"ended" in row.url]
        session.delete(hook)
        suppress(session, "no@more.example", "they said no", NOON)
        _add_account(session, 1, "").set_by = "ann@example.com"  # removed
        session.exec(select(BankDetailsRow).where(BankDetailsRow.connection_id == 2)).one().cancelled_at = NOON
        [mailbox] = [row for row in session.exec(select(ConnectedMailbox)) if "ended" in row.address]
        session.delete(mailbox)
        session.flush()
        session.delete(session.get_one(Grant, mailbox.grant_id))
        north = session.get_one(Connection, 1)
        north.health, north.grant_id = ConnectionHealth.DISCONNECTED, None


def _credentials(session: Session) -> dict[str, Any]:
    users = session.exec(select(User)).all()
    return {
        "users": {row.email[:3]: (row.role, row.password_hash, row.disabled_at is None) for row in users},
        "ann sees": [row.connection_id for row in session.exec(select(UserCompany))],
        "passkeys": sorted(row.id for row in session.exec(select(Passkey))),
        "tokens": sorted(row.name for row in session.exec(select(ApiToken)) if row.revoked_at is None),
        "pages": sorted(row.token_hash for row in session.exec(select(ContactToken)) if row.revoked_at is None),
        "webhooks": sorted(row.url.decode() for row in session.exec(select(WebhookEndpoint))),
        "no email": [*suppressed_addresses(session)],
        "accounts": [
            (row.connection_id, row.account, row.cancelled_at is None) for row in session.exec(select(BankDetailsRow))
        ],
        "mailboxes": sorted(row.address for row in session.exec(select(ConnectedMailbox))),
        "companies": {
            row.name: row.grant_id is not None
            for row in session.exec(select(Connection))
            if row.health != "disconnected"
        },
        "grants": sorted(row.subject for row in session.exec(select(Grant))),
    }


FIRST = {
    "users": {name: ("owner", f"{name}'s first", True) for name in ("eve", "ann", "bob")},
    "ann sees": [],
    "passkeys": ["ann's phone", "bob's phone", "eve's phone"],
    "tokens": ["ended", "kept"],
    "pages": ["ended", "kept"],
    "webhooks": ["https://ended.example", "https://kept.example"],
    "no email": [],
    "accounts": [(1, "the first", True), (2, "the other", True)],
    "mailboxes": ["ended@mail.example", "kept@mail.example"],
    "companies": {"north": True, "south": True},
    "grants": ["ended", "kept", "north", "south"],
}
LAST = {
    "users": {
        "eve": ("owner", "eve's first", True),
        "ann": ("bookkeeper", "ann's second", True),
        "bob": ("owner", "bob's first", False),
    },
    "ann sees": [2],
    "passkeys": ["bob's phone", "eve's key", "eve's phone"],
    "tokens": ["kept"],
    "pages": ["kept", "sent since"],
    "webhooks": ["https://kept.example"],
    "no email": ["no@more.example"],
    "accounts": [(1, "the first", True), (2, "the other", False), (1, "", True)],
    "mailboxes": ["kept@mail.example"],
    "companies": {"south": True},
    "grants": ["kept", "south"],
}


def _restore(file: Path, home: Path) -> tuple[bool, dict[str, Any], int]:
    done = restore_backup(f"sqlite:///{home}/duewell.db", file, KEYRING, at=LATER)
    engine = open_engine(f"sqlite:///{home}/duewell.db")
    with reading(engine) as session:
        open_ways = len(session.exec(select(WebSession)).all()) + len(session.exec(select(SignInLink)).all())
        found = _credentials(session)
    engine.dispose()
    return done.access_revoked, found, open_ways


def test_access_revoked_since_the_backup_stays_revoked(home: Engine, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    _revoke(home)
    home.dispose()
    assert _restore(tmp_path / "copy", tmp_path / "home") == (True, LAST, 0)
    again = _restore(tmp_path / "copy", tmp_path / "home")
    assert again == (True, LAST, 0)  # the restored one contains it, too
    assert len(list((tmp_path / "home").glob("*.replaced-*"))) == 2


def test_users_of_another_installation_revoke_nothing(home: Engine, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    other = _build_home(tmp_path / "other")
    _revoke(other)
    other.dispose()
    assert _restore(tmp_path / "copy", tmp_path / "other") == (False, FIRST, 0)


def test_without_a_previous_database_all_users_sign_in_again(home: Engine, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    assert _restore(tmp_path / "copy", tmp_path / "elsewhere") == (False, FIRST, 0)


def test_an_unreadable_previous_database_revokes_nothing(home: Engine, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "copy", KEYRING, at=NOON)
    home.dispose()
    (tmp_path / "home" / "duewell.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    assert _restore(tmp_path / "copy", tmp_path / "home") == (False, FIRST, 0)
