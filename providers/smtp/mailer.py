"""Sends emails through any SMTP server.

Up to the server's "354 go ahead", nothing of the email has been sent: those failures are definite. From its first byte
to the server's reply to its end, the outcome is unknown: such an email is never sent again automatically.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import ssl
from collections.abc import Iterator, Sequence
from datetime import datetime
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

from providers.calls import CallKind, CallObserver
from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, ProviderError, TransientError
from providers.mailer import Email, SendReceipt, Suppression
from providers.message import build_message

READ_TIMEOUT_S: Final = 30
_START_MAIL_INPUT, _ACCEPTED, _FIRST_PERMANENT_FAILURE = 354, 250, 500
_MESSAGE_LENGTH_MAX = 200


class SmtpMailer:
    """The mailer port over SMTP. SMTP keeps no log, so ``find_sent`` never finds anything."""

    name = "the SMTP server"
    can_find_sent = False

    def __init__(self, url: str, calls: CallObserver, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self._implicit_tls = parts.scheme == "smtps"
        self._host = parts.hostname or ""
        self._port = parts.port or (465 if self._implicit_tls else 587)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._calls = calls
        self._tls = tls or ssl.create_default_context()

    def send(self, email: Email) -> SendReceipt:
        """Send the email once."""
        message = build_message(email)
        self._calls.before(CallKind.EMAIL)
        status = 0
        try:
            with self._connect() as server:
                self._secure_and_log_in(server)
                self._send_envelope(server, email)
                status = _send_data(server, _dot_stuffed(bytes(message)))
        finally:
            self._calls.after(CallKind.EMAIL, status, {})
        return SendReceipt(str(message["Message-ID"]))

    def find_sent(self, key: str, to: tuple[str, ...], since_at: datetime) -> SendReceipt | None:
        """Return None: SMTP keeps no log."""
        return None

    def find_suppressions(self, addresses: Sequence[str]) -> dict[str, Suppression]:
        """Return none: SMTP has no lists; bounces arrive as emails to the sender."""
        return {}

    @contextlib.contextmanager
    def _connect(self) -> Iterator[smtplib.SMTP]:
        """Connect, and disconnect at the end."""
        try:
            if self._implicit_tls:
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    self._host, self._port, timeout=READ_TIMEOUT_S, context=self._tls
                )
            else:
                server = smtplib.SMTP(self._host, self._port, timeout=READ_TIMEOUT_S)
        except (OSError, smtplib.SMTPException) as error:
            raise TransientError(
                f"the SMTP server could not be reached ({_describe_error(error)}); nothing was sent"
            ) from None
        with contextlib.closing(server):
            yield server
            # The outcome is already known: a failing QUIT changes nothing.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()

    def _secure_and_log_in(self, server: smtplib.SMTP) -> None:
        """Start TLS and log in. A password is never sent unencrypted to another machine."""
        with _before_data():
            server.ehlo()
            if not self._implicit_tls and server.has_extn("starttls"):
                server.starttls(context=self._tls)
                server.ehlo()
            elif self._user and not self._implicit_tls and not _is_loopback(self._host):
                raise AuthorizationExpired(
                    "the SMTP server offers no STARTTLS, so the password of SMTP_URL was not sent to it"
                )
        if self._user:
            with _before_data():
                server.login(self._user, self._password)

    def _send_envelope(self, server: smtplib.SMTP, email: Email) -> None:
        """Send sender and recipients; a rejected recipient does not keep the email from the others."""
        try:
            with _before_data():
                _raise_for_reply(*server.mail(email.sender))
                replies = [server.rcpt(address) for address in dict.fromkeys(email.recipients)]
        except UnicodeEncodeError:
            raise PermanentError("an address has characters that SMTP does not support", code="address") from None
        if not any(code < 300 for code, _ in replies):
            _raise_for_reply(*min(replies))  # a temporary rejection counts before a permanent one


def _send_data(server: smtplib.SMTP, content: bytes) -> int:
    """Send the email itself: the only step whose failure leaves the outcome unknown."""
    with _before_data():
        code, reply_text = server.docmd("DATA")
        if code != _START_MAIL_INPUT:
            _raise_for_reply(code if code >= 400 else _FIRST_PERMANENT_FAILURE, reply_text)
    try:
        server.send(content)
        code, reply_text = server.getreply()
    except (OSError, smtplib.SMTPException) as error:
        raise OutcomeUnknown(
            f"the SMTP server did not reply to the email ({_describe_error(error)}); it may have been sent"
        ) from None
    if code != _ACCEPTED:
        _raise_for_reply(code if code >= 400 else _FIRST_PERMANENT_FAILURE, reply_text)
    return code


@contextlib.contextmanager
def _before_data() -> Iterator[None]:
    """Raise the errors of failures that come before the email itself."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        raise _login_error(error) from None
    except (smtplib.SMTPNotSupportedError, smtplib.SMTPResponseException, smtplib.SMTPException, OSError) as error:
        raise TransientError(
            f"the SMTP server broke off the session ({_describe_error(error)}); nothing was sent"
        ) from None


def _login_error(error: smtplib.SMTPAuthenticationError) -> ProviderError:
    if error.smtp_code < _FIRST_PERMANENT_FAILURE:
        return TransientError(
            f"the SMTP server cannot check the password at the moment ({error.smtp_code}); nothing was sent"
        )
    return AuthorizationExpired(f"the SMTP server rejected user and password of SMTP_URL ({error.smtp_code})")


def _raise_for_reply(code: int, reply_text: bytes) -> None:
    """Raise for a rejection: 4xx is temporary, 5xx permanent."""
    if code < 400:
        return
    text = " ".join(reply_text.decode("utf-8", "replace").split())[:_MESSAGE_LENGTH_MAX]
    if code < _FIRST_PERMANENT_FAILURE:
        raise TransientError(f"the SMTP server asks to try again later ({code}): {text}")
    raise PermanentError(f"the SMTP server rejected the email ({code}): {text}", code=str(code))


def _dot_stuffed(content: bytes) -> bytes:
    """Return the message as DATA requires it: CRLF, leading dots doubled, and the dot that ends it."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    body = re.sub(rb"(?m)^\.", b"..", lines)
    return body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n"


def _describe_error(error: Exception) -> str:
    """Describe a failure without quoting the server's text."""
    return {"SMTPServerDisconnected": "connection closed", "TimeoutError": "no reply in time"}.get(
        type(error).__name__, type(error).__name__
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
