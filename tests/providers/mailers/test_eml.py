"""A folder of .eml files: whole, private, and each mail once."""

from __future__ import annotations

import dataclasses
import email
import email.policy
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from providers import find_mailer
from providers.eml.mailer import EmlMailer
from providers.errors import TryLater
from providers.mailer import Mail
from tests.providers.mailers.conftest import Counted

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def mailer(folder: Path, calls: Counted) -> EmlMailer:
    return EmlMailer(folder, calls)


def test_a_mail_becomes_one_private_file(mailer: EmlMailer, folder: Path, mail: Mail) -> None:
    accepted = mailer.send(mail)
    (file,) = folder.iterdir()
    assert file.name == accepted.reference
    assert file.suffix == ".eml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    arrived = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert arrived["To"] == "Ada Lovelace <ada@example.com>, office@example.com"
    assert arrived["Message-ID"] == "<abc123@larkspur.example>"


def test_the_same_key_is_never_written_twice(mailer: EmlMailer, folder: Path, mail: Mail) -> None:
    first = mailer.send(mail)
    before = (folder / first.reference).read_bytes()
    assert mailer.send(dataclasses.replace(mail, attempt=2, text="changed")) == first
    assert [one.read_bytes() for one in folder.iterdir()] == [before]


def test_keys_that_look_alike_get_files_of_their_own(mailer: EmlMailer, folder: Path, mail: Mail) -> None:
    for key in ("a/b", "a:b", "../a-b", "A-B" * 60):
        mailer.send(dataclasses.replace(mail, key=key))
    assert len(list(folder.iterdir())) == 4


def test_what_was_written_is_found(mailer: EmlMailer, mail: Mail) -> None:
    assert mailer.find(mail.key, mail.to, NOW) is None
    accepted = mailer.send(mail)
    assert mailer.find(mail.key, mail.to, NOW) == accepted


def test_a_folder_that_cannot_be_written_sends_nothing(folder: Path, calls: Counted, mail: Mail) -> None:
    folder.write_text("a file is in its place")
    with pytest.raises(TryLater):
        EmlMailer(folder, calls).send(mail)


def test_a_mailer_is_found_by_its_name(folder: Path, calls: Counted) -> None:
    class Settings:
        eml_folder = folder

    assert isinstance(find_mailer("eml", Settings(), calls), EmlMailer)
    with pytest.raises(LookupError):
        find_mailer("pigeon", Settings(), calls)
    with pytest.raises(LookupError):
        find_mailer("xero", Settings(), calls)
