"""What a database holds, without what differs from one attempt to the next: ids, random tokens, hashes of the log."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Table
from sqlmodel import SQLModel

from connector.app_context import AppContext
from connector.db.engine import reading
from connector.secrets.keyring import KeyringError
from connector.services.key_rotation import ENCRYPTED_COLUMNS

State = Counter[str]
_RANDOM = {
    "sync_log": {"id", "salt", "digest", "previous_hash", "hash", "facts"},
    "web_session": {"token_hash"},
    "sign_in_link": {"token_hash"},
    "api_token": {"token_hash", "prefix"},
    "app_user": {"password_hash"},
    "contact_token": {"token", "token_hash"},
    "passkey": {"public_key"},
    "used_challenge": {"challenge_hash"},
    "webhook_delivery": {"log_id"},
    "webhook_endpoint": {"last_seen_log_id"},
    "email_template": {"id"},
    "connection": {"lease_owner"},
    "bank_receipt": {"file_id"},
    "bank_match": {"receipt_id"},
    "portal_response": {"key"},
    "key_value": set(),
}
_SEALED: dict[str, dict[str, Callable[[Any], str]]] = {}
for _table, _name, _context in ENCRYPTED_COLUMNS:
    _SEALED.setdefault(_table.__tablename__, {})[_name] = _context
_IDS = {"id", "task_id", "outbox_id", "version"}
_UNSTABLE_TABLES = {"alembic_version"}
_NUMBERED = re.compile(r"\b(version|task) \d+|\b(the key) [0-9a-f]{16}")  # ids in sentences

_RESPONSE_KEY = re.compile(r':[\w-]{24}(?=[:"])')  # of a response in the portal, inside other keys


def read_state(app: AppContext) -> State:
    """Return every row of every table, as often as it is there; of secrets, only whether they can be decrypted."""
    found: State = Counter()
    with reading(app.engine) as session:
        for table in SQLModel.metadata.sorted_tables:
            if table.name in _UNSTABLE_TABLES:
                continue
            # As the driver returns it: a query that is compiled for each copy of a database takes ten times as long
            for row in session.connection().exec_driver_sql(f'SELECT * FROM "{table.name}"').mappings():
                found[_describe(table, dict(row))] += 1
                for name, context in _SEALED.get(table.name, {}).items():
                    state = _try_to_decrypt(app, row[name], context(SimpleNamespace(**row)))
                    found[f"{table.name}.{name}: {state}"] += 1
    return found


def difference(state: State, expected: State) -> list[str]:
    """Return what is there and should not be (+), and what is missing (-)."""
    return [f"+ {row}" for row in (state - expected)] + [f"- {row}" for row in (expected - state)]


def _try_to_decrypt(app: AppContext, sealed: bytes, context: str) -> str:
    try:
        return "there" if sealed and app.keyring.decrypt(sealed, context) else "empty"
    except KeyringError:
        return "cannot be decrypted"


def _describe(table: Table, row: dict[str, Any]) -> str:
    left_out = _RANDOM.get(table.name, set()) | _generated(table) | set(_SEALED.get(table.name, ()))
    if table.name == "key_value" and row["name"].startswith("log_head"):
        left_out = left_out | {"value"}
    kept = {name: value for name, value in row.items() if name not in left_out}
    text = json.dumps(kept, default=_plain, sort_keys=True, ensure_ascii=False)
    stable = _RESPONSE_KEY.sub(":KEY", _NUMBERED.sub(r"\1\2 N", text))
    return f"{table.name} {stable}"


def _generated(table: Table) -> set[str]:
    """Return the columns with generated ids, and those that refer to them."""
    own = {column.name for column in table.primary_key if column.autoincrement is True or column.name == "id"}
    kept = {"connection", "outbox"}  # their rows are there from the start; new ones are known by their keys
    return {name for name in own if table.name not in kept} | {"task_id"} & set(table.columns.keys())


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return repr(value)
