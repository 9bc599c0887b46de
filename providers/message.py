"""A mail as an RFC 5322 message: what SMTP and ``.eml`` files share."""

from __future__ import annotations

from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, localtime, make_msgid
from typing import Final

from providers.errors import Rejected
from providers.mailer import Mail

LINE_MAX: Final = 990  # RFC 5322 allows 998


class _Unfolded(EmailPolicy):
    """Leaves plain headers on one line: folded, List-Unsubscribe has broken signatures, and long ids get encoded."""

    def fold(self, name: str, value: str) -> str:
        return self._plain(name, value) or super().fold(name, value)

    def fold_binary(self, name: str, value: str) -> bytes:
        return self._plain(name, value).encode("ascii") or super().fold_binary(name, value)

    def _plain(self, name: str, value: str) -> str:
        line = f"{name}: {value}"
        return line + self.linesep if line.isascii() and line.isprintable() and len(line) < LINE_MAX else ""


def as_message(mail: Mail) -> EmailMessage:
    """Text and HTML as alternatives, the attachments beside them; ``Message-ID`` is the mail's own where it has one."""
    message = EmailMessage(policy=_Unfolded(linesep="\r\n", cte_type="7bit"))
    message["From"] = _address(mail.sender_name, mail.sender)
    message["To"] = [
        _address(mail.to_name if number == 0 else "", address) for number, address in enumerate(dict.fromkeys(mail.to))
    ]
    if mail.reply_to:
        message["Reply-To"] = _address("", mail.reply_to)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(localtime())
    for name, value in mail.headers:
        message[name] = value
    if "Message-ID" not in message:
        message["Message-ID"] = make_msgid(domain=mail.sender.rpartition("@")[2])
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    for attachment in mail.attachments:
        main, _, sub = attachment.content_type.partition("/")
        message.add_attachment(
            attachment.content, maintype=main, subtype=sub or "octet-stream", filename=attachment.filename
        )
    return message


def _address(name: str, address: str) -> Address:
    try:
        return Address(name, addr_spec=address)
    except (ValueError, MessageError):
        raise Rejected("a mail address could not be read, so nothing was sent", code="address") from None
