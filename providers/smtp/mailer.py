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

from providers.errors import ProviderError, Reconnect, Rejected, TryLater, Unknown
from providers.ledger import Calls
from providers.mailer import Accepted, Mail
from providers.message import as_message

SILENCE_S_MAX: Final = 30
_GO_AHEAD, _TAKEN, _REFUSED = 354, 250, 500
_WORDS_MAX = 200


class SmtpMailer:
    """The mailer port over SMTP. It cannot look back: ``find`` never answers."""

    name = "the SMTP server"
    reconciles = False

    def __init__(self, url: str, calls: Calls, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self._implicit_tls = parts.scheme == "smtps"
        self._host = parts.hostname or ""
        self._port = parts.port or (465 if self._implicit_tls else 587)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._calls = calls
        self._tls = tls or ssl.create_default_context()

    def send(self, mail: Mail) -> Accepted:
        """Send once."""
        message = as_message(mail)
        self._calls.before("mail")
        status = 0
        try:
            with self._server() as server:
                self._greet(server)
                self._address(server, mail)
                status = _deliver(server, _dotted(bytes(message)))
        finally:
            self._calls.after("mail", status, {})
        return Accepted(str(message["Message-ID"]))

    def find(self, key: str, to: tuple[str, ...], since_at: datetime) -> Accepted | None:
        """SMTP keeps no log to ask."""
        return None

    def suppressed(self, address: str) -> str:
        """SMTP knows no list; bounces come as mails to the sender."""
        return ""

    @contextlib.contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        """Connect and hang up again; what goes wrong while hanging up changes nothing any more."""
        try:
            if self._implicit_tls:
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    self._host, self._port, timeout=SILENCE_S_MAX, context=self._tls
                )
            else:
                server = smtplib.SMTP(self._host, self._port, timeout=SILENCE_S_MAX)
        except (OSError, smtplib.SMTPException) as error:
            raise TryLater(f"the SMTP server could not be reached ({_kind(error)}); nothing was sent") from None
        with contextlib.closing(server):
            yield server
            # Nothing depends on the farewell any more.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()

    def _greet(self, server: smtplib.SMTP) -> None:
        """Make the line private and sign in. A password never goes over an open line to another machine."""
        with _nothing_sent():
            server.ehlo()
            if not self._implicit_tls and server.has_extn("starttls"):
                server.starttls(context=self._tls)
                server.ehlo()
            elif self._user and not self._implicit_tls and not _is_loopback(self._host):
                raise Reconnect("the SMTP server offers no STARTTLS, so the password of SMTP_URL was not sent to it")
        if self._user:
            with _nothing_sent():
                server.login(self._user, self._password)

    def _address(self, server: smtplib.SMTP, mail: Mail) -> None:
        """Name sender and recipients; one that is refused does not keep the mail from the others."""
        try:
            with _nothing_sent():
                _expect(*server.mail(mail.sender))
                answers = [server.rcpt(address) for address in mail.to]
        except UnicodeEncodeError:
            raise Rejected("an address has letters that plain SMTP does not know", code="address") from None
        if not any(code < 300 for code, _ in answers):
            _expect(*min(answers))  # a "later" is softer than a "never"


def _deliver(server: smtplib.SMTP, content: bytes) -> int:
    """Hand over the mail itself: the step whose failure leaves everybody in the dark."""
    with _nothing_sent():
        code, said = server.docmd("DATA")
        if code != _GO_AHEAD:
            _expect(code if code >= 400 else _REFUSED, said)
    try:
        server.send(content)
        code, said = server.getreply()
    except (OSError, smtplib.SMTPException) as error:
        raise Unknown(f"the SMTP server did not answer to the mail ({_kind(error)}); it may have been sent") from None
    if code != _TAKEN:
        _expect(code if code >= 400 else _REFUSED, said)
    return code


@contextlib.contextmanager
def _nothing_sent() -> Iterator[None]:
    """Failures within come before the mail itself."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        raise _not_known(error) from None
    except (smtplib.SMTPNotSupportedError, smtplib.SMTPResponseException, smtplib.SMTPException, OSError) as error:
        raise TryLater(f"the SMTP server broke off ({_kind(error)}); nothing was sent") from None


def _not_known(error: smtplib.SMTPAuthenticationError) -> ProviderError:
    if error.smtp_code < _REFUSED:
        return TryLater(f"the SMTP server cannot check the password now ({error.smtp_code}); nothing was sent")
    return Reconnect(f"the SMTP server refused user and password of SMTP_URL ({error.smtp_code})")


def _expect(code: int, said: bytes) -> None:
    """Raise unless the server is content: 4xx asks for another try, 5xx is its last word."""
    if code < 400:
        return
    words = " ".join(said.decode("utf-8", "replace").split())[:_WORDS_MAX]
    if code < _REFUSED:
        raise TryLater(f"the SMTP server asks to try later ({code}): {words}")
    raise Rejected(f"the SMTP server refused the mail ({code}): {words}", code=str(code))


def _dotted(content: bytes) -> bytes:
    """The message as DATA wants it: CRLF, leading dots doubled, and the dot that ends it."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    body = re.sub(rb"(?m)^\.", b"..", lines)
    return body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n"


def _kind(error: Exception) -> str:
    """Name a failure without quoting what a server said into it."""
    return {"SMTPServerDisconnected": "connection closed", "TimeoutError": "no answer in time"}.get(
        type(error).__name__, type(error).__name__
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
