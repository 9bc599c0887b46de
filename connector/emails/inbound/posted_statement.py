"""An email with a bank statement as SendGrid posts it: who sent it, who signed it, and what is attached.

SendGrid separates the fields by the same line in every email (``--xYzZY``), so that an email may hold fields of its own
making. Where a field that matters comes twice, or more than is read, it is unknown who sent the email.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.utils import getaddresses
from pathlib import PurePosixPath

from connector.emails.inbound.posted_email import PARTS_MAX, split_form
from connector.emails.inbound.reply_parsing import decode_header_text

FILES_MAX = 20
_NAME_MAX = 80
_DKIM = re.compile(r"[\w.+=-]{0,64}@([a-z0-9.-]{1,253})\s*:\s*([a-z]{1,20})", re.ASCII)
_PROOFS = ("dkim", "from", "email")
_UNSAFE = re.compile(r"[^A-Za-z0-9 ._-]+")
# What stands beside a statement in a bank's email: its logo, a copy for people, a signature.
_NO_STATEMENTS = frozenset(
    {".png", ".jpg", ".jpeg", ".gif", ".svg", ".pdf", ".htm", ".html", ".ics", ".vcf", ".p7s", ".asc"}
)


@dataclass(frozen=True, slots=True)
class StatementEmail:
    """An email; ``signed_by`` are the domains whose DKIM signature SendGrid found right."""

    sender: str  # "" where it names none, or several, or where a field of the form is there twice
    signed_by: tuple[str, ...]
    files: tuple[tuple[str, bytes], ...]  # no more than one above FILES_MAX

    def is_from(self, allowed: str) -> bool:
        """Return whether one of these addresses or domains (with commas) sent it, as its domain's signature proves."""
        domain = self.sender.rpartition("@")[2]
        if not domain or not any(_is_of(domain, each) or _is_of(each, domain) for each in self.signed_by):
            return False
        return bool({self.sender, domain}.intersection(allowed.split(",")))


def read_posted_statement(boundary: str, content: bytes) -> StatementEmail:
    """Parse an email that was posted with this boundary, in parts or whole."""
    fields: dict[str, bytes] = {}
    files: list[tuple[str, bytes]] = []
    is_certain = content.count(b"--" + boundary.encode("latin-1", "replace")) <= PARTS_MAX
    for part in split_form(boundary, content):
        if part.file_name:
            files.append((part.file_name, part.content))
            continue
        is_certain = is_certain and not (part.name in _PROOFS and part.name in fields)
        fields[part.name] = part.content
    senders = [fields["from"].decode("utf-8", "replace")] if "from" in fields else []
    if "email" in fields:
        message = message_from_bytes(fields["email"])
        senders += [str(each) for each in message.get_all("From", [])]
        files = list(_attached(message))
    addresses = {address.strip().lower() for _name, address in getaddresses(senders)}
    return StatementEmail(
        sender=addresses.pop() if is_certain and len(addresses) == 1 else "",
        signed_by=_signers(fields.get("dkim", b"").decode("ascii", "replace").lower()),
        files=tuple((_safe_name(name), found) for name, found in files if _may_be_statement(name))[: FILES_MAX + 1],
    )


def _signers(dkim: str) -> tuple[str, ...]:
    """Return the domains whose signature passed; none where a part of the text is not what SendGrid writes."""
    found = [_DKIM.fullmatch(each.strip()) for each in re.split(r"[{},]", dkim) if each.strip()]
    if any(each is None for each in found):
        return ()
    return tuple(each.group(1) for each in found if each is not None and each.group(2) == "pass")


def _attached(message: Message) -> Iterator[tuple[str, bytes]]:
    for part in message.walk():
        content = part.get_payload(decode=True)
        if (name := part.get_filename()) and isinstance(content, bytes):
            yield decode_header_text(name), content


def _may_be_statement(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() not in _NO_STATEMENTS


def _safe_name(name: str) -> str:
    """Return a name that is one of a file in a folder, whatever an email calls it."""
    return _UNSAFE.sub("_", name.replace("\\", "/").rpartition("/")[2])[-_NAME_MAX:].lstrip(" .-_") or "statement"


def _is_of(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")
