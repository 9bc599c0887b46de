"""Bank statements by email: only what SendGrid signed, from an allowed sender whose domain signed it, is imported."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from connector.bank import watched_folder
from connector.services import bank_statements
from connector.vocabulary import LogKind
from providers.sendgrid import webhook
from tests.connector.bank.test_bank_run import csv_of, log_texts, matches
from tests.connector.emails.inbound.conftest import HOST, REPLIES, WebClient, serve
from tests.connector.scenario import ResumeAfter, Scenario, add_late_customer

BANK = "statements@mail.bank.example"
KEY = ec.generate_private_key(ec.SECP256R1())
PASSED = "{@bank.example : pass}"
BOUNDARY = "xYzZY"  # of every form that SendGrid posts


@dataclass(kw_only=True)
class Door(Scenario):
    """A company whose bank emails statements; an invoice is overdue."""

    client: WebClient
    address: str


@pytest.fixture
def door(resume_after: ResumeAfter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    public = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    monkeypatch.setenv("DUEWELL_BASE_URL", f"https://{HOST}")
    monkeypatch.setenv("MAIL_REPLY_DOMAIN", REPLIES)
    monkeypatch.setenv("SENDGRID_INBOUND_PUBLIC_KEY", base64.b64encode(public).decode())
    monkeypatch.setenv("DUEWELL_BANK_SENDERS", "Bank.example, statements@mail.bank.example")
    monkeypatch.setenv("DUEWELL_BANK_FOLDER", str(tmp_path))
    with resume_after(add_late_customer, "xero") as made, serve(made.app) as client:
        address = bank_statements.statement_address(made.app, made.connection)
        yield Door(**vars(made), client=client, address=address)


def post(
    door: Door,
    *files: tuple[str, bytes],
    sender: str = f"Your bank <{BANK}>",
    dkim: str = PASSED,
    to: str = "",
    is_signed: bool = True,
    raw: bytes = b"",
) -> int:
    """Post an email as SendGrid does, and return the status."""
    fields: dict[str, tuple[str | None, str | bytes]] = {
        "to": (None, to or door.address),
        "dkim": (None, dkim),
        "SPF": (None, "pass"),
    }
    if raw:
        fields["email"] = (None, raw)
    else:
        fields["from"] = (None, sender)
        fields |= {f"attachment{place}": (name, content) for place, (name, content) in enumerate(files, 1)}
    request = requests.Request("POST", "https://reminders.example/", files=fields).prepare()
    boundary = request.headers["Content-Type"].rpartition("=")[2]
    assert isinstance(request.body, bytes)
    body = request.body.replace(boundary.encode(), BOUNDARY.encode())
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", webhook.TIMESTAMP: "1781000000"}
    if is_signed:
        signed = KEY.sign(b"1781000000" + body, ec.ECDSA(hashes.SHA256()))
        headers[webhook.SIGNATURE] = base64.b64encode(signed).decode()
    return int(door.client.post("/webhooks/sendgrid-inbound", data=body, headers=headers).status_code)


def statement(door: Door) -> bytes:
    return csv_of((door.days_ago(1), "Ashdown Ltd", door.number, "1200.00"))


def saved(door: Door) -> list[str]:
    folder = door.app.settings.duewell_bank_folder
    assert folder is not None
    return sorted(each.name for each in folder.rglob("*") if each.is_file())


@pytest.mark.parametrize("is_raw", [False, True], ids=["in parts", "raw"])
def test_a_statement_that_the_bank_emails_holds_the_reminder(door: Door, *, is_raw: bool) -> None:
    message = EmailMessage()
    message["From"], message["To"] = f"Your bank <{BANK}>", door.address
    message.set_content("Your statement is attached.")
    message.add_attachment(statement(door), maintype="text", subtype="csv", filename="june.csv")
    files = (("logo.png", b"\x89PNG"), ("june.tmp", statement(door)))
    for _posted_again in range(2):
        assert post(door, *files, raw=bytes(message) if is_raw else b"") == 200
    assert [name.partition("-")[0] for name in saved(door)] == ["june"]
    door.run()
    assert [each.invoice for each in matches(door)] == [door.number]
    assert door.customer_emails() == []


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        ({"is_signed": False}, 401, ""),
        ({"dkim": "{@evil.example : pass, @bank.example : fail}"}, 200, "has not signed it"),
        ({"dkim": "none"}, 200, "has not signed it"),
        ({"dkim": '{"@bank.example : pass, x"@evil.example : pass}'}, 200, "has not signed it"),
        ({"sender": "mallory@other.example", "dkim": "{@other.example : pass}"}, 200, "is not in DUEWELL_BANK_SENDERS"),
        ({"sender": f"{BANK}, mallory@evil.example"}, 200, "is not in DUEWELL_BANK_SENDERS"),
        ({"to": f"bank+{'a' * 32}@{REPLIES}"}, 200, ""),
    ],
    ids=[
        "unsigned",
        "signed by another domain",
        "no DKIM",
        "made-up identity",
        "a stranger",
        "two senders",
        "another address",
    ],
)
def test_what_may_not_be_the_banks_is_not_taken(
    door: Door, options: dict[str, object], status: int, reason: str
) -> None:
    assert post(door, ("june.csv", statement(door)), **options) == status  # type: ignore[arg-type]
    assert saved(door) == []
    warnings = [text for text in log_texts(door, LogKind.WARNING) if "address for bank statements" in text]
    assert len(warnings) == bool(reason)
    assert not reason or reason in warnings[0]


@pytest.mark.parametrize("made_up", [{"dkim": PASSED}, {"dkim": PASSED, "from": BANK}], ids=" and ".join)
@pytest.mark.parametrize("cut", [False, True], ids=["beside the real ones", "instead of the real ones"])
def test_an_email_that_holds_fields_of_the_form_is_not_taken(door: Door, made_up: dict[str, str], *, cut: bool) -> None:
    head = f"\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="
    text = "".join(f'{head}"{name}"\r\n\r\n{value}' for name, value in made_up.items())
    text += f'{head}"attachment1"; filename="made-up.csv"\r\n\r\n{statement(door).decode()}'
    sender = "mallory@evil.example" if "from" in made_up else BANK
    to = f"{door.address}{text}{head * 300}" if cut else ""
    files = [] if cut else [("june.csv", statement(door)), ("note.txt", text.encode())]
    assert post(door, *files, sender=sender, dkim="{@evil.example : pass}", to=to) == 200
    assert saved(door) == []


def test_more_files_than_are_read_are_named_and_a_coded_name_is_read(door: Door) -> None:
    name = b"=?utf-8?B?c3RhdGVtZW50LnBkZg==?="  # statement.pdf
    coded = b'From: bank@bank.example\r\nContent-Disposition: attachment; filename="%s"\r\n\r\n1' % name
    files = [(f"{number}.csv", b"1;2") for number in range(21)]
    assert post(door, *files) == post(door, raw=coded) == 200
    assert saved(door) == []
    none, many = sorted(text for text in log_texts(door, LogKind.WARNING) if "address for bank statements" in text)
    assert "no statement is attached" in none
    assert "more than 20 files" in many


def test_an_attachment_cannot_choose_where_it_is_saved_and_a_large_email_is_named(door: Door) -> None:
    assert post(door, ("../../.ssh/june.csv", statement(door)), ("..", b"x;y")) == 200
    folder = door.app.settings.duewell_bank_folder
    assert folder is not None
    names = [each.relative_to(folder).parts for each in folder.rglob("*") if each.is_file()]
    assert {len(parts) for parts in names} == {2}
    assert all(parts[1].startswith(("june-", "statement-")) for parts in names)

    assert post(door, ("year.csv", b"1;2;3\n" * 300_000)) == 200
    (warning,) = [text for text in log_texts(door, LogKind.WARNING) if "address for bank statements" in text]
    assert "larger than 1 MB" in warning


def test_an_email_that_cannot_be_saved_is_posted_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("connector.emails.inbound.statement_emails.os.fsync", _full_disk)
        assert post(door, ("june.csv", statement(door))) == 500
    problems = watched_folder.import_files(door.app, door.connection, "larkspur")
    assert problems == []
    assert matches(door) == []
    assert post(door, ("june.csv", statement(door))) == 200
    door.run()
    assert len(matches(door)) == 1


def _full_disk(_file: int) -> None:
    raise OSError(28, "No space left on device")
