"""Keys are rotated while duewell runs: every token can be decrypted at any time, and none is lost."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import LargeBinary
from sqlmodel import SQLModel

from connector.app_context import AppContext, UncountedCalls
from connector.connections.registry import begin_consent, finish_consent
from connector.connections.tokens import associated_data, fresh_token
from connector.db.engine import reading
from connector.db.tables import Grant
from connector.secrets.keyring import Keyring, read_key_file
from connector.services import key_rotation
from connector.services.key_rotation import rotate
from tests.connector.installed import GiveConsent


def reopen(app: AppContext) -> AppContext:
    """The same installation as another process sees it, with its own keyring."""
    return replace(app, keyring=Keyring.from_settings(app.settings))


def decrypt_token(app: AppContext, grant_id: int) -> bytes:
    with reading(app.engine) as session:
        grant = session.get_one(Grant, grant_id)
    return app.keyring.decrypt(grant.token, associated_data(grant))


def test_a_rotation_re_encrypts_every_token_and_removes_the_old_key(app: AppContext, give_consent: GiveConsent) -> None:
    rows = [*give_consent(app, "xero"), *give_consent(app, "quickbooks")]
    before, other = app.keyring.key_ids(), reopen(app)
    done = rotate(other)
    assert (done.removed_keys, done.undecryptable, len(other.keyring.key_ids())) == (before, [], 1)
    assert done.reencrypted == len({row.grant_id for row in rows})
    assert app.keyring.key_ids() == other.keyring.key_ids() != before  # running processes see the new file
    assert all(decrypt_token(app, row.grant_id or 0) for row in rows)
    file = app.keyring.file
    assert file is not None
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_token_that_is_being_refreshed_meanwhile_is_saved_under_the_new_key(
    either_app: AppContext, give_consent: GiveConsent, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = either_app
    (row, *_more) = give_consent(app, "xero")
    provider, rotated = app.providers["xero"], []

    def refresh(settings: Any, token: dict[str, Any], calls: Any) -> dict[str, Any]:
        rotated.append(rotate(reopen(app)))
        return {**token, "refresh_token": "the fresh one", "access_token": "new"}

    monkeypatch.setattr(type(provider), "refresh", lambda _self, *given: refresh(*given))
    token = fresh_token(app, row.grant_id or 0, UncountedCalls(), rejected_token=None)
    if not rotated:  # it was still valid: as if the provider had rejected it
        token = fresh_token(app, row.grant_id or 0, UncountedCalls(), rejected_token=str(token["access_token"]))
    assert token["refresh_token"] == "the fresh one"
    assert len(rotated[0].removed_keys) == 1
    assert b"the fresh one" in decrypt_token(reopen(app), row.grant_id or 0)


def test_a_consent_started_before_a_rotation_can_be_finished_after_it(
    app: AppContext, answer_consent: Callable[..., str]
) -> None:
    request = begin_consent(app, "xero")
    rotate(reopen(app))
    assert finish_consent(app, "xero", answer_consent(request.url))


def test_an_interrupted_rotation_leaves_everything_decryptable_and_is_repeated(
    app: AppContext, give_consent: GiveConsent, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row, *_more) = give_consent(app, "quickbooks")

    def cut_off(*_given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(key_rotation, "_reencrypt_all", cut_off)
        with pytest.raises(KeyboardInterrupt):
            rotate(app)
    assert decrypt_token(reopen(app), row.grant_id or 0)
    assert len(rotate(reopen(app)).removed_keys) == 2
    assert decrypt_token(app, row.grant_id or 0)


def test_secrets_that_no_key_decrypts_are_named_and_old_keys_can_be_kept(
    app: AppContext, give_consent: GiveConsent
) -> None:
    give_consent(app, "xero")
    file = app.keyring.file
    assert file is not None
    old = read_key_file(file)
    assert (rotate(app, keep_old=True).removed_keys, len(read_key_file(file))) == ([], 2)
    assert read_key_file(file)[1:] == old
    from connector.secrets.keyring import new_key, write_key_file  # noqa: PLC0415

    write_key_file(file, [new_key()])
    done = rotate(app)
    assert "is not one of this installation's keys" in done.undecryptable[0]


def test_keys_from_the_settings_are_rotated_and_unused_ones_are_named(
    app: AppContext, give_consent: GiveConsent
) -> None:
    (row, *_more) = give_consent(app, "xero")
    file = app.keyring.file
    assert file is not None
    keys = [bytes(range(32)), *read_key_file(file)]
    given = ",".join(base64.urlsafe_b64encode(key).decode() for key in keys)
    settings = app.settings.model_copy(update={"duewell_secret_keys": given})
    other = replace(app, settings=settings, keyring=Keyring.from_settings(settings))
    done = rotate(other)
    assert (done.removed_keys, done.unused_keys, done.reencrypted) == ([], app.keyring.key_ids(), 1)
    assert decrypt_token(replace(app, keyring=Keyring(keys[:1])), row.grant_id or 0)


def test_the_command_reports_what_it_did(
    app: AppContext, give_consent: GiveConsent, duewell: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    give_consent(app, "xero")
    said = duewell("keys", "rotate", "--json")
    assert said.exit_code == 0, said.err
    assert app.keyring.key_ids()[0] in said.out
    names: Sequence[str] = ("secret.key",)
    assert all((app.settings.duewell_home / name).exists() for name in names)


def test_every_binary_column_is_rotated_or_known_to_hold_no_secret() -> None:
    no_secret = {
        ("malformed_record", "raw"),
        ("decision_record", "snapshot"),
        ("invoice_pdf", "content"),  # ledger data, like the invoice itself
        ("passkey", "public_key"),
        ("brand", "logo"),  # in every email
        ("brand", "portrait"),
    }
    kept = {
        (table.name, column.name)
        for table in SQLModel.metadata.tables.values()
        for column in table.c
        if isinstance(column.type, LargeBinary)
    }
    assert kept - no_secret == {(table.__tablename__, name) for table, name, _place in key_rotation.ENCRYPTED_COLUMNS}
