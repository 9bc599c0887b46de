"""SMTP against small real servers: what was surely not sent, what surely was, and what nobody knows."""

from __future__ import annotations

import dataclasses
import email
import email.policy
import socket
from collections.abc import Callable
from typing import Any

import pytest

from providers.errors import ProviderError, Reconnect, Rejected, TryLater, Unknown
from providers.mailer import Mail
from providers.smtp.mailer import SmtpMailer
from tests.providers.mailers.conftest import Counted, server_that

HELLO = {"EHLO": "250-here\r\n250 AUTH PLAIN"}


class Script:
    """A server that answers each command by its first word; "!" hangs up instead."""

    def __init__(self, **answers: str) -> None:
        self.answers = {
            "": "220 here",
            "EHLO": "250 here",
            "MAIL": "250 ok",
            "RCPT": "250 ok",
            "DATA": "354 go ahead",
            ".": "250 taken",
            "QUIT": "221 bye",
            **{name.rstrip("_") or ".": answer for name, answer in answers.items()},
        }
        self.said: list[str] = []
        self.mail = b""

    def __call__(self, connection: socket.socket) -> None:
        with connection.makefile("rwb") as stream:
            if not self._answer(stream, ""):
                return
            while line := stream.readline():
                word = line.split()[0].decode().upper()
                self.said.append(line.decode().strip())
                if not self._answer(stream, word) or word == "QUIT":
                    return
                if word == "DATA" and self.answers["DATA"].startswith("354"):
                    self._take(stream)
                    if not self._answer(stream, "."):
                        return

    def _take(self, stream: Any) -> None:
        while (line := stream.readline()) not in {b".\r\n", b""}:
            self.mail += line[1:] if line.startswith(b"..") else line

    def _answer(self, stream: Any, word: str) -> bool:
        answer = self.answers.get(word, "502 what?")
        if answer == "!":
            return False
        stream.write(answer.encode() + b"\r\n")
        stream.flush()
        return True


@pytest.fixture
def send(mail: Mail, calls: Counted) -> Callable[..., object]:
    def to(script: Script, url: str = "smtp://127.0.0.1:{port}", mail: Mail = mail) -> object:
        with server_that(script) as port:
            return SmtpMailer(url.format(port=port), calls).send(mail)

    return to


def test_a_mail_arrives_whole(send: Callable[..., object], mail: Mail) -> None:
    script = Script()
    accepted = send(script)
    assert accepted == ("<abc123@larkspur.example>",)
    arrived = email.message_from_bytes(script.mail, policy=email.policy.default)
    text, html = (arrived.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert text.get_content() == mail.text.replace("\n", "\r\n") or text.get_content() == mail.text
    assert "Pay invoice 1038" in html.get_content()
    assert arrived["Subject"] == mail.subject
    assert arrived["Reply-To"] == "books@larkspur.example"
    assert [part.get_filename() for part in arrived.iter_attachments()] == ["invoice-1038.pdf"]
    assert [line for line in script.said if line.startswith("rcpt")] == [
        "rcpt TO:<ada@example.com>",
        "rcpt TO:<office@example.com>",
    ]


def test_headers_that_signatures_cover_stay_on_one_line(send: Callable[..., object]) -> None:
    script = Script()
    send(script)
    lines = script.mail.split(b"\r\n")
    assert any(line.startswith(b"List-Unsubscribe: <https://") and line.endswith(b"x>") for line in lines)


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({"": "421 too busy"}, TryLater),
        ({"": "!"}, TryLater),
        ({"EHLO": "!"}, TryLater),
        ({"MAIL": "!"}, TryLater),
        ({"MAIL": "451 try again"}, TryLater),
        ({"MAIL": "550 not you"}, Rejected),
        ({"RCPT": "550 5.1.1 no such user"}, Rejected),
        ({"RCPT": "450 greylisted"}, TryLater),
        ({"RCPT": "!"}, TryLater),
        ({"DATA": "554 no"}, Rejected),
        ({"DATA": "!"}, TryLater),
        ({".": "552 too large"}, Rejected),
        ({".": "451 later"}, TryLater),
        ({".": "!"}, Unknown),
    ],
)
def test_each_failure_says_what_to_do(
    send: Callable[..., object], calls: Counted, answers: dict[str, str], error: type[ProviderError]
) -> None:
    script = Script()
    script.answers.update(answers)
    with pytest.raises(error) as raised:
        send(script)
    assert type(raised.value) is error
    assert calls.kinds == ["mail"]
    assert calls.statuses == [0]


def test_a_refused_connection_is_a_mail_that_never_left(mail: Mail, calls: Counted, closed_port: int) -> None:
    with pytest.raises(TryLater, match="nothing was sent"):
        SmtpMailer(f"smtp://127.0.0.1:{closed_port}", calls).send(mail)


def test_one_refused_recipient_does_not_keep_the_mail_from_the_other(send: Callable[..., object]) -> None:
    class Picky(Script):
        def _answer(self, stream: Any, word: str) -> bool:
            self.answers["RCPT"] = "550 no" if self.said and "office" in self.said[-1] else "250 ok"
            return super()._answer(stream, word)

    script = Picky()
    assert send(script) == ("<abc123@larkspur.example>",)


def test_user_and_password_are_given_and_a_wrong_one_stops_all_mail(send: Callable[..., object]) -> None:
    script = Script(AUTH="535 5.7.8 no")
    script.answers.update(HELLO)
    with pytest.raises(Reconnect, match="SMTP_URL") as raised:
        send(script, "smtp://me:p%40ss@127.0.0.1:{port}")
    assert "p@ss" not in str(raised.value)
    assert any(line.startswith("AUTH PLAIN") for line in script.said)


def test_a_password_does_not_travel_in_the_open(mail: Mail, calls: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.smtp.mailer._is_loopback", lambda _host: False)
    script = Script()
    script.answers.update(HELLO)
    with server_that(script) as port, pytest.raises(Reconnect, match="STARTTLS"):
        SmtpMailer(f"smtp://me:pass@127.0.0.1:{port}", calls).send(mail)
    assert not any(line.startswith("AUTH") for line in script.said)


@pytest.mark.parametrize("address", ["jörg@example.com", "two words@example.com", "nobody"])
def test_an_address_that_cannot_be_is_refused(send: Callable[..., object], mail: Mail, address: str) -> None:
    with pytest.raises(Rejected):
        send(Script(), mail=dataclasses.replace(mail, to=(address,)))


def test_it_cannot_look_back(mail: Mail, calls: Counted) -> None:
    mailer = SmtpMailer("smtp://127.0.0.1", calls)
    assert not mailer.reconciles
    assert mailer.suppressed("ada@example.com") == ""
