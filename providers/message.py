"""Builds an email as an RFC 5322 message, for SMTP, ``.eml`` files and mailboxes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, localtime, make_msgid
from typing import Final

from providers.errors import PermanentError
from providers.mailer import Email, InlineImage

LINE_MAX: Final = 990  # RFC 5322 allows 998


def message_id(key: str, domain: str) -> str:
    """Return the Message-ID for an outbox key: always the same, and meaningless to strangers."""
    return f"<{message_id_part(key)}@{domain}>"


def message_id_part(key: str) -> str:
    """Return what stands before the domain in the Message-ID for an outbox key."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


class _UnfoldedPolicy(EmailPolicy):
    """Keeps plain headers on one line: folding breaks signatures over List-Unsubscribe and encodes long ids."""

    def fold(self, name: str, value: str) -> str:
        return self._single_line(name, value) or super().fold(name, value)

    def fold_binary(self, name: str, value: str) -> bytes:
        return self._single_line(name, value).encode("ascii") or super().fold_binary(name, value)

    def _single_line(self, name: str, value: str) -> str:
        line = f"{name}: {value}"
        return line + self.linesep if line.isascii() and line.isprintable() and len(line) < LINE_MAX else ""


def build_message(email: Email, *, with_blind_copies: bool = False) -> EmailMessage:
    """Return the message: text and HTML as alternatives, the HTML with its images, then the attachments.

    An existing ``Message-ID`` is kept.

    Who gets a blind copy is in the envelope alone; where a service takes no envelope (the APIs of mailboxes), it reads
    them in ``Bcc``, and takes that out.
    """
    message = EmailMessage(policy=_UnfoldedPolicy(linesep="\r\n", cte_type="7bit"))
    message["From"] = _address(email.sender_name, email.sender)
    message["To"] = [
        _address(email.to_name if position == 0 else "", address)
        for position, address in enumerate(dict.fromkeys(email.to))
    ]
    if email.cc:
        message["Cc"] = [_address("", address) for address in dict.fromkeys(email.cc)]
    if email.bcc and with_blind_copies:
        message["Bcc"] = [_address("", address) for address in dict.fromkeys(email.bcc)]
    if email.reply_to:
        message["Reply-To"] = _address("", email.reply_to)
    message["Subject"] = email.subject
    message["Date"] = format_datetime(localtime())
    for name, value in email.headers:
        message[name] = value
    if "Message-ID" not in message:
        message["Message-ID"] = make_msgid(domain=email.sender.rpartition("@")[2])
    message.set_content(email.text)
    message.add_alternative(email.html, subtype="html")
    _add_images(message, email.inline)
    for attachment in email.attachments:
        main, _, sub = attachment.content_type.partition("/")
        message.add_attachment(
            attachment.content, maintype=main, subtype=sub or "octet-stream", filename=attachment.filename
        )
    return message


def _add_images(message: EmailMessage, images: Sequence[InlineImage]) -> None:
    """Attach the images to the HTML part, in one multipart/related with it: there every email program finds them."""
    html = message.get_body(("html",))
    if html is None or not images:
        return
    for image in images:
        main, _, sub = image.content_type.partition("/")
        html.add_related(
            image.content,
            maintype=main,
            subtype=sub,
            cid=f"<{image.content_id}>",
            filename=image.filename,
            disposition="inline",
        )


def _address(name: str, address: str) -> Address:
    try:
        return Address(name, addr_spec=address)
    except (ValueError, MessageError):
        raise PermanentError("an email address is invalid; nothing was sent", code="address") from None
