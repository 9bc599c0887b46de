"""SMTP against small real servers: what was certainly not sent, what certainly was, and what is unknown."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable
from email import message_from_bytes, policy
from typing import Any

import pytest

from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, ProviderError, TransientError
from providers.mailer import Email
from providers.smtp.mailer import SmtpMailer
from tests.providers.mailers.conftest import CallCounter, serve_once

HELLO = {"EHLO": "250-here\r\n250 AUTH PLAIN"}


class ScriptedServer:
    """A server that answers each command by its first word; "!" hangs up instead."""

    def __init__(self, **replies: str) -> None:
        self.replies = {
            "": "220 here",
            "EHLO": "250 here",
            "MAIL": "250 ok",
            "RCPT": "250 ok",
            "DATA": "354 go ahead",
            ".": "250 taken",
            "QUIT": "221 bye",
            **{name.rstrip("_") or ".": answer for name, answer in replies.items()},
        }
        self.received: list[str] = []
        self.email_data = b""

    def __call__(self, connection: socket.socket) -> None:
        with connection.makefile("rwb") as stream:
            if not self._answer(stream, ""):
                return
            while line := stream.readline():
                word = line.split()[0].decode().upper()
                self.received.append(line.decode().strip())
                if not self._answer(stream, word) or word == "QUIT":
                    return
                if word == "DATA" and self.replies["DATA"].startswith("354"):
                    self._take(stream)
                    if not self._answer(stream, "."):
                        return

    def _take(self, stream: Any) -> None:
        while (line := stream.readline()) not in {b".\r\n", b""}:
            self.email_data += line[1:] if line.startswith(b"..") else line

    def _answer(self, stream: Any, word: str) -> bool:
        answer = self.replies.get(word, "502 what?")
        if answer == "!":
            return False
        stream.write(answer.encode() + b"\r\n")
        stream.flush()
        return True


@pytest.fixture
def send(email: Email, calls: CallCounter) -> Callable[..., object]:
    def to(script: ScriptedServer, url: str = "smtp://127.0.0.1:{port}", email: Email = email) -> object:
        with serve_once(script) as port:
            return SmtpMailer(url.format(port=port), calls).send(email)

    return to


def test_email_arrives_complete(send: Callable[..., object], email: Email) -> None:
    script = ScriptedServer()
    accepted = send(script)
    assert accepted == ("<abc123@larkspur.example>", "")
    arrived = message_from_bytes(script.email_data, policy=policy.default)
    text, html = (arrived.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert text.get_content() == email.text.replace("\n", "\r\n") or text.get_content() == email.text
    assert "Pay invoice 1038" in html.get_content()
    assert arrived["Subject"] == email.subject
    assert arrived["Reply-To"] == "books@larkspur.example"
    assert [part.get_filename() for part in arrived.iter_attachments()] == ["invoice-1038.pdf"]
    assert [line for line in script.received if line.startswith("rcpt")] == [
        "rcpt TO:<ada@example.com>",
        "rcpt TO:<office@example.com>",
    ]


def test_headers_covered_by_signatures_stay_on_one_line(send: Callable[..., object]) -> None:
    script = ScriptedServer()
    send(script)
    lines = script.email_data.split(b"\r\n")
    assert any(line.startswith(b"List-Unsubscribe: <https://") and line.endswith(b"x>") for line in lines)


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({"": "421 too busy"}, TransientError),
        ({"": "!"}, TransientError),
        ({"EHLO": "!"}, TransientError),
        ({"MAIL": "!"}, TransientError),
        ({"MAIL": "451 try again"}, TransientError),
        ({"MAIL": "550 not you"}, PermanentError),
        ({"RCPT": "550 5.1.1 no such user"}, PermanentError),
        ({"RCPT": "450 greylisted"}, TransientError),
        ({"RCPT": "!"}, TransientError),
        ({"DATA": "554 no"}, PermanentError),
        ({"DATA": "!"}, TransientError),
        ({".": "552 too large"}, PermanentError),
        ({".": "451 later"}, TransientError),
        ({".": "!"}, OutcomeUnknown),
    ],
)
def test_each_failure_is_classified_by_what_to_do(
    send: Callable[..., object], calls: CallCounter, answers: dict[str, str], error: type[ProviderError]
) -> None:
    script = ScriptedServer()
    script.replies.update(answers)
    with pytest.raises(error) as raised:
        send(script)
    assert type(raised.value) is error
    assert calls.kinds == ["email"]
    assert calls.statuses == [0]


def test_refused_connection_means_the_email_was_not_sent(email: Email, calls: CallCounter, closed_port: int) -> None:
    with pytest.raises(TransientError, match="nothing was sent"):
        SmtpMailer(f"smtp://127.0.0.1:{closed_port}", calls).send(email)


def test_one_rejected_recipient_does_not_stop_the_others_email(send: Callable[..., object]) -> None:
    class Picky(ScriptedServer):
        def _answer(self, stream: Any, word: str) -> bool:
            self.replies["RCPT"] = "550 no" if self.received and "office" in self.received[-1] else "250 ok"
            return super()._answer(stream, word)

    script = Picky()
    assert send(script) == ("<abc123@larkspur.example>", "")


def test_credentials_are_used_and_wrong_ones_stop_all_email(send: Callable[..., object]) -> None:
    script = ScriptedServer(AUTH="535 5.7.8 no")
    script.replies.update(HELLO)
    with pytest.raises(AuthorizationExpired, match="SMTP_URL") as raised:
        send(script, "smtp://me:p%40ss@127.0.0.1:{port}")
    assert "p@ss" not in str(raised.value)
    assert any(line.startswith("AUTH PLAIN") for line in script.received)


def test_password_is_not_sent_unencrypted(email: Email, calls: CallCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.smtp.mailer._is_loopback", lambda _host: False)
    script = ScriptedServer()
    script.replies.update(HELLO)
    with serve_once(script) as port, pytest.raises(AuthorizationExpired, match="STARTTLS"):
        SmtpMailer(f"smtp://me:pass@127.0.0.1:{port}", calls).send(email)
    assert not any(line.startswith("AUTH") for line in script.received)


@pytest.mark.parametrize("address", ["jörg@example.com", "two words@example.com", "nobody"])
def test_invalid_address_is_rejected(send: Callable[..., object], email: Email, address: str) -> None:
    with pytest.raises(PermanentError):
        send(ScriptedServer(), email=dataclasses.replace(email, to=(address,)))


def test_sent_email_cannot_be_searched_for(email: Email, calls: CallCounter) -> None:
    mailer = SmtpMailer("smtp://127.0.0.1", calls)
    assert not mailer.can_find_sent
    assert mailer.find_suppressions(["ada@example.com"]) == {}
