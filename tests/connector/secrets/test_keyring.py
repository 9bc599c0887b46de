"""Secrets at rest: encrypted, bound to their row, and decryptable after a key rotation."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.secrets.keyring import Keyring, KeyringError
from connector.secrets.private_files import NotPrivateError
from connector.settings import Settings, SettingsError, load_settings

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def _settings(tmp_path: Path, keys: str = "") -> Settings:
    return load_settings(duewell_home=tmp_path / "home", duewell_secret_keys=keys)


@given(plain=st.binary(max_size=200), bound_to=st.text(max_size=40))
def test_an_encrypted_secret_is_decrypted(plain: bytes, bound_to: str) -> None:
    keyring = Keyring([OLD])
    sealed = keyring.encrypt(plain, bound_to)
    assert keyring.decrypt(sealed, bound_to) == plain
    assert len(plain) < 4 or plain not in sealed


def test_a_secret_moved_to_another_row_is_not_decrypted() -> None:
    keyring = Keyring([OLD])
    sealed = keyring.encrypt(b"token", "grant 1 token")
    with pytest.raises(KeyringError, match="grant 2 token"):
        keyring.decrypt(sealed, "grant 2 token")


@given(place=st.integers(0, 40), bit=st.integers(0, 7))
def test_a_changed_secret_is_not_decrypted(place: int, bit: int) -> None:
    keyring = Keyring([OLD])
    sealed = bytearray(keyring.encrypt(b"token", "row"))
    sealed[place % len(sealed)] ^= 1 << bit
    with pytest.raises(KeyringError):
        keyring.decrypt(bytes(sealed), "row")


@pytest.mark.parametrize("length", [0, 1, 9, 12, 25])
def test_a_truncated_secret_is_not_decrypted(length: int) -> None:
    keyring = Keyring([OLD])
    with pytest.raises(KeyringError):
        keyring.decrypt(keyring.encrypt(b"token", "row")[:length], "row")


def test_older_keys_still_decrypt_after_a_rotation() -> None:
    sealed = Keyring([OLD]).encrypt(b"token", "row")
    rotated = Keyring([NEW, OLD])
    assert rotated.decrypt(sealed, "row") == b"token"
    assert rotated.needs_rotation(sealed)
    again = rotated.encrypt(b"token", "row")
    assert not rotated.needs_rotation(again)
    assert Keyring([NEW]).decrypt(again, "row") == b"token"
    with pytest.raises(KeyringError, match="not one of this installation's keys"):
        Keyring([NEW]).decrypt(sealed, "row")


def test_a_key_is_created_once_and_is_private(tmp_path: Path) -> None:
    sealed = Keyring.from_settings(_settings(tmp_path)).encrypt(b"token", "row")
    assert Keyring.from_settings(_settings(tmp_path)).decrypt(sealed, "row") == b"token"
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["secret.key"]
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "home" / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_key_file_that_others_can_read_is_rejected(tmp_path: Path) -> None:
    Keyring.from_settings(_settings(tmp_path))
    (tmp_path / "home" / "secret.key").chmod(0o640)
    with pytest.raises(NotPrivateError, match="chmod 600"):
        Keyring.from_settings(_settings(tmp_path))


@pytest.mark.parametrize("content", ["", "\n", "nonsense", "c2hvcnQ="])
def test_a_damaged_key_file_is_reported_and_not_replaced(tmp_path: Path, content: str) -> None:
    Keyring.from_settings(_settings(tmp_path))
    (tmp_path / "home" / "secret.key").write_text(content)
    with pytest.raises(SettingsError, match=r"secret\.key"):
        Keyring.from_settings(_settings(tmp_path))
    assert (tmp_path / "home" / "secret.key").read_text() == content


def test_keys_can_come_from_the_settings(tmp_path: Path) -> None:
    keys = ",".join(base64.urlsafe_b64encode(key).decode() for key in (NEW, OLD))
    keyring = Keyring.from_settings(_settings(tmp_path, keys))
    assert keyring.decrypt(Keyring([OLD]).encrypt(b"token", "row"), "row") == b"token"
    assert not (tmp_path / "home").exists()
