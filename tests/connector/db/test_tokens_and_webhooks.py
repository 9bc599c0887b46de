"""Tokens and webhooks: the same on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from connector.api import idempotency
from connector.api.problems import ApiError
from connector.app_context import AppContext
from connector.audit import sync_log
from connector.auth import api_tokens
from connector.cli.main import cli
from connector.db.engine import writing
from connector.db.tables import Connection, CustomerRow, InvoiceRow, OutboxEntry, Task
from connector.secrets.keyring import Keyring
from connector.settings import load_settings, setting_names
from connector.vocabulary import LogKind, OutboxKind, OutboxState, TaskCode, TokenScope
from connector.web.metrics import metrics_text
from connector.webhooks import delivery, endpoints
from connector.webhooks.safe_post import PostResult
from policies.receivables import InvoiceStatus
from tests.connector.payloads import late_fee_payload

NOON = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)


@pytest.fixture
def app(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppContext:
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    settings = load_settings(duewell_home=tmp_path, duewell_webhooks="public")
    return AppContext(settings, engine, Keyring([b"k" * 32]), lambda: NOON, {})


def filled(session: Session) -> list[int]:
    ids = []
    for name in ("one", "two", "three"):
        row = Connection(short_name=name, provider="xero", external_id=name, name=name, created_at=NOON)
        session.add(row)
        session.flush()
        ids.append(row.id or 0)
        for number in range(3):
            shared: dict[str, Any] = {"connection_id": row.id, "customer_id": f"c{number}"}
            payload = late_fee_payload(f"i{number}")
            session.add_all(
                [
                    CustomerRow(connection_id=ids[-1], external_id=f"c{number}", name=f"Customer {number}"),
                    InvoiceRow(
                        external_id=f"i{number}",
                        number="I",
                        currency="GBP",
                        issued_on=NOON.date(),
                        status=InvoiceStatus.OPEN,
                        is_open=True,
                        due_e4=5000,
                        **shared,
                    ),
                    Task(
                        key=f"{name}{number}",
                        code=TaskCode.CALL,
                        invoice_ids=[],
                        due_on=NOON.date(),
                        created_at=NOON,
                        **shared,
                    ),
                    OutboxEntry(
                        key=f"{name}{number}",
                        kind=OutboxKind.LATE_FEE,
                        state=OutboxState.AWAITING_APPROVAL,
                        payload=payload,
                        planned_at=NOON,
                        **shared,
                    ),
                ]
            )
    return ids


def test_a_token_is_valid_until_it_expires_and_a_request_is_recorded_once(app: AppContext) -> None:
    with writing(app.engine) as session:
        (one, *_more) = filled(session)
        row, token = api_tokens.create(session, " a  sync ", "write", companies=[one], days=1, by="Ann", at=NOON)
        assert (row.name, row.scopes, token in row.token_hash) == ("a sync", "read write", False)
        for wrong in ({"name": " "}, {"scope": "god"}, {"days": 0}):
            with pytest.raises(api_tokens.ApiTokenError):
                api_tokens.create(session, by="Ann", at=NOON, **{"name": "x", "scope": "read", **wrong})  # type: ignore[arg-type]
    program = api_tokens.authenticate(app, token)
    assert program is not None
    assert (
        program.has_scope(TokenScope.WRITE),
        program.has_scope(TokenScope.ADMIN),
        program.can_see(one),
        program.can_see(None),
    ) == (
        True,
        False,
        True,
        False,
    )
    assert api_tokens.authenticate(app, token[:-1]) is None
    assert idempotency.begin(app, program, "k", "print") is None
    with pytest.raises(ApiError, match="still in progress"):
        idempotency.begin(app, program, "k", "print")
    later = AppContext(app.settings, app.engine, app.keyring, lambda: NOON + timedelta(3), {})
    assert api_tokens.authenticate(later, token) is None
    assert idempotency.begin(later, program, "k", "other") is None


def test_figures_are_the_same_on_both_databases(app: AppContext) -> None:
    with writing(app.engine) as session:
        one, two, _three = filled(session)
    endpoints.add_endpoint(app, "https://hooks.example/", events=["email.sent"], companies=[two], by="Ann")
    with writing(app.engine) as session:
        for company in (one, two, None):
            sync_log.write(session, at=NOON, kind=LogKind.EMAILED, text="Mailed", connection_id=company)
    told: list[bytes] = []

    def send(_url: str, body: bytes, _headers: Any, _reach: str) -> PostResult:
        told.append(body)
        return PostResult(200, "")

    assert delivery.deliver_pending(app, send=send) == 1
    assert json.loads(told[0])["data"]["connection"] == "two"
    text = metrics_text(app, scheduler_alive=True).decode()
    assert 'duewell_webhook_deliveries{state="done"} 1.0' in text
    assert 'duewell_outbox_entries{kind="late_fee",state="awaiting_approval"} 9.0' in text


def test_tokens_are_created_listed_and_revoked_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUEWELL_HOME", str(tmp_path / "home"))

    def duewell(*words: str) -> Any:
        return CliRunner().invoke(cli, ["tokens", *words], prog_name="duewell")

    made = duewell("create", "dashboard", "read", "--days", "9")
    assert made.stdout.strip().startswith("duewell_")
    assert "not shown again" in made.stderr
    (row,) = json.loads(duewell("list", "--json").stdout)
    assert (row["id"], row["name"], row["scopes"], row["state"]) == (1, "dashboard", ["read"], "active")
    assert made.stdout.strip() not in duewell("list").stdout
    assert "is revoked" in duewell("revoke", "1").stdout
    assert duewell("revoke", "2").exit_code == 1
    assert duewell("create", "x", "god").exit_code == 2
    assert duewell("create", "x", "read", "--company", "nobody").exit_code == 1
