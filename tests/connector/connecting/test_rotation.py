"""Keys rotate while everything runs: whatever happens in between, every token can be opened, and none is lost."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import LargeBinary
from sqlmodel import SQLModel

from connector.access import rotation
from connector.access.connections import begin_consent, finish_consent
from connector.access.keyring import Keyring, read_key_file
from connector.access.rotation import rotate
from connector.access.tokens import bound_to, fresh_token
from connector.database import reading
from connector.installation import Installation, Uncounted
from connector.tables import Connection, Grant

GiveConsent = Callable[..., list[Connection]]


def again(installation: Installation) -> Installation:
    """The same installation as another process has it: with keys of its own reading."""
    return replace(installation, keyring=Keyring.from_settings(installation.settings))


def opened(installation: Installation, grant_id: int) -> bytes:
    with reading(installation.engine) as session:
        grant = session.get_one(Grant, grant_id)
    return installation.keyring.decrypt(grant.token, bound_to(grant))


def test_a_rotation_moves_every_token_to_a_new_key_and_drops_the_old_one(
    installation: Installation, consent: GiveConsent
) -> None:
    rows = [*consent(installation, "xero"), *consent(installation, "quickbooks")]
    before, other = installation.keyring.ids(), again(installation)
    done = rotate(other)
    assert (done.dropped, done.unopened, len(other.keyring.ids())) == (before, [], 1)
    assert done.sealed_anew == len({row.grant_id for row in rows})
    assert installation.keyring.ids() == other.keyring.ids() != before  # who runs meanwhile sees the new file
    assert all(opened(installation, row.grant_id or 0) for row in rows)
    file = installation.keyring.file
    assert file is not None
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_token_that_is_being_refreshed_meanwhile_is_saved_under_the_new_key(
    either_installation: Installation, consent: GiveConsent, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = either_installation
    (row, *_more) = consent(installation, "xero")
    provider, rotated = installation.providers["xero"], []

    def refresh(settings: Any, token: dict[str, Any], calls: Any) -> dict[str, Any]:
        rotated.append(rotate(again(installation)))
        return {**token, "refresh_token": "the fresh one", "access_token": "new"}

    monkeypatch.setattr(type(provider), "refresh", lambda _self, *given: refresh(*given))
    token = fresh_token(installation, row.grant_id or 0, Uncounted(), rejected=None)
    if not rotated:  # it was good still: as if the vendor had refused it
        token = fresh_token(installation, row.grant_id or 0, Uncounted(), rejected=str(token["access_token"]))
    assert token["refresh_token"] == "the fresh one"
    assert len(rotated[0].dropped) == 1
    assert b"the fresh one" in opened(again(installation), row.grant_id or 0)


def test_a_consent_that_was_begun_before_a_rotation_is_finished_after_it(
    installation: Installation, come_back: Callable[..., str]
) -> None:
    request = begin_consent(installation, "xero")
    rotate(again(installation))
    assert finish_consent(installation, "xero", come_back(request.url))


def test_a_rotation_that_was_cut_off_leaves_everything_open_and_is_done_again(
    installation: Installation, consent: GiveConsent, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row, *_more) = consent(installation, "quickbooks")

    def cut_off(*_given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rotation, "_seal_all", cut_off)
        with pytest.raises(KeyboardInterrupt):
            rotate(installation)
    assert opened(again(installation), row.grant_id or 0)
    assert len(rotate(again(installation)).dropped) == 2
    assert opened(installation, row.grant_id or 0)


def test_what_no_key_opens_is_named_and_keys_may_be_kept(installation: Installation, consent: GiveConsent) -> None:
    consent(installation, "xero")
    file = installation.keyring.file
    assert file is not None
    old = read_key_file(file)
    assert (rotate(installation, keep_old=True).dropped, len(read_key_file(file))) == ([], 2)
    assert read_key_file(file)[1:] == old
    from connector.access.keyring import new_key, write_key_file  # noqa: PLC0415

    write_key_file(file, [new_key()])
    done = rotate(installation)
    assert "not among the keys" in done.unopened[0]


def test_keys_of_the_settings_are_sealed_anew_and_named_when_nothing_needs_them(
    installation: Installation, consent: GiveConsent
) -> None:
    (row, *_more) = consent(installation, "xero")
    file = installation.keyring.file
    assert file is not None
    keys = [bytes(range(32)), *read_key_file(file)]
    given = ",".join(base64.urlsafe_b64encode(key).decode() for key in keys)
    settings = installation.settings.model_copy(update={"duewell_secret_keys": given})
    other = replace(installation, settings=settings, keyring=Keyring.from_settings(settings))
    done = rotate(other)
    assert (done.dropped, done.unused, done.sealed_anew) == ([], installation.keyring.ids(), 1)
    assert opened(replace(installation, keyring=Keyring(keys[:1])), row.grant_id or 0)


def test_the_command_says_what_it_did(
    installation: Installation, consent: GiveConsent, duewell: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    consent(installation, "xero")
    said = duewell("keys", "rotate", "--json")
    assert said.exit_code == 0, said.err
    assert installation.keyring.ids()[0] in said.out
    names: Sequence[str] = ("secret.key",)
    assert all((installation.settings.duewell_home / name).exists() for name in names)


def test_whatever_is_kept_in_bytes_is_either_rotated_or_known_to_be_no_secret() -> None:
    no_secret = {("malformed_record", "raw"), ("decision", "recorded"), ("passkey", "public_key")}
    kept = {
        (table.name, column.name)
        for table in SQLModel.metadata.tables.values()
        for column in table.c
        if isinstance(column.type, LargeBinary)
    }
    assert kept - no_secret == {(table.__tablename__, name) for table, name, _place in rotation.SEALED}
