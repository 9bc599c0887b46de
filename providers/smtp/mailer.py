"""Sends through any SMTP server, and tells exactly where a failure fell.

Up to the server's "354 go ahead" nothing of the mail has left: those failures are definite. From the first byte of the
mail to the server's answer to its end, nobody knows: such a mail is ``Unknown`` and never sent again by itself.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import ssl
from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, ProviderError, TransientError
from providers.ledger import CallObserver
from providers.mailer import Email, SendReceipt
from providers.message import build_message

READ_TIMEOUT_S: Final = 30
_START_MAIL_INPUT, _ACCEPTED, _FIRST_PERMANENT_FAILURE = 354, 250, 500
_MESSAGE_LENGTH_MAX = 200


class SmtpMailer:
    """The mailer port over SMTP. It cannot look back: ``find`` never answers."""

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
        """Send once."""
        message = build_message(email)
        self._calls.before("email")
        status = 0
        try:
            with self._connect() as server:
                self._secure_and_log_in(server)
                self._send_envelope(server, email)
                status = _send_data(server, _dot_stuffed(bytes(message)))
        finally:
            self._calls.after("email", status, {})
        return SendReceipt(str(message["Message-ID"]))

    def find_sent(self, key: str, to: tuple[str, ...], since_at: datetime) -> SendReceipt | None:
        """SMTP keeps no log to ask."""
        return None

    def get_suppression_reason(self, address: str) -> str:
        """SMTP knows no list; bounces come as mails to the sender."""
        return ""

    @contextlib.contextmanager
    def _connect(self) -> Iterator[smtplib.SMTP]:
        """Connect and hang up again; what goes wrong while hanging up changes nothing any more."""
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
            # Nothing depends on the farewell any more.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()

    def _secure_and_log_in(self, server: smtplib.SMTP) -> None:
        """Make the line private and sign in. A password never goes over an open line to another machine."""
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
        """Name sender and recipients; one that is refused does not keep the mail from the others."""
        try:
            with _before_data():
                _raise_for_reply(*server.mail(email.sender))
                answers = [server.rcpt(address) for address in email.to]
        except UnicodeEncodeError:
            raise PermanentError("an address has letters that plain SMTP does not know", code="address") from None
        if not any(code < 300 for code, _ in answers):
            _raise_for_reply(*min(answers))  # a "later" is softer than a "never"


def _send_data(server: smtplib.SMTP, content: bytes) -> int:
    """Hand over the mail itself: the step whose failure leaves everybody in the dark."""
    with _before_data():
        code, said = server.docmd("DATA")
        if code != _START_MAIL_INPUT:
            _raise_for_reply(code if code >= 400 else _FIRST_PERMANENT_FAILURE, said)
    try:
        server.send(content)
        code, said = server.getreply()
    except (OSError, smtplib.SMTPException) as error:
        raise OutcomeUnknown(
            f"the SMTP server did not answer to the mail ({_describe_error(error)}); it may have been sent"
        ) from None
    if code != _ACCEPTED:
        _raise_for_reply(code if code >= 400 else _FIRST_PERMANENT_FAILURE, said)
    return code


@contextlib.contextmanager
def _before_data() -> Iterator[None]:
    """Failures within come before the mail itself."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        raise _login_error(error) from None
    except (smtplib.SMTPNotSupportedError, smtplib.SMTPResponseException, smtplib.SMTPException, OSError) as error:
        raise TransientError(f"the SMTP server broke off ({_describe_error(error)}); nothing was sent") from None


def _login_error(error: smtplib.SMTPAuthenticationError) -> ProviderError:
    if error.smtp_code < _FIRST_PERMANENT_FAILURE:
        return TransientError(f"the SMTP server cannot check the password now ({error.smtp_code}); nothing was sent")
    return AuthorizationExpired(f"the SMTP server refused user and password of SMTP_URL ({error.smtp_code})")


def _raise_for_reply(code: int, reply_text: bytes) -> None:
    """Raise unless the server is content: 4xx asks for another try, 5xx is its last word."""
    if code < 400:
        return
    words = " ".join(reply_text.decode("utf-8", "replace").split())[:_MESSAGE_LENGTH_MAX]
    if code < _FIRST_PERMANENT_FAILURE:
        raise TransientError(f"the SMTP server asks to try later ({code}): {words}")
    raise PermanentError(f"the SMTP server refused the mail ({code}): {words}", code=str(code))


def _dot_stuffed(content: bytes) -> bytes:
    """The message as DATA wants it: CRLF, leading dots doubled, and the dot that ends it."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    body = re.sub(rb"(?m)^\.", b"..", lines)
    return body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n"


def _describe_error(error: Exception) -> str:
    """Name a failure without quoting what a server said into it."""
    return {"SMTPServerDisconnected": "connection closed", "TimeoutError": "no answer in time"}.get(
        type(error).__name__, type(error).__name__
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
