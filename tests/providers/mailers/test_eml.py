"""A folder of .eml files: complete, private, and each email once."""

from __future__ import annotations

import dataclasses
import stat
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from providers import build_mailer
from providers.eml.mailer import EmlMailer
from providers.errors import TransientError
from providers.mailer import Email
from tests.providers.mailers.conftest import CallCounter

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def mailer(folder: Path, calls: CallCounter) -> EmlMailer:
    return EmlMailer(folder, calls)


def test_email_becomes_one_private_file(mailer: EmlMailer, folder: Path, email: Email) -> None:
    accepted = mailer.send(email)
    (file,) = folder.iterdir()
    assert file.name == accepted.message_id
    assert file.suffix == ".eml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    arrived = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert arrived["To"] == "Ada Lovelace <ada@example.com>, office@example.com"
    assert arrived["Message-ID"] == "<abc123@larkspur.example>"


def test_same_key_is_never_written_twice(mailer: EmlMailer, folder: Path, email: Email) -> None:
    first = mailer.send(email)
    before = (folder / first.message_id).read_bytes()
    assert mailer.send(dataclasses.replace(email, attempt=2, text="changed")) == first
    assert [one.read_bytes() for one in folder.iterdir()] == [before]


def test_similar_keys_get_separate_files(mailer: EmlMailer, folder: Path, email: Email) -> None:
    for key in ("a/b", "a:b", "../a-b", "A-B" * 60):
        mailer.send(dataclasses.replace(email, key=key))
    assert len(list(folder.iterdir())) == 4


def test_written_email_is_found(mailer: EmlMailer, email: Email) -> None:
    assert mailer.find_sent(email.key, email.to, NOW) is None
    accepted = mailer.send(email)
    assert mailer.find_sent(email.key, email.to, NOW) == accepted


def test_nothing_is_sent_when_the_folder_is_not_writable(folder: Path, calls: CallCounter, email: Email) -> None:
    folder.write_text("a file is in its place")
    with pytest.raises(TransientError):
        EmlMailer(folder, calls).send(email)


def test_mailer_is_found_by_name(folder: Path, calls: CallCounter) -> None:
    class Settings:
        eml_folder = folder

    assert isinstance(build_mailer("eml", Settings(), calls), EmlMailer)
    with pytest.raises(LookupError):
        build_mailer("pigeon", Settings(), calls)
    with pytest.raises(LookupError):
        build_mailer("xero", Settings(), calls)
